//! IAM Identity Center: a login that a person made with `aws sso login` becomes the keys of a role.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::{Context, Fetched, Keys, failed};
use crate::error::{Error, Result, Status};
use crate::files;
use crate::log::{self, Level};
use crate::secrets::aws::endpoint::Service;
use crate::secrets::aws::fields::Fields;
use crate::secrets::aws::metadata::MAX_BODY;
use crate::secrets::aws::names::{self, config};
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::settings::Settings;
use crate::secrets::aws::sts::encoded;
use crate::secrets::aws::wire::{Answer, Call, Fault};
use crate::secrets::json;

const MAX_SIZE: usize = 1 << 20;
/// How IAM Identity Center says that a login has ended.
const EXPIRED: [&str; 4] = ["UnauthorizedException", "ExpiredTokenException", "InvalidGrantException", "invalid_grant"];
/// A login that ends sooner is renewed first.
const MARGIN: Duration = Duration::from_secs(60);

/// A login, and the role that it is for.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Login {
    region: String,
    account: String,
    role: String,
    /// Where the AWS tools keep the login.
    cache: PathBuf,
    profile: String,
    pub(super) place: String,
}

/// What is in the cache.
struct Token {
    access: Zeroizing<String>,
    /// The whole file, for what renewing needs.
    text: Zeroizing<String>,
}

/// An answer of IAM Identity Center, which has a few kilobytes at most.
fn parsed(body: &[u8]) -> Option<Fields> {
    if body.len() <= MAX_BODY { Fields::parse(body) } else { None }
}

