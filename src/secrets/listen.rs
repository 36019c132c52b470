//! Changes that a program waits for: callbacks, and calls that listen. All work is done in threads of the program.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use serde_json::json;

use super::key::check_key;
use super::manager::{GetOptions, Manager};
use super::watches::{Seen, Watch};
use crate::clock::{Backoff, Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::share::{HostPage, TierTime};

/// How often a call that listens looks at files and watched keys. What other processes report wakes it at once.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a host looks at the cluster tier while one of its processes listens.
const TIER_INTERVAL: Duration = Duration::from_millis(250);
/// The pauses of a call that waits for other hosts.
const HOSTS: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
/// The pauses of a call that waits for stopped processes.
const CONFIRMATION: Backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));

/// Who drops what is cached; see [`Manager::invalidate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All processes of this host that share: see the setting `share`.
    Host,
    /// All hosts of a cluster.
    Cluster,
}

impl Manager {
    /// Returns a number that increases when anything that this manager serves changed: a document was loaded with other
    /// contents, a file changed, something was invalidated. With the setting `share`, changes that other processes of
    /// the host publish count too. It may increase more than once for one change.
    pub fn generation(&self) -> u64 {
        self.changes.generation()
    }

    /// Calls `callback` when the value of `key` changed, or with `None` when anything changed, with the key and the
    /// generation. It is called within a get that found a change, or within [`Manager::listen`], with no lock held.
    /// Returns a number for [`Manager::unwatch`].
    pub fn watch(
        &self,
        key: Option<&str>,
        callback: impl Fn(Option<&str>, u64) + Send + Sync + 'static,
    ) -> Result<u64> {
        key.map_or(Ok(()), check_key)?;
        let _guard = fork::protect();
        let seen = match key {
            Some(key) => self.seen(key, &GetOptions { cached_only: true, ..GetOptions::default() }),
            None => Seen::Generation(self.generation()),
        };
        let id = self.watches.last_id.fetch_add(1, Relaxed) + 1;
        let watch = Watch::new(id, key, Box::new(callback), seen);
        let mut list = self.watches.list.lock();
        if list.is_empty() {
            self.watches.checked.store(self.generation(), Relaxed);
        }
        list.push(Arc::new(watch));
        self.watches.count.store(list.len(), Release);
        Ok(id)
    }

    /// Ends a watch; `false` if there is none of this number. When it returns, no new call of the callback begins. A
    /// call that another thread has begun may still be under way.
    pub fn unwatch(&self, id: u64) -> bool {
        let _guard = fork::protect();
        let mut list = self.watches.list.lock();
        let removed = list.iter().position(|watch| watch.id == id).map(|at| list.remove(at));
        self.watches.count.store(list.len(), Release);
        drop(list);
        let existed = removed.is_some();
        removed.iter().for_each(|watch| watch.is_removed.store(true, SeqCst));
        // The destructor of the callback may use this manager.
        fork::unprotected(|| drop(removed));
        existed
    }

    /// Waits until the generation is another one than `since`, or this time is over, and returns it. Meanwhile it looks
    /// for changes, in the thread of the caller: of files and watched keys once a second, and of documents when they
    /// are due. Of the processes that share a document, one does that.
    pub fn listen(&self, since: u64, timeout: Duration) -> Result<u64> {
        let _guard = fork::protect();
        let deadline = Deadline::after(timeout);
        let interval = if self.changes.tier().is_some() { TIER_INTERVAL } else { LOOK_INTERVAL };
        loop {
            let word = self.changes.word();
            // A tier that hangs leaves half of the time for the sources.
            let until = || Deadline::after(deadline.remaining() / 2);
            self.changes.look_at_tier(TIER_INTERVAL, || TierTime::new(self.timeout(), until()));
            self.follow_host();
            self.look(deadline);
            self.check_watches(Some(deadline));
            let generation = self.generation();
            if generation != since || deadline.has_passed() {
                return Ok(generation);
            }
            self.changes.wait(word, deadline.remaining().min(interval));
        }
    }

