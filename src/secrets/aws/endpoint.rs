//! Where the services of AWS are: a host for each region, in partitions with domains of their own.

use std::net::IpAddr;

use ureq::http::Uri;

use super::names::{config, shown};
use crate::error::Result;

/// The services that are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Service {
    SecretsManager,
    Sts,
    /// Where a login becomes the keys of a role.
    Sso,
    /// Where a login is renewed.
    SsoOidc,
}

impl Service {
    /// In the host's name.
    fn host(self) -> &'static str {
        match self {
            Service::SecretsManager => "secretsmanager",
            Service::Sts => "sts",
            Service::Sso => "portal.sso",
            Service::SsoOidc => "oidc",
        }
    }

    /// In signatures.
    pub(super) fn signing_name(self) -> &'static str {
        match self {
            Service::SecretsManager => "secretsmanager",
            Service::Sts => "sts",
            Service::Sso => "awsssoportal",
            Service::SsoOidc => "sso-oauth",
        }
    }

    /// In a `[services X]` section; in capital letters behind `AWS_ENDPOINT_URL_`.
    pub(super) fn id(self) -> &'static str {
        match self {
            Service::SecretsManager => "secrets_manager",
            Service::Sts => "sts",
            Service::Sso => "sso",
            Service::SsoOidc => "sso_oidc",
        }
    }
}

/// Which of a region's hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) fips: bool,
    pub(super) dual_stack: bool,
}

struct Partition {
    name: &'static str,
    region_prefix: &'static str,
    domain: &'static str,
    dual_stack_domain: &'static str,
}

const fn partition(
    name: &'static str,
    region_prefix: &'static str,
    domain: &'static str,
    dual_stack_domain: &'static str,
) -> Partition {
    Partition { name, region_prefix, domain, dual_stack_domain }
}

