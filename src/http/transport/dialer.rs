//! Byte streams to servers that do not speak HTTP, over TCP, TLS or a socket in the file system.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::files::Fingerprint;
use crate::fork;
use crate::fork_safe::Mutex;
use crate::http::error;
use crate::http::settings::ClientSettings;
use crate::http::transport::stream::{ByteStream, TcpSocket, TlsStream};
use crate::http::transport::{dns, tls};
use crate::sys;

/// Where a server is.
pub(crate) enum Server {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

struct TlsConfig {
    /// The fingerprints of the files, taken before they were read.
    files: Vec<Option<Fingerprint>>,
    config: Arc<ClientConfig>,
}

/// Opens streams to one server. No proxy is used.
pub(crate) struct Dialer {
    server: Server,
    /// The server, for messages.
    name: String,
    settings: ClientSettings,
    /// Built for the first TLS connection, and again after one failed or a file has changed.
    tls: Mutex<Option<TlsConfig>>,
}

impl Dialer {
    pub(crate) fn new(server: Server, name: String, settings: ClientSettings) -> Dialer {
        Dialer { server, name, settings, tls: Mutex::new(None) }
    }

    /// The server, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Connects while forks are allowed.
    pub(crate) fn connect(&self, deadline: Deadline) -> Result<RawStream> {
        let failed = |doing: &'static str| move |error| error::from_io(error, doing, &self.name, None);
        let end = end_of(deadline);
        let stream: Box<dyn ByteStream> = match &self.server {
            Server::Unix(path) => {
                let socket = sys::connect_unix(path).map_err(failed("connecting to"))?;
                Box::new(TcpSocket::connected(socket, end))
            }
            Server::Tcp { host, port, tls } => {
                let secured = tls.then(|| Ok::<_, Error>((self.tls_config()?, tls::host_name(host)?))).transpose()?;
                fork::unprotected(|| {
                    let addresses = dns::look_up(host, *port, end).map_err(failed("resolving the host of"))?;
                    let socket = TcpSocket::connect(&addresses, end).map_err(failed("connecting to"))?;
                    let stream: Box<dyn ByteStream> = match secured {
                        None => Box::new(socket),
                        Some((config, name)) => {
                            let secured = TlsStream::connect(config, name, Box::new(socket));
                            Box::new(secured.map_err(failed("setting up TLS with"))?)
                        }
                    };
                    Ok::<_, Error>(stream)
                })
                .inspect_err(|_| self.forget_tls_config())?
            }
        };
        Ok(RawStream { stream, name: self.name.clone() })
    }

    fn tls_config(&self) -> Result<Arc<ClientConfig>> {
        let _guard = fork::protect();
        let mut current = self.tls.lock();
        let fingerprint = |path: PathBuf| fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata));
        let files: Vec<_> = self.settings.files().into_iter().map(fingerprint).collect();
        if let Some(known) = current.as_ref().filter(|known| known.files == files) {
            return Ok(known.config.clone());
        }
        let config = tls::config(&self.settings)?;
        *current = Some(TlsConfig { files, config: config.clone() });
        Ok(config)
    }

    /// The certificates of the system may have changed.
    fn forget_tls_config(&self) {
        let _guard = fork::protect();
        *self.tls.lock() = None;
    }
}

fn end_of(deadline: Deadline) -> Option<Instant> {
    Instant::now().checked_add(deadline.remaining())
}

/// An open stream.
pub(crate) struct RawStream {
    stream: Box<dyn ByteStream>,
    name: String,
}

impl RawStream {
    /// Sets the deadline of all further operations.
    pub(crate) fn set_deadline(&mut self, deadline: Deadline) {
        self.stream.set_deadline(end_of(deadline));
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = fork::unprotected(|| self.stream.write_all(bytes).and_then(|()| self.stream.flush()));
        sent.map_err(|error| error::from_io(error, "sending to", &self.name, None))
    }

    /// Reads at least one byte.
    pub(crate) fn receive(&mut self, space: &mut [u8]) -> Result<usize> {
        let received = fork::unprotected(|| match self.stream.read(space) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            received => received,
        });
        received.map_err(|error| error::from_io(error, "reading the response from", &self.name, None))
    }
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawStream({})", self.name)
    }
}
