//! The cluster tier: hosts share what one of them has loaded through a server that sees only ciphertext.
//!
//! The process that holds the host's lock of a document asks the tier first, and publishes there what it has loaded. A
//! tier that fails is left alone for some seconds by all processes of the host, which query the source themselves: an
//! error of the tier is never that of a get.
//!
//! A document has the revision of the tier at its load. The page of the host has the highest revision that was seen: no
//! older document is accepted. Of the documents of one revision, none is accepted that is older than one that was used.
//!
//! | module | contents |
//! |---|---|
//! | `engine` | what a server does |
//! | `load` | [`TierLoad`]: the load of one document |
//! | `cache`, `pending` | [`CacheTier`]: the values of a cache; changes that are recorded later |
//! | `redis`, `resp` | Redis and Valkey |
//! | `etcd`, `gateway`, `leases` | etcd |
//! | `servers`, `address` | the setting `share_url` |

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hmac;

use super::data_key::{DataKeySource, KEY_LIFETIME, TierKey};
use super::host::HostPage;
use super::identity::Identity;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http;
use crate::log::{self, Level};
use crate::secret_memory::{SecretBytes, wipe_stack_below};
use crate::settings::{InvalidSetting, Setting};
pub(super) use cache::CacheTier;
use engine::{Engine, Floor, RECORD, TierConnection};
pub(crate) use load::TierLoad;
#[cfg(feature = "tier")]
use servers::open_engine;

#[cfg(feature = "tier")]
mod address;
mod cache;
mod engine;
#[cfg(feature = "tier")]
mod etcd;
#[cfg(feature = "tier")]
mod gateway;
#[cfg(feature = "tier")]
mod leases;
mod load;
mod pending;
#[cfg(feature = "tier")]
mod redis;
#[cfg(feature = "tier")]
mod resp;
#[cfg(feature = "tier")]
mod servers;

/// The longest time of one exchange with the tier.
const EXCHANGE_TIME: Duration = Duration::from_secs(10);
/// An exchange takes at most one part in this many of the time of its call.
const EXCHANGE_PART: u32 = 10;
/// An exchange that had less time than this does not count as a failure of the tier if it times out.
const PATIENCE: Duration = Duration::from_millis(200);
/// By how much the clocks of hosts may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);
/// How long after its last look a host is expected to look again.
const ALIVE: Duration = Duration::from_secs(15);
/// The longest time of anything in the tier.
const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// The depth of stack that is wiped after a key was used.
const STACK: usize = 8 << 10;

/// The settings of the tier besides its URL.
#[derive(Default)]
pub(super) struct TlsSettings {
    pub(super) roots: http::Roots,
    pub(super) client_certificate: Option<(Setting, Setting)>,
}

/// The tier of a cluster.
pub(crate) struct Tier {
    engine: Box<dyn Engine>,
    key: TierKey,
}

/// A document of the tier that was accepted.
pub(crate) struct TierDocument {
    /// How long ago it was requested.
    pub(crate) age: Duration,
    pub(crate) ttl: Option<Duration>,
    pub(crate) payload: SecretBytes,
    /// Higher than those of earlier documents.
    pub(crate) sequence: u64,
    pub(crate) revision: u64,
}

/// What was found in the tier.
pub(crate) struct TierResult {
    pub(crate) document: Option<TierDocument>,
    /// Whether another host is loading it.
    pub(crate) is_loading: bool,
}

/// The hosts that have followed a revision, and those that may still use older values.
#[derive(Default)]
pub(crate) struct Hosts {
    pub(crate) confirmed: Vec<String>,
    pub(crate) silent: Vec<String>,
    /// Whether one of the silent hosts may confirm soon.
    pub(crate) is_awaited: bool,
}

impl Tier {
    pub(super) fn open(url: &Setting, tls: TlsSettings, key: TierKey) -> Result<Tier, InvalidSetting> {
        let cluster = hash(key.cluster(), b"cluster", 8);
        Ok(Tier { engine: open_engine(url, tls, &cluster)?, key })
    }

