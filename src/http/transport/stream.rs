//! A byte stream with a deadline: TCP, or TLS over another stream.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::sys::{self, Until};

/// A two-way byte stream. An operation that reaches the deadline fails with [`io::ErrorKind::TimedOut`].
pub(super) trait ByteStream: Read + Write + Send + Sync {
    /// Sets the deadline of all further operations; `None` means none.
    fn set_deadline(&mut self, deadline: Option<Instant>);

    /// Whether the stream can be used for another request: the peer neither closed it nor sent unexpected data.
    fn is_open(&mut self) -> bool;
}

/// Returns the time until the deadline, or an error if it has passed.
pub(super) fn time_left(deadline: Option<Instant>) -> io::Result<Option<Duration>> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    match left {
        Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A TCP connection in non-blocking mode. The timeouts of blocking sockets are up to an eighth late.
pub(in crate::http) struct TcpSocket {
    stream: TcpStream,
    deadline: Option<Instant>,
}

impl TcpSocket {
    /// Connects to the first address that accepts. Each address but the last gets half of the time that is left.
    pub(in crate::http) fn connect(addresses: &[SocketAddr], deadline: Option<Instant>) -> io::Result<TcpSocket> {
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            let connected = match time_left(deadline)? {
                Some(left) => TcpStream::connect_timeout(address, if is_last { left } else { left / 2 }),
                None => TcpStream::connect(address),
            };
            match connected {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    return Ok(TcpSocket { stream, deadline });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Takes over a connected socket in non-blocking mode, of any family.
    pub(super) fn connected(socket: OwnedFd, deadline: Option<Instant>) -> TcpSocket {
        TcpSocket { stream: TcpStream::from(socket), deadline }
    }

    /// Repeats an operation until it does not block, or the deadline passes. What arrived in time counts, however late
    /// this thread runs again: the processes of a host that start at once may wait seconds for a processor.
    fn until_ready(
        &self,
        until: Until,
        mut operation: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        time_left(self.deadline)?;
        loop {
            match operation(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = time_left(self.deadline)?.unwrap_or(Duration::MAX);
                    sys::wait(self.stream.as_fd(), until, left)?;
                }
                done => return done,
            }
        }
    }
}

impl Read for TcpSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until_ready(Until::Readable, |mut stream| stream.read(buffer))
    }
}

impl Write for TcpSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_ready(Until::Writable, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ByteStream for TcpSocket {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn is_open(&mut self) -> bool {
        self.stream.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        // Closing is not enough: a child that was forked in the meantime also holds the socket.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// TLS over another stream.
pub(super) struct TlsStream(StreamOwned<ClientConnection, Box<dyn ByteStream>>);

impl TlsStream {
    /// Performs the TLS handshake with the server of this name.
    pub(super) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        mut stream: Box<dyn ByteStream>,
    ) -> io::Result<TlsStream> {
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                return Err(alert_or(&mut connection, stream.as_mut(), error));
            }
        }
        Ok(TlsStream(StreamOwned::new(connection, stream)))
    }

    fn alert_or(&mut self, error: io::Error) -> io::Error {
        alert_or(&mut self.0.conn, self.0.sock.as_mut(), error)
    }
}

/// Returns the TLS alert with which the peer closed the connection while we were sending, else `error`. A server that
/// rejects our certificate sends such an alert, which is still unread.
fn alert_or(connection: &mut ClientConnection, mut stream: &mut dyn ByteStream, error: io::Error) -> io::Error {
    if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
        return error;
    }
    while let Ok(1..) = connection.read_tls(&mut stream) {
        if let Err(alert) = connection.process_new_packets() {
            return io::Error::other(alert);
        }
    }
    error
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| self.alert_or(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| self.alert_or(error))
    }
}

impl ByteStream for TlsStream {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.0.sock.set_deadline(deadline);
    }

    fn is_open(&mut self) -> bool {
        self.0.sock.is_open()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    /// Whether the file is in non-blocking mode, as the system reports it.
    fn is_nonblocking(file: &impl AsRawFd) -> bool {
        let state = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap();
        let flags = state.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_NONBLOCK != 0
    }

    #[test]
    fn socket_is_nonblocking_and_has_no_system_timeouts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(100));
        for deadline in [None, Some(Instant::now() + Duration::from_secs(3600))] {
            let mut socket = TcpSocket::connect(&[listener.local_addr().unwrap()], deadline).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            assert!(is_nonblocking(&socket.stream));
            socket.set_deadline(soon());
            assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
            socket.set_deadline(soon());
            while socket.write(&[0; 100_000]).is_ok() {}
            assert!(socket.is_open());
            peer.write_all(b"x").unwrap();
            socket.set_deadline(None);
            assert_eq!(socket.read(&mut [0]).unwrap(), 1);
            assert!(is_nonblocking(&socket.stream));
            assert_eq!(socket.stream.read_timeout().unwrap(), None);
            assert_eq!(socket.stream.write_timeout().unwrap(), None);
        }
    }

    #[test]
    fn what_arrived_in_time_counts_when_the_thread_is_late() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpSocket::connect(&[listener.local_addr().unwrap()], None).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"x").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        socket.set_deadline(Some(deadline));
        let mut is_late = false;
        let read = socket.until_ready(Until::Readable, |mut stream| {
            if std::mem::replace(&mut is_late, true) {
                return stream.read(&mut [0]);
            }
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            Err(io::ErrorKind::Interrupted.into())
        });
        assert_eq!((read.unwrap(), socket.read(&mut [0]).unwrap_err().kind()), (1, io::ErrorKind::TimedOut));
    }
}
