//! Logins that the server refused: what was refused is remembered, so that it is not sent again and again.
//!
//! Vault and OpenBao count the failed logins of an AppRole until none has failed for 15 minutes, and lock the role for
//! every client at the fifth. So the same credentials are sent once more at most, when a refresh asks for it, and after
//! four refusals of one role nothing is sent for it until the server has forgotten them. Other methods are not locked;
//! there the same credentials are sent again after some minutes.
//!
//! This is remembered for the whole process, however many managers it opens, and as keyed hashes alone.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::clock::{Deadline, Instant};
use crate::error::{Result, Status};
use crate::secret_memory::wipe_stack;
use crate::secrets::single_flight::SingleFlight;

/// After this time without a failure the server counts from 0 again; its own default is 15 minutes.
const QUIET: Duration = Duration::from_secs(16 * 60);
/// How many failures of one role there may be; the fifth locks it.
const MOST_OF_ROLE: u32 = 4;
/// How often the same credentials are sent.
const MOST_OF_ONE: u32 = 2;
/// How long a refresh has to wait after a refusal.
const REPEAT: Duration = Duration::from_secs(60);
/// How long until the same credentials are sent again where nothing is locked.
const REPEAT_UNLOCKED: Duration = Duration::from_secs(8 * 60);
/// How many roles, and refused credentials of each, are remembered.
const MOST_ROLES: usize = 64;
const MOST_FAILURES: usize = 8;

type Hash = [u8; 32];

static REFUSED: Mutex<Refused> = Mutex::new(Refused { roles: Vec::new() });

/// A login that may be refused.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    role: Hash,
    credentials: Hash,
    /// Whether the server locks the role after some failures.
    locks: bool,
}

/// What the server said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Its words, as a part of one sentence.
    pub(super) quoted: String,
    /// How long ago that was.
    pub(super) age: Duration,
    /// How long it is not repeated.
    pub(super) wait: Duration,
    pub(super) hold: Hold,
    /// Whether these very credentials were refused, not others of the same role.
    pub(super) is_own: bool,
}

/// What is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// A login with the same credentials, unless a refresh asks for it.
    UnlessRefreshed,
    /// A login with the same credentials.
    Credentials,
    /// Any login of this role.
    Role,
}

impl Attempt {
    /// A login of this role, given with its server and method, with these credentials.
    pub(super) fn new(role: &[&[u8]], credentials: &[u8], locks: bool) -> Attempt {
        Attempt { role: hash(role), credentials: hash(&[credentials]), locks }
    }

    /// The refusal because of which this is not sent now. `forced` sends it once more, a minute after the first time.
    pub(super) fn held(&self, forced: bool) -> Option<Refusal> {
        REFUSED.lock().held(self, forced, Instant::now())
    }

    /// Runs `login` while no other thread of this process is in one of this role: several that begin at once would all
    /// be sent before the first is refused.
    pub(super) fn in_turn<T>(&self, deadline: Deadline, login: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
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
                outcome = Some(login());
                Ok(())
            },
        );
        match (outcome, turn) {
            (Some(outcome), _) => outcome.map(Some),
            (None, Err(error)) if error.status() == Status::Busy => Ok(None),
            (None, turn) => turn.map(|()| None),
        }
    }

    /// Remembers that it was refused.
    pub(super) fn refuse(&self, status: u16, quoted: String) -> Refusal {
        let (mut refused, now) = (REFUSED.lock(), Instant::now());
        refused.note(self, status, &quoted, now);
        let (age, wait, hold) = (Duration::ZERO, Duration::ZERO, Hold::Credentials);
        let is_own = true;
        refused.held(self, false, now).unwrap_or(Refusal { status, quoted, age, wait, hold, is_own })
    }

    /// Remembers that it succeeded, after which the server counts from 0 again.
    pub(super) fn succeed(&self) {
        REFUSED.lock().roles.retain(|role| role.role != self.role);
    }
}

#[derive(Default)]
struct Refused {
    roles: Vec<Role>,
}

/// The failures of one role, the latest last, since the server counted from 0.
struct Role {
    role: Hash,
    failures: Vec<Failure>,
}

struct Failure {
    credentials: Hash,
    times: u32,
    last: Instant,
    status: u16,
    quoted: String,
}

impl Role {
    fn age(&self, now: Instant) -> Duration {
        self.failures.last().map_or(Duration::MAX, |failure| now.since(failure.last))
    }
}

