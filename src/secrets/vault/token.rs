//! The token: obtained once, renewed before two thirds of its TTL are over, replaced when the server denies it.
//!
//! There is no thread for this. The caller that loads the document renews the token after the document is published,
//! and the document says when the token needs the next load.

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;

use super::auth::Auth;
use super::client::{Call, Session};
use super::errors::is_denial;
use super::lifetime::Lifetime;
use super::login::{self, UnwrappedSecretId};
use super::secret_file;
use super::settings::Settings;
use crate::clock::Instant;
use crate::error::Result;
use crate::files::Fingerprint;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;

/// How long a new token that the server denies at once is not replaced: the role lacks a policy, and each login would
/// leave another token at the server.
const DENIED_LOGIN_DELAY: Duration = Duration::from_secs(60);
/// How long a token of unknown TTL is used before it is looked up again; longer after each failed lookup.
const LOOKUP_DELAY: Duration = Duration::from_secs(5);
/// The shortest time until a failed renewal is repeated.
const MIN_RENEWAL_DELAY: Duration = Duration::from_secs(1);

/// A token, and what is known about it.
#[derive(Clone)]
pub(super) struct Token {
    /// `None` if an agent adds its own.
    pub(super) value: Option<SecretBytes>,
    obtained: Instant,
    /// `None` if it is not known yet.
    lifetime: Option<Lifetime>,
    failed_lookups: u32,
    /// The file that it was read from, in the state at that time.
    file: Option<Fingerprint>,
    /// Whether the server denied its first use.
    denied_at_once: bool,
}

impl Token {
    fn new(value: SecretBytes, lifetime: Option<Lifetime>, file: Option<Fingerprint>) -> Token {
        Token { value: Some(value), lifetime, file, ..Token::of_agent() }
    }

    /// No token: an agent adds its own.
    fn of_agent() -> Token {
        Token {
            value: None,
            obtained: Instant::now(),
            lifetime: None,
            failed_lookups: 0,
            file: None,
            denied_at_once: false,
        }
    }

    fn has_expired(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| lifetime.remaining(Instant::now()).is_zero())
    }

    /// The time until the token needs a load; `None` if no load can renew or replace it.
    fn until_load(&self, can_log_in: bool, now: Instant) -> Option<Duration> {
        self.value.as_ref()?;
        let Some(lifetime) = self.lifetime else {
            return Some(LOOKUP_DELAY.saturating_mul(1 << self.failed_lookups.min(6)));
        };
        if lifetime.ttl.is_none() || !(lifetime.renewable || can_log_in) {
            return None;
        }
        let until_renewal = lifetime.until_renewal(now);
        // A token that is due is renewed after the document is published. If that fails, there is time for some more
        // attempts.
        Some(if until_renewal.is_zero() { (lifetime.remaining(now) / 4).max(MIN_RENEWAL_DELAY) } else { until_renewal })
    }
}

/// The current token of a source. Its lock is never held over a request.
#[derive(Default)]
pub(super) struct TokenStore {
    token: Mutex<Option<Token>>,
    unwrapped: UnwrappedSecretId,
}

impl TokenStore {
    pub(super) fn is_empty(&self) -> bool {
        self.token.lock().is_none()
    }

    /// Calls `read` with a token. If the server denies it, calls `read` once more with another token, if there is one.
    pub(super) fn with_token<T>(
        &self,
        session: &Session<'_>,
        read: impl Fn(Option<&SecretBytes>) -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let token = self.get(session)?;
        let denial = match read(token.value.as_ref()) {
            Err(error) if is_denial(&error) => error,
            other => return other,
        };
        let other = match self.another(session, &token, began) {
            Ok(other) => other,
            Err(error) if error.is_authoritative() => return Err(error),
            // The server has denied the request, whatever the reason that there is no other token.
            Err(error) => {
                return Err(denial.map_message(|text| format!("{text}; no other token is available: {error}")));
            }
        };
        let Some(other) = other else {
            self.record_denial(&token, began);
            return Err(denial);
        };
        let result = read(other.value.as_ref());
        if result.as_ref().is_err_and(is_denial) {
            self.record_denial(&other, began);
        }
        result
    }

    /// The current token, or a new one.
    pub(super) fn get(&self, session: &Session<'_>) -> Result<Token> {
        let current = self.token.lock().clone();
        match (&session.settings().auth, current) {
            (Auth::TokenFile { path, .. }, Some(token)) => {
                let file = fingerprint(path);
                if file.is_some() && token.file == file {
                    return Ok(token);
                }
                // The file may be half written. If the server denies the earlier token, the file is read again.
                Ok(self.obtain(session).unwrap_or_else(|error| {
                    log::emit(Level::Warn, "vault", || format!("the earlier token is kept: {error}"));
                    token
                }))
            }
            (auth, Some(token)) if !token.has_expired() || !can_log_in(auth) => Ok(token),
            _ => self.obtain(session),
        }
    }

