//! Opens connections for ureq: DNS, proxy tunnel, TLS, each within the deadline.
//!
//! ureq's own connectors are not used for three reasons: their buffers are not wiped, their timeouts start again with
//! each byte from a proxy and each partial write to a slow peer, and they verify no other server name than the host.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use ureq::Timeout;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, NextTimeout, Transport, time};
use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::http::error;
use crate::http::proxy::{Proxies, ProxyTarget};
use crate::http::settings::ClientSettings;
use crate::http::transport::buffers::WipedBuffers;
use crate::http::transport::stream::{ByteStream, TcpSocket, TlsStream};
use crate::http::transport::{dns, tls};
use crate::http::url::Origin;
use crate::sys;

/// The longest response header of a proxy.
const MAX_PROXY_HEADER: u64 = 16 * 1024;

/// Opens the connections of one client.
pub(in crate::http) struct Connector {
    settings: ClientSettings,
    proxies: Proxies,
    /// Built for the first TLS connection.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Connector {
    pub(in crate::http) fn new(settings: ClientSettings) -> Connector {
        let proxies = Proxies::new(&settings.proxy);
        Connector { settings, proxies, tls: OnceLock::new() }
    }

    fn open(&self, server: Origin, deadline: Option<Instant>, limit: Option<Duration>) -> Result<HttpConnection> {
        if let Some(path) = &self.settings.socket {
            let server = Origin { socket: Some(path.clone()), ..server };
            let socket = sys::connect_unix(path);
            let socket = socket.map_err(|error| error::from_io(error, "connecting to", &server, limit))?;
            return Ok(HttpConnection::new(Box::new(TcpSocket::connected(socket, deadline)), server, None));
        }
        let target = self.proxies.proxy_for(&server)?;
        let first = target.map_or(&server, |target| &target.origin);
        // An unusable file or name is reported before anything is sent.
        let proxy_tls = target.filter(|target| target.origin.tls).map(|target| self.tls_for(&target.origin.host));
        let proxy_tls = proxy_tls.transpose()?;
        let server_name = self.settings.server_name.as_ref().unwrap_or(&server.host);
        let server_tls = server.tls.then(|| self.tls_for(server_name)).transpose()?;

        let failed = |doing: &'static str, origin: &Origin| {
            let origin = origin.clone();
            move |error| error::from_io(error, doing, &origin, limit)
        };
        let (resolving, connecting) = match target {
            Some(_) => ("resolving the host of the proxy", "connecting to the proxy"),
            None => ("resolving the host of", "connecting to"),
        };
        let addresses = dns::look_up(&first.host, first.port, deadline).map_err(failed(resolving, first))?;
        let socket = TcpSocket::connect(&addresses, deadline).map_err(failed(connecting, first))?;
        let mut stream: Box<dyn ByteStream> = Box::new(socket);
        if let Some((config, name)) = proxy_tls {
            let secured = TlsStream::connect(config, name, stream);
            stream = Box::new(secured.map_err(failed("setting up TLS with the proxy", first))?);
        }
        if let (Some(target), true) = (target, server.tls) {
            let status = open_tunnel(stream.as_mut(), target, &server);
            check_tunnel(status.map_err(failed("requesting a tunnel from the proxy", first))?, first, &server)?;
        }
        if let Some((config, name)) = server_tls {
            let secured = TlsStream::connect(config, name, stream);
            stream = Box::new(secured.map_err(failed("setting up TLS with", &server))?);
        }
        let forwarding = target.filter(|_| !server.tls).map(|target| Forwarding::new(target, &server));
        Ok(HttpConnection::new(stream, server, forwarding))
    }

    /// Returns the configuration and the server name for a TLS connection.
    fn tls_for(&self, name: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>)> {
        Ok((self.tls_config()?, tls::host_name(name)?))
    }

    fn tls_config(&self) -> Result<Arc<ClientConfig>> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let config = tls::config(&self.settings)?;
        Ok(self.tls.get_or_init(|| config).clone())
    }
}

