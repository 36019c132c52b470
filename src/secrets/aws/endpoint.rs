//! Endpoints of AWS services: a host for each region, in partitions with their own domains.

use crate::http::url::{Origin, Url};
use crate::settings::{InvalidSetting, Setting, SettingOrigin, excerpt};

/// The services that this provider calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Service {
    SecretsManager,
    Sts,
    /// Returns the credentials of a role for a login.
    Sso,
    /// Has the parameters of Systems Manager.
    Ssm,
    /// Renews a login.
    SsoOidc,
    /// Renews a login of `aws login`.
    Signin,
    /// Has the queue of changes.
    Sqs,
    /// Generates and decrypts data keys.
    Kms,
}

impl Service {
    /// The name in host names.
    fn host(self) -> &'static str {
        match self {
            Service::SecretsManager => "secretsmanager",
            Service::Sts => "sts",
            Service::Sso => "portal.sso",
            Service::SsoOidc => "oidc",
            Service::Ssm => "ssm",
            Service::Signin => "signin",
            Service::Sqs => "sqs",
            Service::Kms => "kms",
        }
    }

    /// The name in signatures.
    pub(super) fn signing_name(self) -> &'static str {
        match self {
            Service::SecretsManager => "secretsmanager",
            Service::Sts => "sts",
            Service::Sso => "awsssoportal",
            Service::SsoOidc => "sso-oauth",
            Service::Ssm => "ssm",
            Service::Signin => "signin",
            Service::Sqs => "sqs",
            Service::Kms => "kms",
        }
    }

    /// The name in a `[services X]` section and, in upper case, after `AWS_ENDPOINT_URL_`.
    pub(super) fn id(self) -> &'static str {
        match self {
            Service::SecretsManager => "secrets_manager",
            Service::Sts => "sts",
            Service::Sso => "sso",
            Service::SsoOidc => "sso_oidc",
            Service::Ssm => "ssm",
            Service::Signin => "signin",
            Service::Sqs => "sqs",
            Service::Kms => "kms",
        }
    }

    /// What the header `X-Amz-Target` begins with, in a JSON service.
    pub(super) fn target(self) -> &'static str {
        match self {
            Service::Ssm => "AmazonSSM",
            Service::Sqs => "AmazonSQS",
            Service::Kms => "TrentService",
            _ => "secretsmanager",
        }
    }

    /// The type of a request, in a JSON service.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Service::Sqs => "application/x-amz-json-1.0",
            _ => "application/x-amz-json-1.1",
        }
    }

    /// The name of a JSON service, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Service::Ssm => "Systems Manager",
            Service::Sqs => "SQS",
            Service::Kms => "KMS",
            _ => "Secrets Manager",
        }
    }
}

/// Which of the hosts of a region.
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

/// The last one is the default.
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

/// Returns the default URL of a service in this region.
pub(super) fn default_url(service: Service, region: &str, variant: Variant) -> String {
    let [.., fallback] = &PARTITIONS;
    let partition = PARTITIONS.iter().find(|one| region.starts_with(one.region_prefix)).unwrap_or(fallback);
    if let Some(host) = signin_host(service, partition.name, region, variant) {
        return format!("https://{host}/");
    }
    // In these partitions the usual host of Secrets Manager is dual-stack. In the second one, the usual host of all
    // other services but KMS is their FIPS host.
    let usual_is_dual = match partition.name {
        "aws" | "aws-us-gov" => service == Service::SecretsManager,
        "aws-cn" => service == Service::SecretsManager && !variant.fips,
        _ => false,
    };
    let has_own_fips_host = matches!(service, Service::SecretsManager | Service::Kms);
    let usual_is_fips = !has_own_fips_host && partition.name == "aws-us-gov" && !variant.dual_stack;
    let fips = if variant.fips && !usual_is_fips { "-fips" } else { "" };
    let dual_stack = variant.dual_stack && !usual_is_dual;
    let domain = if dual_stack { partition.dual_stack_domain } else { partition.domain };
    format!("https://{}{fips}.{region}.{domain}/", service.host())
}

/// The host of Sign-In, where it has not the form of the other services.
fn signin_host(service: Service, partition: &str, region: &str, variant: Variant) -> Option<String> {
    let domain = match partition {
        _ if service != Service::Signin || variant.dual_stack => return None,
        "aws-us-gov" if variant.fips => return Some("signin-fips.amazonaws-us-gov.com".to_owned()),
        _ if variant.fips => return None,
        "aws" => "aws.amazon.com",
        "aws-us-gov" => "amazonaws-us-gov.com",
        "aws-cn" => "amazonaws.cn",
        "aws-eusc" => "amazonaws-eusc.eu",
        _ => return None,
    };
    Some(format!("{region}.signin.{domain}"))
}

