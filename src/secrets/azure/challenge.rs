//! What a vault says about the tokens that it accepts. As in Microsoft's clients, a token is requested only for a
//! resource whose domain the vault belongs to, from the authority that is configured, not from one that a vault names.

use crate::http::url::Url;

/// The parameters of the header `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// `https://vault.azure.net`, without `/` at its end.
    pub(super) resource: String,
    /// The tenant of the vault.
    pub(super) tenant: Option<String>,
}

impl Challenge {
    /// Parses a header, and checks the resource; the error says what is wrong.
    pub(super) fn parse(header: &str, vault: &Url) -> Result<Challenge, String> {
        let parameters = header.trim().strip_prefix("Bearer ").ok_or("it names no bearer token")?;
        let value = |name: &str| {
            let mut pairs = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
            let value = pairs.find(|(other, _)| other.trim().eq_ignore_ascii_case(name))?.1;
            Some(value.trim().trim_matches('"'))
        };
        let resource = value("resource").or(value("scope")).ok_or("it names no resource")?;
        let resource = resource.strip_suffix("/.default").unwrap_or(resource).trim_end_matches('/');
        let url = Url::parse(resource).map_err(|why| format!("its resource is not a URL: {why}"))?;
        let (host, domain) = (vault.origin.host.to_ascii_lowercase(), url.origin.host.to_ascii_lowercase());
        if host != domain && !host.ends_with(&format!(".{domain}")) {
            return Err(format!(
                "the vault asks for a token for {domain}, which it does not belong to, so none is sent; check \
                 `azure_vault_url`"
            ));
        }
        let authorization = value("authorization").or(value("authorization_uri"));
        let tenant = authorization.and_then(|url| Url::parse(url).ok());
        let tenant = tenant.and_then(|url| url.uri.path().trim_matches('/').split('/').next().map(str::to_owned));
        Ok(Challenge { resource: resource.to_owned(), tenant: tenant.filter(|tenant| !tenant.is_empty()) })
    }

    /// The tenant of the vault, if that is certainly another one. A tenant may also be named by its domain.
    pub(super) fn other_tenant(&self, own: Option<&str>) -> Option<&str> {
        let tenant = self.tenant.as_deref().filter(|tenant| is_identifier(tenant))?;
        own.filter(|own| is_identifier(own) && !own.eq_ignore_ascii_case(tenant)).map(|_| tenant)
    }
}

fn is_identifier(tenant: &str) -> bool {
    tenant.len() == 36 && tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    fn parse(header: &str, vault: &str) -> Result<Challenge, String> {
        Challenge::parse(header, &Url::parse(vault).unwrap())
    }

    #[test]
    fn resource_and_tenant_are_read() {
        let header = format!(
            "Bearer authorization=\"https://login.windows.net/{TENANT}\", resource=\"https://vault.azure.net\""
        );
        let challenge = parse(&header, "https://Train.vault.azure.net").unwrap();
        assert_eq!(
            (challenge.resource.as_str(), challenge.tenant.as_deref()),
            ("https://vault.azure.net", Some(TENANT))
        );
        let scope = "Bearer authorization_uri=https://login/x, scope=https://vault.azure.net/.default";
        assert_eq!(parse(scope, "https://a.vault.azure.net").unwrap().resource, "https://vault.azure.net");
        let other = "11111111-2222-3333-4444-555555555555";
        assert_eq!(challenge.other_tenant(Some(other)), Some(TENANT));
        assert_eq!(challenge.other_tenant(Some(&TENANT.to_uppercase())), None);
        assert_eq!(challenge.other_tenant(Some("contoso.onmicrosoft.com")), None);
        assert_eq!(challenge.other_tenant(None), None);
    }

    #[test]
    fn resource_of_another_domain_is_refused() {
        for (resource, vault) in [
            ("https://vault.azure.net", "https://vault.azure.net.evil.com"),
            ("https://vault.azure.net", "https://evilvault.azure.net"),
            ("https://management.azure.com", "https://train.vault.azure.net"),
            ("https://azure.net.", "https://train.vault.azure.net"),
        ] {
            let header = format!("Bearer authorization=\"https://login/t\", resource=\"{resource}\"");
            let why = parse(&header, vault).unwrap_err();
            assert!(why.contains("does not belong to"), "{why}");
        }
        for header in ["Basic x", "Bearer a=b", "Bearer resource=vault.azure.net", ""] {
            assert!(parse(header, "https://train.vault.azure.net").is_err(), "{header}");
        }
    }
}
