//! The file provider: one JSON or YAML file, or a directory of one-secret files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::names::Names;
use super::peek::{Known, Peeked};
use super::provider::{Finding, Held, Provider, Request, State};
use crate::cache::TtlCache;
use crate::clock::{Deadline, Tick};
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork::{self, Reading};
use crate::paths;
use crate::sys::Published;

mod directory;
mod document;
mod save;
mod view;
mod yaml;

use directory::Directory;
use document::Change;
use view::{Located, NO_HOME, Place, View, no_home};

/// How long the file is taken to be as it was when it was last looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a report waits for a look at the file.
const REPORT_TIME: Duration = Duration::from_secs(10);

pub(crate) struct FileProvider {
    place: Place,
    memory: Mutex<Memory>,
    /// The look that counts; changed with the lock of `memory` held.
    current: Published<Look>,
    /// Holds nothing; it lets one caller look at the file for all.
    looks: TtlCache<Look>,
}

/// What is known of the file. Looks are numbered in the order in which they begin.
#[derive(Default)]
struct Memory {
    look: Option<Look>,
    begun: u64,
    /// The first look that counts: the file was changed, or forgotten, after the ones before it had begun.
    oldest: u64,
}

/// A look at the file, and what it found.
#[derive(Clone)]
struct Look {
    number: u64,
    begun: Tick,
    view: Arc<View>,
}

impl FileProvider {
    pub(crate) fn open(config: &Config) -> Result<FileProvider> {
        Ok(FileProvider {
            place: Place {
                path: config.text("file_path").map(|path| paths::expand_home(Path::new(path))),
                strict: config.flag("strict_permissions").unwrap_or(false),
            },
            memory: Mutex::default(),
            current: Published::empty(),
            looks: TtlCache::new(Duration::ZERO, 0, Duration::MAX)?,
        })
    }

    /// Writes one entry, creating the file where it is missing.
    pub(crate) fn set(&self, key: &str, value: &str, deadline: Deadline) -> Result<()> {
        self.change(key, &Change::Set(value), deadline).map(drop)
    }

    /// Removes one entry; `false` if there was none.
    pub(crate) fn delete(&self, key: &str, deadline: Deadline) -> Result<bool> {
        self.change(key, &Change::Delete, deadline)
    }

    /// The file or directory that is read, or the file that `set` would create.
    pub(crate) fn file_path(&self) -> Result<PathBuf> {
        match self.place.locate()? {
            Located::File(path, _) | Located::Directory(path) | Located::Missing(path) => Ok(path),
            Located::NoHome(reason) => Err(no_home(reason.as_deref())),
        }
    }

    fn change(&self, key: &str, change: &Change<'_>, deadline: Deadline) -> Result<bool> {
        let path = match self.place.locate()? {
            Located::File(path, _) | Located::Missing(path) => path,
            Located::Directory(path) => {
                let message = format!(
                    "{} is a directory of secrets, which is read-only; set file_path to a file",
                    path.display()
                );
                return Err(Error::new(Status::ReadOnly, message).with_source(Source::File));
            }
            Located::NoHome(reason) => return Err(no_home(reason.as_deref())),
        };
        let changed = fork::outside(|| save::change(&path, key, change, self.place.strict, deadline));
        self.outdate();
        changed.map_err(|error| error.with_source(Source::File))
    }

    /// What is there, by a look that is younger than a second; with `refresh`, by one that begins now. While another
    /// caller looks, what was there before serves, unless this process has changed it.
    fn view(&self, refresh: bool, deadline: Deadline) -> Result<Arc<View>> {
        let (oldest, before) = {
            let memory = self.memory.lock();
            let look = memory.look.clone().filter(|look| !refresh && look.number >= memory.oldest);
            if let Some(look) = look.as_ref().filter(|look| look.begun.elapsed() < LOOK_INTERVAL) {
                return Ok(look.view.clone());
            }
            (if refresh { memory.begun + 1 } else { memory.oldest }, look)
        };
        loop {
            let wait = if before.is_some() { Duration::ZERO } else { deadline.wait() };
            let mut new = None;
            let look = self.looks.get_or_load(b"", wait, |_| {
                let (look, is_new) = self.look(deadline)?;
                new = is_new.then(|| look.view.clone());
                Ok(look)
            });
            if let Some(view) = new {
                view.report();
            }
            match look {
                Ok(look) if look.number >= oldest => return Ok(look.view),
                // It had begun before this call.
                Ok(_) => {}
                Err(error) if error.status() == Status::Busy && before.is_some() => {}
                // The patience of the caller that looked was shorter.
                Err(error) if error.status() == Status::Timeout && !deadline.has_passed() => {}
                Err(error) => return Err(error.with_source(Source::File)),
            }
            if let Some(look) = before {
                return Ok(look.view);
            }
        }
    }

    /// Looks at the file, and whether that found something new. Called outside the fork gate.
    fn look(&self, deadline: Deadline) -> Result<(Look, bool)> {
        let (number, known) = {
            let _inside = fork::enter();
            let mut memory = self.memory.lock();
            memory.begun += 1;
            // What this process has written since may have the inode, size and time of what was read: where the clock of
            // the file system is coarse, and inodes are used again at once.
            let counts = |look: &&Look| look.number >= memory.oldest;
            (memory.begun, memory.look.as_ref().filter(counts).map(|look| look.view.clone()))
        };
        let begun = Tick::now();
        let view = self.place.look(known.clone(), deadline)?;
        let is_new = known.is_none_or(|known| !Arc::ptr_eq(&known, &view));
        let look = Look { number, begun, view };
        let _inside = fork::enter();
        self.publish(&look);
        Ok((look, is_new))
    }

