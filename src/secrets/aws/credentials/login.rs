//! A login that a person makes with `aws login`: temporary credentials, and what renews them for some hours.
//!
//! The file is that of the AWS CLI and botocore: `~/.aws/login/cache/HASH.json`. A renewal is signed with the key of
//! the login, as RFC 9449 (DPoP) describes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::context::{FetchContext, FetchedCredentials, failed};
use super::dpop;
use super::metadata::MAX_BODY;
use crate::error::{Error, Result, Status};
use crate::files;
use crate::log::{self, Level};
use crate::secrets::aws::call::AwsCall;
use crate::secrets::aws::client::{AwsResponse, CallError};
use crate::secrets::aws::endpoint::Service;
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::identifiers::checked_region;
use crate::secrets::aws::ini::IniValue;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::settings::AwsSettings;
use crate::secrets::aws::times;
use crate::secrets::json;
use crate::secrets::json::SecretObject;
use crate::settings::{Setting, SettingOrigin};
use crate::share::Identity;
use crate::shell::quoted;

/// The limit of the cache file.
const MAX_SIZE: usize = 1 << 20;
/// Credentials that expire sooner are renewed first, as by botocore.
const REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60);
const DIRECTORY: &str = "AWS_LOGIN_CACHE_DIRECTORY";

/// A login.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Login {
    /// The file in which the AWS tools store it.
    pub(super) cache_file: PathBuf,
    profile: String,
    pub(super) origin: String,
}

/// The contents of the cache file.
struct CachedLogin {
    text: Zeroizing<String>,
    fields: SecretObject,
    access: SecretObject,
    expires: SystemTime,
}

