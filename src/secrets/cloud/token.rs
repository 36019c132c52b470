//! Access tokens: each is used until shortly before its end, and one caller at a time logs in.

use std::time::Duration;

use zeroize::Zeroizing;

use super::session::Session;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::fork_safe::Mutex;
use crate::secret_memory::SecretBytes;
use crate::secrets::shared_login::{LoginRequest, LoginResult, SharedLogins};
use crate::secrets::single_flight::SingleFlight;
use crate::share::fields::{FieldReader, FieldWriter};
use crate::share::{Identity, NewRecord, SharedDocument};

/// A token is replaced when less than a tenth of its lifetime is left, at most this.
const LONGEST_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Tokens that are kept. There is one for each identity and audience.
const MAX_TOKENS: usize = 16;

/// An access token.
#[derive(Clone)]
pub(in crate::secrets) struct AccessToken {
    pub(in crate::secrets) value: SecretBytes,
    /// When it was requested.
    at: Instant,
    lifetime: Duration,
}

impl AccessToken {
    pub(in crate::secrets) fn new(value: SecretBytes, at: Instant, lifetime: Duration) -> AccessToken {
        AccessToken { value, at, lifetime }
    }

    /// A token whose end is not known here.
    pub(in crate::secrets) fn lasting(value: SecretBytes) -> AccessToken {
        AccessToken::new(value, Instant::now(), Duration::MAX)
    }

    /// The header with the token.
    pub(in crate::secrets) fn header(&self) -> Result<(&'static str, Zeroizing<String>)> {
        let text = std::str::from_utf8(&self.value).map_err(|_| Error::new(Status::Protocol, "a token is not text"))?;
        Ok(("Authorization", Zeroizing::new(format!("Bearer {text}"))))
    }

    fn is_fresh(&self) -> bool {
        let left = self.lifetime.saturating_sub(self.at.elapsed());
        left > (self.lifetime / 10).min(LONGEST_MARGIN)
    }
}

impl LoginResult for AccessToken {
    const NAME: &'static str = "access tokens";

    fn encode(&self) -> Result<NewRecord> {
        let mut fields = FieldWriter::new()?;
        fields.bytes(&self.value)?;
        Ok(NewRecord {
            requested_at: self.at,
            ttl: Some(self.lifetime),
            refresh_after: None,
            payload: fields.into_buffer(),
        })
    }

    fn decode(record: &SharedDocument) -> Option<AccessToken> {
        let value = SecretBytes::copy_from(FieldReader::new(&record.payload).bytes()?).ok()?;
        Some(AccessToken { value, at: record.requested_at, lifetime: record.ttl? })
    }
}

/// The tokens of a manager.
pub(in crate::secrets) struct TokenCache {
    tokens: Mutex<Vec<(Identity, AccessToken)>>,
    flights: SingleFlight<AccessToken>,
    logins: SharedLogins,
}

impl TokenCache {
    pub(super) fn new(logins: SharedLogins) -> Result<TokenCache> {
        Ok(TokenCache { tokens: Mutex::default(), flights: SingleFlight::new()?, logins })
    }

    /// Returns the token of this identity while it is valid, else that of another process, else the one that `log_in`
    /// returns. `rejected` is a token that the server does not accept.
    pub(in crate::secrets) fn get(
        &self,
        session: &Session<'_>,
        identify: &dyn Fn() -> Result<Identity>,
        rejected: Option<&AccessToken>,
        log_in: &dyn Fn() -> Result<AccessToken>,
    ) -> Result<AccessToken> {
        let identity = identify()?;
        let accepts = |token: &AccessToken| {
            token.is_fresh() && rejected.is_none_or(|rejected| rejected.value[..] != token.value[..])
        };
        let of_identity = |entry: &&(Identity, AccessToken)| entry.0 == identity;
        let cached = self.tokens.lock().iter().find(of_identity).map(|(_, token)| token.clone());
        if let Some(token) = cached.filter(|token| accepts(token)) {
            return Ok(token);
        }
        let token = self.flights.run(identity.id().as_bytes(), session.deadline, accepts, || {
            let shared = self.logins.open(|| identify().ok());
            let request = LoginRequest {
                deadline: session.deadline,
                forced: session.is_refresh,
                replaces: rejected.is_some(),
                accepts: &accepts,
            };
            shared.obtain(&request, log_in)
        })?;
        let mut tokens = self.tokens.lock();
        tokens.retain(|(other, _)| *other != identity);
        tokens.truncate(MAX_TOKENS - 1);
        tokens.insert(0, (identity, token.clone()));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_replaced_shortly_before_its_end() {
        let seconds = Duration::from_secs;
        let now = Instant::now();
        for (lifetime, age, is_fresh) in [
            (60, 50, true),
            (60, 55, false),
            (3600, 3200, true),
            (3600, 3310, false),
            (86_400, 86_000, true),
            (0, 0, false),
        ] {
            let token =
                AccessToken::new(SecretBytes::copy_from(b"t").unwrap(), now.before(seconds(age)), seconds(lifetime));
            assert_eq!(token.is_fresh(), is_fresh, "{lifetime} after {age}");
        }
    }
}
