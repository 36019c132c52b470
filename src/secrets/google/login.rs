//! Access tokens: a token that the key of a service account signs, or one of a server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::aws::AwsIdentity;
use super::credentials::{CredentialSource, subject_token};
use super::files::{CredentialFile, CredentialsFile, External, Subject, invalid};
use super::metadata::Metadata;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::http::HttpResponse;
use crate::secret_memory::SecretBytes;
use crate::secrets::cloud::{
    AccessToken, Algorithm, Call, RsaSigningKey, ServerError, Session, form, header, not_the_server,
};
use crate::secrets::json::SecretObject;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const JWT_SECONDS: u64 = 3600;
const FORM: &str = "application/x-www-form-urlencoded";
const TOKEN_PATH: &str = "instance/service-accounts/default/token";

/// Returns a new access token.
pub(super) fn log_in(source: &CredentialSource, aws: &AwsIdentity, session: &Session<'_>) -> Result<AccessToken> {
    match source {
        CredentialSource::Metadata(metadata) => from_metadata(metadata, session),
        CredentialSource::File(file) => GoogleLogin { file, aws, session }.token(&file.credentials),
    }
}

fn from_metadata(metadata: &Metadata, session: &Session<'_>) -> Result<AccessToken> {
    let at = Instant::now();
    let response = metadata.get(session, TOKEN_PATH)?;
    let token = access_token(&response, "access_token", at);
    token.ok_or_else(|| not_the_server(&format!("the metadata server {}", metadata.host()), 200, "Google"))
}

/// A login with a credentials file.
struct GoogleLogin<'a> {
    file: &'a CredentialFile,
    aws: &'a AwsIdentity,
    session: &'a Session<'a>,
}

