//! The file provider: one JSON or YAML file, or a directory with one file for each secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::changes::Changes;
use super::provider::{Health, HealthState, Known, LookupLimits, Names, Peeked, SecretProvider};
use super::secret::{ProviderId, Secret};
use super::single_flight::SingleFlight;
use super::stats::LoadCounts;
use crate::clock::{CoarseInstant, Deadline, Instant};
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork::{self, PublishedGuard};
use crate::fork_safe::{Mutex, Published};
use crate::paths;

mod directory;
mod document;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod read_order;
mod save;
mod state;
mod toml;
mod yaml;

#[cfg(feature = "kubernetes")]
pub(super) use yaml::parse as parse_yaml;

pub(super) use directory::SecretsDirectory;
use document::{EntryChange, read_only_format};
pub(super) use read_order::ReadOrder;
use state::{FileLocation, FileState, Located, NO_HOME, no_home};

/// How long a snapshot is used before the file is checked for changes.
pub(super) const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a report waits for the file to be read.
const REPORT_TIME: Duration = Duration::from_secs(10);

pub(crate) struct FileProvider {
    location: FileLocation,
    snapshots: Mutex<Snapshots>,
    /// The latest snapshot; changed with the lock of `snapshots` held.
    current: Published<FileSnapshot>,
    /// Lets one caller read the file for all.
    reads: SingleFlight<FileSnapshot>,
    changes: Arc<Changes>,
    counts: LoadCounts,
}

/// The latest snapshot. Those that were started before a change by this process, or before a call to `clear_cache`, are
/// invalid.
#[derive(Default)]
struct Snapshots {
    /// After a call to `clear_cache`, without the values.
    latest: Option<FileSnapshot>,
    order: ReadOrder,
}

/// The state of the file at one time.
#[derive(Clone)]
struct FileSnapshot {
    number: u64,
    started: CoarseInstant,
    state: Arc<FileState>,
}

impl FileSnapshot {
    /// The same without the values of a file. A directory has its own cache.
    fn without_values(&self) -> FileSnapshot {
        let state = self.state.without_values().map_or_else(|| self.state.clone(), Arc::new);
        FileSnapshot { state, ..self.clone() }
    }
}

impl FileProvider {
    pub(super) fn open(config: &Config, changes: Arc<Changes>) -> Result<FileProvider> {
        Ok(FileProvider {
            location: FileLocation {
                path: config.text("file_path").map(|path| paths::expand_home(Path::new(path))),
                strict: config.flag("strict_permissions").unwrap_or(false),
            },
            snapshots: Mutex::default(),
            current: Published::empty(),
            reads: SingleFlight::new()?,
            changes,
            counts: LoadCounts::default(),
        })
    }

    /// Writes one entry. Creates the file if it does not exist.
    pub(crate) fn set(&self, key: &str, value: &str, deadline: Deadline) -> Result<()> {
        self.change(key, &EntryChange::Set(value), deadline).map(drop)
    }

    /// Removes one entry; `false` if there was none.
    pub(crate) fn delete(&self, key: &str, deadline: Deadline) -> Result<bool> {
        self.change(key, &EntryChange::Delete, deadline)
    }

    /// The file or directory that is read, or the file that `set` would create.
    pub(crate) fn file_path(&self) -> Result<PathBuf> {
        match fork::unprotected(|| self.location.locate())? {
            Located::File(path, _) | Located::Directory(path) | Located::Missing(path) => Ok(path),
            Located::NoHome(reason) => Err(no_home(reason.as_deref())),
        }
    }

    fn change(&self, key: &str, change: &EntryChange<'_>, deadline: Deadline) -> Result<bool> {
        let path = match fork::unprotected(|| self.location.locate())? {
            Located::File(path, _) | Located::Missing(path) => match read_only_format(&path) {
                None => path,
                Some(format) => {
                    let path = path.display();
                    let message = format!(
                        "{path} is a {format} file, which is read-only; edit it, or set file_path to a JSON or YAML file"
                    );
                    return Err(Error::new(Status::ReadOnly, message).with_source(Source::File));
                }
            },
            Located::Directory(path) => {
                let message = format!(
                    "{} is a directory of secrets, which is read-only; set file_path to a file",
                    path.display()
                );
                return Err(Error::new(Status::ReadOnly, message).with_source(Source::File));
            }
            Located::NoHome(reason) => return Err(no_home(reason.as_deref())),
        };
        let changed = fork::unprotected(|| save::change(&path, key, change, self.location.strict, deadline));
        self.invalidate();
        if changed.is_ok() {
            self.changes.note();
        }
        changed.map_err(|error| error.with_source(Source::File))
    }

