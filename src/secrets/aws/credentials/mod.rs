//! Who we are for AWS: where keys come from, how long they serve, and when there are new ones.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::metadata::Metadata;
use super::names::config;
use super::settings::Settings;
use super::wire::Wire;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;

mod chain;
mod container;
mod instance;
mod process;
mod profile;
mod role;
mod sso;

pub(super) use chain::plan;
pub(super) use instance::region as region_of_instance;

/// The keys that requests are signed with.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) access_key_id: SecretBytes,
    pub(super) secret: SecretBytes,
    pub(super) token: Option<SecretBytes>,
    expires: Option<SystemTime>,
}

impl Keys {
    /// `place` is where they were found.
    pub(super) fn new(
        access_key_id: &str,
        secret: &str,
        token: Option<&str>,
        expires: Option<SystemTime>,
        place: &str,
    ) -> Result<Keys> {
        let keep = |what: &str, text: &str| {
            let text = text.trim();
            // They become parts of headers.
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(config(format!("{place}: the {what} is empty, or holds what no key of AWS holds")));
            }
            SecretBytes::copy_from(text.as_bytes())
        };
        Ok(Keys {
            access_key_id: keep("access key id", access_key_id)?,
            secret: keep("secret access key", secret)?,
            token: token.map(|token| keep("session token", token)).transpose()?,
            expires,
        })
    }

    /// What must not be in a message.
    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        [Some(&self.access_key_id), Some(&self.secret), self.token.as_ref()].into_iter().flatten().map(|bytes| &**bytes)
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Keys) -> bool {
        self.all().eq(other.all()) && self.expires == other.expires
    }
}

/// Where keys come from, with all that is needed to fetch them. Two plans are equal if their keys are of one kind.
#[derive(Clone, PartialEq)]
pub(super) enum Plan {
    /// They are at hand.
    Keys(Keys, String),
    Process(process::Program),
    WebIdentity(role::WebIdentity),
    Role(Box<role::Role>),
    Sso(sso::Login),
    Container(container::Container),
    Instance(instance::Instance),
}

impl Plan {
    /// ``profile `x` in /path, line 3``, for messages.
    pub(super) fn place(&self) -> &str {
        match self {
            Plan::Keys(_, place) => place,
            Plan::Process(program) => &program.place,
            Plan::WebIdentity(identity) => &identity.place,
            Plan::Role(role) => &role.place,
            Plan::Sso(login) => &login.place,
            Plan::Container(container) => &container.place,
            Plan::Instance(instance) => &instance.place,
        }
    }

    /// Whether nothing but the machine itself tells who we are.
    pub(super) fn is_last_resort(&self) -> bool {
        matches!(self, Plan::Instance(_))
    }

    /// The files that are read for keys, besides those of the profiles.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let mut plan = self;
        while let Plan::Role(role) = plan {
            plan = &role.base;
        }
        match plan {
            Plan::WebIdentity(identity) => Some(identity.token_file.as_path()),
            Plan::Sso(login) => Some(login.cache()),
            Plan::Container(container) => container.token_file(),
            Plan::Keys(..) | Plan::Process(_) | Plan::Role(_) | Plan::Instance(_) => None,
        }
        .into_iter()
    }

    fn fetch(&self, context: &Context<'_>) -> Result<Fetched> {
        match self {
            Plan::Keys(keys, place) => at_hand(keys, place),
            Plan::Process(program) => program.fetch(context.deadline),
            Plan::WebIdentity(identity) => identity.fetch(context),
            Plan::Role(role) => role.fetch(context),
            Plan::Sso(login) => login.fetch(context),
            Plan::Container(container) => container.fetch(context),
            Plan::Instance(instance) => instance.fetch(context),
        }
    }
}

fn at_hand(keys: &Keys, place: &str) -> Result<Fetched> {
    let fetched = Fetched::new(keys.clone(), SystemTime::now());
    if fetched.life.is_some_and(|life| life.is_zero()) {
        let message = format!("the AWS credentials of {place} have expired; put new ones there");
        return Err(Error::new(Status::AccessDenied, message));
    }
    Ok(fetched)
}

/// What fetching needs.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings<'a>,
    /// Where STS is called.
    pub(super) region: &'a str,
    pub(super) wire: &'a Wire<'a>,
    pub(super) metadata: &'a Metadata<'a>,
    pub(super) deadline: Deadline,
}

/// Keys that have just come.
struct Fetched {
    keys: Keys,
    life: Option<Duration>,
}

impl Fetched {
    /// `now` is the time by the clock of who gave them.
    fn new(keys: Keys, now: SystemTime) -> Fetched {
        let life = keys.expires.map(|expires| expires.duration_since(now).unwrap_or_default());
        Fetched { keys, life }
    }
}

