//! The state of the secrets file: a document, a directory, missing, or unreadable for some reason.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::directory::{SecretsDirectory, metadata_error};
use super::document::{self, EntryMap, FileFormat};
use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::files::{self, Fingerprint, LoosePermissions};
use crate::log::{self, Level};
use crate::paths;
use crate::secrets::entries::counted;
use crate::secrets::provider::{Health, HealthState};

pub(super) const NO_HOME: &str = "there is no home directory";
const HOME_ADVICE: &str = "set HOME, or file_path in the configuration";
const CANDIDATES: [&str; 3] = ["secrets.json", "secrets.yaml", "secrets.yml"];

/// The configured location of the secrets file.
pub(super) struct FileLocation {
    /// `file_path` with `~` expanded; `None` for the default files.
    pub(super) path: Option<PathBuf>,
    /// Whether a file that other users can read or change is an error.
    pub(super) strict: bool,
}

/// What is at the location.
pub(super) enum FileState {
    /// There is no home directory for the default file, for this reason.
    NoHome(Option<String>),
    Missing(PathBuf),
    Directory(SecretsDirectory),
    Document(LoadedFile),
    /// The file with this fingerprint cannot be read.
    Failed(PathBuf, Option<Fingerprint>, Error),
}

pub(super) struct LoadedFile {
    pub(super) path: PathBuf,
    fingerprint: Fingerprint,
    pub(super) loose_permissions: Option<LoosePermissions>,
    pub(super) entries: EntryMap,
}

/// `/home/me/secrets.json (3 entries)`
impl fmt::Display for LoadedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), counted(self.entries.len(), "entry", "entries"))
    }
}

impl LoadedFile {
    /// The names of the entries that have a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.as_str())
    }
}

/// What the path refers to.
pub(super) enum Located {
    NoHome(Option<String>),
    Missing(PathBuf),
    File(PathBuf, Fingerprint),
    Directory(PathBuf),
}

impl FileLocation {
    /// Reads the current state; returns `previous` if nothing has changed. The only error is a timeout.
    pub(super) fn read(&self, previous: Option<Arc<FileState>>, deadline: Deadline) -> Result<Arc<FileState>> {
        let located = match self.locate() {
            Ok(located) => located,
            Err(error) => return Ok(Arc::new(FileState::Failed(self.path.clone().unwrap_or_default(), None, error))),
        };
        if let Some(previous) = previous.filter(|previous| previous.is_at(&located)) {
            return Ok(previous);
        }
        Ok(Arc::new(match located {
            Located::NoHome(reason) => FileState::NoHome(reason),
            Located::Missing(path) => FileState::Missing(path),
            Located::Directory(path) => FileState::Directory(SecretsDirectory::new(path)),
            Located::File(path, fingerprint) => match self.load(&path, deadline) {
                Ok(document) => FileState::Document(document),
                Err(error) if error.status() == Status::Timeout => return Err(error),
                // A shortage of memory or descriptors may end without a change of the file.
                Err(error) if error.status() == Status::NoMemory || files::is_shortage(&error) => {
                    FileState::Failed(path, None, error)
                }
                Err(error) => FileState::Failed(path, Some(fingerprint), error),
            },
        }))
    }

    fn load(&self, path: &Path, deadline: Deadline) -> Result<LoadedFile> {
        let mut previous = None;
        let is_whole = |loaded: &Result<LoadedFile>| match loaded {
            // It may be half written, unless it has not changed since the previous read.
            Err(error) if error.status() == Status::Protocol => {
                let fingerprint = fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata));
                previous.replace(fingerprint) == Some(fingerprint)
            }
            _ => true,
        };
        files::read_settled(|| files::is_new(path), deadline, || self.load_once(path, deadline), is_whole)
    }

    fn load_once(&self, path: &Path, deadline: Deadline) -> Result<LoadedFile> {
        let contents = files::read(path, document::MAX_SIZE)?;
        let loose_permissions = LoosePermissions::of(path, &contents.metadata);
        if let Some(loose_permissions) = loose_permissions.as_ref().filter(|_| self.strict) {
            return Err(loose_permissions.refusal());
        }
        let entries = FileFormat::of(path).parse(&contents.bytes, deadline).map_err(|problem| problem.in_file(path))?;
        let fingerprint = Fingerprint::of(&contents.metadata);
        Ok(LoadedFile { path: path.to_owned(), fingerprint, loose_permissions, entries: document::entry_map(entries) })
    }

    pub(super) fn locate(&self) -> Result<Located> {
        if let Some(path) = &self.path {
            return Ok(locate_at(path)?.unwrap_or_else(|| Located::Missing(path.clone())));
        }
        let Some(home) = paths::home() else { return Ok(Located::NoHome(None)) };
        let directory = home.join(".simpletuner");
        // A home that is not a directory, or that this user may not enter, cannot contain the file.
        if let Err(error) = fs::metadata(&directory)
            && let io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied = error.kind()
        {
            return Ok(Located::NoHome(Some(Error::io("use the home directory", &home, &error).message().to_owned())));
        }
        for candidate in CANDIDATES {
            if let Some(located) = locate_at(&directory.join(candidate))? {
                return Ok(located);
            }
        }
        Ok(Located::Missing(directory.join(CANDIDATES[0])))
    }
}

