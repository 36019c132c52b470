//! The copy of a cache in the tier, and the changes of other processes.
//!
//! Each change of the cache increases its revision and is recorded, sealed, for the other processes, which ask for the
//! record once in each interval. The server does not know keys. So a change of a prefix leaves the values in the tier,
//! and the processes compare: a value with the revision `r` is used unless a prefix of its key changed after `r`. A
//! process that does not know all changes since `r` uses it if no prefix at all changed after `r`.

use std::mem;
use std::time::Duration;

use super::engine::{CHANGE, ChangeTarget, Engine, Floor, NewChange, TierConnection};
use super::load::{header, opened};
use super::pending::PendingChanges;
use super::{LONGEST_LIFETIME, TlsSettings, hash, now_ms, open_engine};
use crate::cache::{Change, RemoteCopy, RemoteEntry, TtlCache, Value};
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::log::{self, Level};
use crate::secret_memory::{SecretBuffer, SecretBytes};
use crate::settings::{InvalidSetting, Setting};
use crate::share::host::tier_pause;
use crate::share::sealed::{self, KeyMaterial};

/// The longest time of one exchange with the tier.
const EXCHANGE_TIME: Duration = Duration::from_millis(500);
/// How many connections are kept for the next exchange: one, unless threads ask at the same time.
const MAX_IDLE: usize = 4;
/// How long a connection is kept without an exchange. Load balancers and NAT forget connections, and may then drop what
/// is sent on them without an answer.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// How long changes that the tier did not take are sent one by one. The rest is sent as one change.
const PENDING_TIME: Duration = Duration::from_millis(250);
/// How many changed prefixes are remembered.
const MAX_PREFIXES: usize = 256;
/// How many objects that replaced bytes are remembered until the next look. Others are dropped then.
const MAX_OBJECTS: usize = 256;
/// What a sealed change of a key and one of a prefix begin with.
const KEY: u8 = 0;
const PREFIX: u8 = 1;

pub(crate) struct CacheTier {
    engine: Box<dyn Engine>,
    /// The key of this cache.
    key: SecretBytes,
    interval: Duration,
    state: Mutex<CacheTierState>,
}

struct CacheTierState {
    /// Connections, and when they were last used.
    idle: Vec<(Box<dyn TierConnection>, Instant)>,
    /// The process of the connections, see [`fork::generation`].
    generation: u32,
    known: KnownChanges,
    /// The highest revision of any response.
    newest: u64,
    /// Changes that the tier has not taken.
    pending: PendingChanges,
    failures: u64,
    rest_until: Instant,
}

/// What is known of the changes.
struct KnownChanges {
    /// The revision up to which all changes were applied; 0 at first.
    position: u64,
    looked_at: Instant,
    /// The last change of a prefix before `prefixes`.
    floor: u64,
    /// The later ones.
    prefixes: Vec<(u64, Vec<u8>)>,
    /// Keys under which this process stored an object in place of bytes, and the revisions: no change up to that one is
    /// applied to the object.
    objects: Vec<(u64, Vec<u8>)>,
}

impl KnownChanges {
    /// Adds what was recorded after the position. Returns the changes to apply.
    fn follow(&mut self, revision: u64, floor: u64, changes: Option<Vec<(u64, Change)>>) -> Vec<Change> {
        self.looked_at = Instant::now();
        let position = self.position;
        self.position = position.max(revision);
        // What is not known may be anything.
        let Some(changes) = changes else {
            self.forget(floor);
            return vec![Change::Prefix(Vec::new())];
        };
        for (at, change) in &changes {
            if let Change::Prefix(prefix) = change
                && *at > position
            {
                self.prefixes.retain(|(_, known)| known != prefix);
                self.prefixes.push((*at, prefix.clone()));
            }
        }
        if self.prefixes.len() > MAX_PREFIXES {
            self.forget(floor);
        }
        let is_older = |at: u64, key: &[u8]| self.objects.iter().any(|(stored, own)| at <= *stored && own == key);
        let is_applied = |(at, change): &(u64, Change)| !matches!(change, Change::Key(key) if is_older(*at, key));
        let applied = changes.into_iter().filter(is_applied).map(|(_, change)| change).collect();
        let position = self.position;
        self.objects.retain(|(stored, _)| *stored > position);
        applied
    }

