//! Parses `NO_PROXY`: the hosts that are reached without a proxy.

use std::net::IpAddr;

/// One entry of the list.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// `*`
    All,
    /// `10.0.0.0/8`, or a single address.
    Network { address: IpAddr, bits: u32 },
    /// `example.com`, `.example.com` or `*.example.com`: that name and its subdomains.
    Domain(String),
}

/// The list, as Go, curl and Python read it: domains with their subdomains, addresses and networks, for one port or for
/// all. An entry that they interpret differently matches if it does for one of them.
#[derive(Debug, Default)]
pub(super) struct NoProxy(Vec<(Rule, Option<u16>)>);

impl NoProxy {
    pub(super) fn parse(list: &str) -> NoProxy {
        NoProxy(list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()).filter_map(parse_entry).collect())
    }

    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse().map(|address: IpAddr| address.to_canonical()).ok();
        self.0.iter().filter(|(_, only)| only.is_none_or(|only| only == port)).any(|(rule, _)| match rule {
            Rule::All => true,
            Rule::Network { address: network, bits } => {
                address.is_some_and(|address| is_in_network(address, *network, *bits))
            }
            Rule::Domain(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        })
    }
}

/// Parses an entry; `None` if it cannot match any host.
fn parse_entry(text: &str) -> Option<(Rule, Option<u16>)> {
    if text == "*" {
        return Some((Rule::All, None));
    }
    if let Some((address, bits)) = text.split_once('/') {
        let (address, bits) = (parse_address(address)?, bits.parse().ok()?);
        let max = if address.is_ipv4() { 32 } else { 128 };
        return (bits <= max).then_some((Rule::Network { address, bits }, None));
    }
    if let Some(address) = parse_address(text) {
        return Some((single_address(address), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    if let Some(address) = parse_address(host) {
        return Some((single_address(address), port));
    }
    let name = host.strip_prefix('*').unwrap_or(host).trim_start_matches('.').trim_end_matches('.');
    (!name.is_empty()).then(|| (Rule::Domain(name.to_ascii_lowercase()), port))
}

fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(|address: IpAddr| address.to_canonical()).ok()
}

fn single_address(address: IpAddr) -> Rule {
    Rule::Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }
}

fn is_in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_covers_the_hosts_it_names() {
        for (list, host, port, covered) in [
            ("", "example.com", 443, false),
            ("*", "example.com", 443, true),
            ("example.com", "example.com", 443, true),
            ("example.com", "EXAMPLE.com.", 443, true),
            ("example.com", "vault.example.com", 443, true),
            ("example.com", "notexample.com", 443, false),
            (".example.com", "vault.example.com", 443, true),
            (".example.com", "example.com", 443, true),
            ("*.Example.com", "vault.example.com", 443, true),
            ("com", "example.com", 443, true),
            ("a.org, example.com\tb.org", "example.com", 443, true),
            ("example.com:8200", "example.com", 8200, true),
            ("example.com:8200", "example.com", 443, false),
            ("10.0.0.1", "10.0.0.1", 80, true),
            ("10.0.0.1:8200", "10.0.0.1", 80, false),
            ("10.0.0.1:8200", "10.0.0.1", 8200, true),
            ("10.0.0.0/8", "10.200.3.4", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("10.1.2.3/8", "10.200.3.4", 80, true),
            ("10.1.2.3/32", "10.1.2.3", 80, true),
            ("0.0.0.0/0", "192.168.1.1", 80, true),
            ("0.0.0.0/0", "::1", 80, false),
            ("0.0.0.0/0", "example.com", 80, false),
            ("10.0.0.0/33", "10.0.0.0", 80, false),
            ("::1", "::1", 80, true),
            ("[::1]", "::1", 80, true),
            ("[::1]:8200", "::1", 8200, true),
            ("[::1]:8200", "::1", 80, false),
            ("fd00::/8", "fd12::1", 80, true),
            ("fd00::/8", "fe80::1", 80, false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", 80, true),
            ("1.com", "10.0.0.1", 80, false),
            (":80,/8,.,x:port", "x", 80, false),
        ] {
            assert_eq!(NoProxy::parse(list).covers(host, port), covered, "{list:?} and {host}:{port}");
        }
    }
}
