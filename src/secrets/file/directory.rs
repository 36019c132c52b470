//! A directory with one file for each secret, as Kubernetes, Docker and systemd provide them: the name of the file is
//! the key, its contents are the value. It is read-only. The environment provider reads the files that variables name
//! in the same way.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use foldhash::fast::RandomState;
use lru::LruCache;

use super::read_order::ReadOrder;
use crate::clock::CoarseInstant;
use crate::error::{Error, Result, Source};
use crate::files::{self, Fingerprint, LoosePermissions};
use crate::fork::{self, PublishedGuard};
use crate::fork_safe::{Mutex, Published};
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;

/// The maximum size of one file.
const MAX_SIZE: usize = 1 << 20;
/// The time of a file that has not been checked since the cache was cleared.
const UNCHECKED: u64 = 0;
/// The most names for which it is cached that there is no file. Files that exist are as many as the directory has.
const MAX_ABSENT: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

pub(in crate::secrets) struct SecretsDirectory {
    pub(in crate::secrets) path: PathBuf,
    files: Mutex<CachedFiles>,
    /// A copy for readers, which take no lock; changed with the lock of `files` held.
    current: Published<FileMap>,
    /// How often a file that was cached had changed.
    replaced: AtomicU64,
}

type FileMap = HashMap<Arc<str>, Arc<CachedFile>, RandomState>;

struct CachedFiles {
    present: FileMap,
    /// Names without a file. A lookup counts as use if it checks the name, which every [`find`](SecretsDirectory::find)
    /// does about once a second.
    absent: LruCache<Arc<str>, Arc<CachedFile>, RandomState>,
    checks: ReadOrder,
}

impl CachedFiles {
    fn get(&mut self, key: &str) -> Option<Arc<CachedFile>> {
        self.present.get(key).or_else(|| self.absent.get(key)).cloned()
    }

    /// Caches the result of a check, unless a later check has been cached or the cache has been cleared meanwhile.
    fn put(&mut self, key: Arc<str>, file: Arc<CachedFile>) {
        let latest = self.present.get(&key).or_else(|| self.absent.peek(&key)).map(|latest| latest.check);
        if !self.checks.may_replace(file.check, latest) {
            return;
        }
        if file.fingerprint.is_some() {
            self.absent.pop(&key);
            self.present.insert(key, file);
        } else {
            self.present.remove(&key);
            self.absent.put(key, file);
        }
    }

    /// Drops the values. The next check of each file still finds out whether it has changed since the last one.
    fn clear(&mut self) {
        self.checks.invalidate();
        for file in self.present.values_mut().chain(self.absent.iter_mut().map(|(_, file)| file)) {
            let CachedFile { check, fingerprint, .. } = **file;
            *file = Arc::new(CachedFile { check, checked_at: UNCHECKED.into(), fingerprint, value: None });
        }
    }

    fn to_map(&self) -> FileMap {
        self.present.iter().chain(self.absent.iter()).map(|(key, file)| (key.clone(), file.clone())).collect()
    }
}

struct CachedFile {
    /// The number of the check that found this state.
    check: u64,
    /// In nanoseconds of [`CoarseInstant`], or [`UNCHECKED`].
    checked_at: AtomicU64,
    /// `None` if there is no such file.
    fingerprint: Option<Fingerprint>,
    /// `None` if there is no such file, or the cache was cleared.
    value: Option<SecretBytes>,
}

impl CachedFile {
    fn is_fresh(&self, now: CoarseInstant, max_age: Duration) -> bool {
        let checked_at = self.checked_at.load(Relaxed);
        checked_at != UNCHECKED && now.since(CoarseInstant::from_nanoseconds(checked_at)) < max_age
    }
}

impl SecretsDirectory {
    pub(in crate::secrets) fn new(path: PathBuf) -> SecretsDirectory {
        let absent = LruCache::with_hasher(MAX_ABSENT, RandomState::default());
        let files = Mutex::new(CachedFiles { present: FileMap::default(), absent, checks: ReadOrder::default() });
        SecretsDirectory { path, files, current: Published::new(Some(Arc::default())), replaced: AtomicU64::new(0) }
    }