impl Login {
    /// `None` for a profile that has none.
    pub(super) fn of(settings: &Settings<'_>, profile: &Profile<'_>) -> Result<Option<Login>> {
        let session = profile.get("sso_session");
        let Some(first) = session.or_else(|| profile.get("sso_start_url")) else { return Ok(None) };
        let is_of_role = ["sso_account_id", "sso_role_name"].iter().any(|key| profile.get(key).is_some());
        let has_others = ["aws_access_key_id", "credential_process"].iter().any(|key| profile.get(key).is_some());
        // Other tools use such a login, and the profile has credentials besides.
        if !is_of_role && has_others {
            return Ok(None);
        }
        let place = profile.place(first);
        let (start, region) = match session {
            Some(session) => {
                let region = settings.profiles.setting("sso-session", session.text, "sso_region");
                (
                    session.text,
                    region.ok_or_else(|| {
                        config(format!(
                            "{place}: there is no [sso-session {}] with an `sso_region`",
                            names::shown(session.text)
                        ))
                    })?,
                )
            }
            None => (first.text, profile.need("sso_region", first)?),
        };
        let setting = format!("{}, line {}: `sso_region`", region.path.display(), region.line);
        let home = settings.environment.home();
        let directory = home.ok_or_else(|| config(format!("{place}: there is no home directory with the login")))?;
        let digest = Sha1::digest(start.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(Some(Login {
            region: names::region(region.text, &setting)?,
            account: profile.need("sso_account_id", first)?.text.to_owned(),
            role: profile.need("sso_role_name", first)?.text.to_owned(),
            cache: directory.join(".aws/sso/cache").join(format!("{digest}.json")),
            profile: profile.name.clone(),
            place,
        }))
    }

    pub(super) fn cache(&self) -> &Path {
        &self.cache
    }

    pub(super) fn fetch(&self, context: &Context<'_>) -> Result<Fetched> {
        let token = self.token(context)?;
        let endpoint = context.settings.endpoint(Service::Sso, &self.region)?;
        let (role, account) = (encoded(&self.role), encoded(&self.account));
        let url = format!("{}federation/credentials?role_name={role}&account_id={account}", endpoint.url);
        let secrets = [token.access.as_bytes()];
        let headers = [("x-amz-sso_bearer_token", token.access.clone())];
        let call = Call { method: "GET", url: &url, headers: &headers, secrets: &secrets, ..self.call(Service::Sso) };
        let Answer { response, now } = context.wire.call(&call, context.deadline).map_err(|fault| self.fault(fault))?;
        let fields = parsed(&response.body).and_then(|fields| fields.object("roleCredentials"));
        let malformed = || self.error(Status::Protocol, "the answer has no roleCredentials");
        let fields = fields.ok_or_else(malformed)?;
        let text = |name| fields.text(name).ok_or_else(malformed);
        let expires = fields.milliseconds("expiration").ok_or_else(malformed)?;
        let (id, secret) = (text("accessKeyId")?, text("secretAccessKey")?);
        let keys = Keys::new(id, secret, Some(text("sessionToken")?), Some(expires), &self.place)?;
        Ok(Fetched::new(keys, now))
    }

    /// The token of the login, renewed where it ends and can be.
    fn token(&self, context: &Context<'_>) -> Result<Token> {
        let token = self.cached()?;
        let fields = Fields::parse(token.text.as_bytes());
        let Some(ends) = fields.as_ref().and_then(|fields| fields.time("expiresAt")) else {
            return Err(self.error(Status::Protocol, format!("{} has no expiresAt", self.cache.display())));
        };
        let now = SystemTime::now();
        if ends > now + MARGIN {
            return Ok(token);
        }
        match fields.and_then(|fields| self.renewed(&fields, &token, context).transpose()) {
            Some(Ok(renewed)) => Ok(renewed),
            _ if ends > now => Ok(token),
            Some(Err(error)) if error.is_retryable() || error.is_authoritative() => Err(error),
            _ => Err(self.expired()),
        }
    }

    fn cached(&self) -> Result<Token> {
        if !self.cache.exists() {
            return Err(self.error(Status::AccessDenied, format!("there is no login; run: {}", self.remedy())));
        }
        let contents = files::read(&self.cache, MAX_SIZE)?;
        let malformed = || self.error(Status::Protocol, format!("{} holds no login", self.cache.display()));
        let text = std::str::from_utf8(&contents.bytes).map_err(|_| malformed())?;
        let fields = Fields::parse(text.as_bytes()).ok_or_else(malformed)?;
        let access = Zeroizing::new(fields.text("accessToken").ok_or_else(malformed)?.to_owned());
        Ok(Token { access, text: Zeroizing::new(text.to_owned()) })
    }

    /// A new token for a login that may be renewed; the file is written, as the old refresh token may not serve again.
    fn renewed(&self, fields: &Fields, token: &Token, context: &Context<'_>) -> Result<Option<Token>> {
        let [Some(id), Some(secret), Some(refresh)] =
            ["clientId", "clientSecret", "refreshToken"].map(|name| fields.text(name))
        else {
            return Ok(None);
        };
        let endpoint = context.settings.endpoint(Service::SsoOidc, &self.region)?;
        let malformed = || self.error(Status::Protocol, "the answer to the renewal of the login has no accessToken");
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
        let call = Call { url: &url, headers, body, secrets: &secrets, ..self.call(Service::SsoOidc) };
        let Answer { response, .. } = context.wire.call(&call, context.deadline).map_err(|fault| self.fault(fault))?;
        let fields = parsed(&response.body).ok_or_else(malformed)?;
        let access = fields.text("accessToken").ok_or_else(malformed)?;
        let life: u64 = fields.text("expiresIn").and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        let ends = DateTime::from(SystemTime::now() + Duration::from_secs(life.min(1 << 32)));
        let ends = ends.fmt(Format::DateTime).map_err(|_| malformed())?;
        let mut text = token.text.clone();
        let changes =
            [("accessToken", Some(access)), ("expiresAt", Some(&ends)), ("refreshToken", fields.text("refreshToken"))];
        for (name, value) in changes {
            if let Some(value) = value {
                text = json::set(&text, name, value).map_err(|_| malformed())?;
            }
        }
        if let Err(error) = files::replace(&self.cache, text.as_bytes(), None) {
            log::emit(Level::Warn, "aws", || format!("the renewed login of {} cannot be kept: {error}", self.place));
        }
        Ok(Some(Token { access: Zeroizing::new(access.to_owned()), text }))
    }

    fn call(&self, service: Service) -> Call<'_> {
        let region = &self.region;
        Call { service, region, method: "POST", url: "", headers: &[], body: &[], keys: None, secrets: &[] }
    }

    fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Failed(error) => {
                error.map_message(|message| format!("no AWS credentials from {}: {message}", self.place))
            }
            Fault::Refused(refusal) if EXPIRED.contains(&refusal.code.as_str()) => {
                let error = self.expired();
                if refusal.is_denial() { error.authoritative() } else { error }
            }
            Fault::Refused(refusal) => {
                let message =
                    format!("no AWS credentials from {}: IAM Identity Center answers {}", self.place, refusal.words());
                refusal.error(refusal.status_without_keys(), message)
            }
        }
    }

    fn expired(&self) -> Error {
        self.error(Status::AccessDenied, format!("the login has expired; run: {}", self.remedy()))
    }

    fn remedy(&self) -> String {
        format!("aws sso login --profile {}", self.profile)
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.place, what)
    }
}
