//! AWS Secrets Manager: reads one secret, or many in one call.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{AwsResponse, CallError};
use super::identifiers::SecretId;
use super::json_service::{JsonService, ReadError};
use super::selection::{SecretForm, Selection};
use super::service_error::{ErrorKind, ServiceError};
use crate::error::{Error, Result};
use crate::fork;
use crate::http::retry::RetryClass;
use crate::secret_memory::SecretBytes;
use crate::secrets::entries::{Entries, Position, Problem};
use crate::secrets::json;
use crate::secrets::json::SecretObject;

const SINGLE_ACTION: &str = "GetSecretValue";
/// The limit of secrets in one call.
const BATCH: usize = 20;
/// More pages than a response for that many secrets has.
const MAX_PAGES: usize = 50;

/// What to do about a secret that is not a JSON object.
const ONE_VALUE: &str =
    "; name a secret that is one value in `providers`: {\"aws_secret\": \"its name\", \"as\": \"KEY\"}";

/// Error codes of services that do not support BatchGetSecretValue.
const NOT_SUPPORTED: [&str; 4] =
    ["UnknownOperationException", "InvalidAction", "NotImplementedException", "UnsupportedOperation"];

/// Secrets Manager, and what is read of it.
pub(super) struct SecretsManager<'a> {
    pub(super) service: JsonService<'a>,
    pub(super) selection: &'a Selection,
}

/// What Secrets Manager returns for one secret.
pub(super) enum AwsLookup {
    Found(SecretDocument),
    /// The secret does not exist, for this reason.
    Missing(String),
}

/// The entries of a secret, each name once.
pub(super) struct SecretDocument {
    pub(super) entries: Entries,
    /// Entries that cannot be used, each with the reason.
    pub(super) broken: Vec<(String, Error)>,
    pub(super) version: Option<Arc<str>>,
}

/// The result for one secret.
pub(super) type LookupResult = Result<AwsLookup, ReadError>;

/// The results of BatchGetSecretValue.
pub(super) enum Batch {
    /// In the order of the ids. A secret that the response does not mention is `None`.
    Results(Vec<Option<LookupResult>>),
    /// The call is denied, not supported or throttled.
    Unusable {
        why: String,
        throttled: bool,
        /// Whether this is a response of AWS itself, which will be the same the next time.
        from_aws: bool,
    },
}

