//! IAM Identity Center: exchanges a login, which a person makes with `aws sso login`, for the credentials of a role.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha1::{Digest, Sha1};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::context::{FetchContext, FetchedCredentials, failed};
use super::metadata::MAX_BODY;
use crate::error::{Error, Result, Status};
use crate::files;
use crate::http::url::percent_encode;
use crate::log::{self, Level};
use crate::secrets::aws::call::AwsCall;
use crate::secrets::aws::client::{AwsResponse, CallError};
use crate::secrets::aws::endpoint::Service;
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::identifiers::checked_region;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::settings::AwsSettings;
use crate::secrets::aws::times;
use crate::secrets::json;
use crate::secrets::json::SecretObject;
use crate::settings::excerpt;
use crate::share::Identity;
use crate::shell::quoted;

/// The limit of the cache file.
const MAX_SIZE: usize = 1 << 20;
/// The error codes of an expired login.
const EXPIRED: [&str; 4] = ["UnauthorizedException", "ExpiredTokenException", "InvalidGrantException", "invalid_grant"];
/// A login that expires sooner is refreshed first.
const REFRESH_MARGIN: Duration = Duration::from_secs(60);

/// A login, and the role whose credentials it is exchanged for.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct SsoLogin {
    region: String,
    account: String,
    role: String,
    /// The file in which the AWS tools store the login.
    cache_file: PathBuf,
    profile: String,
    pub(super) origin: String,
}

/// The contents of the cache file.
struct SsoToken {
    access: Zeroizing<String>,
    /// The whole file, for the refresh.
    text: Zeroizing<String>,
}

/// Parses a response, unless it is too long. Responses of IAM Identity Center have a few kilobytes.
fn parse(body: &[u8]) -> Option<SecretObject> {
    if body.len() <= MAX_BODY { SecretObject::parse(body) } else { None }
}

impl SsoLogin {
    /// Adds the login, and its token, to the identity of a process.
    pub(super) fn identify(&self, settings: &AwsSettings<'_>, identity: &mut Identity) -> Result<()> {
        for (name, value) in [("sso region", &self.region), ("sso account", &self.account), ("sso role", &self.role)] {
            identity.add(name, value);
        }
        identity.add("sso endpoint", settings.endpoint(Service::Sso, &self.region)?.url);
        identity.add("sso cache file", self.cache_file.as_os_str().as_encoded_bytes());
        identity.add_secret(self.cached()?.access.as_bytes())
    }

