//! The current token: obtained once, renewed when it is due, replaced when the server denies it.
//!
//! There is no thread for this. The caller that loads the document renews the token after the document is published,
//! and the document says when the token needs the next load.

use std::path::Path;
use std::time::Duration;

use super::auth::{VaultAuth, VaultLogin};
use super::client::VaultSession;
use super::errors::is_denial;
use super::lifetime::Lifetime;
use super::login::{self, UnwrappedSecretId};
use super::secret_file;
use super::settings::VaultSettings;
use super::token::VaultToken;
use crate::clock::Instant;
use crate::error::Result;
use crate::files::Fingerprint;
use crate::fork_safe::Mutex;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::secrets::shared_login::{LoginRequest, SharedLogin, SharedLogins};

/// How long a new token that the server denies at once is not replaced: the role lacks a policy, and each login would
/// leave another token at the server.
const DENIED_LOGIN_DELAY: Duration = Duration::from_secs(60);

/// The current token of a source. Its lock is never held over a request. A token that was obtained by a login is shared
/// with other processes of this host.
pub(super) struct TokenStore {
    token: Mutex<Option<VaultToken>>,
    unwrapped: UnwrappedSecretId,
    logins: SharedLogins,
}

impl TokenStore {
    pub(super) fn new(logins: SharedLogins) -> TokenStore {
        TokenStore { token: Mutex::default(), unwrapped: UnwrappedSecretId::default(), logins }
    }

    /// The login of all processes of this host.
    fn shared(&self, session: &VaultSession<'_>) -> SharedLogin {
        let settings = session.settings();
        let is_login = can_log_in(&settings.auth);
        // The login has the same failure, and returns it.
        self.logins.open(|| if is_login { settings.login_identity("vault token").ok() } else { None })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.token.lock().is_none()
    }

