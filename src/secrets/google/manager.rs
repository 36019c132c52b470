//! Requests to Secret Manager: one version of a secret, and the list of secrets.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::aws::AwsIdentity;
use super::crc32c::crc32c;
use super::credentials::CredentialSource;
use super::login;
use super::metadata::Metadata;
use super::names::{is_name, is_project};
use super::settings::GoogleSettings;
use crate::error::{Error, Result, Status};
use crate::fork_safe::Mutex;
use crate::http::HttpResponse;
use crate::http::url::percent_encode;
use crate::secret_memory::SecretBytes;
use crate::secrets::cloud::{
    AccessToken, Call, Common, Filter, Named, ServerError, Session, StoreLookup, header, not_the_server,
};
use crate::secrets::json::SecretObject;
use crate::settings::Environment;
use crate::share::Identity;

const PAGE: usize = 1000;
/// More pages than a project has secrets.
const MAX_PAGES: usize = 1000;

/// Secret Manager, and how to log in there.
pub(super) struct SecretManager {
    pub(super) settings: GoogleSettings,
    pub(super) environment: Environment,
    pub(super) common: Arc<Common>,
    pub(super) aws: AwsIdentity,
    /// The project that the metadata server named.
    pub(super) found_project: Mutex<Option<String>>,
}

impl SecretManager {
    pub(super) fn source(&self) -> Result<CredentialSource> {
        CredentialSource::find(&self.settings, &self.environment)
    }

    /// The project of secrets whose setting does not name one, as far as that is known without a request.
    pub(super) fn project(&self, source: Option<&CredentialSource>) -> Result<Option<String>> {
        if let Some(project) = &self.settings.project {
            return Ok(Some(project.clone()));
        }
        if let Some(setting) = self.environment.first(&["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"])? {
            return match is_project(setting.text()) {
                true => Ok(Some(setting.text().to_owned())),
                false => Err(setting.invalid_value("is not the identifier or number of a project").into()),
            };
        }
        Ok(match source {
            Some(CredentialSource::File(file)) => file.project.clone().filter(|project| is_project(project)),
            _ => self.found_project.lock().clone(),
        })
    }

    /// The parent of secrets whose setting does not name one: `projects/train`.
    fn parent(&self, source: &CredentialSource, session: &Session<'_>) -> Result<String> {
        let project = match (self.project(Some(source))?, source) {
            (Some(project), _) => project,
            (None, CredentialSource::Metadata(metadata)) => self.ask_project(metadata, session)?,
            (None, CredentialSource::File(file)) => {
                let message = format!(
                    "no project for Google's secrets: set `google_project` or GOOGLE_CLOUD_PROJECT, \
                                       as {} does not name one",
                    file.path.display()
                );
                return Err(Error::new(Status::Config, message));
            }
        };
        Ok(match &self.settings.location {
            Some(location) => format!("projects/{project}/locations/{location}"),
            None => format!("projects/{project}"),
        })
    }

    fn ask_project(&self, metadata: &Metadata, session: &Session<'_>) -> Result<String> {
        let response = metadata.get(session, "project/project-id")?;
        let project = std::str::from_utf8(&response.body).ok().map(str::trim).filter(|project| is_project(project));
        let project =
            project.ok_or_else(|| not_the_server("the project of this machine", 200, "Google's metadata server"))?;
        *self.found_project.lock() = Some(project.to_owned());
        Ok(project.to_owned())
    }

    /// Reads one version of a secret.
    pub(super) fn access(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup> {
        let source = self.source()?;
        let parent = match &secret.parent {
            Some(parent) => parent.trim_end_matches("/secrets").to_owned(),
            None => self.parent(&source, session)?,
        };
        let what = format!("secret {:?} in {parent}", secret.name);
        let version = secret.version.as_deref().unwrap_or("latest");
        let url = format!("{}/v1/{parent}/secrets/{}/versions/{version}:access", self.endpoint(&parent), secret.name);
        let response = self.get(session, &source, &what, &url)?;
        if response.status != 200 {
            return failed(&what, &response, &source, secret);
        }
        let object = SecretObject::parse(&response.body);
        let name = object.as_ref().and_then(|object| object.text("name"));
        let (Some(object), Some(name)) = (&object, name) else { return Err(not_google(&what, 200)) };
        let version = name.rsplit_once("/versions/").map(|(_, version)| Arc::from(version));
        let payload = object.object("payload").ok_or_else(|| not_google(&what, 200))?;
        let value = decoded(&payload, &what)?;
        Ok(StoreLookup::Found(value, version))
    }

    /// Returns the names of the secrets that meet the conditions.
    pub(super) fn list(&self, session: &Session<'_>, filter: &Filter) -> Result<Vec<String>> {
        let source = self.source()?;
        let parent = self.parent(&source, session)?;
        let what = format!("the list of secrets in {parent}");
        let labels = filter.labels.iter().filter(|(_, value)| !value.is_empty());
        let conditions: Vec<String> = labels.map(|(name, value)| format!("labels.{name}={value}")).collect();
        let mut query = format!("pageSize={PAGE}");
        if !conditions.is_empty() {
            query += &format!("&filter={}", percent_encode(&conditions.join(" AND ")));
        }
        let (mut names, mut page) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let url = format!("{}/v1/{parent}/secrets?{query}{page}", self.endpoint(&parent));
            let response = self.get(session, &source, &what, &url)?;
            if response.status != 200 {
                return Err(refused(&what, &response, &source, "roles/secretmanager.viewer on the project"));
            }
            let object = SecretObject::parse(&response.body).ok_or_else(|| not_google(&what, 200))?;
            for item in object.objects("secrets").unwrap_or_default() {
                let name = item.text("name").and_then(|name| name.rsplit('/').next()).filter(|name| is_name(name));
                let accepts = |name: &&str| filter.accepts(name, item.object("labels").as_ref());
                names.extend(name.filter(accepts).map(str::to_owned));
            }
            match object.text("nextPageToken") {
                Some(token) => page = format!("&pageToken={}", percent_encode(token)),
                None => return Ok(names),
            }
        }
        Err(Error::new(Status::Protocol, format!("{what}: it has more than {MAX_PAGES} pages")))
    }

