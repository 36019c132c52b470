//! Writes one key of a secret whose value is a JSON object.
//!
//! No write of another process is lost: the new version is stored without becoming the current one, and then the label
//! AWSCURRENT is moved to it from the version that was changed. If the label is no longer there, AWS refuses that, and
//! the change is made in the newer version.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::client::{AwsResponse, CallError};
use super::endpoint::Service;
use super::errors::config_error;
use super::identifiers::SecretId;
use super::json_service::{JsonService, ReadError};
use super::secrets_manager::decode;
use super::selection::{SecretForm, Selection};
use super::service_error::ErrorKind;
use super::session::AwsSession;
use super::uuid::random_uuid;
use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBytes;
use crate::secrets::entries::{Position, Problem};
use crate::secrets::json as document;

const GET: &str = "GetSecretValue";
const PUT: &str = "PutSecretValue";
/// The limit of AWS, in bytes.
const MAX_DOCUMENT: usize = 65_536;
/// How often the change is made again because of other writers.
const MAX_TURNS: usize = 16;
const MOVE: &str = "UpdateSecretVersionStage";
const CURRENT: &str = "AWSCURRENT";
/// The label of a version that is not the current one yet. AWS needs one.
const PENDING: &str = "STSECRETS_PENDING";

/// A change of one key; `None` removes it.
pub(super) struct KeyChange<'a> {
    pub(super) key: &'a str,
    pub(super) value: Option<&'a str>,
}

/// A version of a secret.
struct Version {
    id: String,
    text: SecretBytes,
    is_binary: bool,
}

impl Version {
    /// Returns the value of a key.
    fn get(&self, key: &str) -> Result<Option<SecretBytes>, Problem> {
        let entries = document::parse_each(self.text()?, || false)?;
        let entry = entries.into_iter().find(|(name, _)| name == key);
        entry.map_or(Ok(None), |(_, value)| value)
    }

    fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.text).map_err(|_| Problem::new("its value is not text in UTF-8"))
    }
}

/// Makes a change in the first secret that has the key; if none has it, in the first one. Returns whether it was there.
pub(super) fn write(session: &AwsSession<'_>, selection: &Selection, change: &KeyChange<'_>) -> Result<bool> {
    if session.state.provider_settings.agent().is_some() {
        return Err(config_error("`set_provider` is \"aws\", but the agent of `aws_agent_url` only reads; unset one"));
    }
    let is_current = selection.version_stage.as_deref().is_none_or(|stage| stage == CURRENT);
    if !matches!(selection.form, SecretForm::Object) || selection.version_id.is_some() || !is_current {
        let what = "`set_provider` is \"aws\", which changes the current version; unset `aws_version_id` and \
                    `aws_version_stage`";
        return Err(config_error(what));
    }
    let mut cached = session.credentials()?;
    let ids = &selection.secret_ids;
    let mut target = &ids[0];
    for id in ids.iter().filter(|_| ids.len() > 1) {
        let has_key = |service: JsonService<'_>| SecretWriter { service, id, change }.has_key();
        let region = id.region.as_deref().unwrap_or(&session.region);
        let found = session.ask(Service::SecretsManager, region, &mut cached, has_key, |found| found.as_mut().err())?;
        if found.map_err(|failed| failed.error)? {
            target = id;
            break;
        }
    }
    let region = target.region.as_deref().unwrap_or(&session.region);
    let write = |service: JsonService<'_>| SecretWriter { service, id: target, change }.write();
    let written = session.ask(Service::SecretsManager, region, &mut cached, write, |written| written.as_mut().err())?;
    written.map_err(|failed| failed.error)
}

struct SecretWriter<'a> {
    service: JsonService<'a>,
    id: &'a SecretId,
    change: &'a KeyChange<'a>,
}

