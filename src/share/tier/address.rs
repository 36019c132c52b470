//! `share_url`: where the tier is.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::http::Server;
use crate::settings::{InvalidSetting, Setting};

const FORMS: &str = "must be redis://host:port, rediss://host:port, unix:///path, etcd://host:port,host:port or \
                     etcds://host:port,host:port; user and password, percent-encoded, go before the host: \
                     rediss://user:password@host:port";
const REDIS_PORT: u16 = 6379;
const ETCD_PORT: u16 = 2379;

/// The parts of a URL.
pub(super) struct TierAddress {
    pub(super) place: TierServer,
    /// The URL without user and password.
    pub(super) name: String,
    pub(super) user: Option<Zeroizing<String>>,
    pub(super) password: Option<Zeroizing<String>>,
}

/// Which server it is, and where.
pub(super) enum TierServer {
    Redis {
        server: Server,
        database: u32,
    },
    /// The URLs of the members.
    Etcd(Vec<String>),
}

impl TierAddress {
    pub(super) fn parse(setting: &Setting) -> Result<TierAddress, InvalidSetting> {
        parse(setting.text()).ok_or_else(|| setting.invalid(FORMS))
    }
}

fn parse(url: &str) -> Option<TierAddress> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let (user, password) = match login.map(|login| login.split_once(':')) {
        None => (None, None),
        Some(Some((user, password))) => (decoded(user)?, decoded(password)?),
        Some(None) => return None,
    };
    if user.is_some() && password.is_none() {
        return None;
    }
    let name = format!("{scheme}://{place}");
    let place = match scheme {
        "unix" if place.starts_with('/') => {
            TierServer::Redis { server: Server::Unix(PathBuf::from(place)), database: 0 }
        }
        "redis" | "rediss" => {
            let (host, database) = place.split_once('/').unwrap_or((place, ""));
            let database = if database.is_empty() { 0 } else { database.parse().ok()? };
            let (host, port) = host_and_port(host, REDIS_PORT)?;
            TierServer::Redis { server: Server::Tcp { host, port, tls: scheme == "rediss" }, database }
        }
        // etcd has no password without a user.
        "etcd" | "etcds" if user.is_some() == password.is_some() => {
            let scheme = if scheme == "etcds" { "https" } else { "http" };
            let member = |text| {
                let (host, port) = host_and_port(text, ETCD_PORT)?;
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                Some(format!("{scheme}://{host}:{port}"))
            };
            TierServer::Etcd(place.split(',').map(member).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(TierAddress { place, name, user, password })
}

fn decoded(text: &str) -> Option<Option<Zeroizing<String>>> {
    let decoded = Zeroizing::new(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    Some((!decoded.is_empty()).then_some(decoded))
}

fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let port = port.map_or(Some(default), |port| port.parse().ok().filter(|port| *port > 0))?;
    is_host.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_has_server_login_and_database() {
        let shown = |url: &str| {
            let address = parse(url)?;
            let server = match address.place {
                TierServer::Redis { server: Server::Tcp { host, port, tls }, database } => {
                    format!("{host} {port} {tls} {database}")
                }
                TierServer::Redis { server: Server::Unix(path), database } => format!("{} {database}", path.display()),
                TierServer::Etcd(members) => members.join(" "),
            };
            let text = |text: Option<Zeroizing<String>>| text.map_or_else(String::new, |text| text.to_string());
            Some(format!("{server}|{}|{}|{}", text(address.user), text(address.password), address.name))
        };
        for (url, expected) in [
            ("redis://cache", "cache 6379 false 0|||redis://cache"),
            ("rediss://ann:p%40ss%3A@cache:7000/3", "cache 7000 true 3|ann|p@ss:|rediss://cache:7000/3"),
            ("redis://:pass@[::1]:1", "::1 1 false 0||pass|redis://[::1]:1"),
            ("unix://ann:p@/run/redis.sock", "/run/redis.sock 0|ann|p|unix:///run/redis.sock"),
            ("etcd://one", "http://one:2379|||etcd://one"),
            ("etcds://ann:p%2C@one:1,[::1]", "https://one:1 https://[::1]:2379|ann|p,|etcds://one:1,[::1]"),
        ] {
            assert_eq!(shown(url).as_deref(), Some(expected), "{url}");
        }
        for url in [
            "",
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://cache:0",
            "redis://cache:x",
            "redis://cache/x",
            "redis://ann@cache",
            "unix://run/redis.sock",
            "redis://a b",
            "redis://[::1",
            "etcd://",
            "etcd://one,",
            "etcd://one/0",
            "etcd://:password@one",
            "etcd://one,https://two",
        ] {
            assert_eq!(shown(url), None, "{url}");
        }
    }
}
