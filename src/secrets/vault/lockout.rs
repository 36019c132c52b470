//! Rejected logins, which are remembered so that the server does not lock the role.
//!
//! Vault and OpenBao count the failed logins of an AppRole until none has failed for 15 minutes, and lock the role for
//! every client at the fifth. So the same credentials are sent at most once more, by a refresh, and after four
//! rejections of a role nothing is sent for it until the server has reset its count. Other methods have no lockout;
//! their credentials are sent again after some minutes.
//!
//! The record is that of the process, whatever the number of managers, or of the host; see [`super::login_turn`]. It
//! consists of hashes.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::Instant;
use crate::fork_safe::Mutex;
use crate::secret_memory::wipe_stack;

/// Time without a failure after which the server has reset its count; its default is 15 minutes.
const COUNT_RESET: Duration = Duration::from_secs(16 * 60);
/// The most failures of one role; the fifth locks it.
const MAX_ROLE_FAILURES: u32 = 4;
/// How often the same credentials are sent.
const MAX_SENDS: u32 = 2;
/// Time after a rejection from which on a refresh may send the same credentials again.
const REFRESH_DELAY: Duration = Duration::from_secs(60);
/// Time after which the same credentials are sent again if the method has no lockout.
const NO_LOCKOUT_DELAY: Duration = Duration::from_secs(8 * 60);
/// The most roles that are remembered, and rejected credentials of each.
const MAX_ROLES: usize = 64;
const MAX_CREDENTIALS: usize = 8;

pub(super) type CredentialHash = [u8; 32];

static REJECTED_LOGINS: Mutex<RejectedLogins> = Mutex::new(RejectedLogins { roles: Vec::new() });

/// A login that the server may reject.
#[derive(Clone, Copy)]
pub(super) struct LoginAttempt {
    /// Also identifies the server and the method.
    pub(super) role: CredentialHash,
    credentials: CredentialHash,
    /// Whether the server locks the role after some failures.
    has_lockout: bool,
}

/// A rejected login, and why and how long it is not sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) status: u16,
    /// The server's messages, in a form to append to a sentence.
    pub(super) quoted: String,
    /// The time since the rejection.
    pub(super) age: Duration,
    /// The time until it may be sent again.
    pub(super) wait: Duration,
    pub(super) block: Block,
    /// Whether these credentials were rejected, not others of the same role.
    pub(super) is_own: bool,
}

/// What is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// The same credentials, except by a refresh.
    CredentialsUnlessRefreshed,
    /// The same credentials.
    Credentials,
    /// Any credentials of the role.
    Role,
}

impl LoginAttempt {
    /// A login with these credentials. `role` also identifies the server and the method.
    pub(super) fn new(role: &[&[u8]], credentials: &[u8], has_lockout: bool) -> LoginAttempt {
        LoginAttempt { role: hash(role), credentials: hash(&[credentials]), has_lockout }
    }

    /// The earlier rejection because of which the login must not be sent now. A refresh may send it once more, a minute
    /// after the first time.
    pub(super) fn blocked_by(&self, is_refresh: bool) -> Option<Rejection> {
        REJECTED_LOGINS.lock().blocked_by(self, is_refresh, Instant::now())
    }

    /// Records that the server rejected it.
    pub(super) fn record_rejection(&self, status: u16, quoted: String) -> Rejection {
        let (mut rejected, now) = (REJECTED_LOGINS.lock(), Instant::now());
        rejected.record(self, status, &quoted, now);
        let (age, wait, block) = (Duration::ZERO, Duration::ZERO, Block::Credentials);
        let is_own = true;
        rejected.blocked_by(self, false, now).unwrap_or(Rejection { status, quoted, age, wait, block, is_own })
    }

    /// Returns the rejections of its role.
    pub(super) fn failures(&self) -> Vec<RejectedLogin> {
        let rejected = REJECTED_LOGINS.lock();
        let role = rejected.roles.iter().find(|role| role.role == self.role);
        role.map(|role| role.failures.clone()).unwrap_or_default()
    }

    /// Adds those that other processes had recorded at this time. If there are none, a login has succeeded.
    pub(super) fn add_failures(&self, failures: Vec<RejectedLogin>, time: Instant) {
        REJECTED_LOGINS.lock().add(self.role, failures, time);
    }

