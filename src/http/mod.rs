//! One HTTP client over ureq: a deadline over everything, TLS roots, proxies, bounded bodies that are wiped.
//!
//! A [`Client`] lives for one load: its connections are reused within it and closed with it, so nothing stays open
//! between loads. One call of [`Client::send`] is one attempt; [`retry`] says when there is another.
//!
//! What passes through our own buffers is wiped: those of the connections, bodies of answers, keys of certificates. The
//! copies that ureq makes of headers, and rustls of what it decrypts, are wiped by the allocator of the C library alone.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Agent, AsSendBody};
use zeroize::Zeroizing;

use crate::clock::{Deadline, Instant};
use crate::error::Result;
use crate::fork;
use crate::http::connector::Connector;
use crate::http::url::Origin;
use crate::log::{self, Level};
use crate::secret_memory::{SecretBuffer, SecretBytes, wipe_stack_below};

mod buffers;
mod connector;
mod failure;
mod headers;
mod no_proxy;
mod proxy;
mod resolver;
pub(crate) mod retry;
mod tls;
mod unverified;
mod url;
mod wire;

pub(crate) use failure::is_untrusted_certificate;
pub(crate) use headers::{date, is_transient_status, retry_after};

/// The longest part of an error's body that is read: what a server says about a failure is shorter, what a gateway says
/// in its place need not be known to its end.
const LONGEST_ERROR: usize = 64 << 10;
/// More than one exchange uses, TLS included.
const STACK_OF_AN_EXCHANGE: usize = 32 << 10;
const USER_AGENT: &str = concat!("st-secrets/", env!("CARGO_PKG_VERSION"));
const FOREVER: Duration = Duration::from_secs(3600 * 24 * 365);

/// How requests are sent.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) roots: Roots,
    /// Shown to servers that ask for one: PEM files of the chain and of its key.
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must have, where it is not the host of the URL.
    pub(crate) server_name: Option<String>,
    /// Whether the server's certificate is not looked at.
    pub(crate) skip_verify: bool,
    pub(crate) proxy: Proxy,
    /// The longest body of an answer, in bytes.
    pub(crate) max_body: usize,
    /// Whether paths are secrets too, which the log does not show.
    pub(crate) secret_paths: bool,
}

/// Whose signature on a server's certificate is trusted.
#[derive(Clone, Default)]
pub(crate) enum Roots {
    /// What the system trusts.
    #[default]
    Platform,
    /// The certificates of this PEM file alone.
    File(PathBuf),
    /// Those of all PEM files in this directory and the directories in it; the path may also be that of one file.
    Directory(PathBuf),
    /// These, as PEM.
    Pem(String),
}

/// How a proxy is chosen.
#[derive(Clone, Default)]
pub(crate) enum Proxy {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case.
    #[default]
    Environment,
    /// Never one.
    None,
    /// This one, whatever `NO_PROXY` says.
    Always(String),
}

/// One request. Headers and body may hold secrets.
pub(crate) struct Request<'a> {
    /// `GET`, `POST` or `PUT`.
    pub(crate) method: &'static str,
    /// Absolute, `http` or `https`; without user, password and fragment.
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(&'a str, Zeroizing<String>)],
    pub(crate) body: &'a [u8],
    /// The longest time for a connection, within the deadline.
    pub(crate) connect_timeout: Option<Duration>,
}

/// An answer with any status. The body is wiped when it goes; that of an error is empty if it is longer than 64 KiB.
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: SecretBytes,
}

impl Response {
    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Connections of one load.
pub(crate) struct Client {
    agent: Agent,
    max_body: usize,
    secret_paths: bool,
}

impl Client {
    /// A client with these settings. Files of certificates are read when the first `https` request needs them.
    pub(crate) fn new(settings: Settings) -> Client {
        let (max_body, secret_paths) = (settings.max_body, settings.secret_paths);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(USER_AGENT)
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(buffers::LONGEST_HEAD)
            .allow_non_standard_methods(true)
            .build();
        Client { agent: Agent::with_parts(config, Connector::new(settings), LaterResolver), max_body, secret_paths }
    }

