//! Access tokens of Microsoft Entra ID: for an application, a managed identity, or the user of the Azure CLI.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::cli_files::{CLIENT_ID, CliFiles, CliLogin};
use super::credentials::{Application, AzureCredentials};
use super::files::read;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::http::HttpResponse;
use crate::http::url::percent_encode;
use crate::secret_memory::SecretBytes;
use crate::secrets::cloud::{
    AccessToken, Algorithm, Call, RsaSigningKey, ServerError, Session, base64url, form, header, not_the_server,
};
use crate::secrets::credential_program;
use crate::secrets::json::SecretObject;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_SECONDS: u64 = 600;
const FORM: &str = "application/x-www-form-urlencoded";
const SERVER: &str = "Microsoft Entra ID";
/// With these statuses the metadata service of a machine says that it is being updated:
/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling>.
const BEING_UPDATED: [u16; 2] = [404, 410];
/// How long a token without a lifetime is used.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(300);

/// Returns a new access token for a resource.
pub(super) fn log_in(credentials: &AzureCredentials, resource: &str, session: &Session<'_>) -> Result<AccessToken> {
    let login = AzureLogin { resource, session, what: format!("the login of {}", credentials.origin()) };
    match credentials {
        AzureCredentials::Secret(application, secret) => {
            login.application(application, &[("client_secret", secret.value.clone())])
        }
        AzureCredentials::Certificate(application, path) => {
            let assertion = assertion(application, path)?;
            login.application(
                application,
                &[("client_assertion_type", text(ASSERTION_TYPE)), ("client_assertion", assertion)],
            )
        }
        AzureCredentials::Federated(application, path) => {
            let token = read(path, "the token for Azure")?;
            let token = std::str::from_utf8(&token).map(str::trim).unwrap_or_default();
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Error::new(Status::Config, format!("{} contains no token", path.display())));
            }
            let parameters = [("client_assertion_type", text(ASSERTION_TYPE)), ("client_assertion", text(token))];
            login.application(application, &parameters)
        }
        AzureCredentials::AppService { url, header: secret, client_id } => {
            let headers = [("X-IDENTITY-HEADER", secret.value.clone())];
            login.managed((url, "2019-08-01"), &headers, client_id.as_deref(), &[])
        }
        AzureCredentials::Imds { url, client_id } => {
            let url = format!("{url}/metadata/identity/oauth2/token");
            let headers = [header("Metadata", "true")];
            login.managed((&url, "2018-02-01"), &headers, client_id.as_deref(), &BEING_UPDATED)
        }
        AzureCredentials::Cli { tenant, .. } => login.cli(tenant.as_deref()),
        AzureCredentials::CliFiles(files) => login.cli_files(files),
    }
}

struct AzureLogin<'a> {
    resource: &'a str,
    session: &'a Session<'a>,
    what: String,
}

