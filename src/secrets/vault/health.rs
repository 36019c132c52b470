//! The health check: is the server up, is the secret readable, how good is the token.

use std::fmt;

use super::auth::VaultAuth;
use super::client::{VaultCall, VaultSession};
use super::errors::is_denial;
use super::kv::KvReader;
use super::metadata;
use super::secret_path::SecretPath;
use super::settings::VaultSettings;
use super::token_store::{TokenStore, can_log_in};
use crate::error::{Error, Result, Status};
use crate::secrets::document::Document;
use crate::secrets::json::JsonObject;
use crate::secrets::provider::{Health, HealthState};
use crate::shell::quoted;

/// A token that cannot be renewed and has less than this left, in seconds, is worth a warning.
const EXPIRES_SOON: u64 = 24 * 3600;
const CORRECT_SETTING: &str = "correct the setting that the message names";

/// Checks the server, the secret and the token.
pub(super) fn check(session: &VaultSession<'_>, tokens: &TokenStore, kv: &KvReader) -> Health {
    let mut report = Report::default();
    match examine(session, tokens, kv, &mut report) {
        Ok(()) => report.health(),
        Err(error) => Health::new(HealthState::Failed, error.message()).with_advice(advice(session.settings(), &error)),
    }
}

/// The result of a check with invalid settings.
pub(super) fn invalid_settings(error: &Error) -> Health {
    Health::new(HealthState::Failed, error.message()).with_advice(CORRECT_SETTING)
}

/// What to do about a failed check, in addition to the advice in the error.
pub(super) fn advice(settings: &VaultSettings, error: &Error) -> String {
    match (error.status(), error.detail()) {
        (Status::Unavailable, 503) => "unseal the server, or wait until it is up: vault status".to_owned(),
        (Status::Unavailable | Status::Timeout, _) => {
            let url = quoted(&settings.address.url("sys/health")).to_string();
            let socket = settings.address.socket.as_ref();
            let option = socket.map(|path| format!("--unix-socket {} ", quoted(&path.to_string_lossy())));
            format!("check that the server is reachable from here: curl {}{url}", option.unwrap_or_default())
        }
        (Status::AccessDenied, 403) if matches!(settings.auth, VaultAuth::Token(_) | VaultAuth::TokenFile { .. }) => {
            let path = settings.secrets.first().map(ToString::to_string).unwrap_or_default();
            format!("log in again, or check what the token may do: vault token capabilities {}", quoted(&path))
        }
        (Status::AccessDenied, 1..) => "correct the role, its credentials or its policies".to_owned(),
        (Status::AccessDenied, _) => "set vault_ca_cert, or VAULT_CACERT, to the CA of the server".to_owned(),
        (Status::Protocol, _) => "check the address and the proxies between here and there".to_owned(),
        _ => CORRECT_SETTING.to_owned(),
    }
}

fn examine(session: &VaultSession<'_>, tokens: &TokenStore, kv: &KvReader, report: &mut Report) -> Result<()> {
    let settings = session.settings();
    examine_server(session, report)?;
    let mut parts = Vec::new();
    let read = tokens.with_token(session, |token| {
        parts.clear();
        kv.read_all(session, token, |part| parts.push(part.clone()))
    });
    match read {
        Ok(_) => {
            // A policy may forbid a token to look itself up; that is not an error.
            if let Ok(token) = token_info(session, tokens) {
                token.report(can_log_in(&settings.auth), report);
            }
            for (secret, part) in settings.secrets.iter().zip(parts) {
                match part {
                    Ok(document) => report_document(secret, &document, report),
                    Err(error) => {
                        let what = format!("keys that no earlier secret has cannot be read: {error}");
                        report.warn(&what, &advice(settings, &error));
                    }
                }
            }
            examine_versions(session, tokens, kv, report);
            Ok(())
        }
        // The server does not say whether the token is invalid or lacks a policy.
        Err(error) if is_denial(&error) => Err(match token_info(session, tokens) {
            Ok(token) => error.map_message(|message| format!("{message}; the token itself is valid: {token}")),
            Err(other) if is_denial(&other) => {
                error.map_message(|message| format!("{message}; the token has expired or was revoked"))
            }
            Err(_) => error,
        }),
        Err(error) => Err(error),
    }
}

