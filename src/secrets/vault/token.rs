//! The life of a token: got once, renewed at two thirds of its life, replaced when the server refuses it.
//!
//! There is no thread for it: the caller that loads the document renews the token after the document is published, and
//! the document says when the next load is due for it.

use std::time::Duration;

use super::Vault;
use super::auth::Auth;
use super::client::{Call, Session};
use super::life::Life;
use super::login::{Login, secret_in};
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::files::{self, Fingerprint};
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;

/// A new token that the server refuses at once shows that the role lacks a policy; it is not replaced for this long, so
/// that a wrong policy does not fill the server with tokens.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// How long a token may be used of which nobody knows how long it lives; longer each time the server does not say.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// The shortest time until a token that could not be renewed is tried again.
const SOONEST: Duration = Duration::from_secs(1);
/// A token and what is known of it.
#[derive(Clone)]
pub(super) struct Token {
    /// `None` where an agent adds its own.
    pub(super) value: Option<SecretBytes>,
    pub(super) obtained: Instant,
    /// `None`: not known yet.
    life: Option<Life>,
    /// How often the server was asked for it in vain.
    lookups: u32,
    file: Option<Fingerprint>,
    /// Whether its first use was refused.
    refused_at_once: bool,
}

impl Token {
    pub(super) fn new(value: SecretBytes, life: Option<Life>, file: Option<Fingerprint>) -> Token {
        Token { value: Some(value), life, file, ..Token::of_agent() }
    }

    /// None: an agent adds its own.
    fn of_agent() -> Token {
        Token { value: None, obtained: Instant::now(), life: None, lookups: 0, file: None, refused_at_once: false }
    }

    fn is_over(&self) -> bool {
        self.life.is_some_and(|life| life.left(Instant::now()).is_zero())
    }

    /// The time until a load has to see to it; `None` where none can do anything.
    fn due(&self, can_log_in: bool, now: Instant) -> Option<Duration> {
        self.value.as_ref()?;
        let Some(life) = self.life else { return Some(UNKNOWN_FOR.saturating_mul(1 << self.lookups.min(6))) };
        if life.ttl.is_none() || !(life.renewable || can_log_in) {
            return None;
        }
        let due = life.due(now);
        // One that is due is renewed once the document is published; if that fails, there is time for some attempts more.
        Some(if due.is_zero() { (life.left(now) / 4).max(SOONEST) } else { due })
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
        let other = match self.another_token(session, &token, began) {
            Ok(other) => other,
            Err(error) if error.is_authoritative() => return Err(error),
            // The server's word stands, whatever keeps another token away.
            Err(error) => return Err(refused.map_message(|text| format!("{text}; there is no other token: {error}"))),
        };
        let Some(other) = other else {
            self.note_refusal(&token, began);
            return Err(refused);
        };
        let answer = read(&other);
        if answer.as_ref().is_err_and(is_refusal) {
            self.note_refusal(&other, began);
        }
        answer
    }

