//! The right to load the document of a slot, and what a load does with its result.

use std::sync::atomic::Ordering::Relaxed;

use super::super::directory::ShareDirectory;
use super::super::failure::Failure;
use super::super::fields::nanoseconds;
use super::super::identity::Identity;
use super::super::lock::SlotLock;
use super::super::page::Stamp;
use super::super::sealed::{self, DocumentHeader, SealedKind};
use super::{NewRecord, Slot, requested_at};
use crate::clock::Instant;
use crate::error::{Result, Status};
use crate::log::{self, Level};
use crate::secret_memory::{SecretBuffer, SecretBytes};

/// The right to load. It holds the lock of its slot until it is dropped.
pub(crate) struct Loading<'a> {
    pub(super) slot: &'a Slot,
    pub(super) lock: SlotLock,
    pub(super) failure: Option<Failure>,
    /// When it got the lock.
    pub(super) begun: Instant,
    /// Taken before the source is queried.
    pub(super) stamp: Stamp,
}

impl Loading<'_> {
    /// Whether it is a load of this identity with these secrets.
    pub(crate) fn is_for(&self, identity: &Identity) -> bool {
        self.slot.identity == *identity
    }

    pub(crate) fn slot(&self) -> &Slot {
        self.slot
    }

    /// How the last load of any process failed.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Invalidates the document in the share, which the source no longer accepts, unless that is of a process with
    /// other secrets. The others wait for the next one.
    pub(crate) fn invalidate(&mut self) {
        if self.lock.is_open() && self.is_document_own() {
            self.stamp = self.slot.invalidate();
        }
    }

    /// Shares a document, unless another process has shared one that was requested later. If that is impossible, all
    /// processes load for themselves for a while.
    ///
    /// The stamp that this and the other methods return is current only if no other process has published meanwhile.
    pub(crate) fn publish(self, record: Result<NewRecord>) -> Stamp {
        let header =
            record.as_ref().map_or_else(|_| self.header(SealedKind::Document), |record| self.header_of(record));
        let payload = record.map(|record| record.payload);
        self.store(&header, payload, &self.slot.material)
    }

    /// Shares a document of the cluster tier, and keeps the lock.
    pub(crate) fn share(&self, record: &NewRecord) -> Stamp {
        let payload = SecretBuffer::with_capacity(record.payload.len()).and_then(|mut payload| {
            payload.push(&record.payload)?;
            Ok(payload)
        });
        self.store(&self.header_of(record), payload, &self.slot.material)
    }

    /// Shares a failure, unless another process has shared a document that was requested after this load began. An
    /// authoritative failure invalidates the document, unless that is of a process with other secrets.
    pub(crate) fn fail(mut self, failure: &Failure) -> Stamp {
        let is_open = self.lock.is_open();
        let is_about_document = failure.error.is_authoritative() && (!is_denial(failure) || self.has_published());
        if is_about_document && is_open && !self.is_overtaken(self.begun) && self.is_document_own() {
            self.stamp = self.slot.invalidate();
        }
        self.note_failure(failure)
    }

    /// Whether a process with the same login published the last document.
    fn has_published(&self) -> bool {
        self.slot.page.publisher().load(Relaxed) == self.slot.publisher()
    }

    /// As [`fail`](Self::fail), but the document stays valid. Only processes with the same login see a denial.
    pub(crate) fn note_failure(self, failure: &Failure) -> Stamp {
        let header = self.header(SealedKind::Failure);
        let login = self.slot.login.as_ref().filter(|_| is_denial(failure));
        self.store(&header, failure.write(), login.unwrap_or(&self.slot.material))
    }

    fn header(&self, kind: SealedKind) -> DocumentHeader {
        let (revision, boot) = (self.stamp.revision(), self.slot.page.boot());
        DocumentHeader { kind, revision, requested_at: 0, ttl: 0, refresh_after: 0, boot }
    }

    fn header_of(&self, record: &NewRecord) -> DocumentHeader {
        let requested_at = nanoseconds(Some(record.requested_at.since_boot()));
        let (ttl, refresh_after) = (nanoseconds(record.ttl), nanoseconds(record.refresh_after));
        DocumentHeader { requested_at, ttl, refresh_after, ..self.header(SealedKind::Document) }
    }

    /// Whether there is no document, or one that this process can decrypt.
    fn is_document_own(&self) -> bool {
        let Ok(directory) = ShareDirectory::open(&self.slot.directory) else { return false };
        let name = self.slot.name(SealedKind::Document);
        matches!(directory.read(&name, sealed::MAX_SIZE), Ok(None))
            || self.slot.open_file(&directory, SealedKind::Document, &self.slot.material).is_some()
    }

    /// Whether there is a document that was requested after this: this process may have been stopped while another one
    /// loaded.
    fn is_overtaken(&self, requested_at: Instant) -> bool {
        self.slot.read().is_some_and(|newer| newer.requested_at > requested_at)
    }

    /// Writes a file, encrypted with a key from this material, and reports it to all processes.
    fn store(&self, header: &DocumentHeader, entries: Result<SecretBuffer>, material: &SecretBytes) -> Stamp {
        let slot = self.slot;
        let requested_at = match header.kind {
            SealedKind::Failure => self.begun,
            _ => requested_at(header),
        };
        // A log sink may have forked during the load. The lock is the parent's.
        // What another process publishes after this check and before the rename is replaced: processes that took it
        // keep it, since it is newer, and others use this document for its time to live at most.
        if !self.lock.is_open() || self.is_overtaken(requested_at) {
            // Not the state now: the next get looks for what was published.
            return Stamp::new(&slot.page, self.stamp.generation(), self.stamp.revision());
        }
        match entries.and_then(|entries| slot.write(header, entries, material, &self.lock)) {
            Ok(()) if header.kind == SealedKind::Document => {
                slot.page.publisher().store(slot.publisher(), Relaxed);
                // That of a process with other secrets remains.
                if let Some(directory) =
                    ShareDirectory::open(&slot.directory).ok().filter(|at| slot.failure(at).is_some())
                {
                    directory.remove(&slot.name(SealedKind::Failure));
                }
            }
            Ok(()) => {}
            Err(error) => {
                slot.page.set_unshared();
                log::emit(Level::Warn, "share", || format!("a load is not shared: {error}"));
            }
        }
        Stamp::new(&slot.page, slot.page.next_generation(), self.stamp.revision())
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        if self.lock.is_open() {
            self.slot.page.loader().store(0, Relaxed);
            self.lock.unlock();
            self.slot.page.wake();
        }
    }
}

/// Whether another login might have succeeded.
fn is_denial(failure: &Failure) -> bool {
    failure.error.status() == Status::AccessDenied
}
