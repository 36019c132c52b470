//! Addresses of servers, and how messages name them.

use std::fmt;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::error::{Error, Result, Status};
use crate::http::buffers::LONGEST_LINE;

/// Scheme, host and port of a URL. Shown without default ports, and never with user, path or query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tls: bool,
    /// A name or an address; one of IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// The origin of a URI with scheme and host.
    pub(super) fn of(uri: &Uri) -> Option<Origin> {
        let tls = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // A port that is there but is none would otherwise count as absent.
        let port = match authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest) {
            rest if rest.contains(':') => authority.port_u16().filter(|port| *port > 0)?,
            _ if tls => 443,
            _ => 80,
        };
        (!host.is_empty()).then(|| Origin { tls, host: host.to_owned(), port })
    }

    /// Host and port as in a `CONNECT` request.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority();
        match (self.tls, self.port) {
            (true, 443) => write!(f, "https://{}", authority.trim_end_matches(":443")),
            (true, _) => write!(f, "https://{authority}"),
            (false, 80) => write!(f, "http://{}", authority.trim_end_matches(":80")),
            (false, _) => write!(f, "http://{authority}"),
        }
    }
}

/// Reads the URL of a request. An error does not show it: it may hold what must not be seen.
pub(super) fn parse(url: &str) -> Result<(Uri, Origin)> {
    let refused = |why: &str| Err(Error::new(Status::Config, format!("a URL cannot be used: {why}")));
    if let Some(position) = url.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return refused(&format!("character {} is a space, a control character or not ASCII", position + 1));
    }
    if !url.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"))
        && !url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
    {
        return refused("it begins neither with http:// nor with https://");
    }
    if url.contains('#') {
        return refused("it has a fragment (`#`)");
    }
    if url.len() > LONGEST_LINE {
        return refused(&format!("it is longer than {LONGEST_LINE} bytes"));
    }
    let Ok(uri) = url.parse::<Uri>() else {
        return refused("it is not in the form scheme://host:port/path");
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return refused("it holds a user or password; these go elsewhere");
    }
    match Origin::of(&uri) {
        Some(origin) => Ok((uri, origin)),
        None => refused("its host or port is missing or wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (url, shown, authority) in [
            ("http://vault.example.com/v1?x=SECRET", "http://vault.example.com", "vault.example.com:80"),
            ("HTTPS://Vault.example.com:443", "https://Vault.example.com", "Vault.example.com:443"),
            ("https://10.0.0.1:8200/", "https://10.0.0.1:8200", "10.0.0.1:8200"),
            ("http://[fd00:ec2::254]/latest", "http://[fd00:ec2::254]", "[fd00:ec2::254]:80"),
            ("http://[::1]:8200", "http://[::1]:8200", "[::1]:8200"),
            ("https://host:80", "https://host:80", "host:80"),
        ] {
            let (_, origin) = parse(url).unwrap();
            assert_eq!((origin.to_string().as_str(), origin.authority().as_str()), (shown, authority), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_and_not_shown() {
        let long = format!("http://host/{}", "SECRET".repeat(10_000));
        for (url, why) in [
            ("", "begins neither with http"),
            ("unix:///SECRET", "begins neither with http"),
            ("ftp://SECRET/", "begins neither with http"),
            ("http://", "not in the form"),
            ("http:///SECRET", "not in the form"),
            ("http://ann:SECRET@host/", "user or password"),
            ("http://SECRET@host/", "user or password"),
            ("http://host:99999/SECRET", "host or port is missing or wrong"),
            ("http://host:0/SECRET", "host or port is missing or wrong"),
            ("http://host:/SECRET", "host or port is missing or wrong"),
            ("http://:80/SECRET", "host or port is missing or wrong"),
            ("http://host/SECRET HTTP/1.1", "character 19 is a space"),
            ("http://host/SECRET\r\nX: y", "character 19 is a space"),
            ("http://host/SECRET\0", "character 19 is a space"),
            ("http://h\u{f6}st/SECRET", "character 9 is a space, a control character or not ASCII"),
            ("http://host/SECRET#fragment", "fragment"),
            ("http://[::1/SECRET", "not in the form"),
            ("http://host\\SECRET", "not in the form"),
            (&long, "longer than 31744 bytes"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().contains(why), "{url:?}: {error}");
            assert!(!error.message().contains("SECRET"), "{error}");
        }
    }
}