    /// Returns the login of a profile; `None` if it has none.
    pub(super) fn from_profile(settings: &AwsSettings<'_>, profile: &Profile<'_>) -> Result<Option<SsoLogin>> {
        let session = profile.get("sso_session");
        let Some(first) = session.or_else(|| profile.get("sso_start_url")) else { return Ok(None) };
        let has_role = ["sso_account_id", "sso_role_name"].iter().any(|key| profile.get(key).is_some());
        let has_others = ["aws_access_key_id", "credential_process"].iter().any(|key| profile.get(key).is_some());
        // The login is for other tools, and the profile also has credentials.
        if !has_role && has_others {
            return Ok(None);
        }
        let origin = profile.location(first);
        let (start, region) = match session {
            Some(session) => {
                let region = settings.profiles.section_value("sso-session", session.text, "sso_region");
                (
                    session.text,
                    region.ok_or_else(|| {
                        config_error(format!(
                            "{origin}: there is no [sso-session {}] with an `sso_region`",
                            excerpt(session.text)
                        ))
                    })?,
                )
            }
            None => (first.text, profile.require("sso_region", first)?),
        };
        let home = settings.environment.home();
        let directory =
            home.ok_or_else(|| config_error(format!("{origin}: there is no home directory for the login")))?;
        let digest = Sha1::digest(start.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(Some(SsoLogin {
            region: checked_region(&region.setting(&region.location(), "sso_region"))?,
            account: profile.require("sso_account_id", first)?.text.to_owned(),
            role: profile.require("sso_role_name", first)?.text.to_owned(),
            cache_file: directory.join(".aws/sso/cache").join(format!("{digest}.json")),
            profile: profile.name.clone(),
            origin,
        }))
    }

    pub(super) fn cache_file(&self) -> &Path {
        &self.cache_file
    }

    pub(super) fn fetch(&self, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        let token = self.token(context)?;
        let endpoint = context.settings.endpoint(Service::Sso, &self.region)?;
        let (role, account) = (percent_encode(&self.role), percent_encode(&self.account));
        let url = format!("{}federation/credentials?role_name={role}&account_id={account}", endpoint.url);
        let secrets = [token.access.as_bytes()];
        let headers = [("x-amz-sso_bearer_token", token.access.clone())];
        let call =
            AwsCall { method: "GET", url: &url, headers: &headers, secrets: &secrets, ..self.call(Service::Sso) };
        let sent = context.client.call(&call, context.deadline).map_err(|call_error| self.failed(call_error))?;
        let AwsResponse { response, server_time } = sent;
        let fields = parse(&response.body).and_then(|fields| fields.object("roleCredentials"));
        let malformed = || self.error(Status::Protocol, "the response has no roleCredentials");
        let fields = fields.ok_or_else(malformed)?;
        let text = |name| fields.text(name).ok_or_else(malformed);
        let expires = times::milliseconds(&fields, "expiration").ok_or_else(malformed)?;
        let (id, secret) = (text("accessKeyId")?, text("secretAccessKey")?);
        let credentials = AwsCredentials::new(id, secret, Some(text("sessionToken")?), Some(expires), &self.origin)?;
        Ok(FetchedCredentials::new(credentials, server_time))
    }

    /// Returns the token of the login, refreshed if it expires soon and can be refreshed.
    fn token(&self, context: &FetchContext<'_>) -> Result<SsoToken> {
        let token = self.cached()?;
        let fields = SecretObject::parse(token.text.as_bytes());
        let Some(expires) = fields.as_ref().and_then(|fields| times::time(fields, "expiresAt")) else {
            return Err(self.error(Status::Protocol, format!("{} has no expiresAt", self.cache_file.display())));
        };
        let now = SystemTime::now();
        if expires > now + REFRESH_MARGIN {
            return Ok(token);
        }
        match fields.and_then(|fields| self.refresh(&fields, &token, context).transpose()) {
            Some(Ok(refreshed)) => Ok(refreshed),
            _ if expires > now => Ok(token),
            Some(Err(error)) if error.is_retryable() || error.is_authoritative() => Err(error),
            _ => Err(self.expired()),
        }
    }

    fn cached(&self) -> Result<SsoToken> {
        if !self.cache_file.exists() {
            return Err(self.error(Status::AccessDenied, format!("there is no login; run: {}", self.remedy())));
        }
        let contents = files::read(&self.cache_file, MAX_SIZE)?;
        let malformed = || self.error(Status::Protocol, format!("{} contains no login", self.cache_file.display()));
        let text = std::str::from_utf8(&contents.bytes).map_err(|_| malformed())?;
        let fields = SecretObject::parse(text.as_bytes()).ok_or_else(malformed)?;
        let access = Zeroizing::new(fields.text("accessToken").ok_or_else(malformed)?.to_owned());
        Ok(SsoToken { access, text: Zeroizing::new(text.to_owned()) })
    }

    /// Refreshes the login; `None` if it has no refresh token. The file is updated, because a refresh token may be
    /// valid for one use only.
    fn refresh(&self, fields: &SecretObject, token: &SsoToken, context: &FetchContext<'_>) -> Result<Option<SsoToken>> {
        let [Some(id), Some(secret), Some(refresh)] =
            ["clientId", "clientSecret", "refreshToken"].map(|name| fields.text(name))
        else {
            return Ok(None);
        };
        let endpoint = context.settings.endpoint(Service::SsoOidc, &self.region)?;
        let malformed = || self.error(Status::Protocol, "the response to the refresh of the login has no accessToken");
        let members =
            [("clientId", id), ("clientSecret", secret), ("grantType", "refresh_token"), ("refreshToken", refresh)];
        let mut body = Zeroizing::new("{}".to_owned());
        for (name, value) in members {
            body = json::set(&body, name, value).map_err(|_| malformed())?;
        }
        let headers = [("content-type", Zeroizing::new("application/json".to_owned()))];
        let url = format!("{}token", endpoint.url);
        let secrets = [secret.as_bytes(), refresh.as_bytes()];
        let (headers, body) = (headers.as_slice(), body.as_bytes());
        let call = AwsCall { url: &url, headers, body, secrets: &secrets, ..self.call(Service::SsoOidc) };
        let sent = context.client.call(&call, context.deadline).map_err(|call_error| self.failed(call_error))?;
        let AwsResponse { response, .. } = sent;
        let fields = parse(&response.body).ok_or_else(malformed)?;
        let access = fields.text("accessToken").ok_or_else(malformed)?;
        let lifetime: u64 = fields.text("expiresIn").and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        let expires = OffsetDateTime::now_utc() + Duration::from_secs(lifetime.min(1 << 32));
        let expires = expires.format(&Rfc3339).map_err(|_| malformed())?;
        let mut text = token.text.clone();
        let changes = [
            ("accessToken", Some(access)),
            ("expiresAt", Some(expires.as_str())),
            ("refreshToken", fields.text("refreshToken")),
        ];
        for (name, value) in changes {
            if let Some(value) = value {
                text = json::set(&text, name, value).map_err(|_| malformed())?;
            }
        }
        if let Err(error) = files::replace(&self.cache_file, text.as_bytes(), None) {
            log::emit(Level::Warn, "aws", || format!("cannot store the refreshed login of {}: {error}", self.origin));
        }
        Ok(Some(SsoToken { access: Zeroizing::new(access.to_owned()), text }))
    }

    fn call(&self, service: Service) -> AwsCall<'_> {
        AwsCall {
            service,
            region: &self.region,
            method: "POST",
            url: "",
            headers: &[],
            body: &[],
            credentials: None,
            secrets: &[],
            waits_if_throttled: true,
        }
    }

    fn failed(&self, call_error: CallError) -> Error {
        match call_error {
            CallError::Transport(error) => {
                error.map_message(|message| format!("no AWS credentials from {}: {message}", self.origin))
            }
            CallError::Service(service_error) if EXPIRED.contains(&service_error.code.as_str()) => {
                let error = self.expired();
                if service_error.is_denial() { error.authoritative() } else { error }
            }
            CallError::Service(service_error) => {
                let message = format!(
                    "no AWS credentials from {}: IAM Identity Center responds with {}",
                    self.origin,
                    service_error.describe()
                );
                service_error.to_error(service_error.status_for_credentials(), message)
            }
        }
    }

    fn expired(&self) -> Error {
        self.error(Status::AccessDenied, format!("the login has expired; run: {}", self.remedy()))
    }

    fn remedy(&self) -> String {
        format!("aws sso login --profile {}", quoted(&self.profile))
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.origin, what)
    }
}