impl ureq::unversioned::transport::Connector for Connector {
    type Out = HttpConnection;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<HttpConnection>, ureq::Error> {
        let Some(server) = Origin::of(details.uri) else { return Err(ureq::Error::ConnectionFailed) };
        let limit = details.config.timeouts().connect.filter(|_| details.timeout.reason == Timeout::Connect);
        self.open(server, deadline_of(details.timeout), limit).map(Some).map_err(wrap)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

fn deadline_of(timeout: NextTimeout) -> Option<Instant> {
    match timeout.after {
        time::Duration::Exact(left) => Instant::now().checked_add(left),
        time::Duration::NotHappening => None,
    }
}

/// Wraps an error of this library, which [`error::from_ureq`] unwraps.
fn wrap(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

/// Requests a tunnel to the server from the proxy, and returns the status of the response.
fn open_tunnel(stream: &mut dyn ByteStream, target: &ProxyTarget, server: &Origin) -> io::Result<u16> {
    stream.write_all(target.connect_request(server).as_bytes())?;
    stream.flush()?;
    // Byte by byte: the bytes after the header are the server's.
    let mut lines = BufReader::with_capacity(1, stream).take(MAX_PROXY_HEADER);
    let mut status = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            let is_too_long = lines.limit() == 0;
            let why = if is_too_long { "its response is too long" } else { "it closed the connection" };
            return Err(io::Error::other(why));
        }
        // The reason phrase may be in any encoding.
        match (String::from_utf8_lossy(&line).trim_end(), status) {
            ("", Some(status)) => return Ok(status),
            (text, None) => status = Some(status_of(text).ok_or_else(|| io::Error::other("its response is not HTTP"))?),
            _ => {}
        }
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status_of(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

fn check_tunnel(status: u16, proxy: &Origin, server: &Origin) -> Result<()> {
    let refused = |kind, remedy| {
        let message = format!("the proxy {proxy} refuses a tunnel to {server}: HTTP {status}{remedy}");
        Err(Error::new(kind, message).with_detail(status.into()))
    };
    match status {
        200..300 => Ok(()),
        407 => refused(Status::AccessDenied, "; put a user and password into the URL of the proxy"),
        401 | 403 => refused(Status::AccessDenied, ""),
        _ => refused(Status::Unavailable, "").map_err(|error| error.with_retryable(true)),
    }
}

/// What is added to the header of a plain HTTP request that a proxy forwards.
struct Forwarding {
    /// Scheme, host and port, which go before the path.
    origin: String,
    /// Header lines, which go after the request line.
    headers: Zeroizing<String>,
}

impl Forwarding {
    fn new(target: &ProxyTarget, server: &Origin) -> Forwarding {
        let credentials = target.authorization.as_ref();
        let mut headers = Zeroizing::new(String::with_capacity(32 + credentials.map_or(0, |value| value.len())));
        if let Some(value) = credentials {
            headers.push_str("Proxy-Authorization: ");
            headers.push_str(value);
            headers.push_str("\r\n");
        }
        Forwarding { origin: server.to_string(), headers }
    }

    /// Sends a header, or its beginning, with the absolute URL in the request line.
    fn send(&self, header: &[u8], stream: &mut dyn ByteStream) -> io::Result<()> {
        let path = header.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        let second_line = header.iter().position(|byte| *byte == b'\n').map_or(path, |end| end + 1);
        stream.write_all(&header[..path])?;
        stream.write_all(self.origin.as_bytes())?;
        stream.write_all(&header[path..second_line])?;
        stream.write_all(self.headers.as_bytes())?;
        stream.write_all(&header[second_line..])
    }
}

/// A connection over which ureq sends requests.
pub(in crate::http) struct HttpConnection {
    stream: Box<dyn ByteStream>,
    buffers: WipedBuffers,
    server: Origin,
    forwarding: Option<Forwarding>,
    /// Whether the next output is the header of a request.
    header_is_next: bool,
}

impl HttpConnection {
    fn new(stream: Box<dyn ByteStream>, server: Origin, forwarding: Option<Forwarding>) -> HttpConnection {
        HttpConnection { stream, buffers: WipedBuffers::new(), server, forwarding, header_is_next: true }
    }

    fn failed(&self, error: io::Error, doing: &str, timeout: NextTimeout) -> ureq::Error {
        if error::is_timeout(&error) {
            return ureq::Error::Timeout(timeout.reason);
        }
        wrap(error::from_io(error, doing, &self.server, None))
    }
}

impl Transport for HttpConnection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_deadline(deadline_of(timeout));
        let bytes = &self.buffers.output()[..amount];
        let is_header = std::mem::replace(&mut self.header_is_next, false);
        let sent = match &self.forwarding {
            Some(forwarding) if is_header => forwarding.send(bytes, self.stream.as_mut()),
            _ => self.stream.write_all(bytes),
        };
        sent.and_then(|()| self.stream.flush()).map_err(|error| self.failed(error, "sending to", timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.set_deadline(deadline_of(timeout));
        self.header_is_next = true;
        let space = self.buffers.input_append_buf();
        if space.is_empty() {
            let message = format!("the response from {} has a line that is too long", self.server);
            return Err(wrap(error::protocol(message)));
        }
        let amount =
            self.stream.read(space).map_err(|error| self.failed(error, "reading the response from", timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }

    fn is_tls(&self) -> bool {
        self.server.tls
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.server)
    }
}
