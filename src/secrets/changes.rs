//! What changed: a counter that increases with each change, for a manager, and invalidations by other processes.
//!
//! A manager counts what it notices itself. With the setting `share`, it adds what the processes of the host publish
//! and invalidate, which they count in a page that all of them map. The page also has a revision: a process whose
//! manager has not followed it drops what it has cached before it returns anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

use crate::clock::{CoarseInstant, Instant};
use crate::error::{Error, Result, Status};
use crate::fork::{self, PublishedGuard};
use crate::fork_safe::{Mutex, Published};
use crate::share::{HostPage, Membership, Share, Tier, TierTime};
use crate::sys;

/// How long a page that could not be opened is not tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The revision of a manager that has followed none.
const NONE: u64 = u64::MAX;
/// Of a futex: all that wait.
const ALL: u32 = u32::MAX;

pub(super) struct Changes {
    /// `None` if nothing is shared with other processes.
    share: Option<Arc<Share>>,
    /// What this manager has noticed.
    own: AtomicU64,
    /// Changes with `own`, for threads that wait.
    word: AtomicU32,
    /// What [`Attached`] is read from without a lock; replaced with the lock of `attached` held.
    current: Published<Attached>,
    attached: Mutex<Attachment>,
    /// The revision of the page that this manager has followed.
    followed: AtomicU64,
}

#[derive(Default)]
struct Attachment {
    attached: Option<Arc<Attached>>,
    failed_at: Option<CoarseInstant>,
}

/// The page of the host, with the place of this manager in it.
pub(super) struct Attached {
    pub(super) page: Arc<HostPage>,
    membership: Membership,
    /// What is subtracted from the page's count, so that the sum continues where it was.
    base: u64,
}

impl Attached {
    fn changes(&self) -> u64 {
        self.page.changes().wrapping_sub(self.base)
    }
}

impl Changes {
    pub(super) fn new(share: Option<Arc<Share>>) -> Changes {
        Changes {
            share,
            own: AtomicU64::new(0),
            word: AtomicU32::new(0),
            current: Published::empty(),
            attached: Mutex::default(),
            followed: AtomicU64::new(NONE),
        }
    }

    /// How often something changed.
    pub(super) fn generation(&self) -> u64 {
        match fork::read().map(|reading| self.current.get(&reading).map(Attached::changes)) {
            Some(Some(shared)) => self.own.load(Acquire).wrapping_add(shared),
            _ if self.share.is_none() => self.own.load(Acquire),
            // It is not attached yet, or this thread is in another call.
            _ => {
                let shared = self.attach().map_or(0, |attached| attached.changes());
                self.own.load(Acquire).wrapping_add(shared)
            }
        }
    }

    /// Records a change that this manager has noticed.
    pub(super) fn note(&self) {
        self.own.fetch_add(1, Release);
        self.word.fetch_add(1, Release);
        sys::futex_wake(&self.word, ALL, ALL);
        if let Some(attached) = self.attached_now() {
            attached.page.wake();
        }
    }

    /// Reports a change to all processes: this one has published or invalidated something.
    pub(super) fn note_to_all(&self) {
        if let Some(attached) = self.attach() {
            attached.page.note_change();
        }
    }

    /// Makes all processes of the host drop what they have cached.
    pub(super) fn revise_host(&self) {
        if let Some(attached) = self.attach() {
            attached.page.revise();
            attached.page.note_change();
        }
    }

    /// Whether nothing was invalidated by other processes since this manager followed them.
    #[inline]
    pub(super) fn has_followed(&self, reading: &PublishedGuard) -> bool {
        self.current.get(reading).is_none_or(|attached| attached.page.revision() == self.followed.load(Relaxed))
    }

    /// The page of the host and the cluster tier, if there are both.
    pub(super) fn tier(&self) -> Option<(Arc<Tier>, Arc<HostPage>)> {
        let tier = self.share.as_ref()?.tier()?;
        Some((tier.clone(), self.attach()?.page.clone()))
    }

    /// Looks at the cluster tier, unless a process of the host did so within the interval. `time` returns that of the
    /// call.
    pub(super) fn look_at_tier(&self, interval: Duration, time: impl FnOnce() -> TierTime) {
        if let Some((tier, page)) = self.tier() {
            tier.look(&page, interval, time());
        }
    }

    /// Follows what other processes have invalidated: `drop_older` drops what was requested before a time.
    pub(super) fn follow(&self, drop_older: impl FnOnce(Instant)) {
        let Some(attached) = self.attach() else { return };
        let (revision, followed) = (attached.page.revision(), self.followed.load(Acquire));
        if revision != followed {
            drop_older(attached.page.revised_at());
            self.followed.store(revision, Release);
            attached.membership.confirm(revision);
            if followed != NONE {
                self.note();
            }
        }
    }

    /// Whether no other manager of the host is listed: certainly none has taken what this one shares.
    pub(super) fn is_alone(&self) -> bool {
        self.attach().is_some_and(|attached| attached.membership.is_alone())
    }

