//! A slot: the document that all processes of one identity share.
//!
//! | file | content |
//! |---|---|
//! | `<id>.page` | the [page](super::page): generation, revision, loading process |
//! | `<id>.lock` | empty; the process that loads holds an OFD lock on a byte of it, the first of those for its key, or one of the next |
//! | `<id>.doc` | the document, [sealed], replaced by rename |
//! | `<id>.fail` | the last failure, sealed in the same way, until a load succeeds; a denial with a key of the login |

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub(crate) use self::loading::Loading;
use super::directory::ShareDirectory;
use super::failure::Failure;
use super::fields::duration;
use super::identity::Identity;
use super::lock::{self, SlotLock};
use super::page::{Page, Stamp};
use super::sealed::{self, DocumentHeader, KeyMaterial, SealedKind};
use crate::clock::{CoarseInstant, Deadline, Instant};
use crate::error::Result;
use crate::fork;
use crate::log::{self, Level};
use crate::secret_memory::{SecretBuffer, SecretBytes, wipe_stack_below};

/// How often a process that waits checks whether the loading process was killed.
const WAIT: Duration = Duration::from_millis(250);
/// The longest time after which one more process loads, whatever the deadline of its call.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The depth of stack that is wiped after a login was hashed.
const STACK: usize = 4 << 10;

/// What one identity shares.
pub(crate) struct Slot {
    directory: PathBuf,
    identity: Identity,
    id: String,
    material: SecretBytes,
    /// What the process logs in with, if the key of the files does not depend on that.
    login: Option<SecretBytes>,
    /// The first byte of its locks.
    lock: u32,
    page: Arc<Page>,
}

/// A document in the share.
pub(crate) struct SharedDocument {
    /// Taken before its load began.
    pub(crate) requested_at: Instant,
    /// How long it may be used, if the source says so.
    pub(crate) ttl: Option<Duration>,
    /// The age from which it is loaded again.
    pub(crate) refresh_after: Option<Duration>,
    pub(crate) payload: SecretBytes,
    pub(crate) stamp: Stamp,
}

/// A document to be shared.
pub(crate) struct NewRecord {
    pub(crate) requested_at: Instant,
    pub(crate) ttl: Option<Duration>,
    pub(crate) refresh_after: Option<Duration>,
    pub(crate) payload: SecretBuffer,
}

/// What a call that needs a document does.
pub(crate) enum Turn<'a, T> {
    /// The call took a document of the share.
    Taken(T),
    /// The source has failed, and is not queried yet. The stamp was taken before.
    Resting(Failure, Stamp),
    /// It queries the source, and publishes the result.
    Load(Loading<'a>),
    /// It queries the source, and publishes nothing, because nothing can be written.
    LoadUnshared(Stamp),
    /// Another process is loading, and this call does not wait, or has no time left.
    Busy,
}

/// What is in a slot, for reports.
pub(crate) struct SlotState {
    pub(crate) record: Option<SharedDocument>,
    pub(crate) failure: Option<Failure>,
    pub(crate) is_loading: bool,
    /// The process that is loading, if it is known.
    pub(crate) loader: Option<u32>,
}

impl Slot {
    /// Opens the slot of this identity. `key` is the setting `share_key`. With a cluster tier, its stamps count as
    /// outdated once a second, so that one get leaves the fast path and reads the revision of the tier.
    pub(super) fn open(path: PathBuf, key: Option<&SecretBytes>, identity: Identity, has_tier: bool) -> Result<Slot> {
        let directory = ShareDirectory::open(&path)?;
        let material = match key.or(identity.secrets()) {
            Some(material) => material.clone(),
            None => directory.key()?.freeze(),
        };
        let login = key.and(identity.secrets()).cloned();
        let id = identity.id();
        let lock = lock::first_byte(&material);
        let page = Page::open_or_replace(&directory, &path, &id, lock, has_tier)?;
        Ok(Slot { directory: path, identity, id, material, login, lock, page: Arc::new(page) })
    }

    /// Whether it is the slot of this identity with these secrets, and its page has its name.
    pub(crate) fn is_for(&self, identity: &Identity) -> bool {
        self.identity == *identity && self.has_name()
    }

