//! Logging in.

use std::fmt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::address;
use super::answer::Told;
use super::client::{Call, Session};
use super::life::Life;
use super::refused::Attempt;
use super::token::Token;
use super::variables::Origin;
use crate::clock::Instant;
use crate::error::{Result, Source, Status};
use crate::files::{self, Fingerprint};
use crate::secret_memory::SecretBytes;

const MAX_FILE: usize = 64 << 10;

/// What a server says that could not reach the issuer of a JWT; it refuses the login in the same way as a bad JWT.
const ISSUER_OUT_OF_REACH: [&str; 5] =
    ["fetching keys", "dial tcp", "connection refused", "i/o timeout", "context deadline exceeded"];

/// A login at `auth/{mount}/login`.
pub(super) struct Login {
    pub(super) mount: String,
    pub(super) role: Role,
}

/// Who logs in.
pub(super) enum Role {
    AppRole {
        role_id: SecretBytes,
        secret_id: SecretId,
        /// Whether the secret id comes wrapped.
        wrapping: Option<Wrapping>,
    },
    /// Both show a JWT that stands in a file.
    Jwt { kubernetes: bool, role: Option<String>, file: PathBuf },
}

/// The second half of an AppRole's credentials; a role may do without.
pub(super) enum SecretId {
    None,
    Given(SecretBytes),
    File(PathBuf),
}

/// A secret id that comes as a wrapping token, which gives it out once.
#[derive(Default)]
pub(super) struct Wrapping {
    /// The last wrapping token, and what was in it.
    last: Mutex<Option<(SecretBytes, SecretBytes)>>,
}

impl Role {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Role::AppRole { .. } => "approle",
            Role::Jwt { kubernetes: true, .. } => "kubernetes",
            Role::Jwt { kubernetes: false, .. } => "jwt",
        }
    }
}

impl Login {
    /// Logs in now, unless the server refused these credentials before.
    pub(super) fn run(&self, session: &Session<'_>) -> Result<Token> {
        let path = format!("auth/{}/login", address::encoded(&self.mount));
        let body = self.role.body(session)?;
        let attempt = session.attempt(&path, self.role.id(), &body, matches!(self.role, Role::AppRole { .. }));
        let token = attempt.in_turn(session.deadline(), || self.send(session, &path, &body, &attempt))?;
        token.ok_or_else(|| {
            let what = format!("{self} waited for too long for another login of this process; try again");
            session.place().error(Status::Timeout, what).with_retryable(true)
        })
    }

    fn send(&self, session: &Session<'_>, path: &str, body: &[u8], attempt: &Attempt) -> Result<Token> {
        if let Some(refusal) = attempt.held(session.is_forced) {
            return Err(session.place().login_refused(self, &refusal));
        }
        let began = Instant::now();
        let answer = session.ask(&Call::post(path).with_body(body))?;
        let place = session.place();
        match (answer.status, answer.told()) {
            (200, _) => {}
            (status, told) if !told.is_error => return Err(place.not_vault(status)),
            (404, told) if told.says("namespace not found") => return Err(place.no_namespace(&answer)),
            (400 | 403, told) if self.role.is_issuer_out_of_reach(&told) => {
                return Err(place.issuer_out_of_reach(self, &answer));
            }
            (status @ (400 | 403), told) => {
                return Err(place.login_refused(self, &attempt.refuse(status, told.quoted())));
            }
            _ => return Err(place.refused(&answer, &self.to_string())),
        }
        attempt.succeed();
        let object = session.object(&answer)?;
        let auth = object.object("auth").ok_or_else(|| session.place().not_vault(answer.status))?;
        let token = auth.secret("client_token").filter(|token| !token.is_empty()).ok_or_else(|| {
            let why = match auth.object("mfa_requirement") {
                Some(_) => "asks for a second factor, which this library cannot give; use a role without one",
                None => "brought no token",
            };
            session.place().error(Status::AccessDenied, format!("{self} {why}"))
        })?;
        let value = printable(token.as_bytes()).map_err(|_| session.place().not_vault(answer.status))?;
        Ok(Token::new(SecretBytes::copy_from(value)?, Some(Life::of(&auth, "lease_duration", began)), None))
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} login at auth/{}", self.role.name(), self.mount)
    }
}

impl Role {
    /// What the server knows the role by.
    fn id(&self) -> &[u8] {
        match self {
            Role::AppRole { role_id, .. } => role_id,
            Role::Jwt { role, .. } => role.as_deref().unwrap_or_default().as_bytes(),
        }
    }

    /// The file that holds what is shown at the login, if one does.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Role::AppRole { secret_id: SecretId::File(path), .. } | Role::Jwt { file: path, .. } => Some(path),
            Role::AppRole { .. } => None,
        }
    }

    fn is_issuer_out_of_reach(&self, told: &Told) -> bool {
        matches!(self, Role::Jwt { .. }) && ISSUER_OUT_OF_REACH.iter().any(|part| told.says(part))
    }

    /// The request's JSON. Files are read each time.
    fn body(&self, session: &Session<'_>) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Role::AppRole { role_id, secret_id, wrapping } => {
                let given = match secret_id {
                    SecretId::None => None,
                    SecretId::Given(secret_id) => Some(secret_id.clone()),
                    SecretId::File(path) => Some(written(path, "secret id")?),
                };
                let secret_id = match (given, wrapping) {
                    (Some(given), Some(wrapping)) => Some(wrapping.open(session, given)?),
                    (given, _) => given,
                };
                Ok(json(&[("role_id", Some(role_id)), ("secret_id", secret_id.as_deref())]))
            }
            Role::Jwt { role, file, .. } => {
                let jwt = written(file, "JWT")?;
                Ok(json(&[("role", role.as_ref().map(String::as_bytes)), ("jwt", Some(&jwt))]))
            }
        }
    }

    /// What to look at where the login is refused.
    pub(super) fn advice(&self) -> String {
        match self {
            Role::AppRole { secret_id: SecretId::None, .. } => {
                "check vault_role_id, and whether the role wants a secret id (vault_secret_id)".to_owned()
            }
            Role::AppRole { secret_id: SecretId::Given(_), .. } => {
                "check vault_role_id and vault_secret_id: a secret id can expire and be used up".to_owned()
            }
            Role::AppRole { secret_id: SecretId::File(path), .. } => {
                format!("check vault_role_id and {}: a secret id can expire and be used up", path.display())
            }
            Role::Jwt { file, .. } => {
                format!("check vault_role and the token in {}: who issued it, for whom, until when", file.display())
            }
        }
    }
}

