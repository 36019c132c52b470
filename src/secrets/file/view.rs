//! What is there in place of the secrets file: the document, a directory, nothing, or a reason why it cannot be read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::directory::Directory;
use super::document::{self, ByName, Format};
use crate::secrets::provider::{Finding, State};
use serde_json::{Value, json};

use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::files::{self, Exposure, Fingerprint};
use crate::log::{self, Level};
use crate::paths;

/// A writer that does not rename leaves a file half written for a moment; it is given this long to finish.
const TORN_WRITE: Duration = Duration::from_millis(20);
pub(super) const NO_HOME: &str = "there is no home directory";
const HOME_ADVICE: &str = "set HOME, or file_path in the configuration";
const CANDIDATES: [&str; 3] = ["secrets.json", "secrets.yaml", "secrets.yml"];

/// Where the secrets file is looked for, and on what terms it is read.
pub(super) struct Place {
    /// `file_path`, `~` expanded.
    pub(super) path: Option<PathBuf>,
    pub(super) strict: bool,
}

/// What was there at the last look.
pub(super) enum View {
    /// There is no home directory that could hold the default file; why the one that is named cannot.
    NoHome(Option<String>),
    Missing(PathBuf),
    Directory(Directory),
    Document(Document),
    /// Reading failed, in a state of the file that has this fingerprint.
    Failed(PathBuf, Option<Fingerprint>, Error),
}

pub(super) struct Document {
    pub(super) path: PathBuf,
    fingerprint: Fingerprint,
    pub(super) exposure: Option<Exposure>,
    pub(super) entries: ByName,
}

impl Document {
    /// The names that have a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.as_str())
    }
}

/// What a path leads to now.
pub(super) enum Located {
    NoHome(Option<String>),
    Missing(PathBuf),
    File(PathBuf, Fingerprint),
    Directory(PathBuf),
}

impl Place {
    /// What is there now; `known` if that is still it. An error means that the time did not suffice.
    pub(super) fn look(&self, known: Option<Arc<View>>, deadline: Deadline) -> Result<Arc<View>> {
        let located = match self.locate() {
            Ok(located) => located,
            Err(error) => return Ok(Arc::new(View::Failed(self.path.clone().unwrap_or_default(), None, error))),
        };
        if let Some(known) = known.filter(|known| known.is(&located)) {
            return Ok(known);
        }
        Ok(Arc::new(match located {
            Located::NoHome(reason) => View::NoHome(reason),
            Located::Missing(path) => View::Missing(path),
            Located::Directory(path) => View::Directory(Directory::new(path)),
            Located::File(path, state) => match self.load(&path, deadline) {
                Ok(document) => View::Document(document),
                Err(error) if error.status() == Status::Timeout => return Err(error),
                Err(error) => View::Failed(path, Some(state), error),
            },
        }))
    }

    fn load(&self, path: &Path, deadline: Deadline) -> Result<Document> {
        let loaded = self.load_once(path, deadline);
        match &loaded {
            Err(error) if error.status() == Status::Protocol && files::is_new(path) => {
                std::thread::sleep(TORN_WRITE.min(deadline.remaining()));
                self.load_once(path, deadline)
            }
            _ => loaded,
        }
    }

    fn load_once(&self, path: &Path, deadline: Deadline) -> Result<Document> {
        let contents = files::read(path, document::MAX_SIZE)?;
        let exposure = Exposure::of(path, &contents.metadata);
        if let Some(exposure) = exposure.as_ref().filter(|_| self.strict) {
            return Err(exposure.refusal());
        }
        let entries = Format::of(path).parse(&contents.bytes, deadline).map_err(|problem| problem.in_file(path))?;
        let fingerprint = Fingerprint::of(&contents.metadata);
        Ok(Document { path: path.to_owned(), fingerprint, exposure, entries: document::by_name(entries) })
    }

