//! Tests of the directory. `tests/share` has those of whole processes.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn temp() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("st-secrets-test-").tempdir_in("/dev/shm").unwrap()
}

#[test]
fn directory_is_created_for_this_user_only() {
    let temp = temp();
    let path = temp.path().join("share");
    let directory = ShareDirectory::open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
    directory.create("a", b"first").unwrap();
    directory.create("a", b"second").unwrap();
    assert_eq!(&*directory.read("a", 10).unwrap().unwrap(), b"first");
    directory.replace("a", b"third", 0).unwrap();
    assert_eq!(&*directory.read("a", 10).unwrap().unwrap(), b"third");
    assert!(directory.read("a", 4).is_err() && directory.read("b", 4).unwrap().is_none());
    let names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a"]);
    assert_eq!(path.join("a").metadata().unwrap().mode() & 0o777, 0o600);
}

#[test]
fn error_names_the_file_as_users_know_it() {
    let temp = temp();
    let path = temp.path().join("share");
    let directory = ShareDirectory::open(&path).unwrap();
    fs::create_dir(path.join("a")).unwrap();
    symlink("/dev/null", path.join("b")).unwrap();
    for name in ["a", "b"] {
        let error = directory.read(name, 10).map(drop).unwrap_err();
        assert!(error.message().contains(path.join(name).to_str().unwrap()), "{error}");
    }
    let error = directory.replace("a", b"", 0).unwrap_err();
    assert!(error.message().starts_with(&format!("cannot write {}/a: ", path.display())), "{error}");
}

#[test]
fn directory_that_others_can_use_is_refused() {
    let temp = temp();
    let refusal = |path: &Path| ShareDirectory::open(path).map(drop).unwrap_err().to_string();
    let open = temp.path().join("open");
    fs::create_dir(&open).unwrap();
    for mode in [0o701, 0o710, 0o777] {
        fs::set_permissions(&open, Permissions::from_mode(mode)).unwrap();
        assert!(refusal(&open).contains("is open to other users"), "{mode:o}");
    }
    symlink(&open, temp.path().join("link")).unwrap();
    assert!(refusal(&temp.path().join("link")).contains("is not a directory"));
    assert!(refusal(Path::new("/proc/self")).contains("is not a directory"));
    assert!(refusal(Path::new("/proc/self/task")).contains("is open to other users"));
}

#[test]
fn key_is_made_once() {
    let temp = temp();
    let path = temp.path().join("share");
    let directory = ShareDirectory::open(&path).unwrap();
    let key = directory.key().unwrap();
    assert_eq!((key.len(), &*directory.key().unwrap()), (KEY_LEN, &*key));
    fs::write(path.join("key"), b"short").unwrap();
    assert!(directory.key().map(drop).unwrap_err().message().contains("does not have 32 bytes"));
}
