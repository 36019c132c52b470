//! Asking a source whether it has changed, for calls that listen: one process of a host does, and with a cluster tier
//! one process of one host. While the tier fails, each host asks for itself.

use std::sync::Arc;
use std::time::Duration;

use super::super::changes::Changes;
use super::super::document::DocumentSource;
use super::DocumentProvider;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Status};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::log::{self, Level};
use crate::secrets::provider::LookupLimits;
use crate::share::{Identity, Share, Slot};

/// The pause after a query that failed.
const REST: Duration = Duration::from_secs(10);
/// The time limit of a query, and the least remaining time with which one is sent.
const LONGEST: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_millis(200);
/// A query that had less time than this does not count as a failure if it times out.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a host tries to become the one that asks.
const CANDIDACY: Duration = Duration::from_secs(2);
/// How long this process relies on having the lead of the cluster, and when it takes it again. The lead itself lasts
/// longer.
const LEAD: Duration = Duration::from_secs(4);
const RENEWAL: Duration = Duration::from_secs(2);

/// Whose turn it is to ask a source, as this process sees it.
#[derive(Default)]
pub(super) struct SourceWatch {
    slot: Mutex<Option<Arc<Slot>>>,
    state: Mutex<WatchState>,
}

#[derive(Clone, Default)]
struct WatchState {
    next: Option<Instant>,
    /// The name of the lead of the cluster, and when it was taken.
    lead: Option<(String, Instant)>,
    /// The process that has the lead: a forked child has not.
    fork: u32,
    /// The message of the last failure.
    failure: Option<String>,
    /// Whether a change was announced to this host, and not to the cluster yet, because the tier failed.
    owes_announcement: bool,
}

/// Whether this process asks, and which processes follow a change.
#[derive(Clone, Copy, PartialEq)]
enum WatchTurn {
    None,
    /// This host, while the tier fails.
    Host,
    /// All who share the document.
    All,
}

impl WatchState {
    fn leads(&self, time: Duration) -> bool {
        self.lead.as_ref().is_some_and(|(_, since)| self.fork == fork::generation() && since.elapsed() < time)
    }
}

impl SourceWatch {
    /// Whether this process asks now, and which processes follow a change.
    fn turn(&self, share: Option<&Share>, changes: &Changes, interval: Duration, about: WatchedDocument) -> WatchTurn {
        let (state, now) = (self.state.lock().clone(), Instant::now());
        let is_due = state.next.is_none_or(|next| now >= next);
        let keeps_lead = state.leads(LEAD) && !state.leads(RENEWAL);
        if !is_due && !keeps_lead {
            return WatchTurn::None;
        }
        let slot = share.and_then(|share| self.slot(share, about.identity?));
        let turn = |scope: WatchTurn, is_taken: bool| if is_taken { scope } else { WatchTurn::None };
        let taken = match (changes.tier(), &slot) {
            (Some((_, page)), Some(slot)) if about.answers_each_host && page.is_tier_resting() => {
                turn(WatchTurn::Host, slot.take_watch(interval))
            }
            (Some(_), Some(slot)) => turn(WatchTurn::All, self.leads(changes, slot, about.time)),
            (_, Some(slot)) => turn(WatchTurn::All, slot.take_watch(interval)),
            (_, None) => turn(WatchTurn::All, share.is_none()),
        };
        let has_turn = taken != WatchTurn::None;
        if is_due {
            let pause = if has_turn { interval } else { interval.min(CANDIDACY / 4) };
            self.state.lock().next = Some(after(pause));
        }
        turn(taken, is_due)
    }

    /// The memory in which the processes of this host take turns.
    fn slot(&self, share: &Share, mut identity: Identity) -> Option<Arc<Slot>> {
        identity.add("watch", "");
        let known = self.slot.lock().clone().filter(|slot| slot.is_for(&identity) && slot.has_name());
        known.or_else(|| {
            let slot = share.slot(identity).map(Arc::new);
            self.slot.lock().clone_from(&slot);
            slot
        })
    }

