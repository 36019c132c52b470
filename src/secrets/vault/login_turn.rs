//! Logins with one role, one at a time: concurrent logins would all be sent before the first is rejected.
//!
//! With the setting `share`, that holds for all processes of this host, which also share the record of rejected logins.
//! Its slot has a key of the directory, not of the credentials: processes with other credentials of the role count too.

use std::sync::OnceLock;

use super::lockout::{Failure, LoginAttempt};
use crate::clock::{Deadline, Instant};
use crate::error::{Result, Status};
use crate::secrets::shared_login::SharedLogins;
use crate::secrets::single_flight::SingleFlight;
use crate::share::fields::{Reader, Writer};
use crate::share::{Identity, NewRecord, Record, Turn};

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
                outcome = Some(self.in_turn_of_host(deadline, logins, login));
                Ok(())
            },
        );
        match (outcome, turn) {
            (Some(outcome), _) => outcome.map(Some),
            (None, Err(error)) if error.status() == Status::Busy => Ok(None),
            (None, turn) => turn.map(|()| None),
        }
    }

    fn in_turn_of_host<T>(
        &self,
        deadline: Deadline,
        logins: &SharedLogins,
        login: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(slot) = logins.slot(|| Some(self.identity())) else { return login() };
        let learn = |record: Record| {
            self.add_failures(decode(&record)?, record.requested_at);
            None::<()>
        };
        let turn = slot.turn(Some(deadline), learn, |_| false);
        let before = self.failures();
        let result = login();
        let after = self.failures();
        if let Turn::Load(loading) = turn
            && before != after
        {
            loading.publish(encode(&after));
        }
        result
    }

    fn identity(&self) -> Identity {
        let mut identity = Identity::new("vault rejected logins");
        identity.add("role", self.role);
        identity
    }
}

fn encode(failures: &[Failure]) -> Result<NewRecord> {
    let mut fields = Writer::new()?;
    fields.number(failures.len() as u32)?;
    for failure in failures {
        fields.bytes(&failure.credentials)?;
        fields.number(failure.times)?;
        fields.time(failure.last.since_boot())?;
        fields.number(failure.status.into())?;
        fields.bytes(failure.quoted.as_bytes())?;
    }
    let payload = fields.into_buffer();
    Ok(NewRecord { requested_at: Instant::now(), ttl: None, refresh_after: None, payload })
}

fn decode(record: &Record) -> Option<Vec<Failure>> {
    let mut fields = Reader::new(&record.payload);
    let count = fields.number()?;
    let mut failures = Vec::new();
    for _ in 0..count {
        let credentials = fields.bytes()?.try_into().ok()?;
        let (times, last) = (fields.number()?, Instant::after_boot(fields.time()?));
        let (status, quoted) = (fields.number()?.try_into().ok()?, fields.text()?.to_owned());
        failures.push(Failure { credentials, times, last, status, quoted });
    }
    Some(failures)
}
