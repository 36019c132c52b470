//! What the provider tells about itself, and whether it works.

use std::fmt;

use serde_json::{Map, Value, json};

use super::Vault;
use super::answer::Object;
use super::auth::Auth;
use super::client::{Call, Session};
use super::token::is_refusal;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::secrets::document::Document;
use crate::secrets::provider::{Health, HealthState};

/// A token with less than this left, in seconds, and no way to renew it, is worth a warning.
const SOON: u64 = 24 * 3600;
const CORRECT: &str = "correct the setting that is named";

impl Vault {
    pub(super) fn describe(&self) -> Map<String, Value> {
        let settings = &self.settings;
        let detected = self.memory.lock().mounted.as_ref().map(|mounted| mounted.version);
        let mut fields = Map::from_iter([
            ("url".to_owned(), json!(settings.address.to_string())),
            ("namespace".to_owned(), json!(settings.namespace)),
            ("mount".to_owned(), json!(settings.mount)),
            ("path".to_owned(), json!(settings.path)),
            ("kv_version".to_owned(), json!(settings.version.or(detected).map(|version| version.number()))),
            ("auth".to_owned(), json!(settings.auth.name())),
        ]);
        if self.not_configured().is_some() {
            fields.insert("configured".to_owned(), json!(false));
        }
        match &settings.auth {
            Auth::Login(login) => fields.insert("auth_mount".to_owned(), json!(login.mount)),
            Auth::TokenFile { path, .. } => fields.insert("token_file".to_owned(), json!(path.to_string_lossy())),
            Auth::Token(_) | Auth::Agent => None,
        };
        fields
    }

    /// Asks the server how it is, for the secret, and what the token is worth.
    pub(super) fn check(&self, deadline: Deadline) -> Health {
        if let Some(reason) = self.not_configured() {
            return Health::new(HealthState::Absent, reason);
        }
        let session = Session::new(self, deadline).forced(true);
        let mut report = Report::default();
        match self.examine(&session, &mut report) {
            Ok(()) => report.health(),
            Err(error) => {
                let health = Health::new(HealthState::Failed, error.message());
                health.with_advice(self.advice(&error))
            }
        }
    }

    /// What to do about a failed check, beside what the error says.
    fn advice(&self, error: &Error) -> String {
        let settings = &self.settings;
        match (error.status(), error.detail()) {
            (Status::Unavailable, 503) => "unseal the server, or wait until it is up: vault status".to_owned(),
            (Status::Unavailable | Status::Timeout, _) => {
                format!("try whether the server can be reached from here: curl {}/v1/sys/health", settings.address)
            }
            (Status::AccessDenied, 403) if matches!(settings.auth, Auth::Token(_) | Auth::TokenFile { .. }) => {
                format!(
                    "log in again, or look at what the token may do: vault token capabilities {}",
                    self.place().secret()
                )
            }
            (Status::AccessDenied, 1..) => "correct the role, its credentials or its policies".to_owned(),
            (Status::AccessDenied, _) => "set vault_ca_cert, or VAULT_CACERT, to the CA of the server".to_owned(),
            (Status::Protocol, _) => "check the address, and the proxies on the way to it".to_owned(),
            _ => CORRECT.to_owned(),
        }
    }

    fn examine(&self, session: &Session<'_>, report: &mut Report) -> Result<()> {
        let settings = &self.settings;
        if !settings.address.https && !settings.address.is_local() {
            report.warn("the token and all secrets go over the network unencrypted", "use an https address");
        }
        if settings.address.https && settings.transport.skip_verify {
            let advice = "unset VAULT_SKIP_VERIFY; a CA of your own is set with VAULT_CACERT";
            report.warn("the certificate of the server is not verified", advice);
        }
        report.say(self.health(session)?);
        match self.with_token(session, |token| self.read(session, token)) {
            Ok(document) => {
                // A token that may not look at itself is none the worse for it.
                if let Ok(known) = self.token_state(session) {
                    known.report(self.can_log_in(), report);
                }
                self.report_document(&document, report);
                Ok(())
            }
            // Which of the two it is, the server does not say.
            Err(error) if is_refusal(&error) => Err(match self.token_state(session) {
                Ok(known) => error.map_message(|message| format!("{message}; the token itself is good: {known}")),
                Err(other) if is_refusal(&other) => {
                    error.map_message(|message| format!("{message}; the token has expired or was revoked"))
                }
                Err(_) => error,
            }),
            Err(error) => Err(error),
        }
    }

