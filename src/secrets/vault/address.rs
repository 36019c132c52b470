//! Where requests go: the address of the server, and paths below it. All is checked before a byte is sent.

use std::fmt;

use ureq::http::Uri;

use super::variables::{Given, Origin, Refused};
use crate::http::url::{Url, UrlError, is_loopback_host, percent_encode};

/// The address of a server: `https://vault.example.com:8200`, maybe with a path in front of `/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) https: bool,
    /// As it stands in the URL, brackets around an IPv6 address included.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// Empty, or `/path` without a slash at its end.
    base: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.base)
    }
}

impl Address {
    pub(super) fn parse(given: &Given) -> Result<Address, Refused> {
        let origin = &given.origin;
        let text = given.value.as_str();
        if text.starts_with("unix:") {
            return Err(origin.refuse(
                "is a Unix socket, which this library does not speak to; give the agent a TCP listener and its address \
                 here",
            ));
        }
        let Url { uri, origin: server } = Url::parse(text).map_err(|error| {
            origin.refuse(match error {
                UrlError::Scheme => "must begin with https:// or http://, as in https://vault.example.com:8200",
                UrlError::UserInfo => "has a user or password in it, which Vault does not take; remove them",
                UrlError::Fragment => "has a `?` or `#` in it; it must end with host, port or path",
                UrlError::HostOrPort => "has no valid host or port",
                UrlError::Character(_) | UrlError::Malformed => "is not a URL such as https://vault.example.com:8200",
            })
        })?;
        if uri.query().is_some() {
            return Err(origin.refuse("has a `?` or `#` in it; it must end with host, port or path"));
        }
        // A path with `..` or an empty segment would be cleaned by the server with a redirect.
        let base = uri.path().trim_end_matches('/');
        if base == "/v1" || base.ends_with("/v1") || base.contains("/v1/") {
            return Err(origin.refuse("must be the address alone: remove /v1 and what follows"));
        }
        check_segments(origin, base.trim_start_matches('/'), true)?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        Ok(Address { https: server.tls, host, port: uri.port_u16(), base: base.to_owned() })
    }

    /// The URL of a path of the API, whose segments are encoded.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{self}/v1/{path}")
    }

    /// Whether what is sent there stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        is_loopback_host(self.host.trim_matches(['[', ']']))
    }

    /// The URL that a redirect from here leads to, or why it is not followed.
    pub(super) fn redirect(&self, location: &str) -> Result<String, String> {
        if let Some(path) = location.strip_prefix('/').filter(|path| !path.starts_with('/')) {
            let origin = Address { base: String::new(), ..self.clone() };
            return Ok(format!("{origin}/{path}"));
        }
        let uri: Uri = location.parse().map_err(|_| "with a Location that is no URL".to_owned())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("with a Location that is no whole URL".to_owned());
        };
        let host = authority.host();
        if authority.as_str().contains('@') || !(scheme == "https" || scheme == "http") {
            return Err(format!("to something other than a Vault server on {host}"));
        }
        if scheme == "http" && self.https {
            return Err(format!("from https to http on {host}, where the token could be read by others"));
        }
        if !host.eq_ignore_ascii_case(&self.host) {
            return Err(format!(
                "to another host, {scheme}://{authority}, where the token is not sent; if that is your active server, \
                 make it the address"
            ));
        }
        Ok(location.to_owned())
    }
}