impl Wrapping {
    /// What is in this wrapping token. The server gives it out once, so it is kept for later logins.
    fn open(&self, session: &Session<'_>, token: SecretBytes) -> Result<SecretBytes> {
        let last = self.last.lock().clone();
        if let Some((known, secret_id)) = last
            && *known == *token
        {
            return Ok(secret_id);
        }
        let path = "sys/wrapping/unwrap";
        let attempt = session.attempt(path, &[], &token, false);
        if let Some(refusal) = attempt.held(session.is_forced) {
            return Err(session.place().unwrapping_refused(&refusal));
        }
        let answer = session.ask(&Call::post(path).with_token(Some(&token)))?;
        match (answer.status, answer.told()) {
            (200, _) => {}
            (status @ (400 | 403), told) if told.is_error => {
                return Err(session.place().unwrapping_refused(&attempt.refuse(status, told.quoted())));
            }
            _ => return Err(session.place().refused(&answer, "unwrapping the secret id")),
        }
        let object = session.object(&answer)?;
        let secret_id = object.object("data").and_then(|data| data.secret("secret_id")).ok_or_else(|| {
            let what = "what is wrapped is not a secret id: wrap the answer of auth/…/role/…/secret-id";
            session.place().error(Status::Config, what)
        })?;
        let secret_id = SecretBytes::copy_from(secret_id.as_bytes())?;
        *self.last.lock() = Some((token, secret_id.clone()));
        Ok(secret_id)
    }
}

/// A JSON object of these texts.
fn json(members: &[(&str, Option<&[u8]>)]) -> Zeroizing<Vec<u8>> {
    // Six bytes are the most that one byte becomes, so the text never moves to a larger place.
    let size = members.iter().map(|(name, text)| name.len() + 6 + text.map_or(0, |text| text.len() * 6)).sum::<usize>();
    let mut json = Zeroizing::new(Vec::with_capacity(size + 2));
    for (name, text) in members {
        let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else { continue };
        let separator = if json.is_empty() { b'{' } else { b',' };
        json.push(separator);
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut *json, name);
        json.push(b':');
        let _ = serde_json::to_writer(&mut *json, text);
    }
    json.push(b'}');
    json
}

/// The text without white space around it, if it is one that can be sent.
pub(super) fn printable(text: &[u8]) -> std::result::Result<&[u8], &'static str> {
    let text = text.trim_ascii();
    match text {
        [] => Err("is empty"),
        text if text.iter().all(u8::is_ascii_graphic) => Ok(text),
        _ => Err("has spaces, line breaks or other characters in it that cannot be part of it"),
    }
}

/// A secret that stands alone in a file, and the state of that file. `what` it is, for the error.
pub(super) fn secret_in(path: &Path, what: &str) -> Result<(SecretBytes, Fingerprint)> {
    let told = |message: &str| format!("the {what} for Vault cannot be read: {message}");
    let contents = files::read(path, MAX_FILE).map_err(|error| error.with_source(Source::Vault).map_message(told))?;
    let text = printable(&contents.bytes)
        .map_err(|what| Origin::File(path.display().to_string()).refuse(what).error.map_message(told))?;
    Ok((SecretBytes::copy_from(text)?, Fingerprint::of(&contents.metadata)))
}

/// A secret that is alone in a file. One that was changed just now is read until it stays the same, so that half of
/// it is not taken for a wrong one.
fn written(path: &Path, what: &str) -> Result<SecretBytes> {
    let mut secret = secret_in(path, what)?.0;
    for _ in 0..5 {
        if !files::is_new(path) {
            break;
        }
        files::settle();
        let again = secret_in(path, what)?.0;
        if *again == *secret {
            break;
        }
        secret = again;
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_whatever_stands_in_it() {
        let body = json(&[("role_id", Some(b"a\"b")), ("secret_id", None), ("jwt", Some("é\\".as_bytes()))]);
        assert_eq!(std::str::from_utf8(&body).unwrap(), r#"{"role_id":"a\"b","jwt":"é\\"}"#);
    }

    #[test]
    fn a_secret_in_a_file_loses_the_white_space_around_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, " s.token\r\n").unwrap();
        assert_eq!(&*secret_in(&path, "token").unwrap().0, b"s.token");
        for text in ["", " \n", "CANARY one", "CANARY\nX-Other: 1", "CANARY\u{7f}", "CANARYé"] {
            std::fs::write(&path, text).unwrap();
            let error = secret_in(&path, "token").unwrap_err();
            assert_eq!((error.status(), error.source_provider()), (Status::Config, Source::Vault));
            assert!(error.message().contains("token") && !error.message().contains("CANARY"), "{error}");
        }
    }
}
