//! The life of a token: had once, renewed at two thirds of its life, replaced when the server refuses it.
//!
//! There is no thread for it: whoever loads the document sees to it, after the document is there.

use std::thread;
use std::time::Duration;

use super::Vault;
use super::answer::Object;
use super::auth::Auth;
use super::client::{Call, Session};
use super::login::{Login, secret_in};
use crate::bytes::SecretBytes;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::files::{self, Fingerprint};
use crate::fork;
use crate::log::{self, Level};

/// A new token that the server refuses at once shows that the role lacks a policy; it is not replaced for this long, so
/// that a wrong policy does not fill the server with tokens.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// A token that was given may be a short program's: how long it lives is asked for once it has been in use this long.
const LOOKUP_AFTER: Duration = Duration::from_secs(10);

/// For how long a writer that does not rename may need for a file.
const HALF_WRITTEN: Duration = Duration::from_millis(20);

/// A token and what is known of it.
#[derive(Clone)]
pub(super) struct Token {
    /// `None` where an agent adds its own.
    pub(super) value: Option<SecretBytes>,
    pub(super) obtained: Instant,
    /// `None`: nobody has asked yet.
    life: Option<Life>,
    file: Option<Fingerprint>,
    /// Whether its first use was refused.
    refused_at_once: bool,
}

/// How long a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    from: Instant,
    /// `None` is for ever, as for root tokens.
    ttl: Option<Duration>,
    renewable: bool,
}

impl Life {
    /// The life that an answer gives under this name, in seconds; 0 is for ever.
    pub(super) fn of(object: &Object<'_>, name: &str, from: Instant) -> Life {
        let ttl = object.number(name).filter(|ttl| *ttl > 0).map(Duration::from_secs);
        Life { from, ttl, renewable: object.flag("renewable") }
    }

    fn is_due(&self) -> bool {
        self.ttl.is_some_and(|ttl| self.from.elapsed() >= ttl / 3 * 2)
    }

    fn is_over(&self) -> bool {
        self.ttl.is_some_and(|ttl| self.from.elapsed() >= ttl)
    }
}

impl Token {
    pub(super) fn new(value: SecretBytes, life: Option<Life>, file: Option<Fingerprint>) -> Token {
        Token { value: Some(value), obtained: Instant::now(), life, file, refused_at_once: false }
    }

    fn is_over(&self) -> bool {
        self.life.is_some_and(|life| life.is_over())
    }
}

impl Vault {
    /// Calls `read` with a token, and once more with another if the server refuses the first and there is another.
    pub(super) fn with_token<T>(&self, session: &Session<'_>, read: impl Fn(&Token) -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let token = self.token(session)?;
        let refused = match read(&token) {
            Err(error) if is_refusal(&error) => error,
            other => return other,
        };
        let Some(other) = self.another_token(session, &token, began)? else {
            self.note_refusal(&token, began);
            return Err(refused);
        };
        let answer = read(&other);
        if answer.as_ref().is_err_and(is_refusal) {
            self.note_refusal(&other, began);
        }
        answer
    }