/// Where a service is called.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Ends with `/`.
    pub(super) url: String,
    /// The setting that names it; `None` for the service's default endpoint.
    pub(super) setting: Option<SettingOrigin>,
}

/// Checks the URL in a setting and returns it with `/` at its end.
pub(super) fn checked_url(setting: &Setting) -> Result<String, InvalidSetting> {
    let invalid = |why: String| setting.invalid(format!("is not an endpoint such as https://host:port: {why}"));
    let Url { uri, .. } = Url::parse(setting.text()).map_err(|error| invalid(error.to_string()))?;
    if uri.query().is_some() {
        return Err(invalid("it has a query (`?`)".to_owned()));
    }
    let (scheme, authority) = (uri.scheme_str().unwrap_or("https"), uri.authority().map_or("", |it| it.as_str()));
    Ok(format!("{scheme}://{authority}{}/", uri.path().trim_end_matches('/')))
}

/// Whether others can read on the network what is sent to this URL.
pub(super) fn is_cleartext(url: &str) -> bool {
    origin(url).is_some_and(|origin| origin.is_cleartext())
}

/// Returns scheme, host and port of a URL, for messages.
pub(super) fn displayed_origin(url: &str) -> String {
    origin(url).map_or_else(|| "its endpoint".to_owned(), |origin| excerpt(&origin.to_string()))
}

fn origin(url: &str) -> Option<Origin> {
    Url::parse(url).ok().map(|url| url.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_have_their_own_hosts() {
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
    fn other_services_have_their_own_hosts() {
        let usual = Variant::default();
        let fips = Variant { fips: true, dual_stack: false };
        let dual_stack = Variant { fips: false, dual_stack: true };
        for (service, region, variant, host) in [
            (Service::Sts, "us-west-2", usual, "sts.us-west-2.amazonaws.com"),
            (Service::Sts, "us-west-2", fips, "sts-fips.us-west-2.amazonaws.com"),
            (Service::Sts, "us-west-2", dual_stack, "sts.us-west-2.api.aws"),
            (Service::Sts, "us-gov-west-1", fips, "sts.us-gov-west-1.amazonaws.com"),
            (Service::Kms, "us-gov-west-1", fips, "kms-fips.us-gov-west-1.amazonaws.com"),
            (Service::Kms, "us-gov-west-1", usual, "kms.us-gov-west-1.amazonaws.com"),
            (Service::Sso, "us-gov-west-1", fips, "portal.sso.us-gov-west-1.amazonaws.com"),
            (Service::Sso, "us-east-1", fips, "portal.sso-fips.us-east-1.amazonaws.com"),
            (Service::Sso, "eu-west-1", usual, "portal.sso.eu-west-1.amazonaws.com"),
            (Service::SsoOidc, "cn-north-1", usual, "oidc.cn-north-1.amazonaws.com.cn"),
            (Service::Signin, "eu-west-1", usual, "eu-west-1.signin.aws.amazon.com"),
            (Service::Signin, "eu-west-1", fips, "signin-fips.eu-west-1.amazonaws.com"),
            (Service::Signin, "eu-west-1", dual_stack, "signin.eu-west-1.api.aws"),
            (Service::Signin, "us-gov-west-1", usual, "us-gov-west-1.signin.amazonaws-us-gov.com"),
            (Service::Signin, "us-gov-west-1", fips, "signin-fips.amazonaws-us-gov.com"),
            (Service::Signin, "cn-north-1", usual, "cn-north-1.signin.amazonaws.cn"),
            (Service::Signin, "cn-north-1", fips, "signin-fips.cn-north-1.amazonaws.com.cn"),
            (Service::Signin, "eusc-de-east-1", usual, "eusc-de-east-1.signin.amazonaws-eusc.eu"),
        ] {
            assert_eq!(default_url(service, region, variant), format!("https://{host}/"));
        }
    }

    #[test]
    fn endpoint_url_is_checked() {
        let checked = |text: &str| checked_url(&Setting::new(SettingOrigin::Config("x"), text));
        for (text, url) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/"),
            (
                "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com/",
                "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com/",
            ),
            ("https://proxy.internal/aws", "https://proxy.internal/aws/"),
        ] {
            assert_eq!(checked(text).unwrap(), url);
        }
        for text in [
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
            let error = checked(text).unwrap_err().error;
            assert!(error.message().starts_with("the configuration key `x` is not an endpoint such as "), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
    }
}
