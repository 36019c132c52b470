//! Connections for ureq: look-up, proxy, TLS, each within the time that is left.
//!
//! ureq's own connectors do most of this too, but their buffers are not wiped, their time-outs begin anew with each byte
//! of a proxy and each piece that a slow peer takes, and they know no other name for a server than its host.

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
use crate::http::buffers::WipedBuffers;
use crate::http::proxy::{Gateway, Proxies};
use crate::http::url::Origin;
use crate::http::wire::{End, Socket, Tls, Wire};
use crate::http::{Settings, failure, resolver, tls};

/// The longest head of a proxy's answer.
const LONGEST_PROXY_HEAD: u64 = 16 * 1024;

/// Opens the connections of one client.
pub(super) struct Connector {
    settings: Settings,
    proxies: Proxies,
    /// Made for the first TLS connection.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Connector {
        let proxies = Proxies::new(&settings.proxy);
        Connector { settings, proxies, tls: OnceLock::new() }
    }

    fn open(&self, server: Origin, end: End, limit: Option<Duration>) -> Result<Link> {
        let gateway = self.proxies.between(&server)?;
        let first = gateway.map_or(&server, |gateway| &gateway.origin);
        // A file or name that cannot be used is found before anything is sent.
        let proxy_tls = gateway.filter(|gateway| gateway.origin.tls).map(|gateway| self.tls_for(&gateway.origin.host));
        let proxy_tls = proxy_tls.transpose()?;
        let server_name = self.settings.server_name.as_ref().unwrap_or(&server.host);
        let server_tls = server.tls.then(|| self.tls_for(server_name)).transpose()?;

        let failed = |doing: &'static str, origin: &Origin| {
            let origin = origin.clone();
            move |error| failure::of_io(error, doing, &origin, limit)
        };
        let (looking_up, connecting) = match gateway {
            Some(_) => ("looking up the host of the proxy", "connecting to the proxy"),
            None => ("looking up the host of", "connecting to"),
        };
        let addresses = resolver::look_up(&first.host, first.port, end).map_err(failed(looking_up, first))?;
        let socket = Socket::connect(&addresses, end).map_err(failed(connecting, first))?;
        let mut wire: Box<dyn Wire> = Box::new(socket);
        if let Some((config, name)) = proxy_tls {
            let secured = Tls::connect(config, name, wire);
            wire = Box::new(secured.map_err(failed("setting up TLS with the proxy", first))?);
        }
        if let (Some(gateway), true) = (gateway, server.tls) {
            let answer = tunnel(wire.as_mut(), gateway, &server);
            connected(answer.map_err(failed("asking the proxy", first))?, first, &server)?;
        }
        if let Some((config, name)) = server_tls {
            let secured = Tls::connect(config, name, wire);
            wire = Box::new(secured.map_err(failed("setting up TLS with", &server))?);
        }
        let forwarding = gateway.filter(|_| !server.tls).map(|gateway| Forwarding::new(gateway, &server));
        Ok(Link { wire, buffers: WipedBuffers::new(), server, forwarding, head_is_next: true })
    }

    /// What a TLS connection with a server of this name is made with.
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
    type Out = Link;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> std::result::Result<Option<Link>, ureq::Error> {
        let Some(server) = Origin::of(details.uri) else { return Err(ureq::Error::ConnectionFailed) };
        let limit = details.config.timeouts().connect.filter(|_| details.timeout.reason == Timeout::Connect);
        self.open(server, end_of(details.timeout), limit).map(Some).map_err(carried)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

fn end_of(timeout: NextTimeout) -> End {
    match timeout.after {
        time::Duration::Exact(left) => Instant::now().checked_add(left),
        time::Duration::NotHappening => None,
    }
}

/// An error of this library, through ureq to [`failure::of_ureq`].
fn carried(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

/// Asks the proxy for a connection with the server; the answer is its status.
fn tunnel(wire: &mut dyn Wire, gateway: &Gateway, server: &Origin) -> io::Result<u16> {
    wire.write_all(gateway.connect_request(server).as_bytes())?;
    wire.flush()?;
    // Byte by byte: what follows the head is the server's.
    let mut lines = BufReader::with_capacity(1, wire).take(LONGEST_PROXY_HEAD);
    let mut status = None;
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            let is_too_long = lines.limit() == 0;
            let why = if is_too_long { "its answer is too long" } else { "it closed the connection" };
            return Err(io::Error::other(why));
        }
        match (line.trim_end(), status) {
            ("", Some(status)) => return Ok(status),
            (text, None) => status = Some(status_of(text).ok_or_else(|| io::Error::other("it does not speak HTTP"))?),
            _ => {}
        }
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status_of(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

fn connected(status: u16, proxy: &Origin, server: &Origin) -> Result<()> {
    let refused = |kind, why| {
        let message = format!("the proxy {proxy} does not connect us with {server}: HTTP {status}{why}");
        Err(Error::new(kind, message).with_detail(status.into()))
    };
    match status {
        200..300 => Ok(()),
        407 => refused(Status::AccessDenied, ", it wants a user and password in its URL"),
        401 | 403 => refused(Status::AccessDenied, ""),
        _ => refused(Status::Unavailable, "").map_err(|error| error.with_retryable(true)),
    }
}

/// What changes in the head of a request that a proxy passes on as it is.
struct Forwarding {
    /// Scheme, host and port, before the path.
    origin: String,
    /// Lines after the first.
    headers: Zeroizing<String>,
}

impl Forwarding {
    fn new(gateway: &Gateway, server: &Origin) -> Forwarding {
        let credentials = gateway.authorization.as_ref();
        let mut headers = Zeroizing::new(String::with_capacity(32 + credentials.map_or(0, |value| value.len())));
        if let Some(value) = credentials {
            headers.push_str("Proxy-Authorization: ");
            headers.push_str(value);
            headers.push_str("\r\n");
        }
        Forwarding { origin: server.to_string(), headers }
    }

    /// Sends a head, or its beginning, with the whole URL in its first line.
    fn send(&self, head: &[u8], wire: &mut dyn Wire) -> io::Result<()> {
        let path = head.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        let second_line = head.iter().position(|byte| *byte == b'\n').map_or(path, |end| end + 1);
        wire.write_all(&head[..path])?;
        wire.write_all(self.origin.as_bytes())?;
        wire.write_all(&head[path..second_line])?;
        wire.write_all(self.headers.as_bytes())?;
        wire.write_all(&head[second_line..])
    }
}

/// A connection that ureq sends requests over.
pub(super) struct Link {
    wire: Box<dyn Wire>,
    buffers: WipedBuffers,
    server: Origin,
    forwarding: Option<Forwarding>,
    /// Whether what is sent next is the head of a request.
    head_is_next: bool,
}

impl Link {
    fn failed(&self, error: io::Error, doing: &str, timeout: NextTimeout) -> ureq::Error {
        if failure::is_late(&error) {
            return ureq::Error::Timeout(timeout.reason);
        }
        carried(failure::of_io(error, doing, &self.server, None))
    }
}

impl Transport for Link {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> std::result::Result<(), ureq::Error> {
        self.wire.end_by(end_of(timeout));
        let bytes = &self.buffers.output()[..amount];
        let is_head = std::mem::replace(&mut self.head_is_next, false);
        let sent = match &self.forwarding {
            Some(forwarding) if is_head => forwarding.send(bytes, self.wire.as_mut()),
            _ => self.wire.write_all(bytes),
        };
        sent.and_then(|()| self.wire.flush()).map_err(|error| self.failed(error, "sending to", timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> std::result::Result<bool, ureq::Error> {
        self.wire.end_by(end_of(timeout));
        self.head_is_next = true;
        let space = self.buffers.input_append_buf();
        if space.is_empty() {
            let message = format!("the answer of {} has a line that is too long", self.server);
            return Err(carried(failure::protocol(message)));
        }
        let amount = self.wire.read(space).map_err(|error| self.failed(error, "reading the answer of", timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.wire.is_open()
    }

    fn is_tls(&self) -> bool {
        self.server.tls
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.server)
    }
}
