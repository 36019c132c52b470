//! Bytes to and from a server, each step within a point in time: a socket, or TLS over another wire.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// When a step has to end; `None` is never.
pub(super) type End = Option<Instant>;

/// A two-way stream of bytes. An operation that reaches the end of its time fails with [`io::ErrorKind::TimedOut`].
pub(super) trait Wire: Read + Write + Send + Sync {
    /// From now on, everything has to be done by then.
    fn end_by(&mut self, end: End);

    /// Whether it can be used for another request: the peer neither closed it nor sent what nobody asked for.
    fn is_open(&mut self) -> bool;
}

/// The time left. The system takes no zero for a time-out, so that too late is an error.
pub(super) fn time_left(end: End) -> io::Result<Option<Duration>> {
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    match left {
        Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A TCP connection.
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
                    return Ok(Socket { stream, end });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// Repeats an operation that a signal interrupted, and says "timed out" where the system says "would block".
fn within(end: End, mut step: impl FnMut(Option<Duration>) -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match step(time_left(end)?) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            done => return done,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        within(self.end, |left| {
            self.stream.set_read_timeout(left)?;
            self.stream.read(buffer)
        })
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        within(self.end, |left| {
            self.stream.set_write_timeout(left)?;
            self.stream.write(bytes)
        })
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
        let waiting = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let is_quiet = waiting.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        is_quiet && self.stream.set_nonblocking(false).is_ok()
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
