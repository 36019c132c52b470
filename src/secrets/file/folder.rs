//! A folder of one-secret files, as Kubernetes, Docker and systemd provide them: the file's name is the key, its
//! contents are the value. It is read-only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use crate::bytes::SecretBytes;
use crate::clock::Tick;
use crate::error::Result;
use crate::files::{self, Exposure, Fingerprint};
use crate::fork;
use crate::log::{self, Level};

/// The largest value of one file.
const MAX_SIZE: usize = 1 << 20;

pub(super) struct Folder {
    pub(super) path: PathBuf,
    files: Mutex<HashMap<String, Remembered>>,
}

struct Remembered {
    looked: Tick,
    fingerprint: Fingerprint,
    value: SecretBytes,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Folder {
        Folder { path, files: Mutex::new(HashMap::new()) }
    }

    /// A key must not lead out of the folder, nor to what Kubernetes keeps for itself (`..data`).
    pub(super) fn may_have(key: &str) -> bool {
        !key.contains('/') && !key.starts_with("..") && key != "."
    }

    /// The value of the file named `key`; one final newline is not part of it. A file is looked at again once what is
    /// remembered of it is older than `fresh`.
    pub(super) fn find(&self, key: &str, fresh: Duration, strict: bool) -> Result<Option<SecretBytes>> {
        if !Folder::may_have(key) {
            return Ok(None);
        }
        if let Some(file) = self.files.lock().get(key)
            && file.looked.elapsed() < fresh
        {
            return Ok(Some(file.value.clone()));
        }
        let path = self.path.join(key);
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return Ok(None),
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.files.lock().remove(key);
                return Ok(None);
            }
            Err(error) => return Err(super::view::look_error(&path, &error)),
        };
        if let Some(file) = self.files.lock().get_mut(key)
            && file.fingerprint == Fingerprint::of(&metadata)
        {
            file.looked = Tick::now();
            return Ok(Some(file.value.clone()));
        }
        fork::outside(|| self.load(key, &path, strict)).map(Some)
    }

    pub(super) fn forget(&self) {
        self.files.lock().clear();
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
        let fingerprint = Fingerprint::of(&contents.metadata);
        let remembered = Remembered { looked: Tick::now(), fingerprint, value: value.clone() };
        let _inside = fork::enter();
        let before = self.files.lock().insert(key.to_owned(), remembered);
        drop(before);
        Ok(value)
    }
}
