//! What all processes of a directory share, whatever they load: how often something changed, what was invalidated, and
//! who is there.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::directory::ShareDirectory;
use super::identity::Identity;
use super::mapped::Mapped;
use crate::clock::{CoarseInstant, Instant};
use crate::error::Result;
use crate::fork;
use crate::jitter;
use crate::sys::{self, HostFields, HostMember, MEMBERS};

const MAGIC: &[u8; 8] = b"STHOST03";

/// The page. Processes in different PID, network or time namespaces have different ones.
pub(crate) struct HostPage(Mapped<HostFields>);

/// The shortest and the longest back-off after a failure of the tier.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(15);

/// An entry consists of the process id, which is below the kernel's `PID_MAX_LIMIT`, the image, and the start time.
const NUMBER_BITS: u32 = 22;
const IMAGE_BITS: u32 = 18;
const START_BITS: u32 = u64::BITS - NUMBER_BITS - IMAGE_BITS;

fn nanoseconds_now() -> u64 {
    Instant::now().since_boot().as_nanos() as u64
}

/// The processes that have followed an invalidation, and those that may still return older values.
#[derive(Default)]
pub(crate) struct Members {
    pub(crate) confirmed: Vec<u32>,
    pub(crate) silent: Vec<u32>,
}

/// Returns a random back-off for a tier that has failed this often before.
pub(super) fn tier_pause(failures: u64) -> Duration {
    let most = FIRST_REST.saturating_mul(2 << failures.min(10)).min(LONGEST_REST);
    FIRST_REST + (most - FIRST_REST).mul_f64(jitter::random())
}

impl HostPage {
    pub(super) fn open(path: &Path) -> Result<HostPage> {
        let directory = ShareDirectory::open(path)?;
        let mut identity = Identity::new("host");
        identity.add_pid_namespace();
        Mapped::open_or_replace(&directory, path, (&identity.id(), "host"), MAGIC, 0).map(HostPage)
    }

    /// Whether the file still has its name; checked once a second.
    pub(crate) fn has_name(&self) -> bool {
        self.0.has_name(CoarseInstant::now())
    }

