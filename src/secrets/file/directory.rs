//! A directory of one-secret files, as Kubernetes, Docker and systemd provide them: the file's name is the key, its
//! contents are the value. It is read-only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::bytes::SecretBytes;
use crate::clock::Tick;
use crate::error::{Error, Result, Source};
use crate::files::{self, Exposure, Fingerprint};
use crate::fork::{self, Reading};
use crate::log::{self, Level};
use crate::sys::Published;

/// The largest value of one file.
const MAX_SIZE: usize = 1 << 20;
/// Of how many names at most it is remembered that there is no such file.
const MOST_ABSENT: usize = 1000;

pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// What is known of the files. A change makes a new map.
    files: Mutex<Arc<Files>>,
    /// The same; changed with the lock of `files` held.
    current: Published<Files>,
}

type Files = HashMap<Box<str>, Arc<Remembered>, RandomState>;

struct Remembered {
    looked: AtomicU64,
    /// `None` where there is no such file.
    file: Option<(Fingerprint, SecretBytes)>,
}

impl Remembered {
    fn new(file: Option<(Fingerprint, SecretBytes)>) -> Remembered {
        Remembered { looked: AtomicU64::new(Tick::now().nanoseconds()), file }
    }

    fn is_new(&self, now: Tick, fresh: Duration) -> bool {
        now.since(Tick::from_nanoseconds(self.looked.load(Relaxed))) < fresh
    }

    fn value(&self) -> Option<&SecretBytes> {
        self.file.as_ref().map(|(_, value)| value)
    }
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Directory {
        let files = Arc::<Files>::default();
        Directory { path, current: Published::new(Some(files.clone())), files: Mutex::new(files) }
    }

    /// A key must not lead out of the directory, nor to what Kubernetes keeps for itself (`..data`).
    pub(super) fn may_have(key: &str) -> bool {
        !key.contains('/') && !key.starts_with("..") && key != "."
    }

    /// What is remembered of the file named `key`, if that is younger than `fresh`: its value, or that there is none.
    pub(super) fn peek<'r>(
        &'r self,
        key: &str,
        reading: &'r Reading,
        now: Tick,
        fresh: Duration,
    ) -> Option<Option<&'r SecretBytes>> {
        let file = self.current.get(reading)?.get(key).filter(|file| file.is_new(now, fresh))?;
        Some(file.value())
    }

    /// The value of the file named `key`; one final newline is not part of it. A file is looked at again once what is
    /// remembered of it is older than `fresh`.
    pub(super) fn find(&self, key: &str, fresh: Duration, strict: bool) -> Result<Option<SecretBytes>> {
        if !Directory::may_have(key) {
            return Ok(None);
        }
        let known = self.files.lock().get(key).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.is_new(Tick::now(), fresh)) {
            return Ok(known.value().cloned());
        }
        let path = self.path.join(key);
        let fingerprint = match std::fs::metadata(&path) {
            Ok(metadata) => (!metadata.is_dir()).then(|| Fingerprint::of(&metadata)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(super::view::look_error(&path, &error)),
        };
        match (fingerprint, known) {
            (now, Some(known)) if known.file.as_ref().map(|(before, _)| before) == now.as_ref() => {
                known.looked.store(Tick::now().nanoseconds(), Relaxed);
                Ok(known.value().cloned())
            }
            (None, _) => {
                self.remember(key, Remembered::new(None));
                Ok(None)
            }
            (Some(_), _) => fork::outside(|| self.load(key, &path, strict)).map(Some),
        }
    }

    /// The names of the files in it. What is hidden, and names that are not UTF-8, do not count.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let failed = |error: &std::io::Error| Error::io("list", &self.path, error).with_source(Source::File);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Kubernetes makes the files links to others.
            let is_directory = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
            if !name.starts_with('.') && !is_directory {
                names.push(name);
            }
        }
        Ok(names)
    }

    pub(super) fn forget(&self) {
        self.change(|files| files.clear());
    }

    fn load(&self, key: &str, path: &Path, strict: bool) -> Result<SecretBytes> {
        let mut contents = files::read(path, MAX_SIZE)?;
        if let Some(exposure) = Exposure::of(path, &contents.metadata) {
            if strict {
                return Err(exposure.refusal());
            }
            log::emit(Level::Warn, "file", || exposure.warning());
        }
        let end = contents.bytes.len() - usize::from(contents.bytes.last() == Some(&b'\n'));
        contents.bytes.truncate(end);
        let value = contents.bytes.freeze();
        self.remember(key, Remembered::new(Some((Fingerprint::of(&contents.metadata), value.clone()))));
        Ok(value)
    }

    fn remember(&self, key: &str, file: Remembered) {
        self.change(|files| {
            if file.file.is_none() && files.values().filter(|file| file.file.is_none()).count() >= MOST_ABSENT {
                files.retain(|_, file| file.file.is_some());
            }
            files.insert(key.into(), Arc::new(file));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Files)) {
        let _inside = fork::enter();
        let mut files = self.files.lock();
        let mut changed = Files::clone(&files);
        change(&mut changed);
        let before = std::mem::replace(&mut *files, Arc::new(changed));
        let current = self.current.replace(Some(files.clone()));
        // What is replaced is dropped without the lock.
        drop(files);
        drop((before, current));
    }
}
