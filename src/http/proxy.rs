//! Which proxy a request goes through: one that the caller names, or that of the environment.

use std::env;
use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::Uri;
use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::http::no_proxy::NoProxy;
use crate::http::url::Origin;
use crate::http::{Proxy, USER_AGENT};

/// A proxy and what it is told about us.
pub(super) struct Gateway {
    pub(super) origin: Origin,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<Zeroizing<String>>,
}

/// The proxies for both kinds of URL.
#[derive(Default)]
pub(super) struct Proxies {
    https: Option<Gateway>,
    http: Option<Gateway>,
    except: NoProxy,
    /// Whether `except`, and the rule that this machine's own addresses need no proxy, do not count.
    always: bool,
}

impl Proxies {
    pub(super) fn new(proxy: &Proxy) -> Result<Proxies> {
        match proxy {
            Proxy::None => Ok(Proxies::default()),
            Proxy::Always(url) => Ok(Proxies {
                https: gateway(url, "the proxy")?,
                http: gateway(url, "the proxy")?,
                always: true,
                ..Proxies::default()
            }),
            Proxy::Environment => Proxies::from_environment(|name| env::var(name).ok()),
        }
    }

    fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Proxies> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| variable(name).filter(|url| !url.is_empty()).map(|url| (*name, url)))
        };
        let gateway_in = |names: &[&'static str]| match first(names) {
            Some((name, url)) => gateway(&Zeroizing::new(url), name),
            None => Ok(None),
        };
        // In a CGI program HTTP_PROXY is the header `Proxy` of whoever sent the request.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let http: &[_] = if is_cgi {
            &["http_proxy", "all_proxy", "ALL_PROXY"]
        } else {
            &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        Ok(Proxies {
            https: gateway_in(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            http: gateway_in(http)?,
            except: first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| NoProxy::parse(&list)).unwrap_or_default(),
            always: false,
        })
    }

    /// The proxy for requests to this server; `None` is straight to it.
    pub(super) fn between(&self, server: &Origin) -> Option<&Gateway> {
        if !self.always && (is_local(&server.host) || self.except.covers(&server.host, server.port)) {
            return None;
        }
        if server.tls { self.https.as_ref() } else { self.http.as_ref() }
    }
}

/// Whether a host means something else on every machine, so that no proxy can reach it for us: this machine itself, its
/// link, and the metadata services of clouds.
fn is_local(host: &str) -> bool {
    if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return true;
    }
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            let is_metadata = address.segments()[..2] == [0xfd00, 0x0ec2];
            address.is_loopback() || address.is_unicast_link_local() || is_metadata
        }
        Err(_) => false,
    }
}

/// Reads the URL of a proxy. `source` is where it stands; its value may hold a password and is never shown.
fn gateway(url: &str, source: &str) -> Result<Option<Gateway>> {
    let refused = |why: &str| Error::new(Status::Config, format!("{source} cannot be used: {why}"));
    let url = url.trim();
    if url.is_empty() {
        return Ok(None);
    }
    // A scheme may be missing; then it is http, as everywhere.
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(refused("its scheme is not supported; only http:// and https:// proxies are"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    let uri: Uri = format!("{scheme}://{address}/")
        .parse()
        .map_err(|_| refused("it is not in the form http://user:password@host:port"))?;
    let origin = Origin::of(&uri).ok_or_else(|| refused("its host or port is missing or wrong"))?;
    let authorization =
        user.map(|user| authorization(user).ok_or_else(|| refused("its user or password is malformed")));
    Ok(Some(Gateway { origin, authorization: authorization.transpose()? }))
}

/// `Basic` and the two halves, which are percent-encoded in a URL.
fn authorization(user: &str) -> Option<Zeroizing<String>> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut pair = Zeroizing::new(percent_decoded(name)?.to_vec());
    pair.push(b':');
    pair.extend_from_slice(&percent_decoded(password)?);
    let mut value = Zeroizing::new(String::with_capacity(16 + pair.len() * 4 / 3));
    value.push_str("Basic ");
    STANDARD.encode_string(&*pair, &mut value);
    Some(value)
}

fn percent_decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    Some(bytes)
}

impl Gateway {
    /// The lines that make the proxy connect us with a server.
    pub(super) fn connect_request(&self, server: &Origin) -> Zeroizing<String> {
        let authority = server.authority();
        let credentials = self.authorization.as_ref().map_or(0, |value| value.len());
        let mut request = Zeroizing::new(String::with_capacity(128 + 2 * authority.len() + credentials));
        let _ = write!(request, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\n");
        if let Some(value) = &self.authorization {
            let _ = write!(request, "Proxy-Authorization: {}\r\n", value.as_str());
        }
        request.push_str("\r\n");
        request
    }
}
