//! Error messages for Vault requests: where the request went, what failed, and the remedy.

use std::fmt;
use std::time::Duration;

use super::auth::{GivenSecret, LoginCredentials, VaultAuth, VaultLogin};
use super::lockout::{Block, Rejection, RoundedDuration};
use super::response::VaultResponse;
use super::secret_path::SecretPath;
use super::settings::VaultSettings;
use crate::error::{Error, Source, Status};

/// Makes the errors of requests with these settings, each of which begins with the address, and the mount and path of
/// the secret that is read.
pub(super) struct RequestErrors<'a> {
    pub(super) settings: &'a VaultSettings,
    /// `None` if the request is for several secrets, as a login.
    pub(super) secret: Option<&'a SecretPath>,
}

impl fmt::Display for RequestErrors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault at {}", self.settings.address)?;
        if let Some(namespace) = &self.settings.namespace {
            write!(f, ", namespace {namespace}")?;
        }
        let Some(SecretPath { mount, path, .. }) = self.secret else { return Ok(()) };
        if !mount.is_empty() {
            write!(f, ", mount {mount}")?;
        }
        write!(f, ", path {path}")
    }
}

impl RequestErrors<'_> {
    pub(super) fn error(&self, status: Status, what: impl fmt::Display) -> Error {
        Error::new(status, format!("{self}: {what}")).with_source(Source::Vault)
    }

    fn with_http_status(&self, status: Status, response: &VaultResponse, what: impl fmt::Display) -> Error {
        self.error(status, what).with_detail(response.status.into())
    }

    /// The response does not have the form of Vault's.
    pub(super) fn not_vault(&self, status: u16) -> Error {
        let what = format!(
            "the response (HTTP {status}) is not from Vault; check the address and the proxies between here and there"
        );
        self.error(Status::Protocol, what).with_detail(status.into())
    }

    /// There was no response.
    pub(super) fn no_response(&self, error: Error) -> Error {
        let advice = match error.status() {
            Status::AccessDenied => {
                "; vault_ca_cert or VAULT_CACERT sets the trusted CA, VAULT_TLS_SERVER_NAME the expected name, \
                 vault_client_cert or VAULT_CLIENT_CERT and its key the client certificate"
            }
            Status::Unavailable | Status::Timeout => "; check that the server is running and that its address is right",
            _ => "",
        };
        error.with_source(Source::Vault).map_message(|message| format!("{self}: {message}{advice}"))
    }

    /// The server, or what it depends on, cannot serve the request now.
    pub(super) fn unavailable(&self, response: &VaultResponse) -> Error {
        let messages = response.messages();
        let what = match response.status {
            503 if messages.contain("sealed") => return self.sealed(),
            503 => "the server is overloaded or in maintenance; try again later".to_owned(),
            501 => "the server is not initialized; run `vault operator init`".to_owned(),
            429 => "the request exceeds the server's rate limit; try again later, or raise the quota".to_owned(),
            412 => "this server lags behind the active node; try again later".to_owned(),
            472 => "this server is a disaster recovery secondary, which serves no requests; set the primary's address"
                .to_owned(),
            400 => "the mount is being upgraded to KV version 2; try again later".to_owned(),
            status => format!("the server failed with HTTP {status}; check its log"),
        };
        let what = format!("{what}{}", messages.quoted());
        let error = self.with_http_status(Status::Unavailable, response, what);
        error.with_retryable(!matches!(response.status, 472 | 501))
    }

    pub(super) fn sealed(&self) -> Error {
        let what = "the server is sealed; unseal it (`vault operator unseal`)";
        self.error(Status::Unavailable, what).with_detail(503).with_retryable(true)
    }

    /// The client's own rate limit allows the request only after the deadline.
    pub(super) fn rate_limited(&self, wait: Duration) -> Error {
        let what = format!(
            "VAULT_RATE_LIMIT allows the next request in {wait:.1?}, after the deadline of this call; raise it or \
             \"timeout\""
        );
        self.error(Status::Timeout, what).with_retryable(true)
    }

    /// A redirect is not followed, for this reason.
    pub(super) fn redirected(&self, status: u16, why: &str) -> Error {
        self.error(Status::Config, format!("the server redirects (HTTP {status}) {why}")).with_detail(status.into())
    }

    /// `action` failed. Only a response in Vault's own form counts as a denial.
    pub(super) fn rejected(&self, response: &VaultResponse, action: &str) -> Error {
        let messages = response.messages();
        let quoted = messages.quoted();
        match response.status {
            status if !messages.is_vault_error => self.not_vault(status),
            404 if messages.contain("namespace not found") => self.no_namespace(response),
            403 => self
                .with_http_status(Status::AccessDenied, response, format!("{action} was denied{quoted}"))
                .authoritative(),
            status => {
                self.with_http_status(Status::Protocol, response, format!("{action} failed with HTTP {status}{quoted}"))
            }
        }
    }

    /// Reading this API path was denied.
    pub(super) fn read_denied(&self, response: &VaultResponse, path: &str) -> Error {
        self.denied(response, "reading", path, r#""read""#)
    }

    /// Requesting a dynamic secret was denied.
    pub(super) fn lease_denied(&self, response: &VaultResponse, path: &str, writes: bool) -> Error {
        self.denied(response, "requesting", path, if writes { r#""create", "update""# } else { r#""read""# })
    }

    /// Writing to this API path was denied.
    pub(super) fn write_denied(&self, response: &VaultResponse, path: &str) -> Error {
        self.denied(response, "writing", path, r#""create", "update""#)
    }

    fn denied(&self, response: &VaultResponse, action: &str, path: &str, capabilities: &str) -> Error {
        let token = match self.settings.auth {
            VaultAuth::Login(_) => "the role lacks a policy",
            VaultAuth::Agent => {
                "the agent's token has expired or lacks a policy, or the agent adds none (set VAULT_TOKEN)"
            }
            VaultAuth::Token(_) | VaultAuth::TokenFile { .. } => {
                "the token has expired, was revoked, or lacks a policy"
            }
        };
        let what = format!(
            "{action} the secret was denied{}: {token} with path \"{path}\" {{ capabilities = [{capabilities}] }}; or the \
             mount or the namespace is wrong",
            response.messages().quoted()
        );
        self.with_http_status(Status::AccessDenied, response, what).authoritative()
    }

    /// There is no KV engine at the mount, as `what` says.
    pub(super) fn wrong_mount(&self, what: impl fmt::Display) -> Error {
        let remedy = self.secret.map_or("check the mount", |secret| secret.remedy);
        self.error(Status::Config, format!("{what}; {remedy}"))
    }

    /// Nothing is mounted at the mount.
    pub(super) fn no_mount(&self, response: &VaultResponse) -> Error {
        let what = format!("there is no secrets engine at {:?}{}", self.mount(), response.messages().quoted());
        self.wrong_mount(what).with_detail(response.status.into())
    }

    /// Another engine than KV is mounted at the mount.
    pub(super) fn not_kv(&self, response: &VaultResponse) -> Error {
        let what = format!("the engine at {:?} is not kv{}", self.mount(), response.messages().quoted());
        self.wrong_mount(what).with_detail(response.status.into())
    }

    fn mount(&self) -> &str {
        self.secret.map_or("", |secret| &secret.mount)
    }

    pub(super) fn no_namespace(&self, response: &VaultResponse) -> Error {
        let what = "the namespace does not exist; check vault_namespace or VAULT_NAMESPACE";
        self.with_http_status(Status::Config, response, what)
    }

    /// Another login of this process was not finished in time.
    pub(super) fn no_turn(&self, action: impl fmt::Display) -> Error {
        let what = format!("timed out waiting for another login of this process before {action}; try again");
        self.error(Status::Timeout, what).with_retryable(true)
    }

    /// The server rejects the login, or has done so recently.
    pub(super) fn login_rejected(&self, login: &VaultLogin, rejection: &Rejection) -> Error {
        let mut advice = login_advice(&login.credentials);
        // For a mount that does not exist the server only reports that access is denied.
        if rejection.status == 403 {
            advice += "; check that the method is mounted there (`vault auth list`), else set vault_auth_mount";
        }
        if login.credentials.has_lockout() {
            let who = if matches!(login.credentials, LoginCredentials::Password { .. }) { "user" } else { "role" };
            advice += &if rejection.status == 403 {
                format!("; or the server has locked the {who} for some minutes after failed logins")
            } else {
                format!("; repeated failures would lock the {who} for every client")
            };
            advice += " (user_lockout, `vault read sys/locked-users`)";
        }
        self.blocked(rejection, &login.to_string(), &advice)
    }

    /// The server could not reach what verifies the credentials, which it reports like a rejected login.
    pub(super) fn issuer_unreachable(&self, login: &VaultLogin, response: &VaultResponse) -> Error {
        let what = format!(
            "{login} failed, as the server cannot verify the {} now{}; check its log",
            match &login.credentials {
                LoginCredentials::Jwt { .. } => "JWT",
                #[cfg(feature = "aws")]
                LoginCredentials::Aws { .. } => "caller with AWS",
                _ => "password with its LDAP server",
            },
            response.messages().quoted()
        );
        self.with_http_status(Status::Unavailable, response, what).with_retryable(true)
    }

    /// The server rejects the wrapping token, or has done so recently.
    pub(super) fn unwrapping_rejected(&self, rejection: &Rejection) -> Error {
        let advice = "the wrapping token has expired or was unwrapped before, possibly by another program; deliver a \
                      new one";
        self.blocked(rejection, "unwrapping the secret ID", advice)
    }

    fn blocked(&self, rejection: &Rejection, action: &str, advice: &str) -> Error {
        let age = match rejection.age.as_secs() {
            0 => String::new(),
            _ => format!(" {} ago", RoundedDuration(rejection.age)),
        };
        let (wait, quoted) = (RoundedDuration(rejection.wait), &rejection.quoted);
        let block = match rejection.block {
            Block::CredentialsUnlessRefreshed => {
                format!("with the same credentials for {wait} (a refresh may repeat it after a minute)")
            }
            Block::Credentials => format!("with the same credentials for {wait}"),
            Block::Role => format!("for this role for {wait}"),
        };
        let what = format!("{action} was rejected{age}{quoted} and is not repeated {block}; {advice}");
        let error = self.error(Status::AccessDenied, what).with_detail(rejection.status.into());
        // The server has not seen these credentials, so it has not denied them.
        if rejection.is_own { error.authoritative() } else { error }
    }
}

/// What to check if a login is rejected.
fn login_advice(role: &LoginCredentials) -> String {
    match role {
        LoginCredentials::AppRole { secret_id: None, .. } => {
            "check vault_role_id, and whether the role needs a secret ID (vault_secret_id)".to_owned()
        }
        LoginCredentials::AppRole { secret_id: Some(GivenSecret::Text(_)), .. } => {
            "check vault_role_id and vault_secret_id: a secret ID can expire or be used up".to_owned()
        }
        LoginCredentials::AppRole { secret_id: Some(GivenSecret::File(path)), .. } => {
            format!("check vault_role_id and {}: a secret ID can expire or be used up", path.display())
        }
        LoginCredentials::Jwt { file, .. } => {
            format!("check vault_role and the issuer, audience and expiry of the token in {}", file.display())
        }
        LoginCredentials::Password { password: GivenSecret::Text(_), .. } => {
            "check vault_username and vault_password".to_owned()
        }
        LoginCredentials::Password { password: GivenSecret::File(path), .. } => {
            format!("check vault_username and the password in {}", path.display())
        }
        LoginCredentials::Certificate { role: None, certificate, .. } => {
            format!("check that a role of the method accepts the certificate in {}", certificate.display())
        }
        #[cfg(feature = "aws")]
        LoginCredentials::Aws { .. } => {
            "check vault_role, that it accepts the identity of the AWS credentials (`aws sts \
                                    get-caller-identity`), and that vault_aws_server_id and vault_aws_region fit the \
                                    server (`vault read auth/aws/config/client`)"
                .to_owned()
        }
        LoginCredentials::Certificate { certificate, .. } => {
            format!("check that the role of vault_role accepts the certificate in {}", certificate.display())
        }
    }
}

/// Whether the server itself denied the token or the request.
pub(super) fn is_denial(error: &Error) -> bool {
    error.status() == Status::AccessDenied && error.detail() == 403 && error.is_authoritative()
}