    /// The token that is known, or a new one.
    pub(super) fn token(&self, session: &Session<'_>) -> Result<Token> {
        let known = self.memory.lock().token.clone();
        match (&self.settings.auth, known) {
            (Auth::TokenFile { path, .. }, known) => {
                let state = std::fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata));
                match known {
                    Some(token) if state.is_some() && token.file == state => Ok(token),
                    // Another program may be writing the file just now; after a refusal it is read again anyway.
                    Some(token) => Ok(self.obtain(session).unwrap_or_else(|error| {
                        log::emit(Level::Warn, "vault", || format!("the earlier token is kept: {error}"));
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
            Auth::Agent => Token::of_agent(),
            Auth::TokenFile { path, .. } => {
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
            // Another program may have been writing the file just now.
            Auth::TokenFile { path, .. } => {
                if files::is_new(path) {
                    files::settle();
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

    /// The time after which the document is to be loaded again for its token.
    pub(super) fn due(&self) -> Option<Duration> {
        self.memory.lock().token.as_ref()?.due(self.can_log_in(), Instant::now())
    }

    /// Renews a token that could expire during a load.
    pub(super) fn rescue_token(&self, deadline: Deadline) {
        let Some(token) = self.memory.lock().token.clone() else { return };
        if let Some(life) = token.life.filter(|life| life.renewable && life.is_ending(Instant::now())) {
            self.renew(&Session::new(self, deadline).hurried(), &token, life);
        }
    }

    /// Looks the token up where nobody knows how long it lives, and renews or replaces it where that is due. The document
    /// is published by now, so nothing of this fails a load.
    pub(super) fn keep_token(&self, deadline: Deadline) {
        let Some(token) = self.memory.lock().token.clone() else { return };
        let began = Instant::now();
        let (Some(value), due) = (&token.value, token.due(self.can_log_in(), began)) else { return };
        if token.life.is_some_and(|life| !life.due(began).is_zero() || due.is_none()) {
            return;
        }
        let session = Session::new(self, deadline).hurried();
        let life = match token.life {
            Some(life) => life,
            None => match self.look_up_token(&session, value) {
                // The next load may come too late.
                Some(life) if due.is_some_and(|due| life.due(began) <= due) => life,
                _ => return,
            },
        };
        let can_wait = life.renewable && self.renew(&session, &token, life);
        if !can_wait
            && self.can_log_in()
            && life.due(began).is_zero()
            && let Err(error) = self.obtain(&session)
        {
            log::emit(Level::Warn, "vault", || format!("there is no new token in time: {error}"));
        }
    }

    /// Asks the server how long the token lives, and remembers it.
    fn look_up_token(&self, session: &Session<'_>, value: &SecretBytes) -> Option<Life> {
        let began = Instant::now();
        let life = match session.look_up(Some(value), |data| Life::of(data, "ttl", began)) {
            Ok(life) => Some(life),
            // It may not look at itself, so it may not renew itself either.
            Err(error) if is_refusal(&error) => Some(Life { from: began, ttl: None, renewable: false }),
            Err(error) => {
                log::emit(Level::Warn, "vault", || format!("how long the token lives is not known: {error}"));
                None
            }
        };
        self.change_token(value, |token| match life {
            Some(life) => token.life = Some(life),
            None => token.lookups += 1,
        });
        life
    }

    /// Renews the token; `false` if the server prolongs it no more.
    fn renew(&self, session: &Session<'_>, token: &Token, life: Life) -> bool {
        let Some(value) = &token.value else { return true };
        let new = match renew(session, value) {
            Ok(Some(new)) => life.renewed(new),
            Ok(None) => Life { renewable: false, ..life },
            // The next load tries again.
            Err(error) => {
                log::emit(Level::Warn, "vault", || format!("the token is not renewed: {error}"));
                return true;
            }
        };
        self.change_token(value, |token| token.life = Some(new));
        new.renewable
    }

    /// Changes what is known of the token, unless it was replaced.
    fn change_token(&self, value: &SecretBytes, change: impl FnOnce(&mut Token)) {
        if let Some(known) = &mut self.memory.lock().token
            && known.value.as_deref() == Some(&**value)
        {
            change(known);
        }
    }
}

/// The life after a renewal; `None` if the server prolongs this token no more.
fn renew(session: &Session<'_>, token: &SecretBytes) -> Result<Option<Life>> {
    let began = Instant::now();
    let answer = session.ask_once(&Call::post("auth/token/renew-self").with_token(Some(token)))?;
    let told = answer.told();
    match answer.status {
        200 => {
            let object = session.object(&answer)?;
            let auth = object.object("auth").ok_or_else(|| session.place().not_vault(answer.status))?;
            log::emit(Level::Info, "vault", || "renewed the token".to_owned());
            Ok(Some(Life::of(&auth, "lease_duration", began)))
        }
        status if told.is_error && (matches!(status, 400 | 403) || told.says("max TTL")) => {
            let why = told.quoted();
            log::emit(Level::Warn, "vault", || format!("the server does not renew the token any more{why}"));
            Ok(None)
        }
        429 | 500.. => Err(session.place().unavailable(&answer)),
        _ => Err(session.place().refused(&answer, "renewing the token")),
    }
}

/// Whether a token, or what it may do, was refused by the server itself.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.status() == Status::AccessDenied && error.detail() == 403 && error.is_authoritative()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn token(life: Option<Life>) -> Token {
        Token::new(SecretBytes::copy_from(b"t").unwrap(), life, None)
    }

    #[test]
    fn a_token_is_due_at_two_thirds_of_its_life() {
        let start = Instant::now();
        for seconds in [9, 30, 300, 480, 3600, 32 * 86_400] {
            let ttl = seconds * SECOND;
            let life = Life { from: start, ttl: Some(ttl), renewable: true };
            let due = |age: Duration| token(Some(life)).due(false, start.after(age));
            assert_eq!((due(Duration::ZERO), due(ttl / 3)), (Some(ttl / 3 * 2), Some(ttl / 3)), "{seconds}");
            // One that is due is tried again some times before it ends.
            assert_eq!(due(ttl / 3 * 2), Some((ttl / 12).max(SOONEST)), "{seconds}");
            assert_eq!(due(ttl), Some(SOONEST), "{seconds}");
        }
    }

    #[test]
    fn only_a_token_that_can_be_renewed_or_replaced_is_due() {
        let now = Instant::now();
        let fixed = token(Some(Life { from: now, ttl: Some(60 * SECOND), renewable: false }));
        assert_eq!((fixed.due(false, now), fixed.due(true, now)), (None, Some(40 * SECOND)));
        let root = token(Some(Life { from: now, ttl: None, renewable: false }));
        assert_eq!((root.due(true, now), Token::of_agent().due(false, now)), (None, None));
        let mut unknown = token(None);
        assert_eq!(unknown.due(false, now), Some(UNKNOWN_FOR));
        unknown.lookups = 99;
        assert_eq!(unknown.due(false, now), Some(UNKNOWN_FOR * 64));
    }
}