    /// The token at hand, or a new one.
    pub(super) fn token(&self, session: &Session<'_>) -> Result<Token> {
        let known = self.memory.lock().token.clone();
        match (&self.settings.auth, known) {
            (Auth::TokenFile(path), known) => {
                let state = std::fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata));
                match known {
                    Some(token) if state.is_some() && token.file == state => Ok(token),
                    // Whoever replaces the file may be at it just now; a token that is refused is read anew anyway.
                    Some(token) => Ok(self.obtain(session).unwrap_or_else(|error| {
                        log::emit(Level::Warn, "vault", || format!("the token at hand is kept: {error}"));
                        token
                    })),
                    None => self.obtain(session),
                }
            }
            (_, Some(token)) if !token.is_over() || !self.can_log_in() => Ok(token),
            _ => self.obtain(session),
        }
    }

    pub(super) fn can_log_in(&self) -> bool {
        matches!(self.settings.auth, Auth::Login(_))
    }

    /// A new token, which is remembered.
    fn obtain(&self, session: &Session<'_>) -> Result<Token> {
        let token = match &self.settings.auth {
            Auth::Token(value) => Token::new(value.clone(), None, None),
            Auth::Agent => {
                Token { value: None, obtained: Instant::now(), life: None, file: None, refused_at_once: false }
            }
            Auth::TokenFile(path) => {
                let (value, state) = secret_in(path, "token")?;
                log::emit(Level::Info, "vault", || format!("read the token in {}", path.display()));
                Token::new(value, None, Some(state))
            }
            Auth::Login(login) => self.log_in(session, login)?,
        };
        self.memory.lock().token = Some(token.clone());
        Ok(token)
    }

    fn log_in(&self, session: &Session<'_>, login: &Login) -> Result<Token> {
        let token = login.run(session)?;
        log::emit(Level::Info, "vault", || format!("{login} succeeded"));
        Ok(token)
    }

    /// A token that may do better than the one that was refused.
    fn another_token(&self, session: &Session<'_>, refused: &Token, began: Instant) -> Result<Option<Token>> {
        match &self.settings.auth {
            Auth::Token(_) | Auth::Agent => Ok(None),
            // Whoever replaces the file may have been at it just now.
            Auth::TokenFile(path) => {
                if files::is_new(path) {
                    fork::outside(|| thread::sleep(HALF_WRITTEN));
                }
                let token = self.obtain(session)?;
                Ok((token.value.as_deref() != refused.value.as_deref()).then_some(token))
            }
            Auth::Login(_) => {
                let is_known = refused.refused_at_once && refused.obtained.elapsed() < REFUSED_FOR;
                if refused.obtained >= began || is_known { Ok(None) } else { self.obtain(session).map(Some) }
            }
        }
    }

    fn note_refusal(&self, token: &Token, began: Instant) {
        if token.obtained >= began
            && let Some(known) = &mut self.memory.lock().token
        {
            known.refused_at_once = true;
        }
    }

    /// Renews the token where that is due. The document is there by now, so nothing of this fails the load.
    pub(super) fn keep_token(&self, session: &Session<'_>) {
        let Some(token) = self.memory.lock().token.clone() else { return };
        let (Some(value), began) = (&token.value, Instant::now()) else { return };
        let renewed = match token.life {
            None if token.obtained.elapsed() < LOOKUP_AFTER => return,
            None => session.look_up(Some(value), |data| Life::of(data, "ttl", began)),
            Some(life) if !life.is_due() => return,
            Some(life) if life.renewable => renew(session, value, began),
            Some(_) if self.can_log_in() => {
                if let Err(error) = self.obtain(session) {
                    log::emit(Level::Warn, "vault", || format!("no new token in time: {error}"));
                }
                return;
            }
            Some(_) => return,
        };
        if let Err(error) = &renewed {
            log::emit(Level::Warn, "vault", || format!("the token is not renewed: {error}"));
        }
        let life = match (renewed, token.life) {
            (Ok(life), _) => life,
            // Tried again by the next load.
            (Err(error), _) if error.is_retryable() => return,
            (Err(_), life) => {
                Life { renewable: false, ..life.unwrap_or(Life { from: began, ttl: None, renewable: false }) }
            }
        };
        if let Some(known) = &mut self.memory.lock().token
            && known.value.as_deref() == Some(&**value)
        {
            known.life = Some(life);
        }
    }
}

fn renew(session: &Session<'_>, token: &SecretBytes, began: Instant) -> Result<Life> {
    let answer = session.ask(&Call::post("auth/token/renew-self").with_token(Some(token)))?;
    if answer.status != 200 {
        return Err(session.place().refused(&answer, "renewing the token"));
    }
    let object = session.object(&answer)?;
    let auth = object.object("auth").ok_or_else(|| session.place().not_vault(answer.status))?;
    log::emit(Level::Info, "vault", || "renewed the token".to_owned());
    Ok(Life::of(&auth, "lease_duration", began))
}

/// Whether a token, or what it may do, was refused by the server itself.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.status() == Status::AccessDenied && error.detail() == 403
}
