//! What is said about failures: where it was, what happened, and what to do.

use std::fmt;
use std::time::Duration;

use super::answer::Answer;
use super::auth::Auth;
use super::login::{Login, Role};
use super::refused::{Hold, Refusal, Rough};
use super::settings::Settings;
use crate::error::{Error, Source, Status};

/// Where a request went, for messages.
pub(super) struct Place<'a>(pub(super) &'a Settings);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(settings) = self;
        write!(f, "Vault at {}", settings.address)?;
        if let Some(namespace) = &settings.namespace {
            write!(f, ", namespace {namespace}")?;
        }
        write!(f, ", mount {}, path {}", settings.mount, settings.path)
    }
}

impl Place<'_> {
    pub(super) fn error(&self, status: Status, what: impl fmt::Display) -> Error {
        Error::new(status, format!("{self}: {what}")).with_source(Source::Vault)
    }

    fn answered(&self, status: Status, answer: &Answer, what: impl fmt::Display) -> Error {
        self.error(status, what).with_detail(answer.status.into())
    }

    /// The answer is not one of this API.
    pub(super) fn not_vault(&self, status: u16) -> Error {
        let what = format!(
            "the answer (HTTP {status}) is not one that Vault gives; check the address, and proxies on the way to it"
        );
        self.error(Status::Protocol, what).with_detail(status.into())
    }

    /// No answer came.
    pub(super) fn unreachable(&self, error: Error) -> Error {
        let advice = match error.status() {
            Status::AccessDenied => {
                "; vault_ca_cert or VAULT_CACERT names the CA to trust, VAULT_TLS_SERVER_NAME the name to expect, \
                 VAULT_CLIENT_CERT and VAULT_CLIENT_KEY a certificate of our own"
            }
            Status::Unavailable | Status::Timeout => "; check that the server runs, and that its address is right",
            _ => "",
        };
        error.with_source(Source::Vault).map_message(|message| format!("{self}: {message}{advice}"))
    }

    /// The server, or what is behind it, is not able to answer now.
    pub(super) fn unavailable(&self, answer: &Answer) -> Error {
        let told = answer.told();
        let what = match answer.status {
            503 if told.says("sealed") => return self.sealed(),
            503 => "it is overloaded or being maintained; try again later".to_owned(),
            501 => "it is not initialised: initialise it (`vault operator init`)".to_owned(),
            429 => "there are too many requests for its rate limit; try again later, or raise the quota".to_owned(),
            412 => "this server lags behind the active one; try again later".to_owned(),
            472 => "it is a disaster recovery secondary, which answers nothing: set the primary's address".to_owned(),
            400 => "the mount is being upgraded to KV version 2; try again later".to_owned(),
            status => format!("it failed with HTTP {status}; look at its log"),
        };
        let error = self.answered(Status::Unavailable, answer, format!("{what}{}", told.quoted()));
        error.with_retryable(!matches!(answer.status, 472 | 501))
    }

    pub(super) fn sealed(&self) -> Error {
        let what = "it is sealed: unseal it (`vault operator unseal`)";
        self.error(Status::Unavailable, what).with_detail(503).with_retryable(true)
    }

    /// The client's own limit of requests does not let another one go in time.
    pub(super) fn held_back(&self, wait: Duration) -> Error {
        let what = format!(
            "VAULT_RATE_LIMIT lets the next request go in {wait:.1?} only, which is longer than this call may take"
        );
        self.error(Status::Timeout, what).with_retryable(true)
    }

    /// Why a redirect is not followed.
    pub(super) fn redirected(&self, status: u16, why: &str) -> Error {
        self.error(Status::Config, format!("it redirects (HTTP {status}) {why}")).with_detail(status.into())
    }

    /// A request was not granted: refused, where the answer has Vault's form.
    pub(super) fn refused(&self, answer: &Answer, action: &str) -> Error {
        let told = answer.told();
        let quoted = told.quoted();
        match answer.status {
            status if !told.is_error => self.not_vault(status),
            404 if told.says("namespace not found") => self.no_namespace(answer),
            403 => self.answered(Status::AccessDenied, answer, format!("{action} is denied{quoted}")).authoritative(),
            status => {
                self.answered(Status::Protocol, answer, format!("{action} is refused with HTTP {status}{quoted}"))
            }
        }
    }

    /// Reading this path was denied.
    pub(super) fn read_denied(&self, answer: &Answer, path: &str) -> Error {
        let token = match self.0.auth {
            Auth::Login(_) => "the role lacks a policy",
            Auth::Agent => "the agent's token has expired or lacks a policy, or the agent adds none (set VAULT_TOKEN)",
            Auth::Token(_) | Auth::TokenFile { .. } => "the token has expired, was revoked, or lacks a policy",
        };
        let what = format!(
            "reading is denied{}: {token} with path \"{path}\" {{ capabilities = [\"read\"] }}, or mount or namespace \
             have other names",
            answer.told().quoted()
        );
        self.answered(Status::AccessDenied, answer, what).authoritative()
    }

    /// Nothing is mounted where the secret should be.
    pub(super) fn no_mount(&self, answer: &Answer) -> Error {
        let what = format!(
            "there is no secrets engine at {:?}{}: set vault_mount to the mount of the KV engine (`vault secrets list`)",
            self.0.mount,
            answer.told().quoted()
        );
        self.answered(Status::Config, answer, what)
    }

    /// An engine of another kind is mounted there.
    pub(super) fn not_kv(&self, answer: &Answer) -> Error {
        let what = format!("the engine at {:?} is not kv{}: set vault_mount", self.0.mount, answer.told().quoted());
        self.answered(Status::Config, answer, what)
    }

    pub(super) fn no_namespace(&self, answer: &Answer) -> Error {
        let what = "there is no such namespace: check vault_namespace or VAULT_NAMESPACE";
        self.answered(Status::Config, answer, what)
    }

    /// A login was refused, now or a while ago.
    pub(super) fn login_refused(&self, login: &Login, refusal: &Refusal) -> Error {
        let mut advice = login.role.advice();
        // Of a mount that does not exist the server says no more than that access is denied.
        if refusal.status == 403 {
            advice += "; and whether the method is mounted there (`vault auth list`), else set vault_auth_mount";
        }
        if matches!(login.role, Role::AppRole { .. }) {
            advice += if refusal.status == 403 {
                "; or the server has locked the role for some minutes after failed logins"
            } else {
                "; repeated failures would lock the role for every client"
            };
            advice += " (user_lockout, `vault read sys/locked-users`)";
        }
        self.denied(refusal, &login.to_string(), &advice)
    }

    /// The server could not verify a JWT, and says so in the form of a refusal.
    pub(super) fn issuer_out_of_reach(&self, login: &Login, answer: &Answer) -> Error {
        let what = format!("{login} cannot verify the JWT now{}: look at the server's log", answer.told().quoted());
        self.answered(Status::Unavailable, answer, what).with_retryable(true)
    }

    /// A wrapping token was refused, now or a while ago.
    pub(super) fn unwrapping_refused(&self, refusal: &Refusal) -> Error {
        let advice = "the wrapping token has expired, or was unwrapped before, by another program if not by this one; \
                      deliver a new one";
        self.denied(refusal, "unwrapping the secret id", advice)
    }

    fn denied(&self, refusal: &Refusal, action: &str, advice: &str) -> Error {
        let refused = match refusal.age.as_secs() {
            0 => "is refused".to_owned(),
            _ => format!("was refused {} ago", Rough(refusal.age)),
        };
        let (wait, quoted) = (Rough(refusal.wait), &refusal.quoted);
        let hold = match refusal.hold {
            Hold::UnlessRefreshed => {
                format!("with the same credentials for {wait} (after a minute a refresh may repeat it)")
            }
            Hold::Credentials => format!("with the same credentials for {wait}"),
            Hold::Role => format!("for this role for {wait}"),
        };
        let what = format!("{action} {refused}{quoted}, and is not repeated {hold}: {advice}");
        let error = self.error(Status::AccessDenied, what).with_detail(refusal.status.into());
        // Of credentials that it has not seen the server has said nothing.
        if refusal.is_own { error.authoritative() } else { error }
    }

    /// The secret as people write it down: `secret/simpletuner`.
    pub(super) fn secret(&self) -> String {
        format!("{}/{}", self.0.mount, self.0.path)
    }
}