    /// Sets the service that unwraps the key.
    pub(crate) fn set_key_source(&self, source: Arc<dyn DataKeySource>) {
        self.key.set_source(source);
    }

    /// The server, without a password.
    pub(crate) fn name(&self) -> &str {
        self.engine.name()
    }

    /// Looks at the revision, unless a process of this host did so within the interval.
    pub(crate) fn look(self: &Arc<Tier>, page: &Arc<HostPage>, interval: Duration, time: TierTime) {
        if !time.deadline.has_passed() && !page.is_tier_resting() && page.take_look(interval) {
            // Errors are logged, and the tier rests.
            let _ = TierSession::open(self, page, time).and_then(|mut session| session.look());
        }
    }

    /// Connects, whether or not the tier rests, and looks at the revision.
    pub(crate) fn check(self: &Arc<Tier>, page: &Arc<HostPage>, time: Duration) -> Result<()> {
        let time = TierTime::until(Deadline::after(time));
        let mut session = TierSession::open(self, page, time)?;
        session.look()?;
        session.key(time.deadline).map(drop)
    }

    /// Connects for a load; `None` if the tier fails or rests.
    pub(crate) fn begin(self: &Arc<Tier>, page: &Arc<HostPage>, deadline: Deadline) -> Option<TierSession> {
        if page.is_tier_resting() {
            return None;
        }
        TierSession::open(self, page, TierTime::until(deadline)).ok()
    }

    /// Increases the revision. The error is that of the call.
    pub(crate) fn bump(self: &Arc<Tier>, page: &Arc<HostPage>, deadline: Deadline) -> Result<u64> {
        let mut session = TierSession::open(self, page, TierTime::until(deadline))?;
        let floor = session.floor();
        let revision = session.run(|session| session.bump(floor))?;
        session.follow(revision);
        Ok(revision)
    }

    /// Which hosts have confirmed this revision.
    pub(crate) fn hosts(self: &Arc<Tier>, page: &Arc<HostPage>, revision: u64, time: TierTime) -> Result<Hosts> {
        let mut session = TierSession::open(self, page, time)?;
        session.look()?;
        let mut hosts = Hosts::default();
        for host in session.run(|session| session.hosts())? {
            if host.confirmed >= revision {
                hosts.confirmed.push(host.name);
            } else if host.silent_for <= RECORD {
                hosts.silent.push(host.name);
                hosts.is_awaited |= host.silent_for <= ALIVE;
            }
        }
        hosts.confirmed.sort_unstable();
        hosts.silent.sort_unstable();
        Ok(hosts)
    }
}

/// Refuses the server at this URL: the code that talks to one is not compiled in.
#[cfg(not(feature = "tier"))]
fn open_engine(url: &Setting, _tls: TlsSettings, _cluster: &str) -> Result<Box<dyn Engine>, InvalidSetting> {
    Err(url.invalid("needs a build with the cargo feature `tier`"))
}

/// The time of a call, for its exchanges with the tier.
#[derive(Clone, Copy)]
pub(crate) struct TierTime {
    /// The time of the whole call. An exchange may take a part of it.
    whole: Duration,
    /// When the last exchange ends.
    deadline: Deadline,
}

impl TierTime {
    pub(crate) fn new(whole: Duration, deadline: Deadline) -> TierTime {
        TierTime { whole, deadline }
    }

    /// The time of a call that begins now and ends at this deadline.
    pub(crate) fn until(deadline: Deadline) -> TierTime {
        TierTime { whole: deadline.remaining(), deadline }
    }

    /// The time of one exchange, unless the call ends before.
    fn part(self) -> Duration {
        EXCHANGE_TIME.min(self.whole / EXCHANGE_PART)
    }

    /// The time of an exchange that begins now.
    fn limit(self) -> Duration {
        self.part().min(self.deadline.remaining())
    }

