//! Detects changes of the files that a load read credentials from.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::Fingerprint;

/// Files with their fingerprints before they were read; `None` for a file that did not exist.
#[derive(Default)]
pub(super) struct WatchedFiles(RefCell<Vec<(PathBuf, Option<Fingerprint>)>>);

impl WatchedFiles {
    /// Records the state of a file that is about to be read.
    pub(super) fn record(&self, path: &Path) {
        let mut files = self.0.borrow_mut();
        files.retain(|(other, _)| other != path);
        files.push((path.to_owned(), fingerprint(path)));
    }

    /// Whether one of the files has changed since it was recorded.
    pub(super) fn have_changed(&self) -> bool {
        self.0.borrow().iter().any(|(path, before)| fingerprint(path) != *before)
    }
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata))
}
