//! The client: one request, one response.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Agent, AsSendBody};

use crate::clock::{Deadline, Instant};
use crate::error::{Result, Status};
use crate::fork;
use crate::http::limits::MAX_HEADER;
use crate::http::message::{HttpRequest, HttpResponse, USER_AGENT};
use crate::http::settings::ClientSettings;
use crate::http::transport::{self, Connector};
use crate::http::url::{self, Origin};
use crate::http::{error, headers};
use crate::log::{self, Level};
use crate::secret_memory::{SecretBuffer, wipe_stack_below};

/// The longest error body that is kept. Messages of servers are shorter; of a longer one only the status counts.
pub(super) const MAX_ERROR_BODY: usize = 64 << 10;
/// More stack than one exchange uses, TLS included.
const EXCHANGE_STACK: usize = 32 << 10;
const FOREVER: Duration = Duration::from_secs(3600 * 24 * 365);

/// The connections of one load.
pub(crate) struct Client {
    agent: Agent,
    max_body: usize,
    secret_paths: bool,
    socket: Option<PathBuf>,
}

impl Client {
    /// Creates a client. Certificate files are read when the first `https` request needs them.
    pub(crate) fn new(settings: ClientSettings) -> Client {
        let (max_body, secret_paths, socket) = (settings.max_body, settings.secret_paths, settings.socket.clone());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(USER_AGENT)
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(MAX_HEADER)
            .allow_non_standard_methods(true)
            .build();
        let agent = Agent::with_parts(config, Connector::new(settings), NoResolver);
        Client { agent, max_body, secret_paths, socket }
    }

    /// Sends one request and reads the whole response while forks are allowed. Redirects are returned, not followed.
    ///
    /// Errors: `Timeout` if the deadline passes; `Unavailable` (marked as retryable) if no connection can be
    /// established or it breaks; `Config` for what no retry fixes (a URL, a certificate file, a header with CR or LF);
    /// `AccessDenied` for an untrusted certificate; `Protocol` for a response that is not HTTP or is too long. The
    /// message contains scheme, host and port of the URL, never its query.
    pub(crate) fn send(&self, request: &HttpRequest<'_>, deadline: Deadline) -> Result<HttpResponse> {
        let (uri, origin) = url::parse_request_url(request.url)?;
        let origin = Origin { socket: self.socket.clone(), ..origin };
        let start = Instant::now();
        let result = fork::unprotected(|| self.exchange(request, &uri, &origin, deadline)).map_err(|error| {
            if error.status() != Status::Timeout {
                return error;
            }
            error.map_message(|message| format!("{message} (after {:.1} s)", start.elapsed().as_secs_f64()))
        });
        // Headers and bodies contain tokens, which pass through stack frames of ureq and rustls.
        wipe_stack_below::<EXCHANGE_STACK>();
        log::emit_with(Level::Debug, "http", |fields| {
            let (path, duration) = (if self.secret_paths { "" } else { uri.path() }, start.elapsed());
            let url = format!("{origin}{path}");
            fields.text("method", request.method);
            fields.text("url", &url);
            fields.time("duration", duration);
            let outcome = match &result {
                Ok(response) => {
                    fields.integer("status", response.status.into());
                    response.status.to_string()
                }
                Err(error) => {
                    fields.error(error);
                    error.message().to_owned()
                }
            };
            format!("{} {url}: {outcome} ({duration:.1?})", request.method)
        });
        result
    }

    fn exchange(
        &self,
        request: &HttpRequest<'_>,
        uri: &Uri,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<HttpResponse> {
        let left = deadline.remaining();
        if left.is_zero() {
            return Err(error::timed_out(&format!("before the request to {origin}")));
        }
        let mut builder = ureq::http::Request::builder().method(request.method).uri(uri);
        for (name, value) in request.headers {
            let (name, value) = headers::checked(name, value)?;
            builder = builder.header(name, value);
        }
        let timeouts = (left, request.connect_timeout);
        // A GET without a body has no Content-Length either.
        let response = if request.body.is_empty() && request.method == "GET" {
            run(&self.agent, builder.body(()), timeouts)
        } else {
            run(&self.agent, builder.body(request.body), timeouts)
        };
        let mut response = response.map_err(|error| error::from_ureq(error, origin))?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
        let headers = headers.collect();
        let is_error = response.status().as_u16() >= 300;
        let max_body = if is_error { self.max_body.min(MAX_ERROR_BODY) } else { self.max_body };
        let mut body = SecretBuffer::with_capacity(4096)?;
        let is_complete = body
            .read_to_end(&mut response.body_mut().as_reader(), max_body)
            .map_err(|error| error::from_ureq(error.into(), origin))?;
        if !is_complete && is_error {
            body.truncate(0);
        } else if !is_complete {
            return Err(error::protocol(format!("the response from {origin} is longer than {} bytes", self.max_body)));
        }
        Ok(HttpResponse { status: response.status().as_u16(), headers, body: body.freeze() })
    }
}

/// Resolves a host name while forks are allowed.
pub(crate) fn look_up(host: &str, deadline: Deadline) -> Result<Vec<IpAddr>> {
    let end = std::time::Instant::now().checked_add(deadline.remaining());
    let addresses = fork::unprotected(|| transport::look_up(host, 0, end)).map_err(|error| match error.kind() {
        std::io::ErrorKind::TimedOut => error::timed_out(&format!("while resolving {host}")),
        _ => error::unavailable(error.to_string(), 0),
    })?;
    Ok(addresses.iter().map(SocketAddr::ip).collect())
}

fn run<S: AsSendBody>(
    agent: &Agent,
    request: Result<ureq::http::Request<S>, ureq::http::Error>,
    (left, connect): (Duration, Option<Duration>),
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    // ureq adds timeouts to the current time, which must not overflow.
    let bounded = |time: Option<Duration>| time.filter(|time| *time < FOREVER);
    let request = agent.configure_request(request?);
    agent.run(request.timeout_global(bounded(Some(left))).timeout_connect(bounded(connect)).build())
}

/// Resolves nothing: the [`Connector`] resolves the name of the server or of the proxy.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}