    /// Notes that this process has replaced the bytes under a key by an object.
    fn note_object(&mut self, key: &[u8], revision: u64) {
        if self.objects.len() < MAX_OBJECTS {
            self.objects.push((revision, key.to_vec()));
        }
    }

    fn forget(&mut self, floor: u64) {
        self.floor = self.prefixes.drain(..).map(|(at, _)| at).fold(self.floor.max(floor), u64::max);
    }

    /// Whether no prefix of the key changed after this revision.
    fn accepts(&self, key: &[u8], revision: u64) -> bool {
        let is_changed = |(at, prefix): &(u64, Vec<u8>)| *at > revision && key.starts_with(prefix);
        revision >= self.floor && !self.prefixes.iter().any(is_changed)
    }
}

impl CacheTier {
    /// The tier of the cache with this name. Looks at the changes; a tier that fails is logged.
    pub(in crate::share) fn open(
        url: &Setting,
        tls: TlsSettings,
        key: &[u8],
        name: &str,
        interval: Duration,
    ) -> Result<CacheTier, InvalidSetting> {
        let id = hash(key, format!("cache {name}").as_bytes(), 32);
        let key = SecretBytes::copy_from(id.as_bytes()).map_err(|error| InvalidSetting { error, in_config: true })?;
        let now = Instant::now();
        let known = KnownChanges { position: 0, looked_at: now, floor: 0, prefixes: Vec::new(), objects: Vec::new() };
        let state = CacheTierState {
            idle: Vec::new(),
            generation: fork::generation(),
            known,
            newest: 0,
            pending: PendingChanges::default(),
            failures: 0,
            rest_until: now,
        };
        let engine = open_engine(url, tls, &hash(&key, b"cluster", 8))?;
        let tier = CacheTier { engine, key, interval, state: Mutex::new(state) };
        tier.look();
        Ok(tier)
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut CacheTierState) -> T) -> T {
        let _guard = fork::protect();
        change(&mut self.state.lock())
    }

    /// Runs an exchange with the tier, which must be idempotent, as it may be repeated on a new connection; `None` if
    /// it fails, or during the back-off.
    fn run<T>(&self, exchange: impl Fn(&mut dyn TierConnection) -> Result<T>) -> Option<T> {
        let idle = self.with_state(|state| {
            if state.generation != fork::generation() {
                state.generation = fork::generation();
                // The parent uses these; dropping them would end its connections.
                mem::forget(mem::take(&mut state.idle));
            }
            (Instant::now() >= state.rest_until).then(|| state.idle.pop())
        })?;
        let deadline = Deadline::after(EXCHANGE_TIME);
        let exchange_by = |deadline: Deadline, mut connection: Box<dyn TierConnection>| {
            connection.set_deadline(deadline);
            exchange(&mut *connection).map(|result| (connection, result))
        };
        // A connection that was kept may have ended, or may no longer reach the server.
        let idle = idle.filter(|(_, used_at)| used_at.elapsed() < IDLE_TIME);
        let first = idle.and_then(|(connection, _)| {
            let result = exchange_by(Deadline::after(EXCHANGE_TIME / 2), connection).ok();
            if result.is_none() {
                // The other kept connections are probably broken too.
                drop(self.with_state(|state| mem::take(&mut state.idle)));
            }
            result
        });
        let connect = || self.engine.connect(deadline).and_then(|connection| exchange_by(deadline, connection));
        let result = first.map_or_else(connect, Ok);
        match result {
            Ok((connection, result)) => {
                let surplus = self.with_state(|state| {
                    state.failures = 0;
                    if state.idle.len() >= MAX_IDLE {
                        return Some(connection);
                    }
                    state.idle.push((connection, Instant::now()));
                    None
                });
                drop(surplus);
                Some(result)
            }
            Err(error) => {
                self.rest(&error);
                None
            }
        }
    }

    fn rest(&self, error: &Error) {
        let pause = self.with_state(|state| {
            let pause = tier_pause(state.failures);
            state.failures = state.failures.saturating_add(1);
            state.rest_until = Instant::now().after(pause);
            pause
        });
        log::emit(Level::Warn, "cache", || {
            let seconds = pause.as_secs_f64();
            format!("the tier failed; the cache continues without it, for at least {seconds:.0} s: {error}")
        });
    }

    fn floor(&self) -> Floor {
        let seen = self.with_state(|state| state.newest.max(state.known.position));
        Floor { seen, fresh: now_ms().max(seen + 1) }
    }

    fn id(&self, key: &[u8]) -> String {
        hash(&self.key, &[b"key ", key].concat(), 16)
    }

    fn source<'a>(&'a self, identity: &'a [u8]) -> KeyMaterial<'a> {
        KeyMaterial { material: &self.key, identity }
    }

    /// Seals a value or a change that is made now.
    fn sealed(&self, bytes: &[u8], identity: &[u8], revision: u64, ttl: Duration) -> Option<Vec<u8>> {
        let mut buffer = SecretBuffer::with_capacity(bytes.len()).ok()?;
        buffer.push(bytes).ok()?;
        let lifetime = ttl.min(LONGEST_LIFETIME);
        let ttl = Some(ttl).filter(|ttl| *ttl < Duration::MAX);
        let header = header((revision, now_ms()), (Duration::ZERO, ttl), lifetime);
        sealed::seal(&header, buffer, &self.source(identity)).ok()
    }

    fn opened_change(&self, sealed: &[u8]) -> Option<Change> {
        let change = opened(sealed, LONGEST_LIFETIME, &self.source(b"change"))?;
        match change.payload.split_first()? {
            (&KEY, key) => Some(Change::Key(key.to_vec())),
            (&PREFIX, prefix) => Some(Change::Prefix(prefix.to_vec())),
            _ => None,
        }
    }

    /// Records a change, with the value of the key if there is one. Returns its revision.
    fn change(&self, change: &Change, value: Option<(&[u8], Duration)>) -> Option<u64> {
        let (kind, name) = match change {
            Change::Key(key) => (KEY, key),
            Change::Prefix(prefix) => (PREFIX, prefix),
        };
        let sealed = self.sealed(&[&[kind], &name[..]].concat(), b"change", 0, LONGEST_LIFETIME)?;
        let (id, key) = (hash(&self.key, &[&[kind], &name[..]].concat(), 16), self.id(name));
        // If a prefix has changed since the last exchange, other processes would reject the value as older than that
        // change, so it is stored again with the new revision.
        let mut recorded = None;
        for _ in 0..2 {
            let floor = self.floor();
            let new = value.and_then(|(value, ttl)| Some((self.sealed(value, &identity(name), floor.seen, ttl)?, ttl)));
            let target = match (kind, &new) {
                (PREFIX, _) => ChangeTarget::Prefix,
                (_, None) => ChangeTarget::Key(&key, None),
                (_, Some((sealed, ttl))) => ChangeTarget::Key(&key, Some((sealed, (*ttl).min(LONGEST_LIFETIME)))),
            };
            let change = NewChange { id: &id, sealed: &sealed, target };
            let (revision, last) = self.run(|connection| connection.cache_change(&change, floor))?;
            self.note(revision);
            recorded = Some(revision);
            if new.is_none() || last <= floor.seen {
                break;
            }
        }
        recorded
    }

    fn note(&self, revision: u64) {
        self.with_state(|state| state.newest = state.newest.max(revision));
    }

    /// Records a change, now or when the tier is back. Returns its revision if it was recorded.
    fn change_or_keep(&self, change: Change, value: Option<(&[u8], Duration)>) -> Option<u64> {
        let revision = self.send_pending().and_then(|()| self.change(&change, value));
        if revision.is_none() {
            self.with_state(|state| state.pending.add(change));
        }
        revision
    }

    /// Removes the bytes under a key whose new value stays in this process. If the tier has none, nothing is recorded:
    /// other processes may have objects of their own under this key.
    fn remove_bytes(&self, key: &[u8]) {
        let (id, floor) = (self.id(key), self.floor());
        let fetch = |()| self.run(|connection| connection.cache_fetch(&id, floor));
        if self.send_pending().and_then(fetch).is_some_and(|fetched| fetched.value.is_none()) {
            return;
        }
        if let Some(revision) = self.change_or_keep(Change::Key(key.to_vec()), None) {
            self.with_state(|state| state.known.note_object(key, revision));
        }
    }

    /// Records the changes that the tier has not taken.
    fn send_pending(&self) -> Option<()> {
        let mut pending = self.with_state(|state| mem::take(&mut state.pending));
        let one_by_one = Deadline::after(PENDING_TIME);
        while let Some(change) = pending.last() {
            if self.change(change, None).is_none() {
                self.with_state(|state| state.pending.add_all(pending));
                return None;
            }
            pending.remove_last();
            if one_by_one.has_passed() {
                pending.merge();
            }
        }
        Some(())
    }
}

