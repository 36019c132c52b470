//! Secrets Manager: one secret, or many in one call.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::credentials::Keys;
use super::endpoint::{Service, place};
use super::fields::Fields;
use super::names::{Name, is_usual_region};
use super::refusal::{Kind, Refusal};
use super::settings::Endpoint;
use super::wire::{Answer, Call, Fault, Wire};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::http;
use crate::secret_memory::SecretBytes;
use crate::secrets::entries::{Entries, Position, Problem};
use crate::secrets::json;

/// How many secrets one call may name.
const BATCH: usize = 20;
/// More pages than there can be for that many.
const MAX_PAGES: usize = 50;

/// Secrets Manager in one region, for who holds these keys.
pub(super) struct SecretsManager<'a> {
    pub(super) wire: &'a Wire<'a>,
    pub(super) region: &'a str,
    pub(super) endpoint: &'a Endpoint,
    pub(super) keys: &'a Keys,
    /// Where the keys come from, for messages.
    pub(super) holder: &'a str,
    pub(super) version_id: Option<&'a str>,
    pub(super) version_stage: Option<&'a str>,
    pub(super) deadline: Deadline,
}

/// What AWS says of one secret.
pub(super) enum Secret {
    Found(Found),
    /// It is not there, for this reason.
    Missing(String),
}

/// The entries of a secret, each name once.
pub(super) struct Found {
    pub(super) entries: Entries,
    /// Those that cannot be used, each with its reason.
    pub(super) broken: Vec<(String, Error)>,
    pub(super) version: Option<Arc<str>>,
}

/// Why it says nothing.
pub(super) struct Trouble {
    pub(super) error: Error,
    /// Other credentials might help: these have expired, or are not known.
    pub(super) stale_keys: bool,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble { error, stale_keys: false }
    }
}

/// An answer for one secret.
pub(super) type Answered = std::result::Result<Secret, Trouble>;

/// What many secrets are, in the order of their names. What AWS says nothing of is `None`.
pub(super) enum Batch {
    Answered(Vec<Option<Answered>>),
    /// One call for many is not for us, or not offered there.
    NotAllowed {
        why: String,
        /// Whether AWS itself says so, and will say so again.
        by_aws: bool,
    },
}