impl Refused {
    fn held(&mut self, attempt: &Attempt, forced: bool, now: Instant) -> Option<Refusal> {
        self.roles.retain(|role| role.age(now) < QUIET);
        let role = self.roles.iter().find(|role| role.role == attempt.role)?;
        let same = role.failures.iter().find(|failure| failure.credentials == attempt.credentials);
        let is_full = role.failures.iter().map(|failure| failure.times).sum::<u32>() >= MOST_OF_ROLE;
        let (quiet, is_own) = (QUIET.saturating_sub(role.age(now)), same.is_some());
        let (failure, wait, hold) = match same {
            _ if attempt.locks && is_full => (same.or(role.failures.last())?, quiet, Hold::Role),
            None => return None,
            Some(same) => {
                let (age, may_repeat) = (now.since(same.last), same.times < MOST_OF_ONE);
                if forced && may_repeat && age >= REPEAT {
                    return None;
                }
                let wait = if attempt.locks { quiet } else { REPEAT_UNLOCKED.saturating_sub(age) };
                (same, wait, if may_repeat { Hold::UnlessRefreshed } else { Hold::Credentials })
            }
        };
        let (status, quoted, age) = (failure.status, failure.quoted.clone(), now.since(failure.last));
        (!wait.is_zero()).then_some(Refusal { status, quoted, age, wait, hold, is_own })
    }

    fn note(&mut self, attempt: &Attempt, status: u16, quoted: &str, now: Instant) {
        let at = self.roles.iter().position(|role| role.role == attempt.role);
        let mut role = at.map_or_else(|| Role { role: attempt.role, failures: Vec::new() }, |at| self.roles.remove(at));
        let same = role.failures.iter().position(|failure| failure.credentials == attempt.credentials);
        let times = same.map_or(0, |at| role.failures.remove(at).times);
        let (credentials, quoted) = (attempt.credentials, quoted.to_owned());
        role.failures.push(Failure { credentials, times: times + 1, last: now, status, quoted });
        drop_oldest(&mut role.failures, MOST_FAILURES);
        self.roles.push(role);
        drop_oldest(&mut self.roles, MOST_ROLES);
    }
}

fn drop_oldest<T>(list: &mut Vec<T>, most: usize) {
    list.drain(..list.len().saturating_sub(most));
}

/// A hash under a key that this process alone has, so that it says nothing of what was hashed.
fn hash(parts: &[&[u8]]) -> Hash {
    static KEY: OnceLock<Hash> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = Hash::default();
        // Without random numbers it is a plain hash.
        let _ = getrandom::fill(&mut key);
        key
    });
    let mut hash = Sha256::new_with_prefix(key);
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let hash = hash.finalize().into();
    wipe_stack();
    hash
}

