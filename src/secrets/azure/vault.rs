//! Requests to Key Vault: one version of a secret, and the list of secrets.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::challenge::Challenge;
use super::credentials::{AzureAuth, AzureCredentials};
use super::login;
use super::names::is_name;
use crate::error::{Error, Result, Status};
use crate::fork_safe::Mutex;
use crate::http::HttpResponse;
use crate::http::url::Url;
use crate::secrets::cloud::{
    AccessToken, Call, Common, Filter, Named, ServerError, Session, StoreLookup, not_the_server,
};
use crate::secrets::json::SecretObject;
use crate::settings::Environment;
use crate::share::Identity;

const API_VERSION: &str = "api-version=7.4";
/// More pages than a vault has, with 25 secrets each.
const MAX_PAGES: usize = 4000;

/// A vault, and how to log in there.
pub(super) struct KeyVault {
    /// Without `/` at its end.
    pub(super) url: String,
    pub(super) parsed: Url,
    pub(super) auth: Option<AzureAuth>,
    pub(super) environment: Environment,
    pub(super) common: Arc<Common>,
    /// What the vault said about tokens.
    pub(super) challenge: Mutex<Option<Challenge>>,
}

impl KeyVault {
    pub(super) fn credentials(&self) -> Result<AzureCredentials> {
        AzureCredentials::find(self.auth, &self.environment)
    }

