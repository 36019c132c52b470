//! The address of the server and the paths of its API. Both are checked before anything is sent.

use std::fmt;
use std::path::PathBuf;

use ureq::http::Uri;

use crate::http::url::{Url, UrlError, is_loopback_host, percent_encode};
use crate::settings::{InvalidSetting, Setting};
use crate::sys;

const SOCKET: &str = "unix://";

/// The address of a server: `https://vault.example.com:8200`, optionally with a path before `/v1`; or a socket in the
/// file system, as of an agent: `unix:///run/vault.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VaultAddress {
    pub(super) https: bool,
    /// As in the URL, with the brackets around an IPv6 address.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// Empty, or `/path` without a trailing slash.
    base: String,
    /// The socket that is used instead of host and port. What is sent there is HTTP without TLS.
    pub(super) socket: Option<PathBuf>,
}

impl fmt::Display for VaultAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "{SOCKET}{}", path.display()),
            None => write!(f, "{}{}", self.origin(), self.base),
        }
    }
}

impl VaultAddress {
    pub(super) fn parse(setting: &Setting) -> Result<VaultAddress, InvalidSetting> {
        let text = setting.text();
        if text.starts_with("unix:") {
            return VaultAddress::of_socket(setting);
        }
        let Url { uri, origin: server } = Url::parse(text).map_err(|error| {
            setting.invalid(match error {
                UrlError::Scheme => {
                    "must begin with https://, http:// or unix://, as in https://vault.example.com:8200"
                }
                UrlError::UserInfo => "contains a user or password, which Vault does not accept; remove it",
                UrlError::Fragment => "contains `?` or `#`; it must end with the host, port or path",
                UrlError::HostOrPort => "has an invalid host or port",
                UrlError::Character(_) | UrlError::Malformed => "is not a URL such as https://vault.example.com:8200",
            })
        })?;
        if uri.query().is_some() {
            return Err(setting.invalid("contains `?` or `#`; it must end with the host, port or path"));
        }
        let base = uri.path().trim_end_matches('/');
        if base == "/v1" || base.ends_with("/v1") || base.contains("/v1/") {
            return Err(setting.invalid("must be the address only: remove /v1 and what follows"));
        }
        // The server would answer a path with `..` or an empty segment with a redirect to the normalized one.
        check_segments(setting, base.trim_start_matches('/'))?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        Ok(VaultAddress { https: server.tls, host, port: uri.port_u16(), base: base.to_owned(), socket: None })
    }

    /// As in Vault's own client, all that follows `unix://` is the path, and the name of the host is `localhost`.
    fn of_socket(setting: &Setting) -> Result<VaultAddress, InvalidSetting> {
        let path = setting.text().strip_prefix(SOCKET).filter(|path| path.starts_with('/') && path.len() > 1);
        let path = path.ok_or_else(|| setting.invalid("must be the path of a socket, as in unix:///run/vault.sock"))?;
        if path.len() > sys::MAX_SOCKET_PATH {
            let what = format!("has a path that is longer than {} bytes, the limit of a socket", sys::MAX_SOCKET_PATH);
            return Err(setting.invalid(what));
        }
        let (host, socket) = ("localhost".to_owned(), Some(PathBuf::from(path)));
        Ok(VaultAddress { https: false, host, port: None, base: String::new(), socket })
    }

    /// Scheme, host and port as in URLs.
    fn origin(&self) -> String {
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}", if self.https { "https" } else { "http" }, self.host)
    }

    /// The URL of an API path whose segments are encoded.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{}/v1/{path}", self.origin(), self.base)
    }

    /// Whether the host is this machine.
    pub(super) fn is_local(&self) -> bool {
        is_loopback_host(self.host.trim_matches(['[', ']']))
    }

    /// The target URL of a redirect from this server, or the reason not to follow it.
    pub(super) fn redirect(&self, location: &str) -> Result<String, String> {
        if let Some(path) = location.strip_prefix('/').filter(|path| !path.starts_with('/')) {
            return Ok(format!("{}/{path}", self.origin()));
        }
        let uri: Uri = location.parse().map_err(|_| "with a Location that is not a URL".to_owned())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("with a Location that is not an absolute URL".to_owned());
        };
        let host = authority.host();
        if authority.as_str().contains('@') || !(scheme == "https" || scheme == "http") {
            return Err(format!("to a URL on {host} that is not the address of a Vault server"));
        }
        if scheme == "http" && self.https {
            return Err(format!("from https to http on {host}, which would expose the token"));
        }
        if self.socket.is_some() || !host.eq_ignore_ascii_case(&self.host) {
            return Err(format!(
                "to another host, {scheme}://{authority}, which must not get the token; if that is the active server, \
                 set its address"
            ));
        }
        Ok(location.to_owned())
    }
}