    /// Whether a file of this name could be a secret. A key must not lead out of the directory, or to what Kubernetes
    /// keeps for itself (`..data`).
    fn is_file_name(key: &str) -> bool {
        !key.contains('/') && !key.starts_with("..") && key != "."
    }

    /// The cached value of the file named `key`, or that there is no file; `None` if it was not checked within
    /// `max_age`.
    pub(in crate::secrets) fn peek<'r>(
        &'r self,
        key: &str,
        reading: &'r PublishedGuard,
        now: CoarseInstant,
        max_age: Duration,
    ) -> Option<Option<&'r SecretBytes>> {
        let file = self.current.get(reading)?.get(key).filter(|file| file.is_fresh(now, max_age))?;
        Some(file.value.as_ref())
    }

    /// The value of the file named `key`, without one final newline. The file is checked for changes if that was last
    /// done longer than `max_age` ago.
    pub(in crate::secrets) fn find(&self, key: &str, max_age: Duration, strict: bool) -> Result<Option<SecretBytes>> {
        match SecretsDirectory::is_file_name(key).then(|| self.read(key, max_age, strict)) {
            Some(Err(error)) if error.detail() == libc::ENAMETOOLONG => Ok(None),
            found => found.unwrap_or(Ok(None)),
        }
    }

    /// As [`find`](SecretsDirectory::find), for any path relative to the directory.
    pub(in crate::secrets) fn read(&self, key: &str, max_age: Duration, strict: bool) -> Result<Option<SecretBytes>> {
        let (now, cached, check) = {
            let _guard = fork::protect();
            let (now, mut files) = (CoarseInstant::now(), self.files.lock());
            let cached = files.get(key);
            if let Some(cached) = cached.as_ref().filter(|cached| cached.is_fresh(now, max_age)) {
                return Ok(cached.value.clone());
            }
            (now, cached, files.checks.begin())
        };
        let checked_at = now.nanoseconds();
        fork::unprotected(|| self.check(key, cached.as_deref(), check, checked_at, strict))
    }

    /// How often a file that was cached had changed.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced.load(Relaxed)
    }

    /// The names of the files. Hidden files, directories and names that are not UTF-8 are left out. Called outside the
    /// fork gate.
    pub(in crate::secrets) fn names(&self) -> Result<Vec<String>> {
        let failed = |error: &std::io::Error| Error::io("list", &self.path, error).with_source(Source::File);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Kubernetes provides links to the files.
            let is_directory = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
            if !name.starts_with('.') && !is_directory {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Where `find` looks for this key.
    pub(in crate::secrets) fn place(&self, key: &str) -> String {
        match SecretsDirectory::is_file_name(key) {
            true => format!("{} does not exist", self.path.join(key).display()),
            false => {
                format!("{} is a directory, and the key is not a valid name of a file in it", self.path.display())
            }
        }
    }

    pub(in crate::secrets) fn clear_cache(&self) {
        self.change(CachedFiles::clear);
    }

    /// Reads the file named `key`, unless it is as in `cached`. `check` is the number of this check, which began at
    /// `checked_at`. Called while forks are allowed.
    fn check(
        &self,
        key: &str,
        cached: Option<&CachedFile>,
        check: u64,
        checked_at: u64,
        strict: bool,
    ) -> Result<Option<SecretBytes>> {
        let path = self.path.join(key);
        let fingerprint = match std::fs::metadata(&path) {
            Ok(metadata) => (!metadata.is_dir()).then(|| Fingerprint::of(&metadata)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(metadata_error(&path, &error)),
        };
        let is_unchanged = cached.is_some_and(|cached| cached.fingerprint == fingerprint);
        if let Some(cached) = cached.filter(|cached| is_unchanged && cached.value.is_some() == fingerprint.is_some()) {
            cached.checked_at.fetch_max(checked_at, Relaxed);
            return Ok(cached.value.clone());
        }
        let loaded = fingerprint.map(|_| load(&path, strict)).transpose()?;
        let (fingerprint, value) = loaded.unzip();
        let file = CachedFile { check, checked_at: checked_at.into(), fingerprint, value: value.clone() };
        self.change(|files| files.put(key.into(), Arc::new(file)));
        self.replaced.fetch_add((cached.is_some() && !is_unchanged).into(), Relaxed);
        Ok(value)
    }

    fn change(&self, change: impl FnOnce(&mut CachedFiles)) {
        let _guard = fork::protect();
        let mut files = self.files.lock();
        change(&mut files);
        let previous = self.current.replace(Some(Arc::new(files.to_map())));
        // The previous map is dropped without the lock.
        drop(files);
        drop(previous);
    }
}

fn load(path: &Path, strict: bool) -> Result<(Fingerprint, SecretBytes)> {
    let mut contents = files::read(path, MAX_SIZE)?;
    if let Some(loose_permissions) = LoosePermissions::of(path, &contents.metadata) {
        if strict {
            return Err(loose_permissions.refusal());
        }
        log::emit(Level::Warn, "file", || loose_permissions.warning());
    }
    let end = contents.bytes.len() - usize::from(contents.bytes.last() == Some(&b'\n'));
    contents.bytes.truncate(end);
    Ok((Fingerprint::of(&contents.metadata), contents.bytes.freeze()))
}

/// The error of a path whose metadata cannot be read.
pub(super) fn metadata_error(path: &Path, error: &std::io::Error) -> Error {
    Error::io("look at", path, error).with_source(Source::File)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_names_without_a_file_are_bounded_and_evict_no_value() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("present"), "value").unwrap();
        let directory = SecretsDirectory::new(place.path().to_owned());
        let find = |key: &str| directory.find(key, Duration::MAX, false).unwrap();
        let is_cached = |key: &str| directory.files.lock().to_map().contains_key(key);
        assert_eq!(find("present").as_deref(), Some(&b"value"[..]));
        for number in 0..MAX_ABSENT.get() {
            assert!(find(&number.to_string()).is_none());
        }
        // The lookup of "0" makes "1" the least recently used.
        find("0");
        assert!(find("another").is_none());
        assert!(is_cached("present") && is_cached("0") && is_cached("another") && !is_cached("1"));
        {
            let reading = fork::read().unwrap();
            let map = directory.current.get(&reading).unwrap();
            assert_eq!((map.len(), map.contains_key("1")), (MAX_ABSENT.get() + 1, false));
        }
        // A file that appears or disappears moves between the two.
        std::fs::write(place.path().join("0"), "new").unwrap();
        assert_eq!(directory.find("0", Duration::ZERO, false).unwrap().as_deref(), Some(&b"new"[..]));
        std::fs::remove_file(place.path().join("present")).unwrap();
        assert!(directory.find("present", Duration::ZERO, false).unwrap().is_none());
        let files = directory.files.lock();
        assert_eq!((files.present.len(), files.present.contains_key("0")), (1, true));
        assert!(files.absent.contains("present") && !files.absent.contains("0"));
        drop(files);
        directory.clear_cache();
        assert!(directory.files.lock().to_map().values().all(|file| file.value.is_none()));
    }

    #[test]
    fn late_check_replaces_neither_a_later_one_nor_a_cleared_cache() {
        let place = tempfile::tempdir().unwrap();
        let directory = SecretsDirectory::new(place.path().to_owned());
        let write = |text| std::fs::write(place.path().join("A"), text).unwrap();
        let began = || (directory.files.lock().checks.begin(), CoarseInstant::now().nanoseconds());
        let check = |(number, at)| directory.check("A", None, number, at, false).unwrap();
        let cached = || directory.files.lock().get("A").and_then(|file| Some(file.value.as_ref()?.to_vec()));
        write("1");
        let (late, later) = (began(), began());
        check(later);
        write("22");
        // It reads other contents than the later one, which shows that it is not kept.
        check(late);
        assert_eq!(cached().as_deref(), Some(&b"1"[..]));
        let late = began();
        directory.clear_cache();
        check(late);
        assert_eq!(cached(), None);
        check(began());
        assert_eq!(cached().as_deref(), Some(&b"22"[..]));
    }
}
