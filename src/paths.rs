//! The home directory, and `~` in paths.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Returns the home directory of the user: `HOME`, or that of the user database if the variable is unset or empty.
pub(crate) fn home() -> Option<PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// Replaces a leading `~` with the home directory. `~user` is not expanded.
pub(crate) fn expand_home(path: &Path) -> PathBuf {
    let mut parts = path.components();
    if parts.next().is_some_and(|first| first.as_os_str() == OsStr::new("~"))
        && let Some(home) = home()
    {
        return home.join(parts.as_path());
    }
    path.to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_home_replaces_only_a_leading_tilde() {
        let home = home().unwrap();
        assert_eq!(expand_home(Path::new("~/a/b.json")), home.join("a/b.json"));
        assert_eq!(expand_home(Path::new("~")), home);
        assert_eq!(expand_home(Path::new("/a/~/b")), Path::new("/a/~/b"));
        assert_eq!(expand_home(Path::new("~other/b")), Path::new("~other/b"));
    }
}