    /// Whether an exchange with this limit was too short to count as a failure of the tier if it timed out.
    fn is_short(self, limit: Duration) -> bool {
        limit < self.part().max(PATIENCE)
    }
}

/// A connection for one load or look.
pub(crate) struct TierSession {
    tier: Arc<Tier>,
    page: Arc<HostPage>,
    session: Box<dyn TierConnection>,
    time: TierTime,
}

impl TierSession {
    fn open(tier: &Arc<Tier>, page: &Arc<HostPage>, time: TierTime) -> Result<TierSession> {
        let limit = time.limit();
        match tier.engine.connect(Deadline::after(limit)) {
            Ok(session) => Ok(TierSession { tier: tier.clone(), page: page.clone(), session, time }),
            Err(error) if error.status() == Status::Timeout && time.is_short(limit) => Err(error),
            Err(error) => Err(failed(page, error)),
        }
    }

    fn run<T>(&mut self, exchange: impl FnOnce(&mut dyn TierConnection) -> Result<T>) -> Result<T> {
        let limit = self.time.limit();
        self.session.set_deadline(Deadline::after(limit));
        match exchange(&mut *self.session) {
            Ok(result) => {
                self.page.note_tier_success();
                Ok(result)
            }
            Err(error) if error.status() == Status::Timeout && self.time.is_short(limit) => Err(error),
            Err(error) => Err(failed(&self.page, error)),
        }
    }

    fn floor(&self) -> Floor {
        let seen = self.page.tier_revision();
        Floor { seen, fresh: now_ms().max(seen + 1) }
    }

    fn follow(&self, revision: u64) {
        if self.page.follow_tier(revision) {
            log::emit(Level::Info, "share", || {
                "the cluster tier has a new revision: what is cached is dropped".to_owned()
            });
        }
    }

    fn look(&mut self) -> Result<()> {
        let (host, floor) = (host_name(&self.page), self.floor());
        let confirmed = self.page.confirmed_revision();
        let revision = self.run(|session| session.look(&host, confirmed, floor))?;
        self.follow(revision);
        if let Some(confirmed) = self.page.confirm_tier() {
            let floor = self.floor();
            self.run(|session| session.look(&host, confirmed, floor))?;
        }
        Ok(())
    }

    /// The key of the documents.
    fn key(&mut self, deadline: Deadline) -> Result<SecretBytes> {
        let (tier, page) = (self.tier.clone(), self.page.clone());
        let mut wrapped = |new: Option<&[u8]>| self.run(|session| session.data_key(new, KEY_LIFETIME));
        tier.key.get(&mut wrapped, deadline).map_err(|error| failed(&page, error))
    }

    /// Begins the exchange about a document; `None` if its key cannot be unwrapped.
    pub(crate) fn about(mut self, identity: &Identity, deadline: Deadline) -> Option<TierLoad> {
        let key = self.key(deadline).ok()?;
        let list = identity.cluster_list();
        let id = hash(&key, &[b"document ", &list[..]].concat(), 16);
        Some(TierLoad::new(self, key, list, id))
    }
}

/// Records a failure: the processes of this host leave the tier alone for a while.
fn failed(page: &HostPage, error: Error) -> Error {
    let pause = page.rest_tier();
    log::emit(Level::Warn, "share", || {
        format!(
            "the cluster tier failed; this host queries the sources itself, for at least {:.0} s: {error}",
            pause.as_secs_f64()
        )
    });
    error
}

/// The name of this host in the tier: that of the machine, and a number for its directory.
fn host_name(page: &HostPage) -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    format!("{name}/{}", page.unique_id())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// The first bytes of a keyed hash, in hex: without the key, the input cannot be guessed.
fn hash(key: &[u8], what: &[u8], bytes: usize) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), what);
    wipe_stack_below::<STACK>();
    hex(&tag.as_ref()[..bytes])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