/// A time for people: `40 s`, `16 min`.
pub(super) struct Rough(pub(super) Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64().ceil();
        if seconds < 120.0 { write!(f, "{seconds} s") } else { write!(f, "{} min", (seconds / 60.0).ceil()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn attempt(credentials: &str, locks: bool) -> Attempt {
        Attempt::new(&[b"http://vault", b"role"], credentials.as_bytes(), locks)
    }

    /// Sends at each of these times whatever may be sent, all of it refused; the times at which something was.
    fn sent(attempts: impl Iterator<Item = (Duration, Attempt)>, forced: bool) -> Vec<Duration> {
        let (mut refused, start) = (Refused::default(), Instant::now());
        let mut sent = Vec::new();
        for (time, attempt) in attempts {
            let now = start.after(time);
            if refused.held(&attempt, forced, now).is_none() {
                refused.note(&attempt, 400, "", now);
                sent.push(time);
            }
        }
        sent
    }

    fn each_second_for(time: Duration) -> impl Iterator<Item = Duration> {
        (0..time.as_secs()).map(Duration::from_secs)
    }

    /// How many failures the server has counted at most, if it begins again after 15 minutes without one.
    fn most_counted(sent: &[Duration]) -> usize {
        let (mut most, mut count) = (0, 0);
        for (at, time) in sent.iter().enumerate() {
            let goes_on = at > 0 && *time - sent[at - 1] <= 15 * MINUTE;
            count = if goes_on { count + 1 } else { 1 };
            most = most.max(count);
        }
        most
    }

    #[test]
    fn the_same_credentials_are_sent_once_and_once_more_by_a_refresh() {
        let day = || each_second_for(1440 * MINUTE).map(|time| (time, attempt("bad", true)));
        let usual = sent(day(), false);
        assert_eq!(usual[..3], [Duration::ZERO, 16 * MINUTE, 32 * MINUTE]);
        assert_eq!(most_counted(&usual), 1);
        let forced = sent(day(), true);
        assert_eq!(forced[..4], [Duration::ZERO, MINUTE, 17 * MINUTE, 18 * MINUTE]);
        assert_eq!(most_counted(&forced), 2);
    }

    #[test]
    fn a_role_is_never_locked_whatever_is_tried() {
        for forced in [false, true] {
            let new = |time: Duration| (time, attempt(&time.as_secs().to_string(), true));
            let all = sent(each_second_for(600 * MINUTE).map(new), forced);
            assert_eq!(all[..5], [Duration::ZERO, SECOND, 2 * SECOND, 3 * SECOND, 3 * SECOND + 16 * MINUTE]);
            assert_eq!(most_counted(&all), 4);
            let slowly = |time: Duration| (time, attempt(&(time.as_secs() / 400).to_string(), true));
            assert!(most_counted(&sent(each_second_for(600 * MINUTE).map(slowly), forced)) <= 4);
        }
    }

    #[test]
    fn what_is_not_locked_is_sent_again_after_some_minutes() {
        let hour = |forced| sent(each_second_for(60 * MINUTE).map(|time| (time, attempt("bad", false))), forced);
        assert_eq!(hour(false)[..3], [Duration::ZERO, 8 * MINUTE, 16 * MINUTE]);
        assert_eq!(hour(true)[..3], [Duration::ZERO, MINUTE, 9 * MINUTE]);
        let new = |time: Duration| (time, attempt(&time.as_secs().to_string(), false));
        assert_eq!(sent(each_second_for(MINUTE).map(new), false).len(), 60);
    }

    #[test]
    fn a_refusal_is_that_of_its_server_role_and_credentials() {
        let mut refused = Refused::default();
        let now = Instant::now();
        refused.note(&attempt("bad", true), 400, " (it says: no)", now);
        let held = |refused: &mut Refused| refused.held(&attempt("bad", true), false, now.after(MINUTE)).unwrap();
        let quoted = " (it says: no)".to_owned();
        let (hold, is_own) = (Hold::UnlessRefreshed, true);
        assert_eq!(held(&mut refused), Refusal { status: 400, quoted, age: MINUTE, wait: 15 * MINUTE, hold, is_own });
        refused.note(&attempt("bad", true), 400, "", now);
        assert_eq!(held(&mut refused).hold, Hold::Credentials);
        assert!(refused.held(&attempt("good", true), false, now).is_none());
        for role in [&[b"http://other", &b"role"[..]][..], &[b"http://vault", b"another"], &[b"http://vaultrole"]] {
            assert!(refused.held(&Attempt::new(role, b"bad", true), false, now).is_none());
        }
        refused.note(&attempt("worse", true), 400, "", now);
        assert!(refused.held(&attempt("good", true), false, now).is_none());
        refused.note(&attempt("worst", true), 400, "", now);
        let later = now.after(15 * MINUTE);
        let mut of_role = |credentials| {
            let refusal = refused.held(&attempt(credentials, true), true, later).unwrap();
            (refusal.hold, refusal.is_own)
        };
        assert_eq!((of_role("bad"), of_role("good")), ((Hold::Role, true), (Hold::Role, false)));
    }

    #[test]
    fn a_success_ends_it_and_only_so_many_are_remembered() {
        let unique = Attempt::new(&[b"a role of this test"], b"bad", true);
        assert!(unique.held(true).is_none());
        assert_eq!(unique.refuse(403, String::new()).wait.as_secs_f64().ceil(), 960.0);
        assert_eq!(unique.held(false).unwrap().status, 403);
        unique.succeed();
        assert!(unique.held(false).is_none());
        let (mut refused, now) = (Refused::default(), Instant::now());
        for number in 0..1000_u32 {
            let role = (number % 100).to_le_bytes();
            refused.note(&Attempt::new(&[&role], &number.to_le_bytes(), false), 400, "", now);
        }
        assert_eq!(refused.roles.len(), MOST_ROLES);
        assert!(refused.roles.iter().all(|role| role.failures.len() <= MOST_FAILURES));
    }

    #[test]
    fn times_are_rough() {
        for (seconds, text) in [(0.2, "1 s"), (59.5, "60 s"), (120.0, "2 min"), (959.9, "16 min")] {
            assert_eq!(Rough(Duration::from_secs_f64(seconds)).to_string(), text);
        }
    }
}