/// Keys with the time for which they serve.
pub(super) struct Lease {
    plan: Plan,
    pub(super) keys: Keys,
    obtained: Instant,
    life: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    /// New ones would be good; those at hand serve if there are none.
    Advisory,
    /// New ones are needed.
    Mandatory,
}

fn stage(life: Option<Duration>, age: Duration) -> Stage {
    let Some(life) = life else { return Stage::Fresh };
    let left = life.saturating_sub(age);
    if left <= (life / 10).min(Duration::from_secs(5 * 60)) {
        Stage::Mandatory
    } else if left <= (life / 3).min(Duration::from_secs(15 * 60)) {
        Stage::Advisory
    } else {
        Stage::Fresh
    }
}

impl Lease {
    pub(super) fn place(&self) -> &str {
        self.plan.place()
    }
}

/// The keys of a source, kept from load to load.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Arc<Lease>>>);

impl Kept {
    /// Keys as the plan says: those at hand while they serve, else new ones.
    pub(super) fn obtain(&self, plan: Plan, context: &Context<'_>) -> Result<Arc<Lease>> {
        let known = self.0.lock().clone().filter(|lease| lease.plan == plan);
        let Some(known) = known else { return self.fetch(plan, context) };
        match stage(known.life, known.obtained.elapsed()) {
            Stage::Fresh => Ok(known),
            Stage::Advisory => {
                let half = Deadline::after(context.deadline.remaining() / 2);
                let fetched = self.fetch(plan, &Context { deadline: half, ..*context });
                Ok(fetched.unwrap_or_else(|error| kept_after(known, &error)))
            }
            Stage::Mandatory => match self.fetch(plan, context) {
                // An instance's keys are kept however ill its metadata service is; AWS honours them then.
                Err(error) if matches!(known.plan, Plan::Instance(_)) => Ok(kept_after(known, &error)),
                fetched => fetched,
            },
        }
    }

    /// Other keys than these, which AWS has refused; `None` if there are none yet.
    pub(super) fn renew(&self, refused: &Lease, plan: Plan, context: &Context<'_>) -> Result<Option<Arc<Lease>>> {
        let renewed = self.fetch(plan, context)?;
        Ok((renewed.keys != refused.keys).then_some(renewed))
    }

    fn fetch(&self, plan: Plan, context: &Context<'_>) -> Result<Arc<Lease>> {
        let Fetched { keys, life } = plan.fetch(context)?;
        log::emit(Level::Debug, "aws", || format!("credentials come from {}", plan.place()));
        let lease = Arc::new(Lease { plan, keys, obtained: Instant::now(), life });
        *self.0.lock() = Some(lease.clone());
        Ok(lease)
    }
}

fn kept_after(known: Arc<Lease>, error: &Error) -> Arc<Lease> {
    log::emit(Level::Warn, "aws", || format!("the credentials at hand are kept, as new ones cannot be had: {error}"));
    known
}

/// A deadline that is not later than this one.
fn at_most(deadline: Deadline, time: Duration) -> Deadline {
    Deadline::after(deadline.remaining().min(time))
}

/// An error of a source of credentials.
fn failed(status: Status, place: &str, what: impl AsRef<str>) -> Error {
    Error::new(status, format!("no AWS credentials from {place}: {}", what.as_ref()))
        .with_retryable(matches!(status, Status::Unavailable | Status::Timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_renewed_in_time_however_short_they_live() {
        let seconds = Duration::from_secs;
        for (life, age, expected) in [
            (None, seconds(1_000_000), Stage::Fresh),
            (Some(seconds(60)), seconds(39), Stage::Fresh),
            (Some(seconds(60)), seconds(41), Stage::Advisory),
            (Some(seconds(60)), seconds(54), Stage::Mandatory),
            (Some(seconds(3600)), seconds(2699), Stage::Fresh),
            (Some(seconds(3600)), seconds(2700), Stage::Advisory),
            (Some(seconds(3600)), seconds(3299), Stage::Advisory),
            (Some(seconds(3600)), seconds(3300), Stage::Mandatory),
            (Some(seconds(43_200)), seconds(42_000), Stage::Fresh),
            (Some(seconds(43_200)), seconds(42_300), Stage::Advisory),
            (Some(seconds(0)), seconds(0), Stage::Mandatory),
        ] {
            assert_eq!(stage(life, age), expected, "{life:?} after {age:?}");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused_without_showing_them() {
        for (id, secret, token) in [
            ("", "CANARY", None),
            ("AKIA", "CAN\r\nARY", None),
            ("AKIA", "CAN ARY", None),
            ("AKIA", "x", Some("CAN\u{e9}")),
        ] {
            let error = Keys::new(id, secret, token, None, "the test").map(drop).unwrap_err();
            assert!(error.message().starts_with("the test: the "), "{error}");
            assert!(!error.message().contains("CAN"), "{error}");
        }
        assert!(Keys::new(" AKIA ", "secret\n", Some("token=="), None, "the test").is_ok());
    }
}