/// A path, mount or namespace without the slashes around it; `None` if nothing is left.
pub(super) fn path(setting: &Setting) -> Result<Option<String>, InvalidSetting> {
    let text = setting.text().trim_matches('/');
    check_segments(setting, text)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn check_segments(setting: &Setting, text: &str) -> Result<(), InvalidSetting> {
    if text.is_empty() {
        return Ok(());
    }
    for segment in text.split('/') {
        match segment {
            "" => return Err(setting.invalid("contains `//`")),
            "." | ".." => return Err(setting.invalid("contains `.` or `..` as a path segment")),
            _ => {}
        }
    }
    Ok(())
}

/// The path with its segments percent-encoded.
pub(super) fn encoded(path: &str) -> String {
    path.split('/').map(|segment| percent_encode(segment).to_string()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingOrigin;

    fn setting(text: &str) -> Setting {
        Setting::new(SettingOrigin::Config("vault_url"), text)
    }

    fn address(text: &str) -> VaultAddress {
        VaultAddress::parse(&setting(text)).unwrap()
    }

    fn error(text: &str) -> String {
        VaultAddress::parse(&setting(text)).unwrap_err().error.message().to_owned()
    }

    #[test]
    fn address_is_parsed_in_any_usual_form() {
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
    fn socket_is_an_address() {
        let socket = address("unix:///run/vault agent.sock");
        assert_eq!(socket.to_string(), "unix:///run/vault agent.sock");
        assert_eq!(socket.socket.as_deref(), Some(std::path::Path::new("/run/vault agent.sock")));
        assert_eq!(socket.url("sys/health"), "http://localhost/v1/sys/health");
        assert!(socket.is_local() && !socket.https);
        assert_eq!(socket.redirect("/v1/x").unwrap(), "http://localhost/v1/x");
        assert!(socket.redirect("http://localhost/v1/x").unwrap_err().starts_with("to another host"));
    }

    #[test]
    fn invalid_address_is_an_error_with_a_remedy() {
        for (text, what) in [
            ("vault.example.com:8200", "must begin with https://, http:// or unix://"),
            ("ftp://vault", "must begin with https://, http:// or unix://"),
            ("unix:/run/agent.sock", "must be the path of a socket"),
            ("unix://run/agent.sock", "must be the path of a socket"),
            ("unix:///", "must be the path of a socket"),
            (&format!("unix:///run/{}", "x".repeat(108)), "longer than 107 bytes"),
            ("https://", "is not a URL"),
            ("https://a b", "is not a URL"),
            ("https://user:CANARY@vault:8200", "contains a user or password"),
            ("https://vault:8200?x=CANARY", "contains `?` or `#`"),
            ("https://vault:8200/v1/secret/data/x", "remove /v1 and what follows"),
            ("https://vault:8200/v1", "remove /v1 and what follows"),
            ("https://vault:0", "has an invalid host or port"),
            ("https://vault:99999", "has an invalid host or port"),
            ("https://vault/a/../b", "contains `.` or `..`"),
            ("https://vault/a//b", "contains `//`"),
        ] {
            let message = error(text);
            assert!(message.contains(what), "{text}: {message}");
            assert!(message.starts_with("the configuration key `vault_url` "), "{message}");
            assert!(!message.contains("CANARY"), "{message}");
        }
    }

    #[test]
    fn path_loses_outer_slashes_and_its_segments_are_encoded() {
        assert_eq!(path(&setting("/team/app/")).unwrap().as_deref(), Some("team/app"));
        assert_eq!(path(&setting("/")).unwrap(), None);
        assert!(path(&setting("a/../b")).is_err() && path(&setting("a//b")).is_err() && path(&setting(".")).is_err());
        assert_eq!(encoded("a b/c%2fd/é?#"), "a%20b/c%252fd/%C3%A9%3F%23");
    }

    #[test]
    fn redirect_stays_on_the_host() {
        let https = address("https://vault:8200");
        assert_eq!(https.redirect("https://vault:8300/v1/x").unwrap(), "https://vault:8300/v1/x");
        assert_eq!(https.redirect("/v1/x").unwrap(), "https://vault:8200/v1/x");
        assert_eq!(address("http://vault:8200").redirect("https://VAULT/v1/x").unwrap(), "https://VAULT/v1/x");
        for (location, why) in [
            ("https://other:8200/v1/x", "to another host, https://other:8200,"),
            ("//other/v1/x", "with a Location that is not"),
            ("http://vault:8200/v1/x", "from https to http"),
            ("https://vault@other/v1/x", "to a URL on"),
            ("ftp://vault/v1/x", "to a URL on"),
            ("", "with a Location that is not"),
        ] {
            let reason = https.redirect(location).unwrap_err();
            assert!(reason.starts_with(why), "{location}: {reason}");
        }
    }
}