    /// The page of the host; the reason why there is none.
    pub(super) fn page(&self) -> Result<Option<Arc<Attached>>> {
        match (self.attach(), &self.share) {
            (Some(attached), _) => Ok(Some(attached)),
            (None, None) => Ok(None),
            (None, Some(share)) => {
                let unavailable = || Error::new(Status::Busy, "the share was unavailable a moment ago; try again");
                Err(share.host_page().err().unwrap_or_else(unavailable))
            }
        }
    }

    fn attached_now(&self) -> Option<Arc<Attached>> {
        let _guard = fork::protect();
        self.attached.lock().attached.clone()
    }

    /// The page of the host. It is opened on first use, in a forked child, and if its file was removed.
    fn attach(&self) -> Option<Arc<Attached>> {
        let share = self.share.as_ref()?;
        let _guard = fork::protect();
        let mut attachment = self.attached.lock();
        let before = attachment.attached.clone();
        let is_same = |attached: &Arc<Attached>| attached.membership.is_own() && attached.page.has_name();
        if let Some(attached) = before.as_ref().filter(|attached| is_same(attached)) {
            return Some(attached.clone());
        }
        let page = match before.as_ref().filter(|before| before.page.has_name()) {
            Some(parent) => Some(parent.page.clone()),
            None => self.open_page(share, &mut attachment).map(Arc::new),
        };
        let Some(page) = page else { return before };
        let base = page.changes().wrapping_sub(before.as_ref().map_or(0, |before| before.changes()));
        let attached = Arc::new(Attached { membership: HostPage::join(&page), page, base });
        match &before {
            Some(before) if Arc::ptr_eq(&before.page, &attached.page) => {
                let followed = self.followed.load(Acquire);
                attached.membership.confirm(if followed == NONE { 0 } else { followed });
            }
            // No invalidation on this page has been followed so far, so what is cached may be outdated.
            _ => self.followed.store(NONE, Release),
        }
        attachment.attached = Some(attached.clone());
        let published = self.current.replace(Some(attached.clone()));
        drop(attachment);
        drop((before, published));
        Some(attached)
    }

    fn open_page(&self, share: &Share, attachment: &mut Attachment) -> Option<HostPage> {
        let is_retry_due = attachment.failed_at.is_none_or(|failed_at| failed_at.elapsed() >= RETRY_INTERVAL);
        if !is_retry_due {
            return None;
        }
        let page = share.host_page().ok();
        attachment.failed_at = page.is_none().then(CoarseInstant::now);
        page
    }

    /// Returns the futex word, to pass to [`Changes::wait`].
    pub(super) fn word(&self) -> u32 {
        self.attach().map_or_else(|| self.word.load(Acquire), |attached| attached.page.word())
    }

    /// Waits until something was noted since [`Changes::word`], or this time is over. Forks are allowed meanwhile.
    pub(super) fn wait(&self, word: u32, time: Duration) {
        let attached = self.attached_now();
        fork::unprotected(|| match attached {
            Some(attached) => attached.page.wait(word, time),
            None => sys::futex_wait_for(&self.word, word, ALL, time),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::settings::Environment;

    fn shared(place: &std::path::Path) -> Changes {
        let mut config = Config::new();
        config.set("share", "host").unwrap();
        config.set("share_dir", place.join("share").to_str().unwrap()).unwrap();
        Changes::new(Share::open(&config, &Environment::fixed(&[])).unwrap())
    }

    #[test]
    fn generation_counts_own_changes_and_those_of_the_host() {
        let place = tempfile::Builder::new().prefix("st-secrets-test-").tempdir_in("/dev/shm").unwrap();
        let (one, two) = (shared(place.path()), shared(place.path()));
        assert_eq!((one.generation(), two.generation()), (0, 0));
        one.note();
        two.note_to_all();
        assert_eq!((one.generation(), two.generation()), (2, 1));
        // The files are removed; the count continues.
        std::fs::remove_dir_all(place.path().join("share")).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        two.note_to_all();
        one.follow(drop);
        assert_eq!((one.generation(), two.generation()), (2, 2));
        two.note_to_all();
        assert_eq!((one.generation(), two.generation()), (3, 3));
    }

    #[test]
    fn invalidation_is_followed_once() {
        let place = tempfile::Builder::new().prefix("st-secrets-test-").tempdir_in("/dev/shm").unwrap();
        let (one, two) = (shared(place.path()), shared(place.path()));
        let follows = |changes: &Changes| {
            let mut follows = false;
            changes.follow(|_| follows = true);
            follows
        };
        assert!(follows(&one) && !follows(&one) && follows(&two));
        assert!(one.has_followed(&fork::read().unwrap()));
        let revision = two.page().unwrap().unwrap().page.revise();
        assert!(!one.has_followed(&fork::read().unwrap()));
        assert!(follows(&one) && !follows(&one));
        assert_eq!(one.page().unwrap().unwrap().page.revision(), revision);
        assert_eq!(one.generation(), 1);
    }
}