    /// Obtains a new token and stores it.
    fn obtain(&self, session: &Session<'_>) -> Result<Token> {
        let token = match &session.settings().auth {
            Auth::Token(value) => Token::new(value.clone(), None, None),
            Auth::Agent => Token::of_agent(),
            Auth::TokenFile { path, .. } => from_file(path, secret_file::read(path, "token"))?,
            Auth::Login(login) => {
                let (value, lifetime) = login::log_in(login, session, &self.unwrapped)?;
                log::emit(Level::Info, "vault", || format!("{login} succeeded"));
                Token::new(value, Some(lifetime), None)
            }
        };
        Ok(self.store(token))
    }

    fn store(&self, token: Token) -> Token {
        *self.token.lock() = Some(token.clone());
        token
    }

    /// Another token than the one that the server denied, if one can be obtained.
    fn another(&self, session: &Session<'_>, denied: &Token, began: Instant) -> Result<Option<Token>> {
        match &session.settings().auth {
            Auth::Token(_) | Auth::Agent => Ok(None),
            Auth::TokenFile { path, .. } => {
                let read = secret_file::read_settled(path, "token", session.deadline());
                let token = self.store(from_file(path, read)?);
                Ok((token.value.as_deref() != denied.value.as_deref()).then_some(token))
            }
            Auth::Login(_) => {
                let is_known = denied.denied_at_once && denied.obtained.elapsed() < DENIED_LOGIN_DELAY;
                if denied.obtained >= began || is_known { Ok(None) } else { self.obtain(session).map(Some) }
            }
        }
    }

    fn record_denial(&self, token: &Token, began: Instant) {
        if token.obtained >= began
            && let Some(current) = &mut *self.token.lock()
        {
            current.denied_at_once = true;
        }
    }

    /// The time until the document should be loaded again for the token.
    pub(super) fn until_load(&self, settings: &Settings) -> Option<Duration> {
        self.token.lock().as_ref()?.until_load(can_log_in(&settings.auth), Instant::now())
    }

    /// Renews a token that could expire during the load.
    pub(super) fn renew_if_expiring(&self, session: &Session<'_>) {
        let Some(token) = self.token.lock().clone() else { return };
        if let Some(lifetime) =
            token.lifetime.filter(|lifetime| lifetime.renewable && lifetime.is_expiring(Instant::now()))
        {
            self.renew(&session.best_effort(), &token, lifetime);
        }
    }

    /// Looks up a token of unknown TTL, and renews or replaces a token that is due. Called after the document is
    /// published, so no failure of this fails a load.
    pub(super) fn renew_token_if_due(&self, session: &Session<'_>) {
        let Some(token) = self.token.lock().clone() else { return };
        let (began, can_log_in) = (Instant::now(), can_log_in(&session.settings().auth));
        let (Some(value), until_load) = (&token.value, token.until_load(can_log_in, began)) else { return };
        if token.lifetime.is_some_and(|lifetime| !lifetime.until_renewal(began).is_zero() || until_load.is_none()) {
            return;
        }
        let session = session.best_effort();
        let lifetime = match token.lifetime {
            Some(lifetime) => lifetime,
            None => match self.look_up(&session, value) {
                // The next load may come too late.
                Some(lifetime) if until_load.is_some_and(|until| lifetime.until_renewal(began) <= until) => lifetime,
                _ => return,
            },
        };
        let can_wait = lifetime.renewable && self.renew(&session, &token, lifetime);
        if !can_wait
            && can_log_in
            && lifetime.until_renewal(began).is_zero()
            && let Err(error) = self.obtain(&session)
        {
            log::emit(Level::Warn, "vault", || format!("no new token before the old one expires: {error}"));
        }
    }

    /// Asks the server for the lifetime of the token, and stores it.
    fn look_up(&self, session: &Session<'_>, value: &SecretBytes) -> Option<Lifetime> {
        let began = Instant::now();
        let lifetime = match session.look_up_token(Some(value), |data| Lifetime::parse(data, "ttl", began)) {
            Ok(lifetime) => Some(lifetime),
            // A token without the right to look itself up has no right to renew itself either.
            Err(error) if is_denial(&error) => Some(Lifetime::new(began, None, false)),
            Err(error) => {
                log::emit(Level::Warn, "vault", || format!("cannot look up the TTL of the token: {error}"));
                None
            }
        };
        self.update(value, |token| match lifetime {
            Some(lifetime) => token.lifetime = Some(lifetime),
            None => token.failed_lookups += 1,
        });
        lifetime
    }