    /// Sends one request and reads the whole answer, outside the fork gate. Redirects are answers like any other.
    ///
    /// Errors: `Timeout` where the deadline passed, `Unavailable` (marked as worth retrying) where no connection could
    /// be had or it broke, `Config` for what no retry mends (a URL, a certificate file, a header with CR or LF),
    /// `AccessDenied` for a certificate that is not trusted, `Protocol` for what is not HTTP or too long. The message
    /// names scheme, host and port of the URL, never its query.
    pub(crate) fn send(&self, request: &Request<'_>, deadline: Deadline) -> Result<Response> {
        let (uri, origin) = url::parse(request.url)?;
        let begin = Instant::now();
        let result = fork::unprotected(|| self.exchange(request, &uri, &origin, deadline));
        // Headers and bodies hold tokens, which pass through the frames of the HTTP client and of TLS.
        wipe_stack_below::<STACK_OF_AN_EXCHANGE>();
        log::emit(Level::Debug, "http", || {
            let outcome = match &result {
                Ok(response) => response.status.to_string(),
                Err(error) => error.message().to_owned(),
            };
            let path = if self.secret_paths { "" } else { uri.path() };
            format!("{} {origin}{path}: {outcome} ({:.1?})", request.method, begin.elapsed())
        });
        result
    }

    fn exchange(&self, request: &Request<'_>, uri: &Uri, origin: &Origin, deadline: Deadline) -> Result<Response> {
        let left = deadline.remaining();
        if left.is_zero() {
            return Err(failure::late(&format!("before {origin} was asked")));
        }
        let mut builder = ureq::http::Request::builder().method(request.method).uri(uri);
        for (name, value) in request.headers {
            let (name, value) = headers::checked(name, value)?;
            builder = builder.header(name, value);
        }
        let times = (left, request.connect_timeout);
        // A GET without a body has no Content-Length either.
        let answer = if request.body.is_empty() && request.method == "GET" {
            run(&self.agent, builder.body(()), times)
        } else {
            run(&self.agent, builder.body(request.body), times)
        };
        let mut answer = answer.map_err(|error| failure::of_ureq(error, origin))?;
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
        let headers = headers.collect();
        let is_error = answer.status().as_u16() >= 300;
        let max_body = if is_error { self.max_body.min(LONGEST_ERROR) } else { self.max_body };
        let mut body = SecretBuffer::with_capacity(4096)?;
        let is_whole = body
            .read_to_end(&mut answer.body_mut().as_reader(), max_body)
            .map_err(|error| failure::of_ureq(error.into(), origin))?;
        if !is_whole && is_error {
            // Its status counts, not its length.
            body.truncate(0);
        } else if !is_whole {
            return Err(failure::protocol(format!("the answer of {origin} is longer than {} bytes", self.max_body)));
        }
        Ok(Response { status: answer.status().as_u16(), headers, body: body.freeze() })
    }
}

/// The addresses of a host, looked up outside the fork gate.
pub(crate) fn look_up(host: &str, deadline: Deadline) -> Result<Vec<IpAddr>> {
    let end = std::time::Instant::now().checked_add(deadline.remaining());
    let addresses = fork::unprotected(|| resolver::look_up(host, 0, end)).map_err(|error| match error.kind() {
        std::io::ErrorKind::TimedOut => failure::late(&format!("while the name {host} was looked up")),
        _ => failure::unavailable(error.to_string(), 0),
    })?;
    Ok(addresses.iter().map(SocketAddr::ip).collect())
}

fn run<S: AsSendBody>(
    agent: &Agent,
    request: std::result::Result<ureq::http::Request<S>, ureq::http::Error>,
    (left, connect): (Duration, Option<Duration>),
) -> std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    // Times that would overflow when they are added to the present never come.
    let bounded = |time: Option<Duration>| time.filter(|time| *time < FOREVER);
    let request = agent.configure_request(request?);
    agent.run(request.timeout_global(bounded(Some(left))).timeout_connect(bounded(connect)).build())
}

/// Leaves the look-up to the [`Connector`], which knows whether it is the server's name or the proxy's.
#[derive(Debug)]
struct LaterResolver;

impl Resolver for LaterResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests;