    /// Records that it succeeded, after which the server counts from 0 again.
    pub(super) fn record_success(&self) {
        REJECTED_LOGINS.lock().roles.retain(|role| role.role != self.role);
    }
}

#[derive(Default)]
struct RejectedLogins {
    roles: Vec<RejectedRole>,
}

/// The failures of one role since the server last reset its count, the latest last.
struct RejectedRole {
    role: CredentialHash,
    failures: Vec<RejectedLogin>,
}

/// A rejection of the same credentials, once or more.
#[derive(Clone, PartialEq)]
pub(super) struct RejectedLogin {
    pub(super) credentials: CredentialHash,
    pub(super) times: u32,
    pub(super) last: Instant,
    pub(super) status: u16,
    pub(super) quoted: String,
}

impl RejectedRole {
    fn age(&self, now: Instant) -> Duration {
        self.failures.last().map_or(Duration::MAX, |failure| now.since(failure.last))
    }
}

impl RejectedLogins {
    fn blocked_by(&mut self, attempt: &LoginAttempt, is_refresh: bool, now: Instant) -> Option<Rejection> {
        self.roles.retain(|role| role.age(now) < COUNT_RESET);
        let role = self.roles.iter().find(|role| role.role == attempt.role)?;
        let same = role.failures.iter().find(|failure| failure.credentials == attempt.credentials);
        let is_full = role.failures.iter().map(|failure| failure.times).sum::<u32>() >= MAX_ROLE_FAILURES;
        let (until_reset, is_own) = (COUNT_RESET.saturating_sub(role.age(now)), same.is_some());
        let (failure, wait, block) = match same {
            _ if attempt.has_lockout && is_full => (same.or(role.failures.last())?, until_reset, Block::Role),
            None => return None,
            Some(same) => {
                let (age, may_repeat) = (now.since(same.last), same.times < MAX_SENDS);
                if is_refresh && may_repeat && age >= REFRESH_DELAY {
                    return None;
                }
                let wait = if attempt.has_lockout { until_reset } else { NO_LOCKOUT_DELAY.saturating_sub(age) };
                (same, wait, if may_repeat { Block::CredentialsUnlessRefreshed } else { Block::Credentials })
            }
        };
        let (status, quoted, age) = (failure.status, failure.quoted.clone(), now.since(failure.last));
        (!wait.is_zero()).then_some(Rejection { status, quoted, age, wait, block, is_own })
    }

    fn record(&mut self, attempt: &LoginAttempt, status: u16, quoted: &str, now: Instant) {
        let index = self.roles.iter().position(|role| role.role == attempt.role);
        let mut role = index.map_or_else(
            || RejectedRole { role: attempt.role, failures: Vec::new() },
            |index| self.roles.remove(index),
        );
        let same = role.failures.iter().position(|failure| failure.credentials == attempt.credentials);
        let times = same.map_or(0, |index| role.failures.remove(index).times);
        let (credentials, quoted) = (attempt.credentials, quoted.to_owned());
        role.failures.push(RejectedLogin { credentials, times: times + 1, last: now, status, quoted });
        drop_oldest(&mut role.failures, MAX_CREDENTIALS);
        self.roles.push(role);
        drop_oldest(&mut self.roles, MAX_ROLES);
    }
}

impl RejectedLogins {
    fn add(&mut self, role: CredentialHash, failures: Vec<RejectedLogin>, time: Instant) {
        let index = self.roles.iter().position(|one| one.role == role);
        let mut known = index.map_or_else(Vec::new, |index| self.roles.remove(index).failures);
        if failures.is_empty() {
            known.retain(|failure| failure.last > time);
        }
        for other in failures {
            match known.iter_mut().find(|failure| failure.credentials == other.credentials) {
                Some(same) if (same.times, same.last) >= (other.times, other.last) => {}
                Some(same) => *same = other,
                None => known.push(other),
            }
        }
        known.sort_by_key(|failure| failure.last);
        drop_oldest(&mut known, MAX_CREDENTIALS);
        if !known.is_empty() {
            self.roles.push(RejectedRole { role, failures: known });
            drop_oldest(&mut self.roles, MAX_ROLES);
        }
    }
}

fn drop_oldest<T>(list: &mut Vec<T>, max: usize) {
    list.drain(..list.len().saturating_sub(max));
}