/// What `path` refers to; `None` if it does not exist.
fn locate_at(path: &Path) -> Result<Option<Located>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(Located::Directory(path.to_owned()))),
        Ok(metadata) => Ok(Some(Located::File(path.to_owned(), Fingerprint::of(&metadata)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(metadata_error(path, &error)),
    }
}

pub(super) fn no_home(reason: Option<&str>) -> Error {
    let reason = reason.unwrap_or(NO_HOME);
    let message = format!("{reason}; for the secrets file, set HOME, or file_path in the configuration");
    Error::new(Status::Config, message).with_source(Source::File)
}

impl FileState {
    /// Whether this is the state of what was located now.
    fn is_at(&self, located: &Located) -> bool {
        match (located, self) {
            (Located::NoHome(reason), FileState::NoHome(known)) => reason == known,
            (Located::Missing(path), FileState::Missing(known)) => path == known,
            (Located::Directory(path), FileState::Directory(known)) => *path == known.path,
            (Located::File(path, now), FileState::Document(known)) => *path == known.path && *now == known.fingerprint,
            (Located::File(path, now), FileState::Failed(known, Some(before), _)) => path == known && now == before,
            _ => false,
        }
    }

    /// Whether the other one is the state of the same file, which has not changed in between.
    pub(super) fn is_same(&self, other: &FileState) -> bool {
        match other {
            FileState::NoHome(reason) => self.is_at(&Located::NoHome(reason.clone())),
            FileState::Missing(path) => self.is_at(&Located::Missing(path.clone())),
            FileState::Directory(directory) => self.is_at(&Located::Directory(directory.path.clone())),
            FileState::Document(LoadedFile { path, fingerprint, .. })
            | FileState::Failed(path, Some(fingerprint), _) => self.is_at(&Located::File(path.clone(), *fingerprint)),
            FileState::Failed(_, None, _) => false,
        }
    }

    /// The same without the values; `None` if it has none.
    pub(super) fn without_values(&self) -> Option<FileState> {
        let FileState::Document(LoadedFile { path, fingerprint, .. }) = self else { return None };
        let (path, entries) = (path.clone(), EntryMap::default());
        let document = LoadedFile { path, fingerprint: *fingerprint, loose_permissions: None, entries };
        Some(FileState::Document(document))
    }

    /// Logs the state. The caller holds no lock.
    pub(super) fn report(&self) {
        match self {
            FileState::Document(document) => {
                let path = document.path.to_string_lossy();
                log::emit_with(Level::Info, "file", |fields| {
                    fields.text("path", &path);
                    format!("read {document}")
                });
                if let Some(loose_permissions) = &document.loose_permissions {
                    log::emit_with(Level::Warn, "file", |fields| {
                        fields.text("path", &path);
                        loose_permissions.warning()
                    });
                }
            }
            FileState::NoHome(Some(reason)) => {
                log::emit(Level::Warn, "file", || format!("no secrets file is read: {reason}"));
            }
            _ => {}
        }
    }

    pub(super) fn describe(&self) -> Value {
        match self {
            FileState::NoHome(reason) => {
                json!({"path": null, "exists": false, "reason": reason.as_deref().unwrap_or(NO_HOME)})
            }
            FileState::Missing(path) => json!({"path": path.to_string_lossy(), "exists": false}),
            FileState::Directory(directory) => {
                json!({"path": directory.path.to_string_lossy(), "exists": true, "format": "directory"})
            }
            FileState::Document(document) => json!({
                "path": document.path.to_string_lossy(),
                "exists": true,
                "format": FileFormat::of(&document.path).name(),
                "entries": document.entries.len(),
            }),
            FileState::Failed(path, _, error) => {
                json!({"path": path.to_string_lossy(), "exists": true, "error": error.message()})
            }
        }
    }

    pub(super) fn check(&self) -> Health {
        match self {
            FileState::NoHome(None) => Health::new(HealthState::Absent, NO_HOME).with_advice(HOME_ADVICE),
            FileState::NoHome(Some(reason)) => {
                Health::new(HealthState::Warning, format!("no secrets file is read: {reason}")).with_advice(HOME_ADVICE)
            }
            FileState::Missing(path) => Health::new(HealthState::Absent, format!("{} does not exist", path.display())),
            FileState::Directory(directory) => {
                Health::new(HealthState::Ok, format!("the files in {}", directory.path.display()))
            }
            FileState::Document(LoadedFile { loose_permissions: Some(loose_permissions), .. }) => {
                Health::new(HealthState::Warning, loose_permissions.detail.clone())
                    .with_advice(loose_permissions.remedy.clone())
            }
            FileState::Document(document) => Health::new(HealthState::Ok, document.to_string()),
            FileState::Failed(_, _, error) => Health::new(HealthState::Failed, error.message()),
        }
    }
}
