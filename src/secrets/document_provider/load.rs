//! Loading a document: once for all callers, and not during a back-off.

use std::sync::Arc;
use std::time::Duration;

use super::super::document::{Document, DocumentSource};
use super::super::entries::counted;
use super::loaded::LoadedDocument;
use super::outage::Outage;
use super::shared::Sharing;
use super::state::State;
use super::{DocumentProvider, LoadRequest, STACK};
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::http::retry::Patience;
use crate::log::{self, Level};
use crate::secret_memory::wipe_stack_below;

impl<S: DocumentSource + ?Sized> DocumentProvider<S> {
    /// Loads a new document, or waits for the call that is loading one.
    pub(super) fn load(&self, request: &LoadRequest) -> Result<Arc<LoadedDocument>> {
        let mut own = false;
        let work = || self.load_unless_done(request, &mut own);
        // A call that does not wait for another process has no result for one that does.
        let accepts = |loaded: &Option<Arc<LoadedDocument>>| loaded.as_ref().is_some_and(request.accepts);
        let result = self.loads.run(b"", request.deadline, accepts, work);
        self.run_upkeep(own && result.is_ok(), request.deadline);
        result?
            .ok_or_else(|| Error::new(Status::Busy, "another process is querying it; try again").with_retryable(true))
    }

    /// Loads a new document; `None` if another call or process is loading one.
    pub(super) fn try_load(&self, request: &LoadRequest) -> Option<Result<Arc<LoadedDocument>>> {
        let mut own = false;
        let work = || self.load_unless_done(request, &mut own);
        let result = self.loads.try_run(b"", request.deadline, work)?;
        self.run_upkeep(own && result.is_ok(), request.deadline);
        result.transpose()
    }

    /// Loads a new document, unless another call did before this call's turn.
    fn load_unless_done(&self, request: &LoadRequest, own: &mut bool) -> Result<Option<Arc<LoadedDocument>>> {
        match self.state().document.filter(request.accepts) {
            Some(loaded) => Ok(Some(loaded)),
            None => self.load_now(request, own),
        }
    }

    /// Queries the source, except during its back-off, or takes what another process has loaded. No other call does so
    /// now. `own` is set if the source is queried.
    fn load_now(&self, request: &LoadRequest, own: &mut bool) -> Result<Option<Arc<LoadedDocument>>> {
        let _guard = fork::protect();
        match self.state().outage.filter(|outage| outage.is_backing_off(request.remaining)) {
            _ if request.forced => self.source.before_refresh(),
            Some(outage) if !self.has_new_credentials(&outage) => return Err(outage.error()),
            _ => {}
        }
        if request.deadline.has_passed() {
            return Err(Error::new(Status::Timeout, "no time was left to query it").with_retryable(true));
        }
        if !request.waits && self.is_loaded_elsewhere() {
            return Ok(None);
        }
        match self.slot() {
            Some(slot) => self.load_shared(&slot, request, own),
            None => {
                *own = true;
                self.query(request, Sharing::Off).map(Some)
            }
        }
    }

    /// Queries the source.
    pub(super) fn query(&self, request: &LoadRequest, sharing: Sharing<'_>) -> Result<Arc<LoadedDocument>> {
        let requested_at = Instant::now();
        let patience = self.patience(request);
        let earlier = self.state().document;
        let earlier = earlier.as_ref().map(|loaded| &loaded.document);
        let load = || self.source.reload(earlier, request.deadline, patience);
        let result = self.counts.counting(load, |document| document.incomplete().is_some());
        wipe_stack_below::<STACK>();
        if let Some(loaded) = self.published_meanwhile(&result, request) {
            sharing.abandon();
            return Ok(loaded);
        }
        let sharing = self.after_load(sharing);
        match result {
            Ok(document) => Ok(self.publish(document, requested_at, request.remaining, sharing)),
            Err(error) => Err(self.note_failure(self.redacted(error), requested_at, request, sharing)),
        }
    }

    fn patience(&self, request: &LoadRequest) -> Patience {
        let State { document, outage, .. } = self.state();
        let has_failed = outage.is_some_and(|outage| outage.applies_to(request.remaining));
        match document.is_some_and(|loaded| loaded.is_usable()) {
            _ if has_failed && !request.forced => Patience::Probing,
            true => Patience::Brief,
            false => Patience::UntilDeadline,
        }
    }

    /// Checks, about once a second, whether a source that is backing off has new credentials.
    fn has_new_credentials(&self, outage: &Outage) -> bool {
        if !outage.is_credential_check_due() {
            return false;
        }
        self.change(|state| state.outage = Some(Arc::new(outage.with_credentials_checked_now())));
        self.source.has_new_credentials() || self.has_new_identity()
    }