fn hash(parts: &[&[u8]]) -> CredentialHash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let hash = hash.finalize().into();
    wipe_stack();
    hash
}

/// A duration for messages, rounded up: `40 s`, `16 min`.
pub(super) struct RoundedDuration(pub(super) Duration);

impl fmt::Display for RoundedDuration {
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

    fn attempt(credentials: &str, has_lockout: bool) -> LoginAttempt {
        LoginAttempt::new(&[b"http://vault", b"role"], credentials.as_bytes(), has_lockout)
    }

    /// Makes these attempts, all of which are rejected. Returns the times of those that were sent.
    fn sent(attempts: impl Iterator<Item = (Duration, LoginAttempt)>, is_refresh: bool) -> Vec<Duration> {
        let (mut rejected, start) = (RejectedLogins::default(), Instant::now());
        let mut sent = Vec::new();
        for (time, attempt) in attempts {
            let now = start.after(time);
            if rejected.blocked_by(&attempt, is_refresh, now).is_none() {
                rejected.record(&attempt, 400, "", now);
                sent.push(time);
            }
        }
        sent
    }

    fn each_second_for(time: Duration) -> impl Iterator<Item = Duration> {
        (0..time.as_secs()).map(Duration::from_secs)
    }

    /// The highest count of failures at the server, which resets it after 15 minutes without one.
    fn max_count(sent: &[Duration]) -> usize {
        let (mut most, mut count) = (0, 0);
        for (at, time) in sent.iter().enumerate() {
            let continues = at > 0 && *time - sent[at - 1] <= 15 * MINUTE;
            count = if continues { count + 1 } else { 1 };
            most = most.max(count);
        }
        most
    }

    #[test]
    fn same_credentials_are_sent_once_and_once_more_by_a_refresh() {
        let day = || each_second_for(1440 * MINUTE).map(|time| (time, attempt("bad", true)));
        let usual = sent(day(), false);
        assert_eq!(usual[..3], [Duration::ZERO, 16 * MINUTE, 32 * MINUTE]);
        assert_eq!(max_count(&usual), 1);
        let refreshed = sent(day(), true);
        assert_eq!(refreshed[..4], [Duration::ZERO, MINUTE, 17 * MINUTE, 18 * MINUTE]);
        assert_eq!(max_count(&refreshed), 2);
    }

    #[test]
    fn role_is_never_locked_whatever_is_sent() {
        for is_refresh in [false, true] {
            let new = |time: Duration| (time, attempt(&time.as_secs().to_string(), true));
            let all = sent(each_second_for(600 * MINUTE).map(new), is_refresh);
            assert_eq!(all[..5], [Duration::ZERO, SECOND, 2 * SECOND, 3 * SECOND, 3 * SECOND + 16 * MINUTE]);
            assert_eq!(max_count(&all), 4);
            let slowly = |time: Duration| (time, attempt(&(time.as_secs() / 400).to_string(), true));
            assert!(max_count(&sent(each_second_for(600 * MINUTE).map(slowly), is_refresh)) <= 4);
        }
    }

    #[test]
    fn login_without_lockout_is_sent_again_after_some_minutes() {
        let hour =
            |is_refresh| sent(each_second_for(60 * MINUTE).map(|time| (time, attempt("bad", false))), is_refresh);
        assert_eq!(hour(false)[..3], [Duration::ZERO, 8 * MINUTE, 16 * MINUTE]);
        assert_eq!(hour(true)[..3], [Duration::ZERO, MINUTE, 9 * MINUTE]);
        let new = |time: Duration| (time, attempt(&time.as_secs().to_string(), false));
        assert_eq!(sent(each_second_for(MINUTE).map(new), false).len(), 60);
    }