impl SecretWriter<'_> {
    fn has_key(&self) -> Result<bool, ReadError> {
        let Some(version) = self.read()? else { return Ok(false) };
        Ok(self.value(&version)?.is_some())
    }

    fn write(&self) -> Result<bool, ReadError> {
        for _ in 0..MAX_TURNS {
            let Some(base) = self.read()? else {
                let remedy = format!("create it with: aws secretsmanager create-secret --name {}", self.id.text);
                let message = format!("{}: it does not exist; {remedy}", self.service.describe(&self.what()));
                return Err(Error::new(Status::NotFound, message).into());
            };
            let existed = self.value(&base)?.is_some();
            let Some(edited) = self.edit(&base)? else { return Ok(existed) };
            let own = self.put(&edited, base.is_binary)?;
            if self.make_current(&own, &base.id)? {
                return Ok(existed);
            }
        }
        let message = format!("{}: other clients keep changing it; try again", self.service.describe(&self.what()));
        Err(Error::new(Status::Busy, message).with_retryable(true).into())
    }

    /// Returns the changed document; `None` if it is as it should be.
    fn edit(&self, version: &Version) -> Result<Option<Zeroizing<String>>, ReadError> {
        let KeyChange { key, value } = *self.change;
        let edit = |text: &str| match value {
            Some(value) => document::set(text, key, value).map(Some),
            None => document::delete(text, key),
        };
        let text = version.text().map_err(|problem| self.invalid(problem))?;
        let edited = edit(text).map_err(|problem| self.invalid(problem))?.filter(|edited| edited.as_str() != text);
        if let Some(edited) = edited.as_ref().filter(|edited| edited.len() > MAX_DOCUMENT) {
            let what = self.service.describe(&self.what());
            let why = format!("with the new value of {key:?} it has {} bytes; AWS allows {MAX_DOCUMENT}", edited.len());
            return Err(Error::invalid_argument(format!("{what}: {why}")).into());
        }
        Ok(edited)
    }

    /// Stores a new version, which is not the current one yet. Returns its id.
    fn put(&self, text: &Zeroizing<String>, is_binary: bool) -> Result<String, ReadError> {
        // AWS uses it as the id of the new version. A request that is sent again with it makes no second version.
        let own = random_uuid()?;
        let head = json!({"SecretId": self.id.text, "ClientRequestToken": own, "VersionStages": [PENDING]}).to_string();
        let (name, value) = match is_binary {
            true => ("SecretBinary", document::quote(&Zeroizing::new(STANDARD.encode(text.as_bytes())))),
            false => ("SecretString", document::quote(text)),
        };
        let mut body = Zeroizing::new(String::with_capacity(head.len() + value.len() + 32));
        for part in [&head[..head.len() - 1], ",\"", name, "\":", &value, "}"] {
            body.push_str(part);
        }
        let secret = self.change.value.unwrap_or_default().as_bytes();
        match self.service.call_with(PUT, body.as_bytes(), &[secret], true) {
            Ok(_) => Ok(own),
            Err(CallError::Transport(error)) => Err(self.service.unreachable(&self.what(), error).into()),
            Err(CallError::Service(service_error)) => Err(self.service.refused(&self.what(), PUT, &service_error)),
        }
    }

    /// Makes a version the current one instead of `base`. Returns whether `base` still was.
    fn make_current(&self, own: &str, base: &str) -> Result<bool, ReadError> {
        let body = json!({
            "SecretId": self.id.text, "VersionStage": CURRENT, "MoveToVersionId": own, "RemoveFromVersionId": base,
        });
        let service_error = match self.service.call(MOVE, &body, true) {
            Ok(_) => return Ok(true),
            Err(CallError::Transport(error)) => return Err(self.service.unreachable(&self.what(), error).into()),
            Err(CallError::Service(service_error)) => service_error,
        };
        let refused = || self.service.refused(&self.what(), MOVE, &service_error);
        if service_error.kind() != ErrorKind::Other || !service_error.from_aws {
            return Err(refused());
        }
        // An earlier attempt, whose response was lost, may have moved the label.
        let current = self.read()?.map(|current| current.id);
        match current.as_deref() {
            Some(current) if current == own => Ok(true),
            Some(current) if current == base => Err(refused()),
            _ => Ok(false),
        }
    }

    /// Reads the current version; `None` if there is none.
    fn read(&self) -> Result<Option<Version>, ReadError> {
        let what = self.what();
        let fields = match self.service.call(GET, &json!({"SecretId": self.id.text, "VersionStage": CURRENT}), true) {
            Ok(AwsResponse { response, .. }) => self.service.parse(&what, &response.body)?,
            Err(CallError::Transport(error)) => return Err(self.service.unreachable(&what, error).into()),
            Err(CallError::Service(service_error)) if service_error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(CallError::Service(service_error)) => return Err(self.service.refused(&what, GET, &service_error)),
        };
        let malformed = || self.service.malformed(&what, "the response is not that of Secrets Manager");
        let (text, is_binary) = match (fields.get("SecretString"), fields.get("SecretBinary")) {
            (Some(text), _) => (text.clone(), false),
            (None, Some(encoded)) => (SecretBytes::copy_from(&decode(encoded).ok_or_else(malformed)?)?, true),
            (None, None) => return Err(malformed().into()),
        };
        let id = fields.text("VersionId").ok_or_else(malformed)?.to_owned();
        Ok(Some(Version { id, text, is_binary }))
    }

    fn value(&self, version: &Version) -> Result<Option<SecretBytes>, ReadError> {
        version.get(self.change.key).map_err(|problem| self.invalid(problem).into())
    }

    fn invalid(&self, problem: Problem) -> Error {
        let why = match problem {
            Problem::Text { position: Some(Position { line, column }), message } => {
                format!("line {line}, column {column}: {message}")
            }
            Problem::Text { position: None, message } => message.into_owned(),
            Problem::TimedOut => return self.service.parse_timeout(&self.what()),
            Problem::OutOfMemory(error) => return error,
        };
        self.service.malformed(&self.what(), &format!("{why}; it is left as it is"))
    }

    fn what(&self) -> String {
        format!("secret {:?}", self.id.text)
    }
}