    /// How often a process published or invalidated something.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.load(Acquire)
    }

    pub(crate) fn note_change(&self) {
        self.0.changes.fetch_add(1, Release);
        self.wake();
    }

    /// Wakes all that [wait](HostPage::wait).
    pub(crate) fn wake(&self) {
        self.0.word.fetch_add(1, Release);
        sys::futex_wake_shared(&self.0.word);
    }

    /// Returns the futex word, to pass to [`HostPage::wait`].
    pub(crate) fn word(&self) -> u32 {
        self.0.word.load(Acquire)
    }

    /// Waits until the word is another one, or this time is over.
    pub(crate) fn wait(&self, word: u32, time: Duration) {
        sys::futex_wait_shared(&self.0.word, word, time);
    }

    /// How often all processes had to drop what they have cached.
    #[inline]
    pub(crate) fn revision(&self) -> u64 {
        self.0.revision.load(Acquire)
    }

    /// When the last invalidation was: what was requested before it does not count.
    pub(crate) fn revised_at(&self) -> Instant {
        Instant::after_boot(Duration::from_nanos(self.0.revised_at.load(Acquire))).min(Instant::now())
    }

    /// Makes all processes drop what they have cached. Returns the new revision.
    pub(crate) fn revise(&self) -> u64 {
        let now = nanoseconds_now();
        self.0.invalidated_at.fetch_max(now, AcqRel);
        self.revise_at(now)
    }

    /// When a process of this host last invalidated everything. A revision of the tier that is followed is not one.
    pub(crate) fn invalidated_at(&self) -> Instant {
        Instant::after_boot(Duration::from_nanos(self.0.invalidated_at.load(Acquire))).min(Instant::now())
    }

    fn revise_at(&self, now: u64) -> u64 {
        // First, so that a process that sees the revision sees the time.
        self.0.revised_at.fetch_max(now, AcqRel);
        self.0.revision.fetch_add(1, AcqRel).wrapping_add(1)
    }

    /// The highest revision of the cluster tier that was seen.
    pub(crate) fn tier_revision(&self) -> u64 {
        self.0.tier.revision.load(Acquire)
    }

    /// Follows a revision of the tier: if it is new, all processes drop what they have cached.
    pub(crate) fn follow_tier(&self, revision: u64) -> bool {
        let is_new = self.tier_revision() < revision;
        if is_new {
            let now = nanoseconds_now();
            self.0.tier.revised_at.store(now, Release);
            self.revise_at(now);
            // Last: who sees it may confirm it.
            self.0.tier.revision.fetch_max(revision, AcqRel);
            self.note_change();
        }
        is_new
    }

    /// The revision of the tier that this host has confirmed.
    pub(crate) fn confirmed_revision(&self) -> u64 {
        self.0.tier.confirmed.load(Acquire)
    }

    /// Returns the revision of the tier if this host has not confirmed it yet and now can: no stopped process might
    /// still return older values.
    pub(crate) fn confirm_tier(&self) -> Option<u64> {
        let revision = self.tier_revision();
        let is_open = self.confirmed_revision() < revision && self.members(self.revision()).silent.is_empty();
        is_open.then(|| {
            self.0.tier.confirmed.fetch_max(revision, AcqRel);
            revision
        })
    }

    /// Returns the request time of a tier document, to compare with the last revision. A document of the current
    /// revision counts as requested after it, even if this host followed that revision later than the request.
    pub(crate) fn requested_at(&self, requested_at: Instant, revision: u64) -> Instant {
        let revised_at = self.0.revised_at.load(Acquire);
        let is_last = revised_at == self.0.tier.revised_at.load(Acquire) && revision >= self.tier_revision();
        if is_last { requested_at.max(self.revised_at()) } else { requested_at }
    }

    /// Whether this process looks at the tier now: of all processes, one does in each interval.
    pub(crate) fn take_look(&self, interval: Duration) -> bool {
        let (last, now) = (self.0.tier.looked_at.load(Relaxed), nanoseconds_now());
        // A time in the future is that of a damaged page.
        let is_due = now.checked_sub(last).is_none_or(|age| u128::from(age) >= interval.as_nanos());
        is_due && self.0.tier.looked_at.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    /// Returns the remaining back-off after a failure of the tier.
    pub(crate) fn tier_rest(&self) -> Duration {
        let until = Instant::after_boot(Duration::from_nanos(self.0.tier.rest_until.load(Relaxed)));
        // A longer time is that of a damaged page.
        Some(until.since(Instant::now())).filter(|left| *left <= LONGEST_REST).unwrap_or_default()
    }

    pub(crate) fn is_tier_resting(&self) -> bool {
        !self.tier_rest().is_zero()
    }

    /// Leaves the tier alone for a while, longer with each failure. Returns for how long.
    pub(crate) fn rest_tier(&self) -> Duration {
        let pause = tier_pause(self.0.tier.failures.fetch_add(1, Relaxed));
        self.0.tier.rest_until.store(nanoseconds_now() + pause.as_nanos() as u64, Relaxed);
        pause
    }

    pub(crate) fn note_tier_success(&self) {
        if self.0.tier.failures.load(Relaxed) != 0 {
            self.0.tier.failures.store(0, Relaxed);
            self.0.tier.rest_until.store(0, Relaxed);
        }
    }

    /// Returns an identifier of this page that is unique among all hosts, in hex.
    pub(crate) fn unique_id(&self) -> String {
        let (device, inode) = self.0.file();
        let digest = Sha256::new().chain_update(self.0.boot).chain_update(device.to_le_bytes());
        let digest = digest.chain_update(inode.to_le_bytes()).finalize();
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Lists a manager of this process.
    pub(crate) fn join(page: &Arc<HostPage>) -> Membership {
        let place = own_process().and_then(|own| {
            page.remove_earlier_images(own);
            page.free_place(own).or_else(|| {
                page.remove_ended();
                page.free_place(own)
            })
        });
        if place.is_none() {
            page.0.unlisted.fetch_add(1, Relaxed);
        }
        Membership { page: page.clone(), place, fork: fork::generation() }
    }

    fn free_place(&self, own: u64) -> Option<usize> {
        // Processes begin at different places, so that few compete for one.
        (0..MEMBERS).map(|step| (number(own) as usize + step) % MEMBERS).find(|place| {
            let member = &self.0.members[*place];
            let is_free = member.process.compare_exchange(0, own, AcqRel, Relaxed).is_ok();
            if is_free {
                member.followed.store(0, Release);
            }
            is_free
        })
    }

    /// Removes the managers that this process had before it executed the program that it runs now.
    fn remove_earlier_images(&self, own: u64) {
        let is_same_process = |process: u64| number(process) == number(own) && started(process) == started(own);
        for (member, process) in self.listed().filter(|(_, process)| *process != own && is_same_process(*process)) {
            let _ = member.process.compare_exchange(process, 0, AcqRel, Relaxed);
        }
    }

    fn remove_ended(&self) {
        for (member, process) in self.listed() {
            present(member, process);
        }
    }

    fn listed(&self) -> impl Iterator<Item = (&HostMember, u64)> {
        let listed = |member| (member, HostMember::process(member));
        self.0.members.iter().map(listed).filter(|(_, process)| *process != 0)
    }

    /// Which processes have followed this revision. One that makes no call has followed it too: its next call begins
    /// with a look at this page. One that is stopped may be in the middle of a call, which returns what it has read.
    pub(crate) fn members(&self, revision: u64) -> Members {
        let mut members = Members::default();
        for (member, process) in self.listed() {
            let Some(state) = present(member, process) else { continue };
            let is_silent = member.followed.load(Acquire) < revision && matches!(state, 'T' | 't');
            let list = if is_silent { &mut members.silent } else { &mut members.confirmed };
            list.push(number(process));
        }
        for list in [&mut members.confirmed, &mut members.silent] {
            list.sort_unstable();
            list.dedup();
        }
        members.confirmed.retain(|process| members.silent.binary_search(process).is_err());
        members
    }

    /// Whether all managers of the host are listed.
    pub(crate) fn lists_all(&self) -> bool {
        self.0.unlisted.load(Relaxed) == 0
    }
}

impl HostMember {
    fn process(&self) -> u64 {
        self.process.load(Acquire)
    }
}

/// The state of a listed process. One that has ended is removed from the list.
fn present(member: &HostMember, process: u64) -> Option<char> {
    let status = ProcessStatus::read(number(process)).filter(|status| status.started == started(process));
    let state = status.map(|status| status.state);
    if state.is_none_or(|state| matches!(state, 'Z' | 'X')) {
        // The place may have been taken by another process meanwhile.
        let _ = member.process.compare_exchange(process, 0, AcqRel, Relaxed);
        return None;
    }
    state
}

/// The number of a listed process.
fn number(process: u64) -> u32 {
    (process & ((1 << NUMBER_BITS) - 1)) as u32
}

/// The lower bits of the start time of a listed process.
fn started(process: u64) -> u64 {
    process >> (NUMBER_BITS + IMAGE_BITS)
}

/// How this process is listed. `exec` keeps its number and start time, and gives it another image; all copies of the
/// library in the process see the same one.
fn own_process() -> Option<u64> {
    let process = std::process::id();
    let ProcessStatus { started, stack, .. } = ProcessStatus::read(process)?;
    // The highest bits of this product depend on all bits of the address, which is random.
    let image = stack.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - IMAGE_BITS);
    Some(u64::from(process) | image << NUMBER_BITS | started << (NUMBER_BITS + IMAGE_BITS))
}