/// What binds a value to its key.
fn identity(key: &[u8]) -> Vec<u8> {
    [b"value ", key].concat()
}

impl RemoteCopy<Value> for CacheTier {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn look(&self) -> Vec<Change> {
        if self.send_pending().is_none() {
            return Vec::new();
        }
        let position = self.with_state(|state| {
            let known = &state.known;
            // The first changes after the position may no longer be recorded.
            if known.looked_at.elapsed() < CHANGE / 2 { known.position } else { 0 }
        });
        let floor = self.floor();
        let Some(log) = self.run(|connection| connection.cache_log(position, floor)) else { return Vec::new() };
        self.note(log.revision);
        let open = |(at, sealed): (u64, Vec<u8>)| Some((at, self.opened_change(&sealed)?));
        let changes = log.changes.and_then(|changes| changes.into_iter().map(open).collect());
        self.with_state(|state| state.known.follow(log.revision, log.floor, changes))
    }

    fn fetch(&self, cache: &TtlCache<Value>, key: &[u8]) -> Option<RemoteEntry<Value>> {
        self.send_pending()?;
        let (id, floor) = (self.id(key), self.floor());
        let fetched = self.run(|connection| connection.cache_fetch(&id, floor))?;
        self.note(fetched.revision);
        let position = self.with_state(|state| state.known.position);
        if position == 0 || fetched.floor.is_none_or(|floor| floor > position) {
            self.look().iter().for_each(|change| cache.apply(change));
        }
        let value = fetched.value.and_then(|(file, left)| {
            let value = opened(&file, left, &self.source(&identity(key)))?;
            let is_known = fetched.floor.is_some();
            let is_valid = is_known && self.with_state(|state| state.known.accepts(key, value.revision));
            let left = value.ttl.map_or(Duration::MAX, |ttl| ttl.saturating_sub(value.age));
            let value = (Value::copy_from(&value.payload).ok()?, left, value.age);
            (is_valid && !left.is_zero()).then_some(value)
        });
        Some(RemoteEntry { value, since: (fetched.revision, fetched.since) })
    }

    fn fill(&self, key: &[u8], value: &Value, ttl: Duration, (revision, since): (u64, u64)) {
        let Some(bytes) = value.bytes().filter(|_| revision > 0 && !ttl.is_zero()) else { return };
        let Some(sealed) = self.sealed(bytes, &identity(key), revision, ttl) else { return };
        let (id, lifetime) = (self.id(key), ttl.min(LONGEST_LIFETIME));
        self.run(|connection| connection.cache_fill(&id, since, &sealed, lifetime));
    }

    fn takes(&self, value: &Value) -> bool {
        value.bytes().is_some()
    }

    fn set(&self, key: &[u8], value: &Value, ttl: Duration) {
        match value.bytes() {
            Some(bytes) => {
                let value = (!ttl.is_zero()).then_some((bytes, ttl));
                self.change_or_keep(Change::Key(key.to_vec()), value);
            }
            None => self.remove_bytes(key),
        }
    }

    fn remove(&self, change: Change) {
        self.change_or_keep(change, None);
    }
}
