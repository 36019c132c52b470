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
pub(super) struct Proxies {
    /// An error is of a URL that cannot be used; it matters to those requests alone that would go there.
    https: Result<Option<Gateway>>,
    http: Result<Option<Gateway>>,
    except: NoProxy,
    /// Whether `except`, and the rule that this machine's own addresses need no proxy, do not count.
    always: bool,
}

impl Proxies {
    pub(super) fn new(proxy: &Proxy) -> Proxies {
        match proxy {
            Proxy::None => Proxies { https: Ok(None), http: Ok(None), except: NoProxy::default(), always: false },
            Proxy::Always(url) => Proxies {
                https: gateway(url, "the proxy's URL"),
                http: gateway(url, "the proxy's URL"),
                except: NoProxy::default(),
                always: true,
            },
            Proxy::Environment => {
                Proxies::from_environment(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
            }
        }
    }

    fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()).map(|value| (*name, value)))
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
        Proxies {
            https: gateway_in(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: gateway_in(http),
            except: first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| NoProxy::parse(&list)).unwrap_or_default(),
            always: false,
        }
    }

    /// The proxy for requests to this server; `None` is straight to it.
    pub(super) fn between(&self, server: &Origin) -> Result<Option<&Gateway>> {
        if !self.always && (is_local(&server.host) || self.except.covers(&server.host, server.port)) {
            return Ok(None);
        }
        let gateway = if server.tls { &self.https } else { &self.http };
        gateway.as_ref().map(Option::as_ref).map_err(Error::clone)
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
    let uri = format!("{scheme}://{address}/").parse::<Uri>().ok();
    let origin = uri.as_ref().and_then(Origin::of);
    let origin = origin.ok_or_else(|| refused("it is not in the form http://user:password@host:port"))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::url;

    /// The proxy for a URL under these variables: its address, `""` for none, or the error.
    fn proxy(variables: &[(&str, &str)], url: &str) -> String {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        let proxies = Proxies::from_environment(find);
        let (_, server) = url::parse(url).unwrap();
        match proxies.between(&server) {
            Ok(gateway) => gateway.map(|gateway| gateway.origin.to_string()).unwrap_or_default(),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn the_environment_names_proxies_by_scheme() {
        let all = [
            ("HTTPS_PROXY", "http://secure:3128"),
            ("HTTP_PROXY", "plain:3128/"),
            ("NO_PROXY", "example.org,10.0.0.0/8"),
        ];
        assert_eq!(proxy(&all, "https://example.com"), "http://secure:3128");
        assert_eq!(proxy(&all, "http://example.com"), "http://plain:3128");
        assert_eq!(proxy(&all, "https://vault.example.org"), "");
        assert_eq!(proxy(&all, "http://10.1.2.3:8200"), "");
        assert_eq!(proxy(&[], "https://example.com"), "");
        assert_eq!(proxy(&[("HTTP_PROXY", "http://plain")], "https://example.com"), "");
        assert_eq!(proxy(&[("ALL_PROXY", "https://any")], "https://example.com"), "https://any");
        assert_eq!(proxy(&[("all_proxy", "http://any:8080")], "http://example.com"), "http://any:8080");
    }

    #[test]
    fn lower_case_comes_first_and_empty_is_unset() {
        let both = [("https_proxy", "http://lower"), ("HTTPS_PROXY", "http://upper")];
        assert_eq!(proxy(&both, "https://example.com"), "http://lower");
        let empty = [("https_proxy", ""), ("HTTPS_PROXY", "http://upper"), ("no_proxy", ""), ("NO_PROXY", "*")];
        assert_eq!(proxy(&empty[..2], "https://example.com"), "http://upper");
        assert_eq!(proxy(&empty, "https://example.com"), "");
    }

    #[test]
    fn a_cgi_program_takes_no_proxy_from_a_header() {
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil"), ("HTTPS_PROXY", "http://good")];
        assert_eq!(proxy(&cgi, "http://example.com"), "");
        assert_eq!(proxy(&cgi, "https://example.com"), "http://good");
        assert_eq!(
            proxy(&[("REQUEST_METHOD", ""), ("http_proxy", "http://good")], "http://example.com"),
            "http://good"
        );
    }

    #[test]
    fn what_only_this_machine_reaches_is_not_asked_of_a_proxy() {
        let all = [("ALL_PROXY", "http://any")];
        for url in [
            "http://localhost:8200",
            "http://127.0.0.1",
            "http://127.8.8.8",
            "https://[::1]",
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2",
            "http://[fd00:ec2::254]",
            "http://[fd00:ec2::23]/v1",
            "http://[fe80::1]",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(proxy(&all, url), "", "{url}");
        }
        assert_eq!(proxy(&all, "http://169.253.0.1"), "http://any");
        assert_eq!(proxy(&all, "http://[fd00::1]"), "http://any");
    }

    #[test]
    fn an_unusable_url_is_named_by_its_variable_and_not_shown() {
        for (url, why) in [
            ("socks5://ann:SECRET@host", "its scheme is not supported; only http:// and https:// proxies are"),
            ("http://ann:SECRET@", "it is not in the form http://user:password@host:port"),
            ("http://ann:SECRET@host:SECRET", "it is not in the form http://user:password@host:port"),
            ("http://ann:SECRET@host:70000", "it is not in the form http://user:password@host:port"),
            ("http://ann:SECRET%4@host", "its user or password is malformed"),
            ("http://ann:SECRET%+4@host", "its user or password is malformed"),
            ("http://ho st", "it is not in the form http://user:password@host:port"),
            ("http://host\r\nX-Evil: 1", "it is not in the form http://user:password@host:port"),
        ] {
            let shown = proxy(&[("HTTPS_PROXY", url)], "https://example.com");
            assert_eq!(shown, format!("HTTPS_PROXY cannot be used: {why}"));
            // It does not matter where no proxy is used.
            assert_eq!(proxy(&[("HTTPS_PROXY", url)], "http://example.com"), "");
            assert_eq!(proxy(&[("HTTPS_PROXY", url), ("NO_PROXY", "example.com")], "https://example.com"), "");
        }
    }
}