/// A path, mount or namespace without slashes around it; `None` where nothing is left.
pub(super) fn path(given: &Given) -> Result<Option<String>, Refused> {
    let text = given.value.trim_matches('/');
    check_segments(&given.origin, text, text.is_empty())?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn check_segments(origin: &Origin, text: &str, may_be_empty: bool) -> Result<(), Refused> {
    if may_be_empty && text.is_empty() {
        return Ok(());
    }
    for segment in text.split('/') {
        match segment {
            "" => return Err(origin.refuse("has `//` in it")),
            "." | ".." => return Err(origin.refuse("has `.` or `..` as a part of the path")),
            _ => {}
        }
    }
    Ok(())
}

/// The path with each segment percent-encoded.
pub(super) fn encoded(path: &str) -> String {
    path.split('/').map(|segment| percent_encode(segment).to_string()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn given(text: &str) -> Given {
        Given { origin: Origin::Config("vault_url"), value: Zeroizing::new(text.to_owned()) }
    }

    fn address(text: &str) -> Address {
        Address::parse(&given(text)).unwrap()
    }

    fn refusal(text: &str) -> String {
        Address::parse(&given(text)).unwrap_err().error.message().to_owned()
    }

    #[test]
    fn an_address_is_taken_as_people_write_it() {
        for (text, shown) in [
            ("https://vault.example.com:8200", "https://vault.example.com:8200"),
            ("https://Vault.Example.com/", "https://vault.example.com"),
            ("HTTP://127.0.0.1:8200", "http://127.0.0.1:8200"),
            ("http://[::1]:8200", "http://[::1]:8200"),
            ("http://[::1]", "http://[::1]"),
            ("https://proxy/vault/", "https://proxy/vault"),
        ] {
            assert_eq!(address(text).to_string(), shown);
        }
        assert_eq!(address("https://proxy/vault/").url("sys/health"), "https://proxy/vault/v1/sys/health");
        assert!(address("http://127.0.0.1:8200").is_local() && address("http://[::1]:1").is_local());
        assert!(!address("http://10.0.0.1:8200").is_local());
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_do() {
        for (text, what) in [
            ("vault.example.com:8200", "must begin with https:// or http://"),
            ("ftp://vault", "must begin with https:// or http://"),
            ("unix:///run/agent.sock", "is a Unix socket"),
            ("https://", "is not a URL"),
            ("https://a b", "is not a URL"),
            ("https://user:CANARY@vault:8200", "has a user or password in it"),
            ("https://vault:8200?x=CANARY", "has a `?` or `#` in it"),
            ("https://vault:8200/v1/secret/data/x", "remove /v1 and what follows"),
            ("https://vault:8200/v1", "remove /v1 and what follows"),
            ("https://vault:0", "has no valid host or port"),
            ("https://vault:99999", "has no valid host or port"),
            ("https://vault/a/../b", "has `.` or `..`"),
            ("https://vault/a//b", "has `//`"),
        ] {
            let message = refusal(text);
            assert!(message.contains(what), "{text}: {message}");
            assert!(message.starts_with("the configuration key `vault_url` "), "{message}");
            assert!(!message.contains("CANARY"), "{message}");
        }
    }

    #[test]
    fn a_path_is_bare_and_each_segment_encoded() {
        assert_eq!(path(&given("/team/app/")).unwrap().as_deref(), Some("team/app"));
        assert_eq!(path(&given("/")).unwrap(), None);
        assert!(path(&given("a/../b")).is_err() && path(&given("a//b")).is_err() && path(&given(".")).is_err());
        assert_eq!(encoded("a b/c%2fd/é?#"), "a%20b/c%252fd/%C3%A9%3F%23");
    }

    #[test]
    fn a_redirect_stays_on_its_host() {
        let https = address("https://vault:8200");
        assert_eq!(https.redirect("https://vault:8300/v1/x").unwrap(), "https://vault:8300/v1/x");
        assert_eq!(https.redirect("/v1/x").unwrap(), "https://vault:8200/v1/x");
        assert_eq!(address("http://vault:8200").redirect("https://VAULT/v1/x").unwrap(), "https://VAULT/v1/x");
        for (location, why) in [
            ("https://other:8200/v1/x", "to another host, https://other:8200,"),
            ("//other/v1/x", "with a Location that is no"),
            ("http://vault:8200/v1/x", "from https to http"),
            ("https://vault@other/v1/x", "to something other"),
            ("ftp://vault/v1/x", "to something other"),
            ("", "with a Location that is no"),
        ] {
            let refused = https.redirect(location).unwrap_err();
            assert!(refused.starts_with(why), "{location}: {refused}");
        }
    }
}