    /// Reads one version of a secret.
    pub(super) fn get_secret(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup> {
        let what = format!("secret {:?} in {}", secret.name, self.url);
        let version = secret.version.as_ref().map_or(String::new(), |version| format!("/{version}"));
        let url = format!("{}/secrets/{}{version}?{API_VERSION}", self.url, secret.name);
        let credentials = self.credentials()?;
        let response = self.get(session, &credentials, &what, &url)?;
        if response.status != 200 {
            return failed(&what, &response, &credentials, secret);
        }
        let object = SecretObject::parse(&response.body).ok_or_else(|| not_vault(&what, 200))?;
        let (Some(value), Some(id)) = (object.get("value"), object.text("id")) else {
            return Err(not_vault(&what, 200));
        };
        let version = id.rsplit('/').next().filter(|version| is_name(version)).map(Arc::from);
        Ok(StoreLookup::Found(value.clone(), version))
    }

    /// Returns the names of the enabled secrets that meet the conditions.
    pub(super) fn list(&self, session: &Session<'_>, filter: &Filter) -> Result<Vec<String>> {
        let what = format!("the list of secrets in {}", self.url);
        let credentials = self.credentials()?;
        let (mut names, mut url) = (Vec::new(), format!("{}/secrets?{API_VERSION}", self.url));
        for _ in 0..MAX_PAGES {
            let response = self.get(session, &credentials, &what, &url)?;
            if response.status != 200 {
                return Err(refused(&what, &response, &credentials, "List"));
            }
            let object = SecretObject::parse(&response.body);
            let items = object.as_ref().and_then(|object| object.objects("value"));
            let (Some(object), Some(items)) = (object, items) else { return Err(not_vault(&what, 200)) };
            for item in items {
                let is_enabled = item.object("attributes").is_none_or(|its| its.text("enabled") != Some("false"));
                let name = item.text("id").and_then(|id| id.rsplit('/').next()).filter(|name| is_name(name));
                let accepts = |name: &&str| is_enabled && filter.accepts(name, item.object("tags").as_ref());
                names.extend(name.filter(accepts).map(str::to_owned));
            }
            match object.text("nextLink") {
                None => return Ok(names),
                // The token goes only to the vault.
                Some(next) if next.strip_prefix(&*self.url).is_some_and(|rest| rest.starts_with('/')) => {
                    url = next.to_owned();
                }
                Some(_) => {
                    let message = format!("{what}: its next page is at another server, which is not asked");
                    return Err(Error::new(Status::Protocol, message));
                }
            }
        }
        Err(Error::new(Status::Protocol, format!("{what}: it has more than {MAX_PAGES} pages")))
    }

    /// Sends a request. The first one has no token, so that the vault says for which resource it wants one. If it
    /// rejects a token, another one is sent, once.
    fn get(
        &self,
        session: &Session<'_>,
        credentials: &AzureCredentials,
        what: &str,
        url: &str,
    ) -> Result<HttpResponse> {
        let known = self.challenge.lock().clone();
        let challenge = match known {
            Some(challenge) => challenge,
            None => {
                let response = self.send(session, what, url, None)?;
                match self.challenged(what, &response)? {
                    Some(challenge) => challenge,
                    None => return Ok(response),
                }
            }
        };
        let token = self.token(session, credentials, &challenge, what, None)?;
        let response = self.send(session, what, url, Some(&token))?;
        match self.challenged(what, &response)? {
            None => Ok(response),
            Some(challenge) => {
                let token = self.token(session, credentials, &challenge, what, Some(&token))?;
                self.send(session, what, url, Some(&token))
            }
        }
    }

    fn send(&self, session: &Session<'_>, what: &str, url: &str, token: Option<&AccessToken>) -> Result<HttpResponse> {
        let headers: Vec<(&str, Zeroizing<String>)> = token.map(AccessToken::header).transpose()?.into_iter().collect();
        session.send(what, &Call { method: "GET", url, headers: &headers, body: b"", is_local: false })
    }

    /// What the vault says about tokens, if it rejects a request for the lack of one.
    fn challenged(&self, what: &str, response: &HttpResponse) -> Result<Option<Challenge>> {
        let Some(header) = response.header("www-authenticate").filter(|_| response.status == 401) else {
            return Ok(None);
        };
        let challenge = Challenge::parse(header, &self.parsed)
            .map_err(|why| Error::new(Status::Protocol, format!("{what}: {why}")).with_detail(401))?;
        *self.challenge.lock() = Some(challenge.clone());
        Ok(Some(challenge))
    }

    fn token(
        &self,
        session: &Session<'_>,
        credentials: &AzureCredentials,
        challenge: &Challenge,
        what: &str,
        rejected: Option<&AccessToken>,
    ) -> Result<AccessToken> {
        if let Some(tenant) = challenge.other_tenant(credentials.tenant()) {
            let message =
                format!("{what}: the vault belongs to the tenant {tenant}; AZURE_TENANT_ID names another one");
            return Err(Error::new(Status::Config, message));
        }
        let identify = || {
            let mut identity = Identity::new("azure login");
            identity.add("resource", &challenge.resource);
            credentials.identify(&mut identity)?;
            Ok(identity)
        };
        let log_in = || login::log_in(credentials, &challenge.resource, session);
        self.common.tokens.get(session, &identify, rejected, &log_in)
    }
}

/// Interprets an error response. A secret that does not exist or is disabled is not an error.
fn failed(what: &str, response: &HttpResponse, credentials: &AzureCredentials, secret: &Named) -> Result<StoreLookup> {
    let error = ServerError::parse(response);
    match (response.status, error.code.as_str(), error.reason.as_str()) {
        (404, "SecretNotFound", _) => Ok(StoreLookup::Missing(match &secret.version {
            Some(version) => format!("it, or its version {version}, does not exist"),
            None => "it does not exist, or is deleted".to_owned(),
        })),
        (403, _, "SecretDisabled") => Ok(StoreLookup::Missing("it is disabled".to_owned())),
        _ => Err(refused(what, response, credentials, "Get")),
    }
}

/// The error for a response other than success.
fn refused(what: &str, response: &HttpResponse, credentials: &AzureCredentials, action: &str) -> Error {
    let error = ServerError::parse(response);
    let (status, quoted, origin) = (response.status, error.quoted(), credentials.origin());
    let denied = |advice: String| {
        let message = format!("{what}: HTTP status {status}{quoted}; {advice}");
        Error::new(Status::AccessDenied, message).with_detail(status.into()).authoritative()
    };
    match (status, error.reason.as_str()) {
        (300..=399, _) => {
            let message =
                format!("{what}: HTTP status {status}: redirects are not followed; correct `azure_vault_url`");
            Error::new(Status::Protocol, message).with_detail(status.into())
        }
        _ if !error.is_own() => not_vault(what, status),
        (401, _) => denied(format!("the vault does not accept the token of {origin}; check its tenant")),
        (403, "ForbiddenByFirewall" | "ForbiddenByConnection") => {
            denied("the firewall of the vault does not admit this network".to_owned())
        }
        (403, _) => denied(format!(
            "give {origin} the role \"Key Vault Secrets User\", or the permission {action} in the vault's access policy"
        )),
        _ => Error::new(Status::Protocol, format!("{what}: HTTP status {status}{quoted}")).with_detail(status.into()),
    }
}

fn not_vault(what: &str, status: u16) -> Error {
    not_the_server(what, status, "Key Vault")
}