    /// Makes this look the current one, unless it is too old to count.
    fn publish(&self, look: &Look) {
        let mut memory = self.memory.lock();
        if look.number >= memory.oldest {
            let before = memory.look.replace(look.clone());
            let current = self.current.replace(Some(Arc::new(look.clone())));
            // What is replaced is dropped without the lock.
            drop(memory);
            drop((before, current));
        }
    }

    /// The looks that have begun do not count any more.
    fn outdate(&self) {
        let _inside = fork::enter();
        let mut memory = self.memory.lock();
        memory.oldest = memory.begun + 1;
        let current = self.current.replace(None);
        drop(memory);
        drop(current);
    }
}

impl Provider for FileProvider {
    fn name(&self) -> &str {
        "file"
    }

    fn source(&self) -> Source {
        Source::File
    }

    fn find(&self, key: &str, request: &Request) -> Result<Option<Held>> {
        let fresh = if request.refresh { Duration::ZERO } else { LOOK_INTERVAL };
        let value = match &*self.view(request.refresh, request.deadline())? {
            View::NoHome(_) | View::Missing(_) => None,
            View::Document(document) => document.entries.get(key).cloned().flatten(),
            View::Directory(directory) => directory.find(key, fresh, self.place.strict)?,
            View::Failed(_, _, error) => return Err(error.clone()),
        };
        Ok(value.map(Held::now))
    }

    fn peek(&self, key: &str, reading: &Reading, now: Tick, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        let is_new = |look: &&Look| now.since(look.begun) < LOOK_INTERVAL;
        let Some(look) = self.current.get(reading).filter(is_new) else { return Known::Unknown };
        match &*look.view {
            View::NoHome(_) | View::Missing(_) => Known::Absent,
            View::Document(document) => match document.entries.get(key) {
                Some(Some(value)) => {
                    take(Peeked::Local(value));
                    Known::Found
                }
                Some(None) | None => Known::Absent,
            },
            View::Directory(directory) => match directory.peek(key, reading, now, LOOK_INTERVAL) {
                Some(Some(value)) => {
                    take(Peeked::Local(value));
                    Known::Found
                }
                Some(None) => Known::Absent,
                None => Known::Unknown,
            },
            View::Failed(..) => Known::Unknown,
        }
    }

    fn place(&self, key: &str) -> String {
        let view = match self.view(false, Deadline::after(REPORT_TIME)) {
            Ok(view) => view,
            Err(error) => return error.message().to_owned(),
        };
        match &*view {
            View::NoHome(reason) => reason.as_deref().unwrap_or(NO_HOME).to_owned(),
            View::Missing(path) => format!("{} does not exist", path.display()),
            View::Directory(directory) if !Directory::may_have(key) => {
                format!("{} is a directory, in which no such name is looked for", directory.path.display())
            }
            View::Directory(directory) => format!("{} does not exist", directory.path.join(key).display()),
            View::Document(document) => format!("{} has no such key", document.path.display()),
            View::Failed(_, _, error) => error.message().to_owned(),
        }
    }

    fn refresh(&self, request: &Request) -> Result<()> {
        match &*self.view(true, request.deadline())? {
            View::Failed(_, _, error) => Err(error.clone()),
            View::Directory(directory) => {
                directory.forget();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn forget(&self) {
        let _inside = fork::enter();
        self.outdate();
        let before = self.memory.lock().look.take();
        drop(before);
    }

    fn describe(&self) -> Map<String, Value> {
        let fields = match self.view(false, Deadline::after(REPORT_TIME)) {
            Ok(view) => view.describe(),
            Err(error) => json!({"error": error.message()}),
        };
        let mut fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("strict_permissions".to_owned(), json!(self.place.strict));
        fields
    }

    fn names(&self, request: &Request) -> Option<Names> {
        let listed = self.view(request.refresh, request.deadline()).and_then(|view| match &*view {
            View::NoHome(_) | View::Missing(_) => Ok(Vec::new()),
            View::Document(document) => Ok(document.names().map(str::to_owned).collect()),
            View::Directory(directory) => directory.names(),
            View::Failed(_, _, error) => Err(error.clone()),
        });
        Some(match listed {
            Ok(names) => Names { names, error: None },
            Err(error) => Names { names: Vec::new(), error: Some(error) },
        })
    }

    fn check(&self, request: &Request) -> Finding {
        match self.view(true, request.deadline()) {
            Ok(view) => view.check(),
            Err(error) => Finding::new(State::Failed, error.message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_of_this_process_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.json");
        std::fs::write(&path, r#"{"A": "1"}"#).unwrap();
        let mut config = Config::new();
        config.set("file_path", path.to_str().unwrap()).unwrap();
        let provider = FileProvider::open(&config).unwrap();
        let look = || provider.view(true, Deadline::after(Duration::from_secs(60))).unwrap();
        let first = look();
        assert!(Arc::ptr_eq(&first, &look()), "nothing was changed");
        // The file seems to be as it was.
        provider.outdate();
        assert!(!Arc::ptr_eq(&first, &look()));
    }
}
