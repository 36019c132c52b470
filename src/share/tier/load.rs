//! The load of one document, of which the tier has a copy.

use std::time::Duration;

use super::super::fields::{duration, nanoseconds};
use super::super::sealed::{self, DocumentHeader, KeyMaterial, SealedKind};
use super::{CLOCK_TOLERANCE, LONGEST_LIFETIME, TierDocument, TierResult, TierSession, hex, now_ms};
use crate::error::Result;
use crate::secret_memory::{SecretBuffer, SecretBytes};

/// The load of one document.
pub(crate) struct TierLoad {
    session: TierSession,
    key: SecretBytes,
    list: Vec<u8>,
    id: String,
    token: String,
    /// The revision before the source is queried.
    revision: u64,
    owns: bool,
    /// That of the document which is published.
    sequence: u64,
}

impl TierLoad {
    pub(super) fn new(session: TierSession, key: SecretBytes, list: Vec<u8>, id: String) -> TierLoad {
        TierLoad { session, key, list, id, token: token(), revision: 0, owns: false, sequence: 0 }
    }

    /// Looks for the document. `sequence` is the highest that was used: an earlier document is not accepted.
    pub(crate) fn fetch(&mut self, sequence: u64) -> Option<TierResult> {
        let (id, floor) = (self.id.clone(), self.session.floor());
        let fetched = self.session.run(|session| session.fetch(&id, floor)).ok()?;
        self.session.follow(fetched.revision);
        self.revision = fetched.revision;
        self.sequence = now_ms().max(sequence + 1);
        let document = fetched.document.and_then(|(file, left)| opened(&file, left, &self.key_source()));
        if let Some(document) = &document {
            self.sequence = self.sequence.max(document.sequence + 1);
        }
        let seen = self.session.page.tier_revision();
        let is_valid = |document: &TierDocument| document.revision >= seen && document.sequence >= sequence;
        Some(TierResult { document: document.filter(is_valid), is_loading: fetched.is_loading })
    }

    fn key_source(&self) -> KeyMaterial<'_> {
        KeyMaterial { material: &self.key, identity: &self.list }
    }

    /// Called right before the source is queried: of two loads, the one that begins later has the higher number.
    pub(crate) fn begin(&mut self) {
        self.sequence = self.sequence.max(now_ms());
    }

    /// Whether this load is the only one of the cluster for some seconds; `None` if the tier fails.
    pub(crate) fn try_lead(&mut self) -> Option<bool> {
        let (id, token) = (self.id.clone(), self.token.clone());
        self.owns = self.session.run(|session| session.try_lead(&id, &token)).ok()?;
        Some(self.owns)
    }

    /// Takes the lead of the cluster for some seconds, or keeps the one of this name. Returns its name; `None` if
    /// another host has it, or the tier fails.
    pub(crate) fn lead(mut self, earlier: Option<&str>) -> Option<String> {
        match earlier {
            Some(earlier) => {
                let (id, earlier) = (self.id.clone(), earlier.to_owned());
                self.session.run(|session| session.release(&id, &earlier, None)).ok()?;
            }
            // Without a write, which most hosts would make in vain.
            None if self.fetch(0)?.is_loading => return None,
            None => {}
        }
        self.try_lead()?.then(|| self.token.clone())
    }

    /// Publishes a document, which was requested this long ago, unless a later one is there. Returns its number.
    pub(crate) fn publish(
        mut self,
        payload: Result<SecretBuffer>,
        age: Duration,
        ttl: Option<Duration>,
        lifetime: Duration,
    ) -> Option<u64> {
        let lifetime = lifetime.min(LONGEST_LIFETIME);
        let header = header((self.revision, self.sequence), (age, ttl), lifetime);
        let sealed = payload.and_then(|payload| sealed::seal(&header, payload, &self.key_source()));
        let Ok(file) = sealed else {
            self.release(false);
            return None;
        };
        let (id, token) = (self.id.clone(), self.token.clone());
        let published = self.session.run(|session| session.publish(&id, &token, &file, lifetime));
        published.ok().map(|()| self.sequence)
    }

    /// Ends the load without a document; `remove`: there is no longer one.
    pub(crate) fn release(mut self, remove: bool) {
        if (self.owns || remove) && !self.session.page.is_tier_resting() {
            let (id, token) = (self.id.clone(), self.token.clone());
            let remove = remove.then_some((self.revision, self.sequence));
            // Otherwise the lead ends by itself.
            let _ = self.session.run(|session| session.release(&id, &token, remove));
        }
    }
}

/// Opens what the tier has, and for how much longer.
pub(super) fn opened(file: &[u8], left: Duration, source: &KeyMaterial<'_>) -> Option<TierDocument> {
    let mut buffer = SecretBuffer::with_capacity(file.len()).ok()?;
    buffer.push(file).ok()?;
    let (header, payload) = sealed::open(SealedKind::Tier, buffer, source)?;
    let (lifetime, age) = (number(&header.boot[..8]), number(&header.boot[8..]));
    let in_tier = Duration::from_millis(lifetime).saturating_sub(left);
    // An old document that was put back has a new time in the tier.
    let by_clock = Duration::from_millis(now_ms().saturating_sub(header.requested_at));
    let age = in_tier.saturating_add(Duration::from_nanos(age)).max(by_clock.saturating_sub(CLOCK_TOLERANCE));
    let (ttl, sequence, revision) = (duration(header.ttl), header.requested_at, header.revision);
    Some(TierDocument { age, ttl, payload, sequence, revision })
}

/// The header of what is published: the revision and number, the age and the time to live, and the time in the tier.
pub(super) fn header(
    (revision, sequence): (u64, u64),
    (age, ttl): (Duration, Option<Duration>),
    lifetime: Duration,
) -> DocumentHeader {
    let mut boot = [0; 16];
    boot[..8].copy_from_slice(&(lifetime.as_millis() as u64).to_le_bytes());
    boot[8..].copy_from_slice(&(age.as_nanos() as u64).to_le_bytes());
    DocumentHeader {
        kind: SealedKind::Tier,
        revision,
        requested_at: sequence,
        ttl: nanoseconds(ttl),
        refresh_after: nanoseconds(None),
        boot,
    }
}

fn token() -> String {
    let mut bytes = [0; 16];
    // Without random bytes nothing can be encrypted either.
    let _ = getrandom::fill(&mut bytes);
    hex(&bytes)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}