struct ProcessStatus {
    state: char,
    /// The lower bits of its start time.
    started: u64,
    /// The address of its stack; 0 for processes of other users.
    stack: u64,
}

impl ProcessStatus {
    /// `None` if there is no such process.
    fn read(process: u32) -> Option<ProcessStatus> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name of the program may contain anything.
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let started: u64 = fields.nth(18)?.parse().ok()?;
        let stack = fields.nth(5)?.parse().ok()?;
        Some(ProcessStatus { state, started: started & ((1 << START_BITS) - 1), stack })
    }
}

/// The place of a manager in the list of processes.
pub(crate) struct Membership {
    page: Arc<HostPage>,
    /// `None` if the list was full.
    place: Option<usize>,
    fork: u32,
}

impl Membership {
    /// Whether it is that of this process, not of a parent that forked.
    pub(crate) fn is_own(&self) -> bool {
        self.fork == fork::generation()
    }

    /// Whether no other manager is listed, of this process or another one.
    pub(crate) fn is_alone(&self) -> bool {
        let own = self.place.filter(|_| self.is_own()).map(|place| &raw const self.page.0.members[place]);
        let is_other = |member: &HostMember| own.is_none_or(|own| !std::ptr::eq(own, member));
        let mut others = self.page.listed().filter(|(member, _)| is_other(member));
        self.page.lists_all() && !others.any(|(member, process)| present(member, process).is_some())
    }

