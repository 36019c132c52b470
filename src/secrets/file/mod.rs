//! The file layer: one JSON or YAML file, or a folder of one-secret files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::layer::{Finding, Held, Layer, Request, State};
use crate::clock::{Deadline, Tick};
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::files::{self, Exposure, Fingerprint};
use crate::log::{self, Level};
use crate::paths;

mod document;
mod folder;
mod save;
mod yaml;

use document::{ByName, Change, Format};
use folder::Folder;

/// How long the file is taken to be as it was when it was last looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A writer that does not rename leaves a file half written for a moment; it is given this long to finish.
const TORN_WRITE: Duration = Duration::from_millis(20);
const CANDIDATES: [&str; 3] = ["secrets.json", "secrets.yaml", "secrets.yml"];

pub(crate) struct FileLayer {
    /// `file_path`, `~` expanded.
    path: Option<PathBuf>,
    strict: bool,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    looked: Option<Tick>,
    view: Option<Arc<View>>,
}

/// What was there when the layer last looked.
enum View {
    NoHome,
    Missing(PathBuf),
    Folder(Folder),
    Document(Document),
    /// Reading failed, in a state of the file that has this fingerprint.
    Failed(PathBuf, Option<Fingerprint>, Error),
}

struct Document {
    path: PathBuf,
    fingerprint: Fingerprint,
    exposure: Option<Exposure>,
    entries: ByName,
}

impl FileLayer {
    pub(crate) fn open(config: &Config) -> FileLayer {
        FileLayer {
            path: config.text("file_path").map(|path| paths::expand_home(Path::new(path))),
            strict: config.flag("strict_permissions").unwrap_or(false),
            memory: Mutex::default(),
        }
    }

    /// Writes one entry, creating the file where it is missing.
    pub(crate) fn set(&self, key: &str, value: &str, deadline: Deadline) -> Result<()> {
        self.change(key, &Change::Set(value), deadline).map(drop)
    }

    /// Removes one entry; `false` if there was none.
    pub(crate) fn delete(&self, key: &str, deadline: Deadline) -> Result<bool> {
        self.change(key, &Change::Delete, deadline)
    }

    /// The file or folder that is read, or the file that `set` would create.
    pub(crate) fn file_path(&self) -> Result<PathBuf> {
        match self.locate()? {
            Located::File(path, _) | Located::Folder(path) | Located::Missing(path) => Ok(path),
            Located::NoHome => Err(no_home()),
        }
    }

    fn change(&self, key: &str, change: &Change<'_>, deadline: Deadline) -> Result<bool> {
        let path = match self.locate()? {
            Located::File(path, _) | Located::Missing(path) => path,
            Located::Folder(path) => {
                let message =
                    format!("{} is a folder of secrets, which is read-only; set file_path to a file", path.display());
                return Err(Error::new(Status::ReadOnly, message).with_source(Source::File));
            }
            Located::NoHome => return Err(no_home()),
        };
        let changed = save::change(&path, key, change, self.strict, deadline);
        self.memory.lock().looked = None;
        changed.map_err(|error| error.with_source(Source::File))
    }

    /// The current view, from memory if it is younger than `fresh`.
    fn view(&self, fresh: Duration) -> Arc<View> {
        let mut memory = self.memory.lock();
        if let (Some(looked), Some(known)) = (memory.looked, &memory.view)
            && looked.elapsed() < fresh
        {
            return known.clone();
        }
        let new = self.look(memory.view.as_deref()).map(Arc::new);
        memory.looked = Some(Tick::now());
        if let Some(new) = new {
            memory.view = Some(new.clone());
            drop(memory);
            new.report();
            return new;
        }
        memory.view.clone().unwrap_or_else(|| Arc::new(View::NoHome))
    }

    /// What is there now, `None` if that is what `known` says.
    fn look(&self, known: Option<&View>) -> Option<View> {
        let located = match self.locate() {
            Ok(located) => located,
            Err(error) => return Some(View::Failed(self.path.clone().unwrap_or_default(), None, error)),
        };
        match (located, known) {
            (Located::NoHome, Some(View::NoHome)) => None,
            (Located::NoHome, _) => Some(View::NoHome),
            (Located::Missing(path), Some(View::Missing(known))) if path == *known => None,
            (Located::Missing(path), _) => Some(View::Missing(path)),
            (Located::Folder(path), Some(View::Folder(known))) if path == known.path => None,
            (Located::Folder(path), _) => Some(View::Folder(Folder::new(path))),
            (Located::File(path, state), Some(View::Document(known)))
                if path == known.path && state == known.fingerprint =>
            {
                None
            }
            (Located::File(path, state), Some(View::Failed(known, Some(at), _))) if path == *known && state == *at => {
                None
            }
            (Located::File(path, state), _) => Some(match self.load(&path) {
                Ok(document) => View::Document(document),
                Err(error) => View::Failed(path, Some(state), error),
            }),
        }
    }