/// The last is for every other region.
const PARTITIONS: [Partition; 8] = [
    partition("aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    partition("aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"),
    partition("aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    partition("aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    partition("aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    partition("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    partition("aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    partition("aws", "", "amazonaws.com", "api.aws"),
];

/// The URL of a service's own host in this region.
pub(super) fn default_url(service: Service, region: &str, variant: Variant) -> String {
    let [.., fallback] = &PARTITIONS;
    let partition = PARTITIONS.iter().find(|one| region.starts_with(one.region_prefix)).unwrap_or(fallback);
    // Secrets Manager has both protocols at its usual name in these partitions; the others have their FIPS host in the
    // second at their usual name.
    let usual_is_dual = match partition.name {
        "aws" | "aws-us-gov" => service == Service::SecretsManager,
        "aws-cn" => service == Service::SecretsManager && !variant.fips,
        _ => false,
    };
    let usual_is_fips = service != Service::SecretsManager && partition.name == "aws-us-gov" && !variant.dual_stack;
    let fips = if variant.fips && !usual_is_fips { "-fips" } else { "" };
    let dual_stack = variant.dual_stack && !usual_is_dual;
    let domain = if dual_stack { partition.dual_stack_domain } else { partition.domain };
    format!("https://{}{fips}.{region}.{domain}/", service.host())
}

/// A URL that somebody gave, with `/` at its end. `setting` is where it was given.
pub(super) fn checked_url(url: &str, setting: &str) -> Result<String> {
    let refused = |why: &str| config(format!("{setting}: {why}; an endpoint is like https://host:port"));
    let uri: Uri = url.trim().parse().map_err(|_| refused("this is not a URL"))?;
    let authority = uri.authority().ok_or_else(|| refused("this is not a URL with a host"))?;
    if authority.as_str().contains('@') {
        return Err(refused("the URL has a user or a password in it"));
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refused("the URL begins with neither https:// nor http://"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(refused("the URL has no host"));
    }
    if authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest).contains(':')
        && authority.port_u16().is_none_or(|port| port == 0)
    {
        return Err(refused("the URL has no usable port"));
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(refused("the URL has something behind its path"));
    }
    let scheme = uri.scheme_str().unwrap_or("https");
    Ok(format!("{scheme}://{authority}{}/", uri.path().trim_end_matches('/')))
}

/// Whether what is sent to this URL could be read on its way.
pub(super) fn is_in_clear(url: &str) -> bool {
    let Some(uri) = url.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http")) else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    !host.eq_ignore_ascii_case("localhost") && !address.is_ok_and(|address| address.is_loopback())
}

/// The host and port of a URL, for messages.
pub(super) fn place(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    match uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?))) {
        Some((scheme, authority)) => shown(&format!("{scheme}://{authority}")),
        None => "its endpoint".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_its_hosts() {
        // Region; usual, FIPS, dual-stack, both.
        let table = [
            (
                "us-west-2",
                [
                    "secretsmanager.us-west-2.amazonaws.com",
                    "secretsmanager-fips.us-west-2.amazonaws.com",
                    "secretsmanager.us-west-2.amazonaws.com",
                    "secretsmanager-fips.us-west-2.amazonaws.com",
                ],
            ),
            (
                "us-gov-west-1",
                [
                    "secretsmanager.us-gov-west-1.amazonaws.com",
                    "secretsmanager-fips.us-gov-west-1.amazonaws.com",
                    "secretsmanager.us-gov-west-1.amazonaws.com",
                    "secretsmanager-fips.us-gov-west-1.amazonaws.com",
                ],
            ),
            (
                "cn-north-1",
                [
                    "secretsmanager.cn-north-1.amazonaws.com.cn",
                    "secretsmanager-fips.cn-north-1.amazonaws.com.cn",
                    "secretsmanager.cn-north-1.amazonaws.com.cn",
                    "secretsmanager-fips.cn-north-1.api.amazonwebservices.com.cn",
                ],
            ),
            (
                "eusc-de-east-1",
                [
                    "secretsmanager.eusc-de-east-1.amazonaws.eu",
                    "secretsmanager-fips.eusc-de-east-1.amazonaws.eu",
                    "secretsmanager.eusc-de-east-1.api.amazonwebservices.eu",
                    "secretsmanager-fips.eusc-de-east-1.api.amazonwebservices.eu",
                ],
            ),
        ];
        for (region, hosts) in table {
            for (bits, host) in hosts.into_iter().enumerate() {
                let variant = Variant { fips: bits & 1 > 0, dual_stack: bits & 2 > 0 };
                let url = default_url(Service::SecretsManager, region, variant);
                assert_eq!(url, format!("https://{host}/"), "{variant:?}");
            }
        }
        for (region, domain, dual_stack_domain) in [
            ("us-iso-east-1", "c2s.ic.gov", "api.aws.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov", "api.aws.scloud"),
            ("eu-isoe-west-1", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
            ("us-isof-south-1", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
            ("mx-central-1", "amazonaws.com", "amazonaws.com"),
            ("nowhere-9", "amazonaws.com", "amazonaws.com"),
        ] {
            let url = |dual_stack| default_url(Service::SecretsManager, region, Variant { fips: false, dual_stack });
            assert_eq!(url(false), format!("https://secretsmanager.{region}.{domain}/"));
            assert_eq!(url(true), format!("https://secretsmanager.{region}.{dual_stack_domain}/"));
        }
    }

    #[test]
    fn other_services_have_theirs() {
        let usual = Variant::default();
        let fips = Variant { fips: true, dual_stack: false };
        let dual_stack = Variant { fips: false, dual_stack: true };
        for (service, region, variant, host) in [
            (Service::Sts, "us-west-2", usual, "sts.us-west-2.amazonaws.com"),
            (Service::Sts, "us-west-2", fips, "sts-fips.us-west-2.amazonaws.com"),
            (Service::Sts, "us-west-2", dual_stack, "sts.us-west-2.api.aws"),
            (Service::Sts, "us-gov-west-1", fips, "sts.us-gov-west-1.amazonaws.com"),
            (Service::Sso, "us-gov-west-1", fips, "portal.sso.us-gov-west-1.amazonaws.com"),
            (Service::Sso, "us-east-1", fips, "portal.sso-fips.us-east-1.amazonaws.com"),
            (Service::Sso, "eu-west-1", usual, "portal.sso.eu-west-1.amazonaws.com"),
            (Service::SsoOidc, "cn-north-1", usual, "oidc.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(default_url(service, region, variant), format!("https://{host}/"));
        }
    }

    #[test]
    fn a_given_url_is_checked() {
        for (given, url) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/"),
            (
                "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com/",
                "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com/",
            ),
            ("https://proxy.internal/aws", "https://proxy.internal/aws/"),
        ] {
            assert_eq!(checked_url(given, "x").unwrap(), url);
        }
        for given in [
            "",
            "CANARY",
            "/CANARY",
            "ftp://CANARY",
            "https://user:CANARY@host",
            "https://host/?CANARY",
            "https://host/#CANARY",
            "https://ho st",
            "https://host:99999",
            "https://[::1]:0",
            "https://host\r\nX: CANARY",
        ] {
            let error = checked_url(given, "AWS_ENDPOINT_URL").unwrap_err();
            assert!(error.message().starts_with("AWS_ENDPOINT_URL: "), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn what_leaves_the_machine_unencrypted_is_in_clear() {
        for url in ["http://10.0.0.1/", "http://127.evil.com/", "http://localhost.evil.com:80/", "http://[::2]/"] {
            assert!(is_in_clear(url), "{url}");
        }
        for url in ["https://x/", "http://127.0.0.1:1/", "http://127.9.9.9/", "http://Localhost:1/", "http://[::1]:1/"]
        {
            assert!(!is_in_clear(url), "{url}");
        }
    }
}
