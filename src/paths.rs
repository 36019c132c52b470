//! The home directory, and `~` and variables in paths.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Returns the home directory of the user: `HOME`, or that of the user database if the variable is unset or empty.
pub(crate) fn home() -> Option<PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// A file that Kubernetes gives a pod for its service account: `token`, `ca.crt`, `namespace`.
pub(crate) fn service_account(file: &str) -> PathBuf {
    Path::new("/var/run/secrets/kubernetes.io/serviceaccount").join(file)
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

/// Replaces `$NAME` and `${NAME}` with what `variable` returns. A variable that is not set is left as it is.
pub(crate) fn expand_variables(text: &str, variable: impl Fn(&str) -> Option<OsString>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, behind) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some(parts) => parts,
            None => after.split_at(after.find(|one| !is_name_character(one)).unwrap_or(after.len())),
        };
        match variable(name).filter(|_| !name.is_empty()).and_then(|value| value.into_string().ok()) {
            Some(value) => {
                expanded.push_str(&value);
                rest = behind;
            }
            None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded + rest
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_variables_replaces_those_that_are_set() {
        let variable = |name: &str| {
            let value = match name {
                "HOME" => "/home/me",
                "A_1" => "x",
                _ => return None,
            };
            Some(OsString::from(value))
        };
        for (text, expanded) in [
            ("$HOME/.aws/config", "/home/me/.aws/config"),
            ("${HOME}/$A_1.ini", "/home/me/x.ini"),
            ("/a/$NONE/${NONE}/$/${A_1", "/a/$NONE/${NONE}/$/${A_1"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(expand_variables(text, variable), expanded);
        }
    }

    #[test]
    fn expand_home_replaces_only_a_leading_tilde() {
        let home = home().unwrap();
        assert_eq!(expand_home(Path::new("~/a/b.json")), home.join("a/b.json"));
        assert_eq!(expand_home(Path::new("~")), home);
        assert_eq!(expand_home(Path::new("/a/~/b")), Path::new("/a/~/b"));
        assert_eq!(expand_home(Path::new("~other/b")), Path::new("~other/b"));
    }
}
