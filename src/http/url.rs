//! URLs of servers: parsing, checking, encoding, and how messages show them.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::error::{Error, Result, Status};
use crate::http::limits::MAX_LINE;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a value for a query, a form, or one segment of a path.
pub(crate) fn percent_encode(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, RESERVED)
}

/// Scheme, host and port of a URL. Displayed without default ports, and never with user, path or query. Where a socket
/// in the file system is used, it is displayed instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    /// A name or an address; an IPv6 address has no brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The socket in the file system that is used instead of host and port.
    pub(crate) socket: Option<PathBuf>,
}

impl Origin {
    /// Returns the origin of a URI with scheme and host.
    pub(super) fn of(uri: &Uri) -> Option<Origin> {
        let tls = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // An invalid port must not count as absent.
        let port = match authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest) {
            rest if rest.contains(':') => authority.port_u16().filter(|port| *port > 0)?,
            _ if tls => 443,
            _ => 80,
        };
        (!host.is_empty()).then(|| Origin { tls, host: host.to_owned(), port, socket: None })
    }

    /// Host and port as in a `CONNECT` request.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether others can read on the network what is sent there.
    pub(crate) fn is_cleartext(&self) -> bool {
        !self.tls && !is_loopback_host(&self.host)
    }

    /// Whether the host is a different one on each machine, so that a proxy cannot reach it: loopback and link-local
    /// addresses, and the metadata services of clouds.
    pub(super) fn is_machine_local(&self) -> bool {
        let is_local = |address| match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0x0ec2],
        };
        is_loopback_host(&self.host) || self.host.parse().is_ok_and(|address: IpAddr| is_local(address.to_canonical()))
    }
}

/// Whether a host is this machine: `localhost` or a loopback address, without brackets.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    host.trim_end_matches('.').eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

/// Whether an address is of the loopback interface, in IPv4, IPv6, or IPv4 mapped to IPv6.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(socket) = &self.socket {
            return write!(f, "unix://{}", socket.display());
        }
        let authority = self.authority();
        match (self.tls, self.port) {
            (true, 443) => write!(f, "https://{}", authority.trim_end_matches(":443")),
            (true, _) => write!(f, "https://{authority}"),
            (false, 80) => write!(f, "http://{}", authority.trim_end_matches(":80")),
            (false, _) => write!(f, "http://{authority}"),
        }
    }
}

/// Why a text is not the URL of a server. It is displayed without the text, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlError {
    /// The character at this position (from 1) may not be in a URL.
    Character(usize),
    Scheme,
    Fragment,
    Malformed,
    UserInfo,
    HostOrPort,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UrlError::Character(position) => {
                return write!(f, "character {position} is a space, a control character or not ASCII");
            }
            UrlError::Scheme => "it begins with neither https:// nor http://",
            UrlError::Fragment => "it has a fragment (`#`)",
            UrlError::Malformed => "it is not of the form https://host:port/path",
            UrlError::UserInfo => "it contains a user name or password",
            UrlError::HostOrPort => "its host or port is missing or invalid",
        })
    }
}

/// The URL of a server, `http` or `https`, without user, password and fragment.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) uri: Uri,
    pub(crate) origin: Origin,
}

impl Url {
    /// Parses an absolute URL.
    pub(crate) fn parse(text: &str) -> Result<Url, UrlError> {
        if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(UrlError::Character(position + 1));
        }
        let has_scheme =
            |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        if !has_scheme("http://") && !has_scheme("https://") {
            return Err(UrlError::Scheme);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        let origin = Origin::of(&uri).ok_or(UrlError::HostOrPort)?;
        Ok(Url { uri, origin })
    }
}

/// Parses the URL of a request. The error does not contain it.
pub(super) fn parse_request_url(url: &str) -> Result<(Uri, Origin)> {
    let invalid = |why: &dyn fmt::Display| Error::new(Status::Config, format!("invalid URL: {why}"));
    if url.len() > MAX_LINE {
        return Err(invalid(&format_args!("it is longer than {MAX_LINE} bytes")));
    }
    let Url { uri, origin } = Url::parse(url).map_err(|error| invalid(&error))?;
    Ok((uri, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_scheme_host_and_port() {
        for (url, shown, authority) in [
            ("http://vault.example.com/v1?x=SECRET", "http://vault.example.com", "vault.example.com:80"),
            ("HTTPS://Vault.example.com:443", "https://Vault.example.com", "Vault.example.com:443"),
            ("https://10.0.0.1:8200/", "https://10.0.0.1:8200", "10.0.0.1:8200"),
            ("http://[fd00:ec2::254]/latest", "http://[fd00:ec2::254]", "[fd00:ec2::254]:80"),
            ("http://[::1]:8200", "http://[::1]:8200", "[::1]:8200"),
            ("https://host:80", "https://host:80", "host:80"),
        ] {
            let (_, origin) = parse_request_url(url).unwrap();
            assert_eq!((origin.to_string().as_str(), origin.authority().as_str()), (shown, authority), "{url}");
        }
    }

    #[test]
    fn invalid_url_is_refused_and_not_shown() {
        let long = format!("http://host/{}", "SECRET".repeat(10_000));
        for (url, why) in [
            ("", "begins with neither http"),
            ("unix:///SECRET", "begins with neither http"),
            ("ftp://SECRET/", "begins with neither http"),
            ("http://", "not of the form"),
            ("http:///SECRET", "not of the form"),
            ("http://ann:SECRET@host/", "user name or password"),
            ("http://SECRET@host/", "user name or password"),
            ("http://host:99999/SECRET", "host or port is missing or invalid"),
            ("http://host:0/SECRET", "host or port is missing or invalid"),
            ("http://host:/SECRET", "host or port is missing or invalid"),
            ("http://:80/SECRET", "host or port is missing or invalid"),
            ("http://[::1]:0/SECRET", "host or port is missing or invalid"),
            ("http://host/SECRET HTTP/1.1", "character 19 is a space"),
            ("http://host/SECRET\r\nX: y", "character 19 is a space"),
            ("http://host/SECRET\0", "character 19 is a space"),
            ("http://h\u{f6}st/SECRET", "character 9 is a space, a control character or not ASCII"),
            ("http://host/SECRET#fragment", "fragment"),
            ("http://[::1/SECRET", "not of the form"),
            ("http://host\\SECRET", "not of the form"),
            (&long, "longer than 31744 bytes"),
        ] {
            let error = parse_request_url(url).unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().contains(why), "{url:?}: {error}");
            assert!(!error.message().contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn cleartext_is_http_to_another_machine() {
        for (url, is_cleartext) in [
            ("http://10.0.0.1/", true),
            ("http://127.evil.com/", true),
            ("http://localhost.evil.com:80/", true),
            ("http://[::2]/", true),
            ("https://x/", false),
            ("http://127.0.0.1:1/", false),
            ("http://127.9.9.9/", false),
            ("http://Localhost:1/", false),
            ("http://[::1]:1/", false),
        ] {
            assert_eq!(Url::parse(url).unwrap().origin.is_cleartext(), is_cleartext, "{url}");
        }
    }

    #[test]
    fn percent_encode_keeps_unreserved_characters() {
        assert_eq!(percent_encode("aZ0-._~").to_string(), "aZ0-._~");
        assert_eq!(percent_encode("a b/c%?#é").to_string(), "a%20b%2Fc%25%3F%23%C3%A9");
    }
}
