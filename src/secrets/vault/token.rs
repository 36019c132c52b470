//! A token, and when it is renewed: before two thirds of its TTL are over.

use std::time::Duration;

use super::client::{VaultCall, VaultSession};
use super::lifetime::Lifetime;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::files::Fingerprint;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::secrets::shared_login::LoginResult;
use crate::share::fields::{FieldReader, FieldWriter};
use crate::share::{NewRecord, SharedDocument};

/// How long a token of unknown TTL is used before it is looked up again; longer after each failed lookup.
const LOOKUP_DELAY: Duration = Duration::from_secs(5);
/// The shortest time until a failed renewal is repeated.
const MIN_RENEWAL_DELAY: Duration = Duration::from_secs(1);

/// A token, and what is known about it.
#[derive(Clone)]
pub(super) struct VaultToken {
    /// `None` if an agent adds its own.
    pub(super) value: Option<SecretBytes>,
    pub(super) obtained: Instant,
    /// `None` if it is not known yet.
    pub(super) lifetime: Option<Lifetime>,
    pub(super) failed_lookups: u32,
    /// The file that it was read from, in the state at that time.
    pub(super) file: Option<Fingerprint>,
    /// Whether the server denied its first use.
    pub(super) denied_at_once: bool,
}

impl VaultToken {
    pub(super) fn new(value: SecretBytes, lifetime: Option<Lifetime>, file: Option<Fingerprint>) -> VaultToken {
        VaultToken { value: Some(value), lifetime, file, ..VaultToken::of_agent() }
    }

    /// No token: an agent adds its own.
    pub(super) fn of_agent() -> VaultToken {
        VaultToken {
            value: None,
            obtained: Instant::now(),
            lifetime: None,
            failed_lookups: 0,
            file: None,
            denied_at_once: false,
        }
    }

    pub(super) fn has_expired(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| lifetime.remaining(Instant::now()).is_zero())
    }

    /// Whether the token is good for a load that begins now.
    pub(super) fn is_usable(&self) -> bool {
        let now = Instant::now();
        self.lifetime.is_none_or(|lifetime| !lifetime.remaining(now).is_zero() && !lifetime.is_expiring(now))
    }

    /// Whether it is time to renew or replace the token.
    pub(super) fn is_due(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| lifetime.until_renewal(Instant::now()).is_zero())
    }

    pub(super) fn is_renewable(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| lifetime.renewable)
    }

    pub(super) fn is_same(&self, other: &VaultToken) -> bool {
        self.value.as_deref() == other.value.as_deref()
    }

    /// Renews the token. The result is not renewable if the server no longer extends it; `None` if there was no answer.
    pub(super) fn renewed(&self, session: &VaultSession<'_>) -> Option<VaultToken> {
        let (value, lifetime) = (self.value.as_ref()?, self.lifetime?);
        let new = match renew(session, value) {
            Ok(Some(new)) => lifetime.renewed(new),
            Ok(None) => Lifetime { renewable: false, ..lifetime },
            // The next load tries again.
            Err(error) => {
                log::emit(Level::Warn, "vault", || format!("cannot renew the token: {error}"));
                return None;
            }
        };
        Some(VaultToken { lifetime: Some(new), ..self.clone() })
    }

    /// The time until the token needs a load; `None` if no load can renew or replace it.
    pub(super) fn until_load(&self, can_log_in: bool, now: Instant) -> Option<Duration> {
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

impl LoginResult for VaultToken {
    const NAME: &'static str = "a token of Vault";

    fn encode(&self) -> Result<NewRecord> {
        let (Some(value), Some(lifetime)) = (&self.value, self.lifetime) else {
            return Err(Error::new(Status::Config, "a token without a TTL is not shared"));
        };
        let mut fields = FieldWriter::new()?;
        fields.bytes(value)?;
        fields.time(self.obtained.since_boot())?;
        fields.number(u32::from(lifetime.renewable))?;
        fields.number(u32::from(self.denied_at_once))?;
        let Lifetime { start: requested_at, ttl, renew_at, .. } = lifetime;
        Ok(NewRecord { requested_at, ttl, refresh_after: Some(renew_at), payload: fields.into_buffer() })
    }

    fn decode(record: &SharedDocument) -> Option<VaultToken> {
        let mut fields = FieldReader::new(&record.payload);
        let value = SecretBytes::copy_from(fields.bytes()?).ok()?;
        let obtained = Instant::after_boot(fields.time()?);
        let renewable = fields.number()? != 0;
        let renew_at = record.refresh_after.unwrap_or(Duration::MAX);
        let lifetime = Lifetime { start: record.requested_at, ttl: record.ttl, renewable, renew_at };
        let denied_at_once = fields.number()? != 0;
        Some(VaultToken { obtained, denied_at_once, ..VaultToken::new(value, Some(lifetime), None) })
    }
}

/// The lifetime after a renewal; `None` if the server no longer extends this token.
fn renew(session: &VaultSession<'_>, token: &SecretBytes) -> Result<Option<Lifetime>> {
    let began = Instant::now();
    let response = session.send_once(&VaultCall::post("auth/token/renew-self").with_token(Some(token)))?;
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

    fn token(lifetime: Option<Lifetime>) -> VaultToken {
        VaultToken::new(SecretBytes::copy_from(b"t").unwrap(), lifetime, None)
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
        assert_eq!((root.until_load(true, now), VaultToken::of_agent().until_load(false, now)), (None, None));
        let mut unknown = token(None);
        assert_eq!(unknown.until_load(false, now), Some(LOOKUP_DELAY));
        unknown.failed_lookups = 99;
        assert_eq!(unknown.until_load(false, now), Some(LOOKUP_DELAY * 64));
    }
}
