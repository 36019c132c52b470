//! Which proxy a request goes through: the one in the settings, or that of the environment.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::http::message::USER_AGENT;
use crate::http::no_proxy::NoProxy;
use crate::http::settings::Proxy;
use crate::http::url::{Origin, Url};
use crate::settings::{Environment, InvalidSetting, Setting};

/// A proxy, and how to authenticate to it.
pub(super) struct ProxyTarget {
    pub(super) origin: Origin,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<Zeroizing<String>>,
}

/// The proxies for both kinds of URL.
pub(super) struct Proxies {
    /// An error is that of an invalid proxy URL. Only the requests that would go through this proxy fail.
    https: Result<Option<ProxyTarget>>,
    http: Result<Option<ProxyTarget>>,
    except: NoProxy,
    /// Whether `except`, and the rule that addresses of this machine need no proxy, are ignored.
    always: bool,
}

impl Proxies {
    pub(super) fn new(proxy: &Proxy) -> Proxies {
        match proxy {
            Proxy::None => Proxies { https: Ok(None), http: Ok(None), except: NoProxy::default(), always: false },
            Proxy::Always(url) => {
                Proxies { https: target(Some(url)), http: target(Some(url)), except: NoProxy::default(), always: true }
            }
            Proxy::Environment => Proxies::from_environment(&Environment::Process),
        }
    }

    fn from_environment(environment: &Environment) -> Proxies {
        let target_in = |names: &[&str]| target(environment.first(names)?.as_ref());
        // Entries that are not UTF-8 match no host.
        let excepted = ["no_proxy", "NO_PROXY"].iter().filter_map(|name| environment.raw(name));
        let excepted = excepted.into_iter().find(|list| !list.is_empty()).unwrap_or_default();
        // In a CGI program HTTP_PROXY is the header `Proxy` of the request, which its sender controls.
        let is_cgi = environment.raw("REQUEST_METHOD").is_some();
        let http: &[_] = if is_cgi {
            &["http_proxy", "all_proxy", "ALL_PROXY"]
        } else {
            &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        Proxies {
            https: target_in(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: target_in(http),
            except: NoProxy::parse(&excepted.to_string_lossy()),
            always: false,
        }
    }

    /// Returns the proxy for requests to this server; `None` for a direct connection.
    pub(super) fn proxy_for(&self, server: &Origin) -> Result<Option<&ProxyTarget>> {
        if !self.always && (server.is_machine_local() || self.except.covers(&server.host, server.port)) {
            return Ok(None);
        }
        let target = if server.tls { &self.https } else { &self.http };
        target.as_ref().map(Option::as_ref).map_err(Error::clone)
    }
}

fn target(setting: Option<&Setting>) -> Result<Option<ProxyTarget>> {
    Ok(setting.map(parse).transpose()?)
}

/// Parses the URL of a proxy, which may contain a password and is never shown.
fn parse(setting: &Setting) -> Result<ProxyTarget, InvalidSetting> {
    // Without a scheme it is http, as for other tools.
    let (scheme, rest) = setting.text().split_once("://").unwrap_or(("http", setting.text()));
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(setting.invalid("has an unsupported scheme; only http:// and https:// are supported"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    let url = Url::parse(&format!("{scheme}://{address}/"));
    let origin = url.map_err(|_| setting.invalid("must be of the form http://user:password@host:port"))?.origin;
    let authorization = user.map(|user| {
        let why = "has a user or password that is not percent-encoded correctly";
        authorization(user).ok_or_else(|| setting.invalid(why))
    });
    Ok(ProxyTarget { origin, authorization: authorization.transpose()? })
}

/// Returns the value of `Proxy-Authorization` for the `user:password` part of a URL, which is percent-encoded.
fn authorization(user: &str) -> Option<Zeroizing<String>> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut pair = Zeroizing::new(percent_decode(name)?.to_vec());
    pair.push(b':');
    pair.extend_from_slice(&percent_decode(password)?);
    let mut value = Zeroizing::new(String::with_capacity(16 + pair.len() * 4 / 3));
    value.push_str("Basic ");
    STANDARD.encode_string(&*pair, &mut value);
    Some(value)
}

fn percent_decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        // `from_str_radix` accepts a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    Some(bytes)
}

impl ProxyTarget {
    /// Returns the request that makes the proxy open a tunnel to a server.
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

    /// The proxy for a URL with these variables: its origin, `""` for none, or the error.
    fn proxy(variables: &[(&str, &str)], url: &str) -> String {
        let proxies = Proxies::from_environment(&Environment::fixed(variables));
        let (_, server) = url::parse_request_url(url).unwrap();
        match proxies.proxy_for(&server) {
            Ok(target) => target.map(|target| target.origin.to_string()).unwrap_or_default(),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn environment_names_proxies_by_scheme() {
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
    fn lower_case_variable_comes_first_and_empty_is_unset() {
        let both = [("https_proxy", "http://lower"), ("HTTPS_PROXY", "http://upper")];
        assert_eq!(proxy(&both, "https://example.com"), "http://lower");
        let empty = [("https_proxy", ""), ("HTTPS_PROXY", "http://upper"), ("no_proxy", ""), ("NO_PROXY", "*")];
        assert_eq!(proxy(&empty[..2], "https://example.com"), "http://upper");
        assert_eq!(proxy(&empty, "https://example.com"), "");
    }

    #[test]
    fn cgi_program_ignores_http_proxy() {
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil"), ("HTTPS_PROXY", "http://good")];
        assert_eq!(proxy(&cgi, "http://example.com"), "");
        assert_eq!(proxy(&cgi, "https://example.com"), "http://good");
        assert_eq!(
            proxy(&[("REQUEST_METHOD", ""), ("http_proxy", "http://good")], "http://example.com"),
            "http://good"
        );
    }

    #[test]
    fn machine_local_address_needs_no_proxy() {
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
    fn invalid_proxy_url_is_named_by_its_variable_and_not_shown() {
        for (url, why) in [
            ("socks5://ann:SECRET@host", "has an unsupported scheme; only http:// and https:// are supported"),
            ("http://ann:SECRET@", "must be of the form http://user:password@host:port"),
            ("http://ann:SECRET@host:SECRET", "must be of the form http://user:password@host:port"),
            ("http://ann:SECRET@host:70000", "must be of the form http://user:password@host:port"),
            ("http://ann:SECRET%4@host", "has a user or password that is not percent-encoded correctly"),
            ("http://ann:SECRET%+4@host", "has a user or password that is not percent-encoded correctly"),
            ("http://ho st", "must be of the form http://user:password@host:port"),
            ("http://host\r\nX-Evil: 1", "contains a line break or another control character"),
        ] {
            let shown = proxy(&[("HTTPS_PROXY", url)], "https://example.com");
            assert_eq!(shown, format!("the variable HTTPS_PROXY {why}"));
            // Requests that do not go through it succeed.
            assert_eq!(proxy(&[("HTTPS_PROXY", url)], "http://example.com"), "");
            assert_eq!(proxy(&[("HTTPS_PROXY", url), ("NO_PROXY", "example.com")], "https://example.com"), "");
        }
    }
}