impl AzureLogin<'_> {
    fn application(&self, application: &Application, parameters: &[(&str, Zeroizing<String>)]) -> Result<AccessToken> {
        let mut all = vec![("grant_type", text("client_credentials")), ("client_id", text(&application.client_id))];
        all.extend(parameters.iter().cloned());
        self.post(&token_url(application), all, "check AZURE_TENANT_ID, AZURE_CLIENT_ID and its secret")
    }

    /// Exchanges the refresh token that `az login` got. The files stay as they are.
    fn cli_files(&self, files: &CliFiles) -> Result<AccessToken> {
        let CliLogin { authority, tenant, refresh_token } = files.read()?;
        let all = vec![
            ("grant_type", text("refresh_token")),
            ("client_id", text(CLIENT_ID)),
            ("refresh_token", refresh_token),
        ];
        self.post(&format!("{authority}/{tenant}/oauth2/v2.0/token"), all, "run `az login`")
    }

    fn post(&self, url: &str, mut parameters: Vec<(&str, Zeroizing<String>)>, advice: &str) -> Result<AccessToken> {
        let at = Instant::now();
        parameters.push(("scope", text(&format!("{}/.default", self.resource))));
        let body = form(&parameters);
        let headers = [header("Content-Type", FORM)];
        let call = Call { method: "POST", url, headers: &headers, body: body.as_bytes(), is_local: false };
        self.token(&self.session.send(&self.what, &call)?, at, advice)
    }

    fn managed(
        &self,
        (url, version): (&str, &str),
        headers: &[(&str, Zeroizing<String>)],
        client_id: Option<&str>,
        transient: &[u16],
    ) -> Result<AccessToken> {
        let at = Instant::now();
        let client = client_id.map_or(String::new(), |id| format!("&client_id={}", percent_encode(id)));
        let url = format!("{url}?api-version={version}&resource={}{client}", percent_encode(self.resource));
        let call = Call { method: "GET", url: &url, headers, body: b"", is_local: true };
        let advice = "assign a managed identity to this machine, and set AZURE_CLIENT_ID if it has several";
        self.token(&self.session.send_with_transient(&self.what, &call, transient)?, at, advice)
    }

    /// The token in a response; an error if the server rejects the login.
    fn token(&self, response: &HttpResponse, at: Instant, advice: &str) -> Result<AccessToken> {
        let error = ServerError::parse(response);
        let status = response.status;
        if status != 200 && error.is_own() {
            let message = format!("{} is denied: HTTP status {status}{}; {advice}", self.what, error.quoted());
            return Err(Error::new(Status::AccessDenied, message).with_detail(status.into()).authoritative());
        }
        let token = SecretObject::parse(&response.body).filter(|_| status == 200);
        let token = token.and_then(|object| parse_token(&object, "access_token", at));
        token.ok_or_else(|| not_the_server(&self.what, status, SERVER))
    }

    fn cli(&self, tenant: Option<&str>) -> Result<AccessToken> {
        let at = Instant::now();
        let mut words = ["az", "account", "get-access-token", "--output", "json", "--resource", self.resource].to_vec();
        words.extend(tenant.iter().flat_map(|tenant| ["--tenant", tenant]));
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let failed = |status, why: &str| Error::new(status, format!("{}: {why}", self.what));
        let (printed, failure) = credential_program::run(&self.what, &words, &[], self.session.deadline)?;
        let token = SecretObject::parse(&printed).and_then(|object| parse_token(&object, "accessToken", at));
        match failure {
            Some(status) => Err(failed(
                Status::AccessDenied,
                &format!("`az account get-access-token` failed with {status}; run `az login`"),
            )),
            None => token.ok_or_else(|| failed(Status::Protocol, "`az account get-access-token` printed no token")),
        }
    }
}

fn token_url(application: &Application) -> String {
    format!("{}/{}/oauth2/v2.0/token", application.authority, application.tenant)
}

/// The token that the key of a certificate signs.
fn assertion(application: &Application, path: &Path) -> Result<Zeroizing<String>> {
    let pem = read(path, "the certificate for Azure")?;
    let invalid = |what: &str| Error::new(Status::Config, format!("the certificate file {} {what}", path.display()));
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(|_| invalid("has no certificate in PEM"))?;
    let key = RsaSigningKey::from_pem(&pem).map_err(invalid)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::new(Status::Unavailable, error.to_string()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let client = &application.client_id;
    let claims = json!({
        "aud": token_url(application), "iss": client, "sub": client, "jti": base64url(&random),
        "nbf": now, "iat": now, "exp": now + ASSERTION_SECONDS,
    });
    let thumbprint = base64url(&Sha256::digest(&certificate));
    key.sign(Algorithm::Ps256, json!({"x5t#S256": thumbprint}), &claims).map_err(invalid)
}

fn text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn parse_token(object: &SecretObject, name: &str, at: Instant) -> Option<AccessToken> {
    let token: &SecretBytes =
        object.get(name).filter(|token| !token.is_empty() && token.iter().all(u8::is_ascii_graphic))?;
    let until = |end: u64| {
        let end = UNIX_EPOCH.checked_add(Duration::from_secs(end))?;
        Some(end.duration_since(SystemTime::now()).unwrap_or_default())
    };
    let lifetime = match (object.number("expires_in"), object.number("expires_on")) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(end)) => until(end)?,
        (None, None) => UNKNOWN_LIFETIME,
    };
    Some(AccessToken::new(token.clone(), at, lifetime))
}
