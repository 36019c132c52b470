//! Bytes to and from a server, each step within a point in time: a socket, or TLS over another wire.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::sys::{self, Until};

/// When a step has to end; `None` is never.
pub(super) type End = Option<Instant>;

/// A two-way stream of bytes. An operation that reaches the end of its time fails with [`io::ErrorKind::TimedOut`].
pub(super) trait Wire: Read + Write + Send + Sync {
    /// From now on, everything has to be done by then.
    fn end_by(&mut self, end: End);

    /// Whether it can be used for another request: the peer neither closed it nor sent what nobody asked for.
    fn is_open(&mut self) -> bool;
}

/// The time left; too late is an error.
pub(super) fn time_left(end: End) -> io::Result<Option<Duration>> {
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    match left {
        Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A TCP connection. It never blocks: the time-outs that sockets have are up to an eighth late.
pub(super) struct Socket {
    stream: TcpStream,
    end: End,
}

impl Socket {
    /// Connects to the first address that answers. While others wait behind it, an address gets half of the time.
    pub(super) fn connect(addresses: &[SocketAddr], end: End) -> io::Result<Socket> {
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            let connected = match time_left(end)? {
                Some(left) => TcpStream::connect_timeout(address, if is_last { left } else { left / 2 }),
                None => TcpStream::connect(address),
            };
            match connected {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    return Ok(Socket { stream, end });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Repeats a step until it need not wait any more.
    fn within_time(&self, until: Until, mut step: impl FnMut(&TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let left = time_left(self.end)?.unwrap_or(Duration::MAX);
            match step(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sys::wait(self.stream.as_fd(), until, left)?;
                }
                done => return done,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.within_time(Until::Readable, |mut stream| stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.within_time(Until::Writable, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Socket {
    fn end_by(&mut self, end: End) {
        self.end = end;
    }

    fn is_open(&mut self) -> bool {
        self.stream.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A child that was forked meanwhile holds the socket too; the peer shall see the end all the same.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// TLS over another wire.
pub(super) struct Tls(StreamOwned<ClientConnection, Box<dyn Wire>>);

impl Tls {
    /// Shakes hands with the server of this name.
    pub(super) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        mut wire: Box<dyn Wire>,
    ) -> io::Result<Tls> {
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut wire) {
                return Err(last_words(&mut connection, wire.as_mut(), error));
            }
        }
        Ok(Tls(StreamOwned::new(connection, wire)))
    }

    fn explained(&mut self, error: io::Error) -> io::Error {
        last_words(&mut self.0.conn, self.0.sock.as_mut(), error)
    }
}

/// Why the peer closed the connection while we were sending: a server that refuses our certificate says so with an
/// alert that nobody has read yet. Else the error as it is.
fn last_words(connection: &mut ClientConnection, mut wire: &mut dyn Wire, error: io::Error) -> io::Error {
    if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
        return error;
    }
    while let Ok(1..) = connection.read_tls(&mut wire) {
        if let Err(alert) = connection.process_new_packets() {
            return io::Error::other(alert);
        }
    }
    error
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| self.explained(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| self.explained(error))
    }
}

impl Wire for Tls {
    fn end_by(&mut self, end: End) {
        self.0.sock.end_by(end);
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

    /// Whether the file never blocks, as the system tells it.
    fn is_nonblocking(file: &impl AsRawFd) -> bool {
        let state = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap();
        let flags = state.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_NONBLOCK != 0
    }

    #[test]
    fn a_socket_leaves_no_waiting_to_the_late_timers_of_the_system() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(100));
        for end in [None, Some(Instant::now() + Duration::from_secs(3600))] {
            let mut socket = Socket::connect(&[listener.local_addr().unwrap()], end).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            assert!(is_nonblocking(&socket.stream));
            socket.end_by(soon());
            assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
            socket.end_by(soon());
            while socket.write(&[0; 100_000]).is_ok() {}
            assert!(socket.is_open());
            peer.write_all(b"x").unwrap();
            socket.end_by(None);
            assert_eq!(socket.read(&mut [0]).unwrap(), 1);
            assert!(is_nonblocking(&socket.stream));
            assert_eq!(socket.stream.read_timeout().unwrap(), None);
            assert_eq!(socket.stream.write_timeout().unwrap(), None);
        }
    }
}