    fn publish(
        &self,
        document: Document,
        requested_at: Instant,
        time_limit: Duration,
        sharing: Sharing<'_>,
    ) -> Arc<LoadedDocument> {
        self.log_load(&document, requested_at.elapsed());
        let before = self.state();
        let outage = self.partial_outage(&document, before.outage.as_deref(), time_limit);
        let loaded = LoadedDocument::new(document, requested_at, &self.times, before.document.as_deref());
        let stamp = sharing.publish(&loaded);
        let loaded = Arc::new(loaded.with_stamp(stamp));
        let load_time = requested_at.elapsed();
        let is_changed = self.change(|state| {
            if outage.is_none() {
                state.load_time = load_time;
            }
            state.outage = outage;
            if state.may_cache(requested_at) {
                (state.document, state.stamp) = (Some(loaded.clone()), loaded.stamp.clone());
            }
        });
        if is_changed && loaded.stamp.is_some() {
            self.changes.note_to_all();
        }
        loaded
    }

    /// The outage of a document of which a part could not be read.
    pub(super) fn partial_outage(
        &self,
        document: &Document,
        before: Option<&Outage>,
        time_limit: Duration,
    ) -> Option<Arc<Outage>> {
        let error = document.incomplete()?.clone();
        Some(Arc::new(Outage::after(before, error, time_limit, None, self.times.max_backoff)))
    }

    fn log_load(&self, document: &Document, time: Duration) {
        let (name, place) = (self.source.id().name(), self.source.place());
        if let Some(error) = document.incomplete() {
            log::emit_with(Level::Warn, "secrets", |fields| {
                fields.text("provider", name);
                fields.text("place", &place);
                fields.error(error);
                format!("{name}: {place}: a part could not be read: {error}")
            });
        }
        log::emit_with(Level::Info, "secrets", |fields| {
            fields.text("provider", name);
            fields.text("place", &place);
            fields.integer("keys", document.len() as i64);
            fields.time("duration", time);
            if let Some(version) = &document.version {
                fields.text("version", version);
            }
            let keys = counted(document.len(), "key", "keys");
            let what = match (&document.missing, &document.version) {
                (Some(reason), _) => reason.clone(),
                (None, Some(version)) => format!("{keys}, version {version}"),
                (None, None) => keys,
            };
            format!("{name}: {place}: {what}, in {:.0} ms", time.as_secs_f64() * 1e3)
        });
    }

    /// The same error without the values of the cached document.
    fn redacted(&self, error: Error) -> Error {
        match self.state().document {
            Some(loaded) => error.map_message(|message| self.source.redact(message.to_owned(), &loaded.document)),
            None => error,
        }
    }

    /// Records the failure of a load, and returns it for the caller. That of a probe which timed out is the failure of
    /// the load before, which had the time that the message names.
    fn note_failure(&self, error: Error, requested_at: Instant, request: &LoadRequest, sharing: Sharing<'_>) -> Error {
        let State { document, outage, .. } = self.state();
        let (taken, time_limit) = (Some(requested_at.elapsed()), request.remaining);
        let is_probe = !request.forced && error.status() == Status::Timeout;
        let hung = outage.as_ref().filter(|outage| is_probe && outage.is_hung(time_limit));
        let error = hung.map_or(error, |outage| outage.cause().clone());
        let outage = Outage::after(outage.as_deref(), error.clone(), time_limit, taken, self.times.max_backoff);
        let drop_document = error.is_authoritative();
        if !drop_document && document.is_some_and(|loaded| loaded.is_usable()) {
            let name = self.source.id().name();
            log::emit_with(Level::Warn, "secrets", |fields| {
                fields.text("provider", name);
                fields.error(&error);
                format!("{name} failed; its last document is still used: {error}")
            });
        }
        let stamp = sharing.fail(&outage);
        self.change(|state| {
            state.outage = Some(Arc::new(outage));
            if drop_document {
                state.document = None;
            }
            if let Some(stamp) = stamp {
                state.set_stamp(stamp);
            }
        });
        if drop_document && self.shared.is_some() {
            self.changes.note_to_all();
        }
        error
    }

    /// Runs the source's upkeep after a load that this call made. No other call waits for it.
    fn run_upkeep(&self, wanted: bool, deadline: Deadline) {
        if !wanted || deadline.has_passed() {
            return;
        }
        let work = || {
            self.counts.counting_retries(|| self.source.upkeep(deadline));
            wipe_stack_below::<STACK>();
            Ok(())
        };
        if let Some(Err(error)) = self.upkeeps.try_run(b"", deadline, work) {
            log::emit_with(Level::Warn, "secrets", |fields| {
                fields.text("provider", self.source.id().name());
                fields.error(&error);
                format!("{}: upkeep failed: {error}", self.source.id().name())
            });
        }
    }
}