    /// Drops what all processes in `scope` have cached, and returns as JSON which of them have confirmed it, when all
    /// have or this time is over.
    ///
    /// `{"scope": "host", "confirmed": [1201, 1202], "silent": [1203], "complete": true}`. No get that begins after
    /// that returns an older value, in a process that confirmed. A silent process is stopped, and may be in the middle
    /// of a get. `complete` is false if the host has more processes than the list.
    ///
    /// With [`Scope::Cluster`], hosts confirm, by a get or [`Manager::listen`] of one of their processes. Those that
    /// have made such a call within the last 15 s are waited for.
    ///
    /// `key` is the key that changed, or `None` for all. At present everything is dropped in both cases, because
    /// documents are loaded as a whole.
    pub fn invalidate(&self, key: Option<&str>, scope: Scope, timeout: Duration) -> Result<String> {
        let _guard = fork::protect();
        key.map_or(Ok(()), check_key)?;
        if scope == Scope::Cluster {
            return self.invalidate_cluster(timeout);
        }
        let Some(attached) = self.changes.page()? else {
            let message = "no other process shares with this one: set `share` to \"host\" or ST_SECRETS_SHARE=host, \
                           or clear the cache of this process alone";
            return Err(Error::new(Status::Config, message));
        };
        let deadline = Deadline::after(timeout);
        self.clear_cache();
        let revision = self.revise_host(&attached.page);
        let mut pauses = CONFIRMATION;
        let members = loop {
            let members = attached.page.members(revision);
            if members.silent.is_empty() || deadline.has_passed() {
                break members;
            }
            fork::unprotected(|| pauses.wait(deadline.remaining()));
        };
        Ok(json!({
            "scope": "host", "confirmed": members.confirmed, "silent": members.silent,
            "complete": attached.page.lists_all(),
        })
        .to_string())
    }

    /// Makes all processes of this host drop what they have cached. Returns the revision.
    fn revise_host(&self, page: &HostPage) -> u64 {
        let revision = page.revise();
        self.follow_host();
        page.note_change();
        revision
    }

    /// Announces to all who share with this process that a source has changed: [`Manager::invalidate`] without waiting.
    fn announce(&self, deadline: Deadline) -> Result<()> {
        let attached = self.changes.page()?;
        if let Some((tier, page)) = self.changes.tier() {
            tier.bump(&page, deadline)?;
            self.follow_host();
            self.changes.note_to_all();
        } else if let Some(attached) = attached {
            self.revise_host(&attached.page);
        } else {
            self.drop_older(Instant::now());
            self.changes.note();
        }
        Ok(())
    }

    /// Increases the revision of the tier, and waits until all hosts that were seen lately have followed it, or this
    /// time is over.
    fn invalidate_cluster(&self, timeout: Duration) -> Result<String> {
        let attached = self.changes.page()?;
        let Some((tier, page)) = self.changes.tier().filter(|_| attached.is_some()) else {
            let message =
                "there is no cluster tier: set `share_url` or ST_SECRETS_SHARE_URL, or use the scope of the host";
            return Err(Error::new(Status::Config, message));
        };
        let deadline = Deadline::after(timeout);
        let revision = tier.bump(&page, deadline)?;
        self.follow_host();
        self.changes.note_to_all();
        let (mut pauses, mut last) = (HOSTS, None);
        let hosts = loop {
            match tier.hosts(&page, revision, TierTime::new(timeout, deadline)) {
                Ok(hosts) if !hosts.is_awaited => break hosts,
                Ok(hosts) => last = Some(hosts),
                Err(error) if deadline.has_passed() => break last.ok_or(error)?,
                Err(_) => {}
            }
            if deadline.has_passed()
                && let Some(hosts) = last
            {
                break hosts;
            }
            fork::unprotected(|| pauses.wait(deadline.remaining()));
        };
        let (confirmed, silent) = (hosts.confirmed, hosts.silent);
        let report = json!({"scope": "cluster", "confirmed": confirmed, "silent": silent, "complete": true});
        Ok(report.to_string())
    }