    /// Whether its page is still that of all processes.
    pub(crate) fn has_name(&self) -> bool {
        self.page.has_name(CoarseInstant::now())
    }

    /// Whether the stamp is of this slot.
    pub(crate) fn is_of(&self, stamp: &Stamp) -> bool {
        stamp.is_of(&self.page)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The highest number of a document of the cluster tier that was used here.
    pub(crate) fn sequence(&self) -> u64 {
        self.page.sequence()
    }

    pub(crate) fn note_sequence(&self, sequence: u64) {
        self.page.note_sequence(sequence);
    }

    /// When the document was last invalidated.
    pub(crate) fn invalidated_at(&self) -> Instant {
        self.page.invalidated_at()
    }

    /// The generation and revision now.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::of(&self.page)
    }

    /// Decides whether this call uses the shared document or loads it. Waits while another process is loading. If that
    /// process is stopped, a waiting one loads after half of the time until `deadline`. With `None`, does not wait.
    ///
    /// `take` is called with each document in the share; `Some` ends the wait and is the result. `is_resting` returns
    /// whether a failure applies to this call.
    pub(crate) fn turn<T>(
        &self,
        deadline: Option<Deadline>,
        take: impl FnMut(SharedDocument) -> Option<T>,
        is_resting: impl Fn(&Failure) -> bool,
    ) -> Turn<'_, T> {
        self.turn_among(deadline, 1, take, is_resting)
    }

    /// As [`turn`](Self::turn) without waiting. It loads if fewer than `loaders` processes do.
    pub(crate) fn turn_now<T>(
        &self,
        loaders: u32,
        take: impl FnMut(SharedDocument) -> Option<T>,
        is_resting: impl Fn(&Failure) -> bool,
    ) -> Turn<'_, T> {
        self.turn_among(None, loaders, take, is_resting)
    }

    fn turn_among<T>(
        &self,
        deadline: Option<Deadline>,
        loaders: u32,
        mut take: impl FnMut(SharedDocument) -> Option<T>,
        is_resting: impl Fn(&Failure) -> bool,
    ) -> Turn<'_, T> {
        let begun = Instant::now();
        let time = deadline.map(|deadline| deadline.remaining().min(LONGEST_WAIT));
        let mut looked_at = None;
        loop {
            let stamp = self.stamp();
            let Ok(directory) = ShareDirectory::open(&self.directory) else { return Turn::LoadUnshared(stamp) };
            if looked_at != Some(stamp.generation()) {
                looked_at = Some(stamp.generation());
                if let Some(turn) = self.look(&directory, &mut take, &is_resting) {
                    return turn;
                }
            }
            if self.page.is_unshared() {
                return Turn::LoadUnshared(stamp);
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Turn::Busy;
            }
            let left = time.map_or(Duration::ZERO, |time| time.saturating_sub(begun.elapsed()));
            let loaders = time.map_or(loaders, |time| lock::loaders(time, left));
            match lock::take(&directory, &self.id, self.lock, loaders) {
                // What another process published just before is used.
                Ok(Some(lock)) => {
                    return self.look(&directory, &mut take, &is_resting).unwrap_or_else(|| {
                        self.page.loader().store(std::process::id(), Relaxed);
                        let failure = self.failure(&directory);
                        Turn::Load(Loading { slot: self, lock, failure, begun: Instant::now(), stamp: self.stamp() })
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    log::emit(Level::Warn, "share", || format!("not shared: {error}"));
                    return Turn::LoadUnshared(stamp);
                }
            }
            drop(directory);
            let Some(deadline) = deadline else { return Turn::Busy };
            let next_loader = if left.is_zero() { WAIT } else { (left / 2).max(Duration::from_millis(1)) };
            let pause = WAIT.min(next_loader).min(deadline.remaining());
            fork::unprotected(|| self.page.wait(stamp.generation(), pause));
        }
    }

    fn look<T>(
        &self,
        directory: &ShareDirectory,
        take: &mut impl FnMut(SharedDocument) -> Option<T>,
        is_resting: &impl Fn(&Failure) -> bool,
    ) -> Option<Turn<'_, T>> {
        let stamp = self.stamp();
        match self.record(directory).and_then(take) {
            Some(taken) => Some(Turn::Taken(taken)),
            None => self.failure(directory).filter(is_resting).map(|failure| Turn::Resting(failure, stamp)),
        }
    }

    /// Returns the document in the share, if it is valid and this process can decrypt it.
    pub(crate) fn read(&self) -> Option<SharedDocument> {
        self.record(&ShareDirectory::open(&self.directory).ok()?)
    }

    fn record(&self, directory: &ShareDirectory) -> Option<SharedDocument> {
        // Before the file is read: what is published meanwhile has another stamp.
        let stamp = self.stamp();
        let (header, payload) = self.open_file(directory, SealedKind::Document, &self.material)?;
        let requested_at = requested_at(&header);
        let is_valid = header.revision == stamp.revision() && requested_at <= Instant::now();
        let (ttl, refresh_after) = (duration(header.ttl), duration(header.refresh_after));
        is_valid.then_some(SharedDocument { requested_at, ttl, refresh_after, payload, stamp })
    }

    fn failure(&self, directory: &ShareDirectory) -> Option<Failure> {
        let open = |material| self.open_file(directory, SealedKind::Failure, material);
        let (_, fields) = open(&self.material).or_else(|| open(self.login.as_ref()?))?;
        Failure::read(&fields)
    }

    fn open_file(
        &self,
        directory: &ShareDirectory,
        kind: SealedKind,
        material: &SecretBytes,
    ) -> Option<(DocumentHeader, SecretBytes)> {
        let file = directory.read(&self.name(kind), sealed::MAX_SIZE).ok()??;
        let opened = sealed::open(kind, file, &self.key_source(material))?;
        Some(opened).filter(|(header, _)| header.boot == self.page.boot())
    }

    fn name(&self, kind: SealedKind) -> String {
        match kind {
            SealedKind::Document => format!("{}.doc", self.id),
            SealedKind::Failure => format!("{}.fail", self.id),
            SealedKind::Tier => unreachable!("documents of the tier are in no file"),
        }
    }

    fn key_source<'a>(&'a self, material: &'a [u8]) -> KeyMaterial<'a> {
        KeyMaterial { material, identity: self.identity.list() }
    }

    /// A number for the login of this process. It is 0 for all if the key of the files depends on the login.
    fn publisher(&self) -> u64 {
        let Some(login) = &self.login else { return 0 };
        let digest = Sha256::new().chain_update(&*self.material).chain_update(&**login).finalize();
        wipe_stack_below::<STACK>();
        digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Invalidates what all processes have of this slot. Returns the state after that.
    pub(crate) fn invalidate(&self) -> Stamp {
        if let Ok(directory) = ShareDirectory::open(&self.directory) {
            directory.remove(&self.name(SealedKind::Document));
        }
        self.page.note_invalidation();
        let revision = self.page.next_revision();
        Stamp::new(&self.page, self.page.next_generation(), revision)
    }

    /// Whether this process looks for changes at the source now: of all processes of the slot, one does in each
    /// interval.
    pub(crate) fn take_watch(&self, interval: Duration) -> bool {
        self.page.take_watch(interval)
    }

    /// Returns what is in the slot.
    pub(crate) fn state(&self) -> Result<SlotState> {
        let directory = ShareDirectory::open(&self.directory)?;
        let is_loading = lock::is_taken(&directory, &self.id, self.lock);
        let loader = Some(self.page.loader().load(Relaxed)).filter(|loader| is_loading && *loader != 0);
        Ok(SlotState { record: self.record(&directory), failure: self.failure(&directory), is_loading, loader })
    }

    /// Encrypts a file and writes it.
    fn write(
        &self,
        header: &DocumentHeader,
        entries: SecretBuffer,
        material: &SecretBytes,
        lock: &SlotLock,
    ) -> Result<()> {
        let directory = ShareDirectory::open(&self.directory)?;
        let file = sealed::seal(header, entries, &self.key_source(material))?;
        directory.replace(&self.name(header.kind), &file, lock.byte)
    }
}

fn requested_at(header: &DocumentHeader) -> Instant {
    Instant::after_boot(Duration::from_nanos(header.requested_at))
}

mod loading;
#[cfg(test)]
mod tests;