    /// Whether this process has the lead of the cluster, after trying to get it.
    fn leads(&self, changes: &Changes, slot: &Slot, time: Duration) -> bool {
        let state = self.state.lock().clone();
        if state.leads(RENEWAL) {
            return true;
        }
        let earlier = state.lead.as_ref().filter(|_| state.leads(LEAD)).map(|(name, _)| name.as_str());
        if earlier.is_none() && !slot.take_watch(CANDIDACY) {
            return false;
        }
        let since = Instant::now();
        let Some((tier, page)) = changes.tier() else { return false };
        let deadline = Deadline::after(time);
        let load = tier.begin(&page, deadline).and_then(|session| session.about(slot.identity(), deadline));
        let lead = load.and_then(|load| load.lead(earlier));
        let mut state = self.state.lock();
        state.fork = fork::generation();
        state.lead = lead.map(|name| (name, since));
        state.lead.is_some()
    }

    fn note_success(&self) {
        self.state.lock().failure = None;
    }

    /// Logs a failure, unless it is the last one again.
    fn note_failure(&self, provider: &str, error: &Error) {
        let mut state = self.state.lock();
        state.next = Some(after(REST));
        let is_new = state.failure.as_deref() != Some(error.message());
        state.failure = Some(error.message().to_owned());
        drop(state);
        if is_new {
            log::emit(Level::Warn, "secrets", || {
                format!("cannot check {provider} for changes; documents are reloaded only when they are due: {error}")
            });
        }
    }
}

fn after(time: Duration) -> Instant {
    Instant::after_boot(Instant::now().since_boot().saturating_add(time))
}

/// Who asks about which document, and the time of the call.
struct WatchedDocument {
    identity: Option<Identity>,
    time: Duration,
    answers_each_host: bool,
}

impl<S: DocumentSource + ?Sized> DocumentProvider<S> {
    /// Asks the source whether it has changed, if it is this process's turn.
    pub(super) fn source_has_changed(&self, request: &LookupLimits) -> bool {
        let Some(interval) = self.source.watch_interval() else { return false };
        let (_guard, time) = (fork::protect(), request.deadline().remaining().min(LONGEST));
        if time < SHORTEST {
            return false;
        }
        let deadline = Deadline::after(time);
        let share = self.shared.as_ref().map(|shared| &*shared.share);
        let identity = share.and_then(|_| self.source.identity());
        let about = WatchedDocument { identity, time, answers_each_host: self.source.answers_each_host() };
        let turn = self.watch.turn(share, &self.changes, interval, about);
        match turn {
            WatchTurn::None => return false,
            WatchTurn::All if self.watch.state.lock().owes_announcement => return true,
            _ => {}
        }
        let loaded = self.followed_state().document;
        match self.source.has_changed(loaded.as_ref().map(|loaded| &loaded.document), deadline) {
            Ok(has_changed) => {
                self.watch.note_success();
                if has_changed && turn == WatchTurn::Host {
                    self.announce_to_host(deadline);
                    return false;
                }
                has_changed
            }
            Err(error) if error.status() == Status::Timeout && time < PATIENCE => false,
            Err(error) => {
                self.watch.note_failure(self.source.id().name(), &error);
                false
            }
        }
    }

    /// Makes all processes of this host drop what they have cached. The cluster follows when this host leads again.
    fn announce_to_host(&self, deadline: Deadline) {
        self.changes.revise_host();
        self.source.note_announced(deadline);
        self.watch.state.lock().owes_announcement = true;
    }

    /// Records that a change was announced to all who share the document.
    pub(super) fn note_source_announced(&self, request: &LookupLimits) {
        let _guard = fork::protect();
        self.source.note_announced(request.deadline());
        self.watch.state.lock().owes_announcement = false;
    }
}