    fn load(&self, path: &Path) -> Result<Document> {
        let loaded = self.load_once(path);
        match &loaded {
            Err(error) if error.status() == Status::Protocol && files::is_new(path) => {
                std::thread::sleep(TORN_WRITE);
                self.load_once(path)
            }
            _ => loaded,
        }
    }

    fn load_once(&self, path: &Path) -> Result<Document> {
        let contents = files::read(path, document::MAX_SIZE)?;
        let exposure = Exposure::of(path, &contents.metadata);
        if let Some(exposure) = exposure.as_ref().filter(|_| self.strict) {
            return Err(exposure.refusal());
        }
        let entries = Format::of(path).parse(&contents.bytes).map_err(|problem| problem.in_file(path))?;
        let fingerprint = Fingerprint::of(&contents.metadata);
        Ok(Document { path: path.to_owned(), fingerprint, exposure, entries: document::by_name(entries) })
    }

    fn locate(&self) -> Result<Located> {
        if let Some(path) = &self.path {
            return Ok(look_at(path)?.unwrap_or_else(|| Located::Missing(path.clone())));
        }
        let Some(home) = paths::home() else { return Ok(Located::NoHome) };
        let folder = home.join(".simpletuner");
        for candidate in CANDIDATES {
            if let Some(located) = look_at(&folder.join(candidate))? {
                return Ok(located);
            }
        }
        Ok(Located::Missing(folder.join(CANDIDATES[0])))
    }
}

enum Located {
    NoHome,
    Missing(PathBuf),
    File(PathBuf, Fingerprint),
    Folder(PathBuf),
}

fn look_at(path: &Path) -> Result<Option<Located>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(Located::Folder(path.to_owned()))),
        Ok(metadata) => Ok(Some(Located::File(path.to_owned(), Fingerprint::of(&metadata)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(look_error(path, &error)),
    }
}

fn look_error(path: &Path, error: &io::Error) -> Error {
    Error::io("look at", path, error).with_source(Source::File)
}

fn no_home() -> Error {
    let message = "there is no home directory for the secrets file: set HOME, or file_path in the configuration";
    Error::new(Status::Config, message).with_source(Source::File)
}

impl View {
    /// Tells the log what was found; called with no lock held.
    fn report(&self) {
        if let View::Document(document) = self {
            log::emit(Level::Info, "file", || {
                format!("read {} ({} entries)", document.path.display(), document.entries.len())
            });
            if let Some(exposure) = &document.exposure {
                log::emit(Level::Warn, "file", || exposure.warning());
            }
        }
    }
}

impl Layer for FileLayer {
    fn name(&self) -> &str {
        "file"
    }

    fn source(&self) -> Source {
        Source::File
    }

    fn find(&self, key: &str, request: &Request) -> Result<Option<Held>> {
        let fresh = if request.refresh { Duration::ZERO } else { LOOK_INTERVAL };
        let value = match &*self.view(fresh) {
            View::NoHome | View::Missing(_) => None,
            View::Document(document) => document.entries.get(key).cloned().flatten(),
            View::Folder(folder) => folder.find(key, fresh, self.strict)?,
            View::Failed(_, _, error) => return Err(error.clone()),
        };
        Ok(value.map(Held::now))
    }

    fn place(&self, key: &str) -> String {
        match &*self.view(LOOK_INTERVAL) {
            View::NoHome => "there is no home directory".to_owned(),
            View::Missing(path) => format!("{} does not exist", path.display()),
            View::Folder(folder) if !Folder::may_have(key) => {
                format!("{} is a folder, in which no such name is looked for", folder.path.display())
            }
            View::Folder(folder) => format!("{} does not exist", folder.path.join(key).display()),
            View::Document(document) => format!("{} has no such key", document.path.display()),
            View::Failed(_, _, error) => error.message().to_owned(),
        }
    }

    fn refresh(&self, _: &Request) -> Result<()> {
        match &*self.view(Duration::ZERO) {
            View::Failed(_, _, error) => Err(error.clone()),
            View::Folder(folder) => {
                folder.forget();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn forget(&self) {
        *self.memory.lock() = Memory::default();
    }

    fn describe(&self) -> Map<String, Value> {
        let fields = match &*self.view(LOOK_INTERVAL) {
            View::NoHome => json!({"path": null, "exists": false}),
            View::Missing(path) => json!({"path": path.to_string_lossy(), "exists": false}),
            View::Folder(folder) => {
                json!({"path": folder.path.to_string_lossy(), "exists": true, "format": "folder"})
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
        };
        let mut fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("strict_permissions".to_owned(), json!(self.strict));
        fields
    }

    fn check(&self, _: &Request) -> Finding {
        match &*self.view(Duration::ZERO) {
            View::NoHome => Finding::new(State::Absent, "there is no home directory")
                .with_advice("set HOME, or file_path in the configuration"),
            View::Missing(path) => Finding::new(State::Absent, format!("{} does not exist", path.display())),
            View::Folder(folder) => Finding::new(State::Ok, format!("the files in {}", folder.path.display())),
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