    fn token_state(&self, session: &Session<'_>) -> Result<TokenState> {
        session.look_up(self.token(session)?.value.as_ref(), TokenState::of)
    }

    /// Whether the server is one that answers, in words.
    fn health(&self, session: &Session<'_>) -> Result<String> {
        let answer = session.ask_once(&Call::get("sys/health"))?;
        let place = self.place();
        let object = session.object(&answer)?;
        if !object.has("initialized") {
            return Err(place.not_vault(answer.status));
        }
        match answer.status {
            _ if object.flag("sealed") && object.flag("initialized") => {
                return Err(place.sealed());
            }
            501 | 472 | 500..=599 => return Err(place.unavailable(&answer)),
            _ => {}
        }
        let role = if object.flag("standby") { "a standby" } else { "active" };
        let version = object.text("version").unwrap_or_else(|| "unknown".to_owned());
        Ok(format!("{} is version {version}, {role}", self.settings.address))
    }

    fn report_document(&self, document: &Document, report: &mut Report) {
        let secret = self.place().secret();
        match (&document.missing, &document.version) {
            (Some(reason), _) => {
                let advice =
                    format!("write it: vault kv put -mount={} {} NAME=…", self.settings.mount, self.settings.path);
                report.warn(&format!("there is no secret {secret:?}: {reason}"), &advice);
            }
            (None, Some(version)) => report.say(format!("secret {secret:?} is readable, version {version}")),
            (None, None) => report.say(format!("secret {secret:?} is readable")),
        }
    }
}

/// What was found out, and what to do.
#[derive(Default)]
struct Report {
    details: Vec<String>,
    advice: Vec<String>,
}

impl Report {
    fn say(&mut self, detail: String) {
        self.details.push(detail);
    }

    fn warn(&mut self, detail: &str, advice: &str) {
        self.say(detail.to_owned());
        self.advice.push(advice.to_owned());
    }

    fn health(self) -> Health {
        let state = if self.advice.is_empty() { HealthState::Ok } else { HealthState::Warning };
        let advice = (!self.advice.is_empty()).then(|| self.advice.join("; "));
        Health { state, detail: self.details.join("; "), advice }
    }
}

/// What the server knows of the token.
struct TokenState {
    policies: Vec<String>,
    /// Seconds; 0 is for ever.
    ttl: u64,
    renewable: bool,
}

impl TokenState {
    fn of(data: &Object<'_>) -> TokenState {
        let mut policies = data.texts("policies").unwrap_or_default();
        policies.extend(data.texts("identity_policies").unwrap_or_default());
        TokenState { policies, ttl: data.number("ttl").unwrap_or(0), renewable: data.flag("renewable") }
    }

    fn report(&self, can_log_in: bool, report: &mut Report) {
        if self.ttl > 0 && self.ttl < SOON && !self.renewable && !can_log_in {
            report.warn(
                &self.to_string(),
                "replace the token before it expires, or let the provider log in (vault_auth)",
            );
        } else {
            report.say(self.to_string());
        }
    }
}

impl fmt::Display for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token with the policies {}", self.policies.join(", "))?;
        match (self.ttl, self.renewable) {
            (0, _) => write!(f, ", which never expires"),
            (ttl, true) => write!(f, ", {ttl} s left, renewable"),
            (ttl, false) => write!(f, ", {ttl} s left, not renewable"),
        }
    }
}

/// The settings cannot be used.
pub(super) fn refused(error: &Error) -> Health {
    Health::new(HealthState::Failed, error.message()).with_advice(CORRECT)
}