impl SecretsManager<'_> {
    pub(super) fn get(&self, name: &Name) -> Answered {
        let mut body = json!({"SecretId": name.text});
        for (key, value) in [("VersionId", self.version_id), ("VersionStage", self.version_stage)] {
            if let Some(value) = value {
                body[key] = value.into();
            }
        }
        match self.call("GetSecretValue", &body) {
            Ok(Answer { response, .. }) => {
                let answer = self.parsed(name, &response.body)?;
                Ok(self.read(name, &answer)?)
            }
            Err(Fault::Failed(error)) => Err(self.unreached(name, error).into()),
            Err(Fault::Refused(refusal)) => self.refused(name, &refusal),
        }
    }

    /// Asks for all of them with as few calls as that takes.
    pub(super) fn get_many(&self, names: &[&Name]) -> std::result::Result<Batch, Trouble> {
        let mut found = Vec::new();
        for names in names.chunks(BATCH) {
            match self.get_batch(names)? {
                Batch::Answered(secrets) => found.extend(secrets),
                not_allowed => return Ok(not_allowed),
            }
        }
        Ok(Batch::Answered(found))
    }

    fn get_batch(&self, names: &[&Name]) -> std::result::Result<Batch, Trouble> {
        let ids: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
        let mut found: Vec<Option<Answered>> = names.iter().map(|_| None).collect();
        let mut body = json!({"SecretIdList": ids});
        for _ in 0..MAX_PAGES {
            let Answer { response, .. } = match self.call("BatchGetSecretValue", &body) {
                Ok(answer) => answer,
                Err(Fault::Failed(error)) => return Err(self.unreached(names[0], error).into()),
                Err(Fault::Refused(refusal)) => return self.refused_batch(names, &refusal),
            };
            let page = self.parsed(names[0], &response.body)?;
            for answer in fork::unprotected(|| page.objects("SecretValues")) {
                let arn = answer.text("ARN").unwrap_or_default();
                let name = answer.text("Name").unwrap_or_default();
                for (index, asked) in names.iter().enumerate().filter(|(_, asked)| asked.is_of(arn, name)) {
                    found[index] = Some(self.read(asked, &answer).map_err(Trouble::from));
                }
            }
            for answer in fork::unprotected(|| page.objects("Errors")) {
                let id = answer.text("SecretId").unwrap_or_default();
                let Some(index) = names.iter().position(|name| name.text == id) else { continue };
                let refusal = Refusal::of_part(&answer, response.status);
                found[index] = Some(self.refused(names[index], &refusal));
            }
            match page.text("NextToken") {
                Some(next) => body["NextToken"] = Value::from(next),
                None => return Ok(Batch::Answered(found)),
            }
        }
        Err(self.malformed(names[0], "the answer has no end").into())
    }

    /// The members of an answer. It may be large, so it is parsed outside the fork gate.
    fn parsed(&self, name: &Name, body: &SecretBytes) -> Result<Fields> {
        match fork::unprotected(|| Fields::parse_within(body, || self.deadline.has_passed())) {
            Ok(Some(fields)) => Ok(fields),
            Ok(None) => Err(self.malformed(name, "the answer is not a JSON object; is that Secrets Manager?")),
            Err(()) => Err(self.too_late(name)),
        }
    }

    fn call(&self, action: &str, body: &Value) -> std::result::Result<Answer, Fault> {
        let header = |text: &str| Zeroizing::new(text.to_owned());
        self.wire.call(
            &Call {
                service: Service::SecretsManager,
                region: self.region,
                method: "POST",
                url: &self.endpoint.url,
                headers: &[
                    ("content-type", header("application/x-amz-json-1.1")),
                    ("x-amz-target", header(&format!("secretsmanager.{action}"))),
                ],
                body: body.to_string().as_bytes(),
                keys: Some(self.keys),
                secrets: &[],
            },
            self.deadline,
        )
    }

    /// The document in an answer: an object of names and values, as text or as bytes.
    fn read(&self, name: &Name, answer: &Fields) -> Result<Secret> {
        let version = answer.text("VersionId").map(Arc::from);
        let decoded: Zeroizing<Vec<u8>>;
        let bytes: &[u8] = match (answer.get("SecretString"), answer.get("SecretBinary")) {
            (Some(text), _) => text,
            (None, Some(encoded)) => {
                decoded = decode(encoded).ok_or_else(|| self.malformed(name, "its SecretBinary is not base64"))?;
                &decoded
            }
            (None, None) => {
                return Err(self.malformed(
                    name,
                    "the answer has neither SecretString nor SecretBinary; is that Secrets Manager?",
                ));
            }
        };
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed(name, "its value is not text in UTF-8"))?;
        let read = fork::unprotected(|| json::parse_each(text, || self.deadline.has_passed()));
        let read = read.map_err(|problem| self.unusable(name, problem))?;
        let (mut entries, mut broken) = (Entries::new(), Vec::new());
        for (key, value) in read {
            match value {
                Ok(value) => entries.push((key, value)),
                Err(problem) => broken.push((key, self.unusable(name, problem))),
            }
        }
        Ok(Secret::Found(Found { entries, broken, version }))
    }

    /// An error of AWS: that there is no such secret is an answer.
    fn refused(&self, name: &Name, refusal: &Refusal) -> Answered {
        let (what, words, holder) = (self.named(name), refusal.words(), self.holder);
        let kind = refusal.kind();
        let advice = match kind {
            Kind::Missing if refusal.code == "ResourceNotFoundException" => {
                return Ok(Secret::Missing(match self.version_id.or(self.version_stage) {
                    Some(version) => format!("it, or its version {version}, does not exist"),
                    None => "it does not exist".to_owned(),
                }));
            }
            Kind::Missing => return Ok(Secret::Missing("it is marked for deletion".to_owned())),
            Kind::Denied => {
                format!("; allow secretsmanager:GetSecretValue on it to the owner of the credentials of {holder}")
            }
            Kind::Expired => format!("; the credentials of {holder} have expired, or AWS does not know them"),
            Kind::BadSignature => {
                format!("; the secret access key of {holder} is wrong, or the clock of this machine is")
            }
            Kind::Decryption => format!(
                "; KMS does not decrypt it; allow kms:Decrypt on its key to the owner of the credentials of {holder}, \
                 and check that the key is enabled"
            ),
            Kind::Redirect => "; a redirect is not followed; correct the endpoint".to_owned(),
            Kind::Throttled | Kind::Ill => format!("; {} is unavailable or busy", place(&self.endpoint.url)),
            Kind::Other if refusal.by_aws => String::new(),
            Kind::Other => format!(
                "; check {} and the proxies, firewalls and load balancers on the way",
                self.endpoint.setting.as_deref().unwrap_or("the region")
            ),
        };
        let error = refusal.error(Status::Protocol, format!("{what}: {words}{advice}"));
        // A file with keys may have been read half written, so other keys may help against a bad signature too.
        let stale_keys = refusal.by_aws && matches!(kind, Kind::Expired | Kind::BadSignature);
        Err(Trouble { error, stale_keys })
    }

    fn refused_batch(&self, names: &[&Name], refusal: &Refusal) -> std::result::Result<Batch, Trouble> {
        let not_offered =
            ["UnknownOperationException", "InvalidAction", "NotImplementedException", "UnsupportedOperation"];
        let not_offered = not_offered.contains(&refusal.code.as_str());
        if not_offered || matches!(refusal.kind(), Kind::Denied | Kind::Other) {
            return Ok(Batch::NotAllowed { why: refusal.words(), by_aws: refusal.by_aws });
        }
        match self.refused(names[0], refusal) {
            Err(trouble) => Err(trouble),
            Ok(_) => Ok(Batch::NotAllowed { why: refusal.words(), by_aws: refusal.by_aws }),
        }
    }

    fn unreached(&self, name: &Name, error: Error) -> Error {
        let hint = if http::is_untrusted_certificate(&error) {
            "; AWS_CA_BUNDLE names a file with the authorities to trust".to_owned()
        } else if let Some(setting) = &self.endpoint.setting {
            match error.status() {
                Status::Unavailable => format!(" (the endpoint is set by {setting})"),
                _ => String::new(),
            }
        } else if is_usual_region(self.region) {
            String::new()
        } else {
            format!(" ({:?} does not look like a region of AWS)", self.region)
        };
        error.map_message(|message| format!("{}: {message}{hint}", self.named(name)))
    }

    fn unusable(&self, name: &Name, problem: Problem) -> Error {
        match problem {
            Problem::Text { position: Some(Position { line, column }), message } => {
                self.malformed(name, &format!("line {line}, column {column}: {message}"))
            }
            Problem::Text { position: None, message } => self.malformed(name, &message),
            Problem::TimedOut => self.too_late(name),
            Problem::OutOfMemory(error) => error.map_message(|message| format!("{}: {message}", self.named(name))),
        }
    }

    fn too_late(&self, name: &Name) -> Error {
        let message = format!("{}: timed out while parsing its value", self.named(name));
        Error::new(Status::Timeout, message).with_retryable(true)
    }

    fn malformed(&self, name: &Name, what: &str) -> Error {
        Error::new(Status::Protocol, format!("{}: {what}", self.named(name)))
    }

    fn named(&self, name: &Name) -> String {
        format!("secret {:?} in {}", name.text, self.region)
    }
}

fn decode(encoded: &SecretBytes) -> Option<Zeroizing<Vec<u8>>> {
    let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let len = STANDARD.decode_slice(&**encoded, &mut decoded).ok()?;
    decoded.truncate(len);
    Some(decoded)
}