    fn endpoint(&self, parent: &str) -> String {
        let location = parent.split_once("/locations/").map(|(_, location)| location);
        self.settings.endpoint(location)
    }

    /// Sends a request, once more with another token if the first one is rejected.
    fn get(&self, session: &Session<'_>, source: &CredentialSource, what: &str, url: &str) -> Result<HttpResponse> {
        let identify = || {
            let mut identity = Identity::new("google login");
            source.identify(&self.aws, &mut identity)?;
            Ok(identity)
        };
        let log_in = || login::log_in(source, &self.aws, session);
        let quota_project = match (source, self.environment.setting("GOOGLE_CLOUD_QUOTA_PROJECT")?) {
            (_, Some(setting)) => Some(setting.text().to_owned()),
            (CredentialSource::File(file), None) => file.quota_project.clone(),
            (CredentialSource::Metadata(_), None) => None,
        };
        let send = |token: &AccessToken| {
            let mut headers: Vec<(&str, Zeroizing<String>)> = vec![token.header()?];
            headers.extend(quota_project.iter().map(|project| header("X-Goog-User-Project", project)));
            session.send(what, &Call { method: "GET", url, headers: &headers, body: b"", is_local: false })
        };
        let token = self.common.tokens.get(session, &identify, None, &log_in)?;
        let response = send(&token)?;
        if response.status != 401 {
            return Ok(response);
        }
        send(&self.common.tokens.get(session, &identify, Some(&token), &log_in)?)
    }
}

/// The value in a response, whose checksum must be right.
fn decoded(payload: &SecretObject, what: &str) -> Result<SecretBytes> {
    let encoded = payload.get("data").map_or(&b""[..], |data| &data[..]);
    let mut value = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let len = STANDARD.decode_slice(encoded, &mut value);
    let len = len.map_err(|_| Error::new(Status::Protocol, format!("{what}: its value is not base64")))?;
    let value = SecretBytes::copy_from(&value[..len])?;
    match payload.number("dataCrc32c") {
        Some(sum) if sum != u64::from(crc32c(&value)) => {
            let message = format!("{what}: its value was damaged on the way, as its checksum is wrong; try again");
            Err(Error::new(Status::Protocol, message).with_retryable(true))
        }
        _ => Ok(value),
    }
}

/// Interprets an error response. A version that does not exist or is disabled is not an error.
fn failed(what: &str, response: &HttpResponse, source: &CredentialSource, secret: &Named) -> Result<StoreLookup> {
    let error = ServerError::parse(response);
    match (response.status, error.code.as_str()) {
        (404, "NOT_FOUND") => Ok(StoreLookup::Missing(match &secret.version {
            Some(version) => format!("it, or its version {version}, does not exist"),
            None => "it does not exist, or has no version".to_owned(),
        })),
        (400, "FAILED_PRECONDITION") => {
            let version = secret.version.as_deref().unwrap_or("latest");
            let state = if error.message.contains("DESTROYED") { "destroyed" } else { "disabled" };
            Ok(StoreLookup::Missing(format!("its version {version} is {state}")))
        }
        _ => Err(refused(what, response, source, "roles/secretmanager.secretAccessor on it")),
    }
}

/// The error for a response other than success.
fn refused(what: &str, response: &HttpResponse, source: &CredentialSource, role: &str) -> Error {
    let error = ServerError::parse(response);
    let (status, quoted, origin) = (response.status, error.quoted(), source.origin());
    let denied = |advice: String| {
        let message = format!("{what}: HTTP status {status}{quoted}; {advice}");
        Error::new(Status::AccessDenied, message).with_detail(status.into()).authoritative()
    };
    match status {
        300..=399 => {
            let message = format!("{what}: HTTP status {status}: redirects are not followed; correct the endpoint");
            Error::new(Status::Protocol, message).with_detail(status.into())
        }
        _ if !error.is_own() => not_google(what, status),
        401 => denied(format!(
            "Google does not accept the token of {origin}; replace the credentials, and check the clock of this machine"
        )),
        403 if error.reason == "SERVICE_DISABLED" => {
            denied("enable it: gcloud services enable secretmanager.googleapis.com".to_owned())
        }
        403 => denied(format!("grant {role} to the identity of {origin}")),
        _ => Error::new(Status::Protocol, format!("{what}: HTTP status {status}{quoted}")).with_detail(status.into()),
    }
}

fn not_google(what: &str, status: u16) -> Error {
    not_the_server(what, status, "Secret Manager")
}