    #[test]
    fn rejection_counts_for_its_server_role_and_credentials() {
        let mut rejected = RejectedLogins::default();
        let now = Instant::now();
        rejected.record(&attempt("bad", true), 400, " (the server says: no)", now);
        let blocked_by = |rejected: &mut RejectedLogins| {
            rejected.blocked_by(&attempt("bad", true), false, now.after(MINUTE)).unwrap()
        };
        let quoted = " (the server says: no)".to_owned();
        let (block, is_own) = (Block::CredentialsUnlessRefreshed, true);
        assert_eq!(
            blocked_by(&mut rejected),
            Rejection { status: 400, quoted, age: MINUTE, wait: 15 * MINUTE, block, is_own }
        );
        rejected.record(&attempt("bad", true), 400, "", now);
        assert_eq!(blocked_by(&mut rejected).block, Block::Credentials);
        assert!(rejected.blocked_by(&attempt("good", true), false, now).is_none());
        for role in [&[b"http://other", &b"role"[..]][..], &[b"http://vault", b"another"], &[b"http://vaultrole"]] {
            assert!(rejected.blocked_by(&LoginAttempt::new(role, b"bad", true), false, now).is_none());
        }
        rejected.record(&attempt("worse", true), 400, "", now);
        assert!(rejected.blocked_by(&attempt("good", true), false, now).is_none());
        rejected.record(&attempt("worst", true), 400, "", now);
        let later = now.after(15 * MINUTE);
        let mut of_role = |credentials| {
            let rejection = rejected.blocked_by(&attempt(credentials, true), true, later).unwrap();
            (rejection.block, rejection.is_own)
        };
        assert_eq!((of_role("bad"), of_role("good")), ((Block::Role, true), (Block::Role, false)));
    }

    #[test]
    fn rejections_of_other_processes_count() {
        let (now, attempts) = (Instant::now(), ["a", "b", "c", "d"].map(|text| attempt(text, true)));
        let of_others = |count: usize, times| -> Vec<RejectedLogin> {
            let failure = |attempt: &LoginAttempt| {
                let (credentials, quoted) = (attempt.credentials, String::new());
                RejectedLogin { credentials, times, last: now, status: 400, quoted }
            };
            attempts[..count].iter().map(failure).collect()
        };
        let mut rejected = RejectedLogins::default();
        rejected.add(attempts[0].role, of_others(1, 1), now);
        assert_eq!(rejected.blocked_by(&attempts[0], false, now).unwrap().block, Block::CredentialsUnlessRefreshed);
        assert!(rejected.blocked_by(&attempts[1], false, now).is_none());
        // The same ones again do not count, unless they were sent once more.
        rejected.add(attempts[0].role, of_others(1, 1), now);
        assert_eq!(rejected.roles[0].failures[0].times, 1);
        rejected.add(attempts[0].role, of_others(1, 2), now);
        assert_eq!(rejected.blocked_by(&attempts[0], true, now.after(MINUTE)).unwrap().block, Block::Credentials);
        rejected.add(attempts[0].role, of_others(4, 1), now);
        assert_eq!(rejected.blocked_by(&attempt("e", true), true, now.after(MINUTE)).unwrap().block, Block::Role);
        // A login of another process succeeded; what this one sent later counts.
        rejected.record(&attempts[3], 400, "", now.after(2 * SECOND));
        rejected.add(attempts[0].role, Vec::new(), now.after(SECOND));
        assert!(rejected.blocked_by(&attempts[0], false, now.after(MINUTE)).is_none());
        assert!(rejected.blocked_by(&attempts[3], false, now.after(MINUTE)).is_some());
        rejected.add(attempts[0].role, Vec::new(), now.after(MINUTE));
        assert!(rejected.roles.is_empty());
    }

    #[test]
    fn success_clears_the_record_which_is_bounded() {
        let unique = LoginAttempt::new(&[b"a role of this test"], b"bad", true);
        assert!(unique.blocked_by(true).is_none());
        assert_eq!(unique.record_rejection(403, String::new()).wait.as_secs_f64().ceil(), 960.0);
        assert_eq!(unique.blocked_by(false).unwrap().status, 403);
        unique.record_success();
        assert!(unique.blocked_by(false).is_none());
        let (mut rejected, now) = (RejectedLogins::default(), Instant::now());
        for number in 0..1000_u32 {
            let role = (number % 100).to_le_bytes();
            rejected.record(&LoginAttempt::new(&[&role], &number.to_le_bytes(), false), 400, "", now);
        }
        assert_eq!(rejected.roles.len(), MAX_ROLES);
        assert!(rejected.roles.iter().all(|role| role.failures.len() <= MAX_CREDENTIALS));
    }

    #[test]
    fn rounded_duration_is_rounded_up() {
        for (seconds, text) in [(0.2, "1 s"), (59.5, "60 s"), (120.0, "2 min"), (959.9, "16 min")] {
            assert_eq!(RoundedDuration(Duration::from_secs_f64(seconds)).to_string(), text);
        }
    }
}
