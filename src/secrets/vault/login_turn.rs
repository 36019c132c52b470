//! Logins with one role, one at a time: concurrent logins would all be sent before the first is rejected.
//!
//! With the setting `share`, that holds for all processes of this host, which also share the record of rejected logins.
//! Its slot has a key of the directory, not of the credentials: processes with other credentials of the role count too.

use std::sync::OnceLock;

use super::lockout::{LoginAttempt, RejectedLogin};
use crate::clock::{Deadline, Instant};
use crate::error::{Result, Status};
use crate::secret_memory::SecretBuffer;
use crate::secrets::shared_login::SharedLogins;
use crate::secrets::single_flight::SingleFlight;
use crate::share::fields::{FieldReader, FieldWriter};
use crate::share::{Identity, NewRecord, SharedDocument, Turn};

impl LoginAttempt {
    /// Runs `login` while no other thread of the process logs in with this role, nor another process that shares its
    /// logins. Returns `None` if the deadline passes before its turn.
    pub(super) fn in_turn<T>(
        &self,
        deadline: Deadline,
        logins: &SharedLogins,
        login: impl FnOnce() -> Result<T>,
    ) -> Result<Option<T>> {
        static TURNS: OnceLock<SingleFlight<()>> = OnceLock::new();
        let turns = match TURNS.get() {
            Some(turns) => turns,
            None => {
                let new = SingleFlight::new()?;
                TURNS.get_or_init(|| new)
            }
        };
        let mut outcome = None;
        let turn = turns.run(
            &self.role,
            deadline,
            |()| false,
            || {
                outcome = self.in_turn_of_host(deadline, logins, login);
                Ok(())
            },
        );
        match (outcome, turn) {
            (Some(outcome), _) => outcome.map(Some),
            (None, Err(error)) if error.status() != Status::Busy => Err(error),
            (None, _) => Ok(None),
        }
    }

    fn in_turn_of_host<T>(
        &self,
        deadline: Deadline,
        logins: &SharedLogins,
        login: impl FnOnce() -> Result<T>,
    ) -> Option<Result<T>> {
        let Some(slot) = logins.slot(|| Some(self.identity())) else { return Some(login()) };
        let learn = |record: SharedDocument| {
            self.add_failures(decode(&record.payload)?, record.requested_at);
            None::<()>
        };
        let loading = match slot.turn(Some(deadline), learn, |_| false) {
            Turn::Busy => return None,
            Turn::Load(loading) => Some(loading),
            _ => None,
        };
        let before = self.failures();
        let result = login();
        let after = self.failures();
        if let Some(loading) = loading.filter(|_| before != after) {
            let payload = encode(&after);
            let requested_at = Instant::now();
            loading.publish(payload.map(|payload| NewRecord { requested_at, ttl: None, refresh_after: None, payload }));
        }
        Some(result)
    }

    fn identity(&self) -> Identity {
        let mut identity = Identity::new("vault rejected logins");
        identity.add("role", self.role);
        identity
    }
}

fn encode(failures: &[RejectedLogin]) -> Result<SecretBuffer> {
    let mut fields = FieldWriter::new()?;
    fields.number(failures.len() as u32)?;
    for failure in failures {
        fields.bytes(&failure.credentials)?;
        fields.number(failure.times)?;
        fields.time(failure.last.since_boot())?;
        fields.number(failure.status.into())?;
        fields.bytes(failure.quoted.as_bytes())?;
    }
    Ok(fields.into_buffer())
}

fn decode(bytes: &[u8]) -> Option<Vec<RejectedLogin>> {
    let mut fields = FieldReader::new(bytes);
    let count = fields.number()?;
    let mut failures = Vec::new();
    for _ in 0..count {
        let credentials = fields.bytes()?.try_into().ok()?;
        let (times, last) = (fields.number()?, Instant::after_boot(fields.time()?));
        let (status, quoted) = (fields.number()?.try_into().ok()?, fields.text()?.to_owned());
        failures.push(RejectedLogin { credentials, times, last, status, quoted });
    }
    Some(failures)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn record_is_decoded_as_it_was_encoded() {
        let last = Instant::after_boot(Duration::from_secs(7));
        let failure = |credentials, quoted: &str| {
            let (times, status, quoted) = (2, 403, quoted.to_owned());
            RejectedLogin { credentials, times, last, status, quoted }
        };
        let failures = vec![failure([1; 32], ""), failure([2; 32], " (the server says: é)")];
        let bytes = encode(&failures).unwrap();
        assert!(decode(&bytes).unwrap() == failures);
        assert!(decode(&encode(&[]).unwrap()).unwrap().is_empty());
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_none(), "{len}");
        }
    }
}