    /// Follows invalidations by other processes.
    pub(super) fn follow_host(&self) {
        self.changes.follow(|time| self.drop_older(time));
    }

    fn drop_older(&self, time: Instant) {
        self.providers().iter().for_each(|provider| provider.drop_older(time));
        self.lookup_cache().clear();
    }

    /// Looks for changes at all sources.
    fn look(&self, deadline: Deadline) {
        let request = self.request(Some(deadline.remaining().min(self.timeout())), false);
        let providers = self.providers();
        for (at, provider) in providers.iter().enumerate() {
            let limits = request.share(providers[at + 1..].iter().any(|other| other.is_remote()));
            // If it cannot be announced, it is found again.
            if provider.has_changed(&limits) && self.announce(limits.deadline()).is_ok() {
                provider.note_announced(&limits);
            }
            provider.look(&limits);
        }
    }

    /// Calls the callbacks of what changed since the last check, if anything did.
    #[inline]
    pub(super) fn notify_watches(&self) {
        if self.watches.count.load(Acquire) > 0 && self.generation() != self.watches.checked.load(Relaxed) {
            self.check_watches(None);
        }
    }

    /// Compares all watched keys with what was last seen, and calls the callbacks of those that changed. Their values
    /// are queried until `deadline`; after it, and without one, only cached ones are compared.
    fn check_watches(&self, deadline: Option<Deadline>) {
        let _guard = fork::protect();
        let watches = &self.watches;
        if watches.count.load(Acquire) == 0 {
            return;
        }
        let Some(_checking) = watches.begin() else { return };
        let mut generation = self.generation();
        let list = watches.list.lock().clone();
        // All keys last: a key that changed increases the generation.
        let (keys, all): (Vec<_>, Vec<_>) = list.into_iter().partition(|watch| watch.key.is_some());
        for watch in keys.into_iter().chain(all) {
            let time = deadline.map(|deadline| deadline.remaining()).filter(|time| !time.is_zero());
            let timeout = time.map(|time| time.min(self.timeout()));
            let how = GetOptions { timeout, cached_only: time.is_none(), ..GetOptions::default() };
            self.check_watch(&watch, &how, &mut generation);
            // If it was removed meanwhile, this was the last reference, and its destructor may use this manager.
            if let Some(removed) = Arc::into_inner(watch) {
                fork::unprotected(|| drop(removed));
            }
        }
        watches.checked.store(generation, Relaxed);
    }

    fn check_watch(&self, watch: &Watch, how: &GetOptions, generation: &mut u64) {
        let now = match &watch.key {
            Some(key) => self.seen(key, how),
            None => Seen::Generation(self.generation()),
        };
        if now == Seen::Unknown {
            return;
        }
        let before = std::mem::replace(&mut *watch.seen.lock(), now);
        if before == now || before == Seen::Unknown {
            return;
        }
        if watch.key.is_some() && *generation == self.watches.checked.load(Relaxed) {
            // No provider noticed it: a variable, or a provider of the program.
            self.changes.note();
            *generation = self.generation();
        }
        // Another callback, or another thread, may have removed it meanwhile.
        if !watch.is_removed.load(SeqCst) {
            fork::unprotected(|| (watch.callback)(watch.key.as_deref(), *generation));
        }
    }

    fn seen(&self, key: &str, how: &GetOptions) -> Seen {
        match self.get_with(key, how) {
            Ok(secret) => Seen::Value(self.watches.hasher.hash_one(&secret.value()[..])),
            Err(error) if error.status() == Status::NotFound => Seen::Absent,
            Err(_) => Seen::Unknown,
        }
    }
}
