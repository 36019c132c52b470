//! The files that a load reads credentials from, and whether they have changed since.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::Fingerprint;

/// Files in the states that they had before they were read; `None` for one that was not there.
#[derive(Default)]
pub(super) struct Watch(RefCell<Vec<(PathBuf, Option<Fingerprint>)>>);

impl Watch {
    /// Notes the state of a file that is about to be read.
    pub(super) fn note(&self, path: &Path) {
        let mut files = self.0.borrow_mut();
        files.retain(|(other, _)| other != path);
        files.push((path.to_owned(), state(path)));
    }

    pub(super) fn has_changed(&self) -> bool {
        self.0.borrow().iter().any(|(path, before)| state(path) != *before)
    }
}

fn state(path: &Path) -> Option<Fingerprint> {
    fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata))
}