    /// Calls `read` with a token. If the server denies it, calls `read` once more with another token, if there is one.
    pub(super) fn with_token<T>(
        &self,
        session: &VaultSession<'_>,
        mut read: impl FnMut(Option<&SecretBytes>) -> Result<T>,
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
            self.record_denial(session, &token, began);
            return Err(denial);
        };
        let result = read(other.value.as_ref());
        if result.as_ref().is_err_and(is_denial) {
            self.record_denial(session, &other, began);
        }
        result
    }

    /// The current token, or a new one.
    pub(super) fn get(&self, session: &VaultSession<'_>) -> Result<VaultToken> {
        let current = self.token.lock().clone();
        match (&session.settings().auth, current) {
            (VaultAuth::TokenFile { path, .. }, Some(token)) => {
                let file = fingerprint(path);
                if file.is_some() && token.file == file {
                    return Ok(token);
                }
                // The file may be half written. If the server denies the earlier token, the file is read again.
                Ok(self.obtain(session, None).unwrap_or_else(|error| {
                    log::emit(Level::Warn, "vault", || format!("the earlier token is kept: {error}"));
                    token
                }))
            }
            (auth, Some(token)) if !token.has_expired() || !can_log_in(auth) => Ok(token),
            _ => self.obtain(session, None),
        }
    }

    /// Obtains another token than the one that the server denied, and stores it.
    fn obtain(&self, session: &VaultSession<'_>, denied: Option<&VaultToken>) -> Result<VaultToken> {
        let token = match &session.settings().auth {
            VaultAuth::Token(value) => VaultToken::new(value.clone(), None, None),
            VaultAuth::Agent => VaultToken::of_agent(),
            VaultAuth::TokenFile { path, .. } => from_file(path, secret_file::read(path, "token"))?,
            VaultAuth::Login(login) => {
                let replaces =
                    |old: &VaultToken, token: &VaultToken| !token.is_same(old) && token.obtained >= old.obtained;
                let accepts =
                    |token: &VaultToken| token.is_usable() && denied.is_none_or(|denied| replaces(denied, token));
                return self.log_in(login, session, denied.is_some(), &accepts);
            }
        };
        Ok(self.store(token))
    }

    /// Logs in, or takes the token with which another process has done so, if `accepts` agrees.
    fn log_in(
        &self,
        login: &VaultLogin,
        session: &VaultSession<'_>,
        replaces: bool,
        accepts: &dyn Fn(&VaultToken) -> bool,
    ) -> Result<VaultToken> {
        let request = LoginRequest { deadline: session.deadline(), forced: session.is_refresh(), replaces, accepts };
        let token = self.shared(session).obtain(&request, || {
            let (value, lifetime) = login::log_in(login, session, &self.unwrapped, &self.logins)?;
            log::emit(Level::Info, "vault", || format!("{login} succeeded"));
            Ok(VaultToken::new(value, Some(lifetime), None))
        })?;
        Ok(self.store(token))
    }

    fn store(&self, token: VaultToken) -> VaultToken {
        *self.token.lock() = Some(token.clone());
        token
    }

    /// Another token than the one that the server denied, if one can be obtained.
    fn another(&self, session: &VaultSession<'_>, denied: &VaultToken, began: Instant) -> Result<Option<VaultToken>> {
        match &session.settings().auth {
            VaultAuth::Token(_) | VaultAuth::Agent => Ok(None),
            VaultAuth::TokenFile { path, .. } => {
                let read = secret_file::read_settled(path, session.deadline(), |path| secret_file::read(path, "token"));
                let token = self.store(from_file(path, read)?);
                Ok((token.value.as_deref() != denied.value.as_deref()).then_some(token))
            }
            VaultAuth::Login(_) => {
                let is_known = denied.denied_at_once && denied.obtained.elapsed() < DENIED_LOGIN_DELAY;
                if denied.obtained >= began || is_known {
                    Ok(None)
                } else {
                    self.obtain(session, Some(denied)).map(Some)
                }
            }
        }
    }

    /// Records that a token is denied which was obtained for this request.
    fn record_denial(&self, session: &VaultSession<'_>, token: &VaultToken, began: Instant) {
        if token.obtained < began {
            return;
        }
        let denied = VaultToken { denied_at_once: true, ..token.clone() };
        self.replace(token, denied.clone());
        let accepts = |other: &VaultToken| !other.is_same(token);
        // Without it, each process would log in once more.
        let _ = self.shared(session).try_obtain(&update_request(session, &accepts), || Ok(Some(denied)));
    }

    /// The time until the current token expires; `None` if it does not, or if that is not known.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let lifetime = self.token.lock().as_ref()?.lifetime?;
        lifetime.ttl.map(|_| lifetime.remaining(Instant::now()))
    }

    /// The time until the document should be loaded again for the token.
    pub(super) fn until_load(&self, settings: &VaultSettings) -> Option<Duration> {
        self.token.lock().as_ref()?.until_load(can_log_in(&settings.auth), Instant::now())
    }

    /// Renews a token that could expire during the load.
    pub(super) fn renew_if_expiring(&self, session: &VaultSession<'_>) {
        let Some(token) = self.token.lock().clone() else { return };
        if token.is_renewable() && !token.has_expired() && !token.is_usable() {
            self.renew(&session.best_effort(), &token);
        }
    }

    /// Looks up a token of unknown TTL, and renews or replaces a token that is due. Called after the document is
    /// published, so no failure of this fails a load.
    pub(super) fn renew_token_if_due(&self, session: &VaultSession<'_>) {
        let Some(token) = self.token.lock().clone() else { return };
        let (began, can_log_in) = (Instant::now(), can_log_in(&session.settings().auth));
        let (Some(value), until_load) = (&token.value, token.until_load(can_log_in, began)) else { return };
        if token.lifetime.is_some_and(|lifetime| !lifetime.until_renewal(began).is_zero() || until_load.is_none()) {
            return;
        }
        let session = session.best_effort();
        let token = match token.lifetime {
            Some(_) => token,
            None => match self.look_up(&session, value) {
                // The next load may come too late.
                Some(lifetime) if until_load.is_some_and(|until| lifetime.until_renewal(began) <= until) => {
                    VaultToken { lifetime: Some(lifetime), ..token }
                }
                _ => return,
            },
        };
        let can_wait = token.is_renewable() && self.renew(&session, &token);
        if let VaultAuth::Login(login) = &session.settings().auth
            && !can_wait
            && token.is_due()
            && let Err(error) = self.log_in(login, &session, false, &|other| !other.is_due())
        {
            log::emit(Level::Warn, "vault", || format!("no new token before the old one expires: {error}"));
        }
    }

    /// Looks up the lifetime of the token, and stores it.
    fn look_up(&self, session: &VaultSession<'_>, value: &SecretBytes) -> Option<Lifetime> {
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
        self.update(Some(value), |token| match lifetime {
            Some(lifetime) => token.lifetime = Some(lifetime),
            None => token.failed_lookups += 1,
        });
        lifetime
    }

    /// Renews the token, unless another process has done so, or does so now; `false` if the server no longer
    /// extends it.
    fn renew(&self, session: &VaultSession<'_>, token: &VaultToken) -> bool {
        let accepts = |other: &VaultToken| !other.is_due() || (other.is_same(token) && !other.is_renewable());
        let renewed =
            self.shared(session).try_obtain(&update_request(session, &accepts), || Ok(token.renewed(session)));
        let Ok(Some(renewed)) = renewed else { return true };
        let can_wait = renewed.is_renewable() || !renewed.is_due();
        self.replace(token, renewed);
        can_wait
    }

    /// Replaces the current token, unless another call has done so.
    fn replace(&self, old: &VaultToken, new: VaultToken) {
        self.update(old.value.as_ref(), |token| *token = new);
    }

    /// Updates the current token, unless another has replaced it.
    fn update(&self, value: Option<&SecretBytes>, update: impl FnOnce(&mut VaultToken)) {
        if let Some(current) = &mut *self.token.lock()
            && current.value.as_deref() == value.map(|value| &**value)
        {
            update(current);
        }
    }
}

pub(super) fn can_log_in(auth: &VaultAuth) -> bool {
    matches!(auth, VaultAuth::Login(_))
}

/// The state of a file; `None` if there is no such file.
pub(super) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    std::fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata))
}

fn from_file(path: &Path, read: Result<(SecretBytes, Fingerprint)>) -> Result<VaultToken> {
    let (value, file) = read?;
    log::emit(Level::Info, "vault", || format!("read the token in {}", path.display()));
    Ok(VaultToken::new(value, None, Some(file)))
}

/// A change of the token in the share, which is not repeated if it is not made now.
fn update_request<'a>(
    session: &VaultSession<'_>,
    accepts: &'a dyn Fn(&VaultToken) -> bool,
) -> LoginRequest<'a, VaultToken> {
    LoginRequest { deadline: session.deadline(), forced: true, replaces: false, accepts }
}