    /// The state of the file, from a snapshot that is younger than [`RECHECK_INTERVAL`]; with `refresh`, from one that
    /// starts now. While another caller takes a snapshot, the previous one is used if it is still valid.
    fn state(&self, refresh: bool, deadline: Deadline) -> Result<Arc<FileState>> {
        let (oldest, previous) = {
            let snapshots = self.snapshots.lock();
            let is_usable = |latest: &FileSnapshot| !refresh && snapshots.order.is_valid(latest.number);
            let latest = snapshots.latest.clone().filter(is_usable);
            if let Some(latest) = latest.as_ref().filter(|latest| latest.started.elapsed() < RECHECK_INTERVAL) {
                return Ok(latest.state.clone());
            }
            (if refresh { snapshots.order.next() } else { snapshots.order.oldest_valid() }, latest)
        };
        loop {
            let mut new = None;
            let take = || {
                let (snapshot, is_new) = self.take_snapshot(deadline)?;
                new = is_new.then(|| snapshot.state.clone());
                Ok(snapshot)
            };
            let snapshot = match &previous {
                Some(previous) => match self.reads.try_run(b"", deadline, take) {
                    Some(result) => result,
                    None => return Ok(previous.state.clone()),
                },
                None => self.reads.run(b"", deadline, |snapshot| snapshot.number >= oldest, take),
            };
            if let Some(state) = new {
                state.report();
            }
            match (snapshot, &previous) {
                (Ok(snapshot), _) => return Ok(snapshot.state),
                // The caller that read the file had less time than this one.
                (Err(error), previous) if error.status() == Status::Timeout && !deadline.has_passed() => {
                    if let Some(previous) = previous {
                        return Ok(previous.state.clone());
                    }
                }
                (Err(error), _) => return Err(error.with_source(Source::File)),
            }
        }
    }

    /// Takes a snapshot, and returns whether the file has changed since the previous one. The file is read while forks
    /// are allowed, without a lock.
    fn take_snapshot(&self, deadline: Deadline) -> Result<(FileSnapshot, bool)> {
        let (number, latest, is_usable) = {
            let _guard = fork::protect();
            let mut snapshots = self.snapshots.lock();
            let number = snapshots.order.begin();
            let latest = snapshots.latest.clone();
            // A file that this process has changed may have the same inode, size and time as before: file systems reuse
            // inodes at once, and some have a coarse clock. A directory checks its files itself.
            let is_usable = latest.as_ref().is_some_and(|latest| {
                snapshots.order.is_valid(latest.number) || matches!(*latest.state, FileState::Directory(_))
            });
            (number, latest.map(|latest| latest.state), is_usable)
        };
        let previous = latest.clone().filter(|_| is_usable);
        let (started, began) = (CoarseInstant::now(), Instant::now());
        let state = fork::unprotected(|| self.location.read(previous.clone(), deadline));
        let state = state.inspect_err(|_| self.counts.add(began.elapsed(), true))?;
        let is_new = previous.is_none_or(|previous| !Arc::ptr_eq(&previous, &state));
        if is_new && let FileState::Document(_) | FileState::Failed(..) = &*state {
            self.counts.add(began.elapsed(), matches!(*state, FileState::Failed(..)));
        }
        let snapshot = FileSnapshot { number, started, state };
        self.publish(&snapshot);
        if is_new && latest.is_some_and(|latest| !latest.is_same(&snapshot.state)) {
            self.changes.note();
        }
        Ok((snapshot, is_new))
    }

    /// Makes this snapshot the latest, unless it is no longer valid.
    fn publish(&self, snapshot: &FileSnapshot) {
        let _guard = fork::protect();
        let mut snapshots = self.snapshots.lock();
        if snapshots.order.is_valid(snapshot.number) {
            let previous = snapshots.latest.replace(snapshot.clone());
            let current = self.current.replace(Some(Arc::new(snapshot.clone())));
            // The replaced snapshot is dropped without the lock.
            drop(snapshots);
            drop((previous, current));
        }
    }

    /// Makes all snapshots that have been started invalid.
    fn invalidate(&self) {
        let _guard = fork::protect();
        let mut snapshots = self.snapshots.lock();
        snapshots.order.invalidate();
        let current = self.current.replace(None);
        drop(snapshots);
        drop(current);
    }
}

impl SecretProvider for FileProvider {
    fn id(&self) -> &ProviderId {
        static ID: ProviderId = ProviderId::builtin("file", Source::File);
        &ID
    }

    fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        let max_age = if request.refresh { Duration::ZERO } else { RECHECK_INTERVAL };
        let value = match &*self.state(request.refresh, request.deadline())? {
            FileState::NoHome(_) | FileState::Missing(_) => None,
            FileState::Document(document) => document.entries.get(key).cloned().flatten(),
            FileState::Directory(directory) => {
                let (before, began) = (directory.replaced(), Instant::now());
                let value = directory.find(key, max_age, self.location.strict);
                let value = value.inspect_err(|_| self.counts.add(began.elapsed(), true))?;
                if directory.replaced() != before {
                    self.counts.add(began.elapsed(), false);
                    self.changes.note();
                }
                value
            }
            FileState::Failed(_, _, error) => return Err(error.clone()),
        };
        Ok(value.map(Secret::new))
    }

    fn loads(&self) -> Option<&LoadCounts> {
        Some(&self.counts)
    }

    fn peek(&self, key: &str, reading: &PublishedGuard, now: CoarseInstant, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        let is_recent = |snapshot: &&FileSnapshot| now.since(snapshot.started) < RECHECK_INTERVAL;
        let Some(snapshot) = self.current.get(reading).filter(is_recent) else { return Known::Unknown };
        match &*snapshot.state {
            FileState::NoHome(_) | FileState::Missing(_) => Known::Absent,
            FileState::Document(document) => match document.entries.get(key) {
                Some(Some(value)) => {
                    take(Peeked::Local(value));
                    Known::Found
                }
                Some(None) | None => Known::Absent,
            },
            FileState::Directory(directory) => match directory.peek(key, reading, now, RECHECK_INTERVAL) {
                Some(Some(value)) => {
                    take(Peeked::Local(value));
                    Known::Found
                }
                Some(None) => Known::Absent,
                None => Known::Unknown,
            },
            FileState::Failed(..) => Known::Unknown,
        }
    }

    fn place(&self, key: &str) -> String {
        let state = match self.state(false, Deadline::after(REPORT_TIME)) {
            Ok(state) => state,
            Err(error) => return error.message().to_owned(),
        };
        match &*state {
            FileState::NoHome(reason) => reason.as_deref().unwrap_or(NO_HOME).to_owned(),
            FileState::Missing(path) => format!("{} does not exist", path.display()),
            FileState::Directory(directory) => directory.place(key),
            FileState::Document(document) => format!("{} has no such key", document.path.display()),
            FileState::Failed(_, _, error) => error.message().to_owned(),
        }
    }

    fn refresh(&self, request: &LookupLimits) -> Result<()> {
        match &*self.state(true, request.deadline())? {
            FileState::Failed(_, _, error) => Err(error.clone()),
            FileState::Directory(directory) => {
                directory.clear_cache();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn clear_cache(&self) {
        let _guard = fork::protect();
        let mut snapshots = self.snapshots.lock();
        snapshots.order.invalidate();
        let current = self.current.replace(None);
        let latest = snapshots.latest.take();
        snapshots.latest = latest.as_ref().map(FileSnapshot::without_values);
        drop(snapshots);
        if let Some(FileState::Directory(directory)) = latest.as_ref().map(|latest| &*latest.state) {
            directory.clear_cache();
        }
        drop((current, latest));
    }

    fn look(&self, request: &LookupLimits) {
        // A failure is that of the next get.
        let _ = self.state(false, request.deadline());
    }

    fn describe(&self) -> Map<String, Value> {
        let fields = match self.state(false, Deadline::after(REPORT_TIME)) {
            Ok(state) => state.describe(),
            Err(error) => json!({"error": error.message()}),
        };
        let mut fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("strict_permissions".to_owned(), json!(self.location.strict));
        fields
    }

    fn names(&self, request: &LookupLimits) -> Option<Names> {
        let listed = self.state(false, request.deadline()).and_then(|state| match &*state {
            FileState::NoHome(_) | FileState::Missing(_) => Ok(Vec::new()),
            FileState::Document(document) => Ok(document.names().map(str::to_owned).collect()),
            FileState::Directory(directory) => fork::unprotected(|| directory.names()),
            FileState::Failed(_, _, error) => Err(error.clone()),
        });
        Some(match listed {
            Ok(names) => Names { names, error: None },
            Err(error) => Names { names: Vec::new(), error: Some(error) },
        })
    }

    fn check(&self, request: &LookupLimits) -> Health {
        match self.state(true, request.deadline()) {
            Ok(state) => state.check(),
            Err(error) => Health::new(HealthState::Failed, error.message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read_again_after_a_change_by_this_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.json");
        std::fs::write(&path, r#"{"A": "1"}"#).unwrap();
        let mut config = Config::new();
        config.set("file_path", path.to_str().unwrap()).unwrap();
        let provider = FileProvider::open(&config, Arc::new(Changes::new(None))).unwrap();
        let state = || provider.state(true, Deadline::after(Duration::from_secs(60))).unwrap();
        let first = state();
        assert!(Arc::ptr_eq(&first, &state()), "the file has not changed");
        // The file seems unchanged.
        provider.invalidate();
        assert!(!Arc::ptr_eq(&first, &state()));
    }
}