/// Checks whether the versions of the secrets can be read, if calls that listen are to look at them.
fn examine_versions(session: &VaultSession<'_>, tokens: &TokenStore, kv: &KvReader, report: &mut Report) {
    if session.settings().metadata_interval.is_none() {
        return;
    }
    let read = tokens.get(session).and_then(|token| {
        metadata::versions(session, kv, token.value.as_ref(), |secret, version| {
            if let Ok(None) = version {
                let what = format!("the KV engine of {:?} has no versions to look at", secret.to_string());
                report.warn(&what, "unset vault_metadata_interval, or move the secret to a KV engine of version 2");
            }
        })
    });
    if let Err(error) = read {
        let what = format!("calls that listen do not see changes of the secrets: {error}");
        report.warn(&what, "allow reading their metadata, or unset vault_metadata_interval");
    }
}

/// Checks how the server is reached, and whether it can serve requests.
pub(super) fn examine_server(session: &VaultSession<'_>, report: &mut Report) -> Result<()> {
    let settings = session.settings();
    if !settings.address.https && !settings.address.is_local() {
        report.warn("the token and all secrets go over the network unencrypted", "use an https address");
    }
    if settings.address.https && settings.transport.skip_verify {
        let advice = "unset VAULT_SKIP_VERIFY; set VAULT_CACERT to a CA of your own";
        report.warn("the certificate of the server is not verified", advice);
    }
    report.add(server_status(session)?);
    Ok(())
}

pub(super) fn token_info(session: &VaultSession<'_>, tokens: &TokenStore) -> Result<TokenInfo> {
    session.look_up_token(tokens.get(session)?.value.as_ref(), TokenInfo::parse)
}

/// Describes a server that can serve requests; any other is an error.
fn server_status(session: &VaultSession<'_>) -> Result<String> {
    let response = session.send_once(&VaultCall::get("sys/health"))?;
    let errors = session.errors();
    let object = session.object(&response)?;
    if !object.has("initialized") {
        return Err(errors.not_vault(response.status));
    }
    match response.status {
        _ if object.flag("sealed") && object.flag("initialized") => return Err(errors.sealed()),
        501 | 472 | 500..=599 => return Err(errors.unavailable(&response)),
        _ => {}
    }
    let role = if object.flag("standby") { "a standby" } else { "active" };
    let version = object.text("version").unwrap_or_else(|| "unknown".to_owned());
    Ok(format!("{} is version {version}, {role}", session.settings().address))
}

fn report_document(secret: &SecretPath, document: &Document, report: &mut Report) {
    let shown = secret.to_string();
    match (&document.missing, &document.version) {
        (Some(reason), _) => {
            let (mount, path) = (quoted(&secret.mount), quoted(&secret.path));
            let advice = format!("write it: vault kv put -mount={mount} {path} NAME=…");
            report.warn(&format!("there is no secret {shown:?}: {reason}"), &advice);
        }
        (None, Some(version)) => report.add(format!("secret {shown:?} is readable, version {version}")),
        (None, None) => report.add(format!("secret {shown:?} is readable")),
    }
}

/// The details of a check, and the advice.
#[derive(Default)]
pub(super) struct Report {
    details: Vec<String>,
    advice: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, detail: String) {
        self.details.push(detail);
    }

    pub(super) fn warn(&mut self, detail: &str, advice: &str) {
        self.add(detail.to_owned());
        self.advice.push(advice.to_owned());
    }

    pub(super) fn health(self) -> Health {
        let state = if self.advice.is_empty() { HealthState::Ok } else { HealthState::Warning };
        let advice = (!self.advice.is_empty()).then(|| self.advice.join("; "));
        Health { state, detail: self.details.join("; "), advice }
    }
}

/// The server's data about the token.
pub(super) struct TokenInfo {
    policies: Vec<String>,
    /// Seconds; 0 if it does not expire.
    ttl: u64,
    renewable: bool,
}

impl TokenInfo {
    fn parse(data: &JsonObject<'_>) -> TokenInfo {
        let mut policies = data.texts("policies").unwrap_or_default();
        policies.extend(data.texts("identity_policies").unwrap_or_default());
        TokenInfo { policies, ttl: data.number("ttl").unwrap_or(0), renewable: data.flag("renewable") }
    }

    pub(super) fn report(&self, can_log_in: bool, report: &mut Report) {
        if self.ttl > 0 && self.ttl < EXPIRES_SOON && !self.renewable && !can_log_in {
            report.warn(
                &self.to_string(),
                "replace the token before it expires, or let the provider log in (vault_auth)",
            );
        } else {
            report.add(self.to_string());
        }
    }
}

impl fmt::Display for TokenInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token with the policies {}", self.policies.join(", "))?;
        match (self.ttl, self.renewable) {
            (0, _) => write!(f, ", which never expires"),
            (ttl, true) => write!(f, ", {ttl} s left, renewable"),
            (ttl, false) => write!(f, ", {ttl} s left, not renewable"),
        }
    }
}
