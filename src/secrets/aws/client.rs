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
use crate::bytes::SecretBytes;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::secrets::entries::Entries;
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
    Found(Entries, Option<Arc<str>>),
    /// It is not there, for this reason.
    Missing(String),
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

/// What many secrets are, in the order of their names.
pub(super) enum Batch {
    Answered(Vec<Option<Secret>>),
    /// One call for many is not for us, or not offered there.
    NotAllowed(String),
}

impl SecretsManager<'_> {
    pub(super) fn get(&self, name: &Name) -> std::result::Result<Secret, Trouble> {
        let mut body = json!({"SecretId": name.text});
        for (key, value) in [("VersionId", self.version_id), ("VersionStage", self.version_stage)] {
            if let Some(value) = value {
                body[key] = value.into();
            }
        }
        match self.call("GetSecretValue", &body) {
            Ok(Answer { response, .. }) => {
                let answer = Fields::parse(&response.body)
                    .ok_or_else(|| self.malformed(name, "the answer is no JSON object; is that Secrets Manager?"))?;
                Ok(self.read(name, &answer)?)
            }
            Err(Fault::Failed(error)) => Err(self.unreached(name, error).into()),
            Err(Fault::Refused(refusal)) => self.refused(name, &refusal),
        }
    }

    /// Asks for all of them with as few calls as that takes. What AWS says nothing of is `None`.
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
        let mut found: Vec<Option<Secret>> = names.iter().map(|_| None).collect();
        let mut body = json!({"SecretIdList": ids});
        for _ in 0..MAX_PAGES {
            let Answer { response, .. } = match self.call("BatchGetSecretValue", &body) {
                Ok(answer) => answer,
                Err(Fault::Failed(error)) => return Err(self.unreached(names[0], error).into()),
                Err(Fault::Refused(refusal)) => return self.refused_batch(names, &refusal),
            };
            let Some(page) = Fields::parse(&response.body) else {
                return Err(self.malformed(names[0], "the answer is no JSON object; is that Secrets Manager?").into());
            };
            for answer in page.objects("SecretValues") {
                let arn = answer.text("ARN").unwrap_or_default();
                let name = answer.text("Name").unwrap_or_default();
                for (index, asked) in names.iter().enumerate().filter(|(_, asked)| asked.is_of(arn, name)) {
                    found[index] = Some(self.read(asked, &answer)?);
                }
            }
            for answer in page.objects("Errors") {
                let id = answer.text("SecretId").unwrap_or_default();
                let Some(index) = names.iter().position(|name| name.text == id) else { continue };
                let refusal = Refusal::of_part(&answer, response.status);
                found[index] = Some(self.refused(names[index], &refusal)?);
            }
            match page.text("NextToken") {
                Some(next) => body["NextToken"] = Value::from(next),
                None => return Ok(Batch::Answered(found)),
            }
        }
        Err(self.malformed(names[0], "the answer has no end").into())
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
            (None, None) => return Err(self.malformed(name, "the answer has no value")),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed(name, "its value is not text in UTF-8"))?;
        let entries = json::parse(text).map_err(|problem| {
            let place = match problem.line {
                0 => String::new(),
                line => format!("line {line}, column {}: ", problem.column),
            };
            self.malformed(name, &format!("{place}{}", problem.message))
        })?;
        Ok(Secret::Found(entries, version))
    }

    /// An error of AWS: that there is no such secret is an answer.
    fn refused(&self, name: &Name, refusal: &Refusal) -> std::result::Result<Secret, Trouble> {
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
            Kind::Denied => format!("allow secretsmanager:GetSecretValue on it to who has the credentials of {holder}"),
            Kind::Expired => format!("the credentials of {holder} have expired, or AWS does not know them"),
            Kind::BadSignature => {
                format!("the secret access key of {holder} is wrong, or the clock of this machine is")
            }
            Kind::Decryption => format!(
                "KMS does not decrypt it; allow kms:Decrypt on its key to who has the credentials of {holder}, and see \
                 that the key is enabled"
            ),
            Kind::Redirect => "a redirect is not followed; mend the endpoint".to_owned(),
            Kind::Throttled | Kind::Ill => format!("{} is ill or busy", place(&self.endpoint.url)),
            Kind::Other => format!("is {} right?", self.endpoint.setting.as_deref().unwrap_or("its region")),
        };
        let error = refusal.error(Status::Protocol, format!("{what}: {words}; {advice}"));
        Err(Trouble { error, stale_keys: kind == Kind::Expired })
    }

    fn refused_batch(&self, names: &[&Name], refusal: &Refusal) -> std::result::Result<Batch, Trouble> {
        let not_offered =
            ["UnknownOperationException", "InvalidAction", "NotImplementedException", "UnsupportedOperation"];
        let not_offered = not_offered.contains(&refusal.code.as_str());
        if not_offered || matches!(refusal.kind(), Kind::Denied | Kind::Other) {
            return Ok(Batch::NotAllowed(refusal.words()));
        }
        match self.refused(names[0], refusal) {
            Err(trouble) => Err(trouble),
            Ok(_) => Ok(Batch::NotAllowed(refusal.words())),
        }
    }

    fn unreached(&self, name: &Name, error: Error) -> Error {
        let hint = match error.status() {
            // Nothing but its certificate is refused on the way.
            Status::AccessDenied => "; AWS_CA_BUNDLE names a file with the authorities to trust".to_owned(),
            _ if is_usual_region(self.region) || self.endpoint.setting.is_some() => String::new(),
            _ => format!(" ({:?} does not look like a region of AWS)", self.region),
        };
        error.map_message(|message| format!("{}: {message}{hint}", self.named(name)))
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