impl GoogleLogin<'_> {
    fn token(&self, credentials: &CredentialsFile) -> Result<AccessToken> {
        match credentials {
            CredentialsFile::ServiceAccount { email, key_id, private_key } => self.signed(email, key_id, private_key),
            CredentialsFile::User { client_id, client_secret, refresh_token, token_url } => {
                let parameters = [
                    ("grant_type", text("refresh_token")),
                    ("client_id", text(client_id)),
                    ("client_secret", self.printable(client_secret, "client_secret")?),
                    ("refresh_token", self.printable(refresh_token, "refresh_token")?),
                ];
                let advice = "run `gcloud auth application-default login`";
                self.post_form("the login", token_url, &parameters, None, advice)
            }
            CredentialsFile::External(external) => self.exchanged(external),
            CredentialsFile::Impersonated { source, url, delegates, seconds } => {
                self.impersonated(&self.token(source)?, url, delegates, *seconds)
            }
        }
    }

    /// A token that Google accepts in place of one of its own.
    fn signed(&self, email: &str, key_id: &str, private_key: &SecretBytes) -> Result<AccessToken> {
        let at = Instant::now();
        let key = RsaSigningKey::from_pem(private_key).map_err(|what| invalid(&self.file.path, what))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({"iss": email, "sub": email, "scope": SCOPE, "iat": now, "exp": now + JWT_SECONDS});
        let token = key.sign(Algorithm::Rs256, json!({"kid": key_id}), &claims);
        let token = token.map_err(|what| invalid(&self.file.path, what))?;
        Ok(AccessToken::new(SecretBytes::copy_from(token.as_bytes())?, at, Duration::from_secs(JWT_SECONDS)))
    }

    /// The token that Google's security token service gives for that of another provider.
    fn exchanged(&self, external: &External) -> Result<AccessToken> {
        let subject = self.subject(external)?;
        let mut parameters = vec![
            ("grant_type", text("urn:ietf:params:oauth:grant-type:token-exchange")),
            ("requested_token_type", text("urn:ietf:params:oauth:token-type:access_token")),
            ("audience", text(&external.audience)),
            ("scope", text(SCOPE)),
            ("subject_token_type", text(&external.subject_token_type)),
            ("subject_token", subject),
        ];
        let mut authorization = None;
        if let Some((id, secret)) = &external.client {
            let pair = Zeroizing::new(format!("{id}:{}", *self.printable(secret, "client_secret")?));
            authorization = Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))));
        } else if let Some(project) = &external.workforce_project {
            parameters.push(("options", text(&json!({"userProject": project}).to_string())));
        }
        let advice = "check the pool, its provider and their conditions, and that the token is current";
        self.post_form("the token exchange", &external.token_url, &parameters, authorization, advice)
    }

    /// The token of the other provider.
    fn subject(&self, external: &External) -> Result<Zeroizing<String>> {
        let (what, contents) = match &external.subject {
            Subject::Aws { url } => return self.aws.token(url, &external.audience, self.session),
            Subject::Executable(executable) => {
                let what = format!("the token for Google of the program in {}", self.file.path.display());
                let token = executable.token(&what, &external.variables(), self.session.deadline)?;
                (what, token)
            }
            Subject::File(path) => (path.display().to_string(), subject_token(path)?),
            Subject::Url { url, headers } => {
                let what = format!("the token for Google at the \"url\" in {}", self.file.path.display());
                let headers: Vec<_> = headers.iter().map(|(name, value)| header(name, value)).collect();
                let is_local = url.starts_with("http://");
                let call = Call { method: "GET", url, headers: &headers, body: b"", is_local };
                let response = self.session.send(&what, &call)?;
                if response.status != 200 {
                    let message = format!("{what}: HTTP status {}", response.status);
                    return Err(Error::new(Status::Unavailable, message).with_detail(response.status.into()));
                }
                (what, response.body)
            }
        };
        let token = match &external.field {
            Some(field) => SecretObject::parse(&contents).and_then(|object| object.get(field).cloned()),
            None => Some(contents),
        };
        let token = token.as_deref().and_then(|token| std::str::from_utf8(token).ok()).map(str::trim);
        let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        token.map(text).ok_or_else(|| Error::new(Status::Config, format!("{what}: it contains no token")))
    }

    /// The token of a service account that this identity may impersonate.
    fn impersonated(&self, source: &AccessToken, url: &str, delegates: &[String], seconds: u64) -> Result<AccessToken> {
        let at = Instant::now();
        let what = self.what("impersonating a service account");
        let body = json!({"delegates": delegates, "scope": [SCOPE], "lifetime": format!("{seconds}s")}).to_string();
        let headers = [source.header()?, header("Content-Type", "application/json")];
        let call = Call { method: "POST", url, headers: &headers, body: body.as_bytes(), is_local: false };
        let response = self.session.send(&what, &call)?;
        let advice = "grant roles/iam.serviceAccountTokenCreator on the service account to this identity";
        let token = accepted(&what, &response, advice)?.get("accessToken").cloned();
        let token = token.ok_or_else(|| not_the_server(&what, 200, "Google"))?;
        Ok(AccessToken::new(token, at, Duration::from_secs(seconds)))
    }

    fn post_form(
        &self,
        what: &str,
        url: &str,
        parameters: &[(&str, Zeroizing<String>)],
        authorization: Option<Zeroizing<String>>,
        advice: &str,
    ) -> Result<AccessToken> {
        let (at, what) = (Instant::now(), self.what(what));
        let body = form(parameters);
        let mut headers = vec![header("Content-Type", FORM)];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let call = Call { method: "POST", url, headers: &headers, body: body.as_bytes(), is_local: false };
        let response = self.session.send(&what, &call)?;
        accepted(&what, &response, advice)?;
        access_token(&response, "access_token", at).ok_or_else(|| not_the_server(&what, 200, "Google"))
    }

    fn what(&self, action: &str) -> String {
        format!("{action} with {}", self.file.path.display())
    }

    /// A secret of the file as text.
    fn printable(&self, secret: &SecretBytes, name: &str) -> Result<Zeroizing<String>> {
        let secret = std::str::from_utf8(secret).map(text);
        secret.map_err(|_| invalid(&self.file.path, format!("has a {name:?} that is not text")))
    }
}

fn text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

/// The object in the response to a login; an error if the server rejects it.
fn accepted(what: &str, response: &HttpResponse, advice: &str) -> Result<SecretObject> {
    let error = ServerError::parse(response);
    match response.status {
        200 => SecretObject::parse(&response.body).ok_or_else(|| not_the_server(what, 200, "Google")),
        status if !error.is_own() => Err(not_the_server(what, status, "Google")),
        status => {
            let message = format!("{what} is denied: HTTP status {status}{}; {advice}", error.quoted());
            Err(Error::new(Status::AccessDenied, message).with_detail(status.into()).authoritative())
        }
    }
}

/// The token in a response.
fn access_token(response: &HttpResponse, name: &str, at: Instant) -> Option<AccessToken> {
    let object = SecretObject::parse(&response.body)?;
    let token = object.get(name).filter(|token| !token.is_empty() && token.iter().all(u8::is_ascii_graphic))?;
    Some(AccessToken::new(token.clone(), at, Duration::from_secs(object.number("expires_in")?)))
}