impl SecretsManager<'_> {
    /// Reads one secret with GetSecretValue.
    pub(super) fn get(&self, id: &SecretId) -> LookupResult {
        let mut body = json!({"SecretId": id.text});
        let Selection { version_id, version_stage, .. } = self.selection;
        for (key, value) in [("VersionId", version_id), ("VersionStage", version_stage)] {
            if let Some(value) = value {
                body[key] = value.as_str().into();
            }
        }
        match self.service.call(SINGLE_ACTION, &body, true) {
            Ok(AwsResponse { response, .. }) => self.parse(id, &response.body),
            Err(CallError::Transport(error)) => Err(self.service.unreachable(&named(id), error).into()),
            Err(CallError::Service(service_error)) => self.failed(id, &service_error),
        }
    }

    /// Reads the response to GetSecretValue.
    pub(super) fn parse(&self, id: &SecretId, body: &SecretBytes) -> LookupResult {
        let fields = self.service.parse(&named(id), body)?;
        Ok(self.read(id, &fields)?)
    }

    /// Reads many secrets with as few calls of BatchGetSecretValue as possible.
    pub(super) fn get_many(&self, ids: &[&SecretId]) -> Result<Batch, ReadError> {
        let mut results = Vec::new();
        for ids in ids.chunks(BATCH) {
            match self.get_batch(ids)? {
                Batch::Results(batch) => results.extend(batch),
                other => return Ok(other),
            }
        }
        Ok(Batch::Results(results))
    }

    fn get_batch(&self, ids: &[&SecretId]) -> Result<Batch, ReadError> {
        let texts: Vec<&str> = ids.iter().map(|id| id.text.as_str()).collect();
        let mut results: Vec<Option<LookupResult>> = ids.iter().map(|_| None).collect();
        let mut body = json!({"SecretIdList": texts});
        for _ in 0..MAX_PAGES {
            let AwsResponse { response, .. } = match self.service.call("BatchGetSecretValue", &body, false) {
                Ok(response) => response,
                Err(CallError::Transport(error)) => {
                    return Err(self.service.unreachable(&named(ids[0]), error).into());
                }
                Err(CallError::Service(service_error)) => return self.failed_batch(ids, &service_error),
            };
            let page = self.service.parse(&named(ids[0]), &response.body)?;
            for item in fork::unprotected(|| page.objects("SecretValues").unwrap_or_default()) {
                let arn = item.text("ARN").unwrap_or_default();
                let name = item.text("Name").unwrap_or_default();
                for (index, id) in ids.iter().enumerate().filter(|(_, id)| id.matches(arn, name)) {
                    results[index] = Some(self.read(id, &item).map_err(ReadError::from));
                }
            }
            for item in fork::unprotected(|| page.objects("Errors").unwrap_or_default()) {
                let text = item.text("SecretId").unwrap_or_default();
                let Some(index) = ids.iter().position(|id| id.text == text) else { continue };
                let service_error = ServiceError::of_batch_item(&item, response.status);
                if service_error.retry_class() != RetryClass::Never {
                    // A single call is retried.
                    continue;
                }
                results[index] = Some(self.failed(ids[index], &service_error));
            }
            match page.text("NextToken") {
                Some(next) => body["NextToken"] = Value::from(next),
                None => return Ok(Batch::Results(results)),
            }
        }
        Err(self.malformed(ids[0], &format!("the response has more than {MAX_PAGES} pages")).into())
    }

    /// Reads the entries of a secret: one value, or a JSON object of names and values; as text or base64.
    fn read(&self, id: &SecretId, fields: &SecretObject) -> Result<AwsLookup> {
        let version = fields.text("VersionId").map(Arc::from);
        let decoded: Zeroizing<Vec<u8>>;
        let bytes: &[u8] = match (fields.get("SecretString"), fields.get("SecretBinary")) {
            (Some(text), _) => text,
            (None, Some(encoded)) => {
                decoded = decode(encoded).ok_or_else(|| self.malformed(id, "its SecretBinary is not base64"))?;
                &decoded
            }
            (None, None) => {
                let why = "the response has neither SecretString nor SecretBinary; check that the endpoint is Secrets \
                           Manager";
                return Err(self.malformed(id, why));
            }
        };
        if let SecretForm::Value(key) = &self.selection.form {
            let key = key.as_deref().or(fields.text("Name")).unwrap_or(&id.text).to_owned();
            let entries = vec![(key, Some(SecretBytes::copy_from(bytes)?))];
            return Ok(AwsLookup::Found(SecretDocument { entries, broken: Vec::new(), version }));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| self.malformed(id, &format!("its value is not text in UTF-8{ONE_VALUE}")))?;
        let parsed = fork::unprotected(|| json::parse_each(text, || self.service.deadline.has_passed()));
        let parsed = parsed.map_err(|problem| match problem {
            Problem::Text { position: Some(Position::START), message } => {
                Problem::at(Position::START, format!("{message}{ONE_VALUE}"))
            }
            other => other,
        });
        let parsed = parsed.map_err(|problem| self.invalid(id, problem))?;
        let (mut entries, mut broken) = (Entries::new(), Vec::new());
        for (key, value) in parsed {
            match value {
                Ok(value) => entries.push((key, value)),
                Err(problem) => broken.push((key, self.invalid(id, problem))),
            }
        }
        Ok(AwsLookup::Found(SecretDocument { entries, broken, version }))
    }

    /// Interprets an error response. A secret that does not exist is not an error.
    pub(super) fn failed(&self, id: &SecretId, service_error: &ServiceError) -> LookupResult {
        let kind = service_error.kind();
        if kind == ErrorKind::NotFound {
            let Selection { version_id, version_stage, .. } = self.selection;
            return Ok(AwsLookup::Missing(match version_id.as_ref().or(version_stage.as_ref()) {
                _ if service_error.code != "ResourceNotFoundException" => "it is marked for deletion".to_owned(),
                Some(version) => format!("it, or its version {version}, does not exist"),
                None => "it does not exist".to_owned(),
            }));
        }
        Err(self.service.refused(&named(id), SINGLE_ACTION, service_error))
    }

    fn failed_batch(&self, ids: &[&SecretId], service_error: &ServiceError) -> Result<Batch, ReadError> {
        let kind = service_error.kind();
        let (throttled, from_aws) = (kind == ErrorKind::Throttled, service_error.from_aws);
        let unusable = || Batch::Unusable { why: service_error.describe(), throttled, from_aws };
        let is_supported = !NOT_SUPPORTED.contains(&service_error.code.as_str());
        if throttled || !is_supported || matches!(kind, ErrorKind::AccessDenied | ErrorKind::Other) {
            return Ok(unusable());
        }
        self.failed(ids[0], service_error).map(|_| unusable())
    }

    fn invalid(&self, id: &SecretId, problem: Problem) -> Error {
        match problem {
            Problem::Text { position: Some(Position { line, column }), message } => {
                self.malformed(id, &format!("line {line}, column {column}: {message}"))
            }
            Problem::Text { position: None, message } => self.malformed(id, &message),
            Problem::TimedOut => self.service.parse_timeout(&named(id)),
            Problem::OutOfMemory(error) => {
                let what = self.service.describe(&named(id));
                error.map_message(|message| format!("{what}: {message}"))
            }
        }
    }

    fn malformed(&self, id: &SecretId, why: &str) -> Error {
        self.service.malformed(&named(id), why)
    }
}

/// A secret, for messages.
pub(super) fn named(id: &SecretId) -> String {
    format!("secret {:?}", id.text)
}

pub(super) fn decode(encoded: &SecretBytes) -> Option<Zeroizing<Vec<u8>>> {
    let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let len = STANDARD.decode_slice(&**encoded, &mut decoded).ok()?;
    decoded.truncate(len);
    Some(decoded)
}