    /// Confirms that nothing older than this revision is still used.
    pub(crate) fn confirm(&self, revision: u64) {
        if let Some(place) = self.place {
            self.page.0.members[place].followed.fetch_max(revision, Release);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(place) = self.place.filter(|_| self.is_own()) {
            self.page.0.members[place].process.store(0, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Arc<HostPage>) {
        let place = tempfile::Builder::new().prefix("st-secrets-test-").tempdir_in("/dev/shm").unwrap();
        let page = Arc::new(HostPage::open(&place.path().join("share")).unwrap());
        (place, page)
    }

    #[test]
    fn processes_are_listed_until_they_leave_or_end() {
        let (_place, page) = open();
        let (one, two) = (HostPage::join(&page), HostPage::join(&page));
        assert!(one.is_own() && one.place != two.place && !one.is_alone());
        assert_eq!(page.members(0).confirmed, [std::process::id()]);
        // A process that has ended, and one whose number another process has now.
        for process in [u64::from(u32::MAX / 2), u64::from(std::process::id()) | 1 << (NUMBER_BITS + IMAGE_BITS)] {
            page.0.members[0].process.store(process, Relaxed);
            assert_eq!(page.members(0).confirmed, [std::process::id()]);
            assert_eq!(page.0.members[0].process.load(Relaxed), 0);
        }
        // The program that this process ran before.
        let earlier = own_process().unwrap() ^ 1 << NUMBER_BITS;
        page.0.members[0].process.store(earlier, Relaxed);
        drop(HostPage::join(&page));
        assert_eq!(page.0.members[0].process.load(Relaxed), 0);
        assert!(!one.is_alone(), "another manager of this program is listed");
        drop(two);
        assert!(one.is_alone());
        drop(one);
        assert!(page.members(0).confirmed.is_empty());
    }

    #[test]
    fn full_list_is_noticed_and_ended_processes_make_room() {
        let (_place, page) = open();
        let own = own_process().unwrap();
        page.0.members.iter().for_each(|member| member.process.store(own, Relaxed));
        assert!(HostPage::join(&page).place.is_none() && !page.lists_all());
        page.0.members[7].process.store(u64::from(u32::MAX / 2), Relaxed);
        assert_eq!(HostPage::join(&page).place, Some(7));
    }

    #[test]
    fn revision_is_seen_with_its_time() {
        let (_place, page) = open();
        let (again, before) = (HostPage::open(page.0.path().parent().unwrap()).unwrap(), Instant::now());
        assert_eq!((page.revise(), again.revision()), (1, 1));
        assert!(again.revised_at() >= before && again.revised_at() <= Instant::now());
    }
}