    pub(super) fn locate(&self) -> Result<Located> {
        if let Some(path) = &self.path {
            return Ok(look_at(path)?.unwrap_or_else(|| Located::Missing(path.clone())));
        }
        let Some(home) = paths::home() else { return Ok(Located::NoHome(None)) };
        let directory = home.join(".simpletuner");
        // A home that is not a directory, or that this user may not enter, holds nothing of this user's.
        if let Err(error) = fs::metadata(&directory)
            && let io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied = error.kind()
        {
            return Ok(Located::NoHome(Some(Error::io("use the home directory", &home, &error).message().to_owned())));
        }
        for candidate in CANDIDATES {
            if let Some(located) = look_at(&directory.join(candidate))? {
                return Ok(located);
            }
        }
        Ok(Located::Missing(directory.join(CANDIDATES[0])))
    }
}

fn look_at(path: &Path) -> Result<Option<Located>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(Located::Directory(path.to_owned()))),
        Ok(metadata) => Ok(Some(Located::File(path.to_owned(), Fingerprint::of(&metadata)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(look_error(path, &error)),
    }
}

pub(super) fn look_error(path: &Path, error: &io::Error) -> Error {
    Error::io("look at", path, error).with_source(Source::File)
}

pub(super) fn no_home(reason: Option<&str>) -> Error {
    let reason = reason.unwrap_or(NO_HOME);
    let message = format!("{reason}; for the secrets file, set HOME, or file_path in the configuration");
    Error::new(Status::Config, message).with_source(Source::File)
}

impl View {
    /// Whether what is there now is this, unchanged.
    fn is(&self, located: &Located) -> bool {
        match (located, self) {
            (Located::NoHome(reason), View::NoHome(known)) => reason == known,
            (Located::Missing(path), View::Missing(known)) => path == known,
            (Located::Directory(path), View::Directory(known)) => *path == known.path,
            (Located::File(path, state), View::Document(known)) => *path == known.path && *state == known.fingerprint,
            (Located::File(path, state), View::Failed(known, Some(at), _)) => path == known && state == at,
            _ => false,
        }
    }

    /// Logs what was found. The caller holds no lock.
    pub(super) fn report(&self) {
        match self {
            View::Document(document) => {
                log::emit(Level::Info, "file", || {
                    format!("read {} ({} entries)", document.path.display(), document.entries.len())
                });
                if let Some(exposure) = &document.exposure {
                    log::emit(Level::Warn, "file", || exposure.warning());
                }
            }
            View::NoHome(Some(reason)) => {
                log::emit(Level::Warn, "file", || format!("no secrets file is read: {reason}"));
            }
            _ => {}
        }
    }

    pub(super) fn describe(&self) -> Value {
        match self {
            View::NoHome(reason) => {
                json!({"path": null, "exists": false, "reason": reason.as_deref().unwrap_or(NO_HOME)})
            }
            View::Missing(path) => json!({"path": path.to_string_lossy(), "exists": false}),
            View::Directory(directory) => {
                json!({"path": directory.path.to_string_lossy(), "exists": true, "format": "directory"})
            }
            View::Document(document) => json!({
                "path": document.path.to_string_lossy(),
                "exists": true,
                "format": Format::of(&document.path).name(),
                "entries": document.entries.len(),
            }),
            View::Failed(path, _, error) => {
                json!({"path": path.to_string_lossy(), "exists": true, "error": error.message()})
            }
        }
    }

    pub(super) fn check(&self) -> Finding {
        match self {
            View::NoHome(None) => Finding::new(State::Absent, NO_HOME).with_advice(HOME_ADVICE),
            View::NoHome(Some(reason)) => {
                Finding::new(State::Warning, format!("no secrets file is read: {reason}")).with_advice(HOME_ADVICE)
            }
            View::Missing(path) => Finding::new(State::Absent, format!("{} does not exist", path.display())),
            View::Directory(directory) => Finding::new(State::Ok, format!("the files in {}", directory.path.display())),
            View::Document(Document { exposure: Some(exposure), .. }) => {
                Finding::new(State::Warning, exposure.detail.clone()).with_advice(exposure.remedy.clone())
            }
            View::Document(document) => {
                Finding::new(State::Ok, format!("{} ({} entries)", document.path.display(), document.entries.len()))
            }
            View::Failed(_, _, error) => Finding::new(State::Failed, error.message()),
        }
    }
}