impl Login {
    pub(super) fn from_profile(
        settings: &AwsSettings<'_>,
        profile: &Profile<'_>,
        session: IniValue<'_>,
    ) -> Result<Login> {
        let origin = profile.location(session);
        let directory = match settings.environment.setting(DIRECTORY)? {
            Some(directory) => directory.path(),
            None => {
                let home = settings.environment.home();
                home.ok_or_else(|| config_error(format!("{origin}: there is no home directory for the login")))?
                    .join(".aws/login/cache")
            }
        };
        let digest = ring::digest::digest(&ring::digest::SHA256, session.text.as_bytes());
        let name: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Login { cache_file: directory.join(format!("{name}.json")), profile: profile.name.clone(), origin })
    }

    /// Adds the login, and its key, to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("login cache file", self.cache_file.as_os_str().as_encoded_bytes());
        let stored = self.stored()?;
        identity.add_secret(self.text(&stored.fields, "dpopKey")?.as_bytes())
    }

    pub(super) fn cache_file(&self) -> &Path {
        &self.cache_file
    }

    pub(super) fn fetch(&self, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        let stored = self.stored()?;
        let now = SystemTime::now();
        if stored.expires > now + REFRESH_MARGIN {
            return self.fetched(&stored);
        }
        match self.renew(&stored, context) {
            Ok(renewed) => self.fetched(&renewed),
            Err(error) => {
                // Another process may have renewed it in the meantime.
                let current = self.stored().unwrap_or(stored);
                if current.expires <= now { Err(error) } else { self.fetched(&current) }
            }
        }
    }

    fn fetched(&self, stored: &CachedLogin) -> Result<FetchedCredentials> {
        let text = |name| self.text(&stored.access, name);
        let (id, secret, token) = (text("accessKeyId")?, text("secretAccessKey")?, text("sessionToken")?);
        let credentials = AwsCredentials::new(id, secret, Some(token), Some(stored.expires), &self.origin)?;
        Ok(FetchedCredentials::new(credentials, SystemTime::now()))
    }

    fn stored(&self) -> Result<CachedLogin> {
        if !self.cache_file.exists() {
            return Err(self.error(Status::AccessDenied, format!("there is no login; run: {}", self.remedy())));
        }
        let contents = files::read(&self.cache_file, MAX_SIZE)?;
        let text = std::str::from_utf8(&contents.bytes).map_err(|_| self.malformed())?;
        self.parse(Zeroizing::new(text.to_owned()))
    }

    fn parse(&self, text: Zeroizing<String>) -> Result<CachedLogin> {
        let fields = SecretObject::parse(text.as_bytes()).ok_or_else(|| self.malformed())?;
        let access = fields.object("accessToken").ok_or_else(|| self.malformed())?;
        let expires = times::time(&access, "expiresAt").ok_or_else(|| self.malformed())?;
        Ok(CachedLogin { text, fields, access, expires })
    }

    /// Renews the credentials. The file is updated, because a refresh token may be valid for one use only.
    fn renew(&self, stored: &CachedLogin, context: &FetchContext<'_>) -> Result<CachedLogin> {
        let region = match stored.fields.text("signInRegion") {
            Some(region) => checked_region(&Setting::new(SettingOrigin::Named(self.origin.clone()), region))?,
            None => context.region.to_owned(),
        };
        let text = |name| self.text(&stored.fields, name);
        let (client, refresh, key) = (text("clientId")?, text("refreshToken")?, text("dpopKey")?);
        let url = format!("{}v1/token", context.settings.endpoint(Service::Signin, &region)?.url);
        let invalid_key = || self.error(Status::Config, format!("{} has no usable dpopKey", self.cache_file.display()));
        let proof = dpop::proof(key, &url).ok_or_else(invalid_key)?;
        let mut body = Zeroizing::new("{}".to_owned());
        for (name, value) in [("clientId", client), ("grantType", "refresh_token"), ("refreshToken", refresh)] {
            body = json::set(&body, name, value).map_err(|_| self.malformed())?;
        }
        let headers = [("content-type", Zeroizing::new("application/json".to_owned())), ("dpop", proof)];
        let call = AwsCall {
            service: Service::Signin,
            region: &region,
            method: "POST",
            url: &url,
            headers: &headers,
            body: body.as_bytes(),
            credentials: None,
            secrets: &[refresh.as_bytes()],
            waits_if_throttled: true,
        };
        let sent = context.client.call(&call, context.deadline).map_err(|call_error| self.failed(call_error))?;
        let AwsResponse { response, server_time } = sent;
        let renewed = self.updated(stored, &response.body, server_time).ok_or_else(|| {
            self.error(Status::Protocol, "the response to the renewal has no accessToken, expiresIn and refreshToken")
        })?;
        if let Err(error) = files::replace(&self.cache_file, renewed.as_bytes(), None) {
            log::emit(Level::Warn, "aws", || format!("cannot store the renewed login of {}: {error}", self.origin));
        }
        self.parse(renewed)
    }

    /// Returns the text of the file with the credentials of a response; `None` if it has none.
    fn updated(&self, stored: &CachedLogin, response: &[u8], now: SystemTime) -> Option<Zeroizing<String>> {
        let fields = SecretObject::parse(response).filter(|_| response.len() <= MAX_BODY)?;
        let access = fields.object("accessToken")?;
        let lifetime: u64 = fields.text("expiresIn")?.parse().ok()?;
        let expires = OffsetDateTime::from(now) + Duration::from_secs(lifetime.min(1 << 32));
        let expires = expires.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()?;
        let nested = json::raw_value(&stored.text, "accessToken")?;
        let mut new = Zeroizing::new(stored.text[nested.clone()].to_owned());
        for name in ["accessKeyId", "secretAccessKey", "sessionToken"] {
            new = json::set(&new, name, access.text(name)?).ok()?;
        }
        new = json::set(&new, "expiresAt", &expires).ok()?;
        let (before, after) = (&stored.text[..nested.start], &stored.text[nested.end..]);
        let mut text = Zeroizing::new(String::with_capacity(before.len() + new.len() + after.len()));
        [before, &new, after].iter().for_each(|part| text.push_str(part));
        json::set(&text, "refreshToken", fields.text("refreshToken")?).ok()
    }

    fn failed(&self, call_error: CallError) -> Error {
        match call_error {
            CallError::Transport(error) => {
                error.map_message(|message| format!("no AWS credentials from {}: {message}", self.origin))
            }
            CallError::Service(service_error) => {
                let what = if service_error.is_denial() {
                    format!("the login has expired or is no longer permitted; run: {}; ", self.remedy())
                } else {
                    String::new()
                };
                let why = service_error.describe();
                let message = format!("no AWS credentials from {}: {what}AWS Sign-In responds with {why}", self.origin);
                service_error.to_error(service_error.status_for_credentials(), message)
            }
        }
    }

    fn text<'a>(&self, fields: &'a SecretObject, name: &str) -> Result<&'a str> {
        fields.text(name).ok_or_else(|| self.malformed())
    }

    fn malformed(&self) -> Error {
        let message = format!("{} contains no login; run: {}", self.cache_file.display(), self.remedy());
        self.error(Status::Protocol, message)
    }

    fn remedy(&self) -> String {
        format!("aws login --profile {}", quoted(&self.profile))
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.origin, what)
    }
}