    /// Renews the token; `false` if the server does not extend it any more.
    fn renew(&self, session: &Session<'_>, token: &Token, lifetime: Lifetime) -> bool {
        let Some(value) = &token.value else { return true };
        let new = match renew(session, value) {
            Ok(Some(new)) => lifetime.renewed(new),
            Ok(None) => Lifetime { renewable: false, ..lifetime },
            // The next load tries again.
            Err(error) => {
                log::emit(Level::Warn, "vault", || format!("cannot renew the token: {error}"));
                return true;
            }
        };
        self.update(value, |token| token.lifetime = Some(new));
        new.renewable
    }

    /// Updates the current token, unless another has replaced it.
    fn update(&self, value: &SecretBytes, update: impl FnOnce(&mut Token)) {
        if let Some(current) = &mut *self.token.lock()
            && current.value.as_deref() == Some(&**value)
        {
            update(current);
        }
    }
}

pub(super) fn can_log_in(auth: &Auth) -> bool {
    matches!(auth, Auth::Login(_))
}

/// The state of a file; `None` if there is no such file.
pub(super) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    std::fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata))
}

fn from_file(path: &Path, read: Result<(SecretBytes, Fingerprint)>) -> Result<Token> {
    let (value, file) = read?;
    log::emit(Level::Info, "vault", || format!("read the token in {}", path.display()));
    Ok(Token::new(value, None, Some(file)))
}

/// The lifetime after a renewal; `None` if the server does not extend this token any more.
fn renew(session: &Session<'_>, token: &SecretBytes) -> Result<Option<Lifetime>> {
    let began = Instant::now();
    let response = session.send_once(&Call::post("auth/token/renew-self").with_token(Some(token)))?;
    let messages = response.messages();
    match response.status {
        200 => {
            let object = session.object(&response)?;
            let auth = object.object("auth").ok_or_else(|| session.errors().not_vault(response.status))?;
            log::emit(Level::Info, "vault", || "renewed the token".to_owned());
            Ok(Some(Lifetime::parse(&auth, "lease_duration", began)))
        }
        status if messages.is_vault_error && (matches!(status, 400 | 403) || messages.contain("max TTL")) => {
            let why = messages.quoted();
            log::emit(Level::Warn, "vault", || format!("the server no longer renews the token{why}"));
            Ok(None)
        }
        429 | 500.. => Err(session.errors().unavailable(&response)),
        _ => Err(session.errors().rejected(&response, "renewing the token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::tests::with_random;

    const SECOND: Duration = Duration::from_secs(1);

    fn token(lifetime: Option<Lifetime>) -> Token {
        Token::new(SecretBytes::copy_from(b"t").unwrap(), lifetime, None)
    }

    #[test]
    fn token_is_due_at_two_thirds_of_its_ttl() {
        let start = Instant::now();
        for seconds in [9, 30, 300, 480, 3600, 32 * 86_400] {
            let ttl = seconds * SECOND;
            let lifetime = with_random(0.0, || Lifetime::new(start, Some(ttl), true));
            let until_load = |age: Duration| token(Some(lifetime)).until_load(false, start.after(age));
            assert_eq!(
                (until_load(Duration::ZERO), until_load(ttl / 3)),
                (Some(ttl / 3 * 2), Some(ttl / 3)),
                "{seconds}"
            );
            // A due token is tried some more times before it expires.
            assert_eq!(until_load(ttl / 3 * 2), Some((ttl / 12).max(MIN_RENEWAL_DELAY)), "{seconds}");
            assert_eq!(until_load(ttl), Some(MIN_RENEWAL_DELAY), "{seconds}");
        }
    }

    #[test]
    fn token_is_due_only_if_it_can_be_renewed_or_replaced() {
        let now = Instant::now();
        let fixed = token(Some(with_random(0.0, || Lifetime::new(now, Some(60 * SECOND), false))));
        assert_eq!((fixed.until_load(false, now), fixed.until_load(true, now)), (None, Some(40 * SECOND)));
        let root = token(Some(Lifetime::new(now, None, false)));
        assert_eq!((root.until_load(true, now), Token::of_agent().until_load(false, now)), (None, None));
        let mut unknown = token(None);
        assert_eq!(unknown.until_load(false, now), Some(LOOKUP_DELAY));
        unknown.failed_lookups = 99;
        assert_eq!(unknown.until_load(false, now), Some(LOOKUP_DELAY * 64));
    }
}
