//! Directories that cannot be synced to disk: what is written is not reported as not written.

mod common;

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::store::{entries, open};
use common::{is_test_body, temp, text, with_file, without_home};
use st_secrets::log::{self, Level};
use st_secrets::store::StoreDatabase;
use st_secrets::{Cipher, Config, Status};

thread_local! {
    /// The error that syncing a directory has on this thread, and the directory's inode. Without an inode, it is any.
    static FAILURE: Cell<Option<(i32, Option<u64>)>> = const { Cell::new(None) };
}

/// What the C library has under this name, except that it fails for directories as a test requests.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(file: libc::c_int) -> libc::c_int {
    // SAFETY: the structure consists of numbers, and may be written.
    let status = unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        if libc::fstat(file, &raw mut status) != 0 {
            return -1;
        }
        status
    };
    match FAILURE.get() {
        Some((code, inode))
            if status.st_mode & libc::S_IFMT == libc::S_IFDIR && inode.is_none_or(|inode| inode == status.st_ino) =>
        {
            // SAFETY: this is the thread's own number.
            unsafe { *libc::__errno_location() = code };
            -1
        }
        // SAFETY: the call has no pointers.
        _ => (unsafe { libc::syscall(libc::SYS_fsync, file) }) as libc::c_int,
    }
}

fn failing<T>(code: i32, directory: Option<&Path>, body: impl FnOnce() -> T) -> T {
    let inode = directory.map(|directory| fs::metadata(directory).unwrap().ino());
    FAILURE.set(Some((code, inode)));
    let result = body();
    FAILURE.set(None);
    result
}

fn cipher(key: &Path) -> Cipher {
    let mut config = Config::new();
    config.set("key_file", key.to_str().unwrap()).unwrap();
    Cipher::open(&config).unwrap()
}

/// Writes each kind of file into a directory, with a store in another one. None of it fails.
fn write_everything(state: &Path, directory: &Path) {
    let file = with_file(&directory.join("secrets.json"));
    file.set("TOKEN", b"value").unwrap();
    assert_eq!(text(&file, "TOKEN").as_deref(), Some("value"));
    let key = directory.join("credential.key");
    let cipher = cipher(&key);
    let store = open(state);
    store.credential_set(&cipher, 7, "replicate", "token", b"value").unwrap();
    let before = fs::read(&key).unwrap();
    assert_eq!(store.credentials_rotate(&cipher, |_, _| true).unwrap().reencrypted, 1);
    assert_ne!(fs::read(&key).unwrap(), before);
    for replace in [false, true] {
        store.backup(StoreDatabase::Main, &directory.join("copy.db"), replace).unwrap();
    }
    assert!(entries(&store).iter().all(|entry| entry["action"] != "failed"), "{:?}", entries(&store));
}

#[test]
fn a_file_system_need_not_sync_directories() {
    for code in [libc::EINVAL, libc::EOPNOTSUPP, libc::ENOSYS] {
        let directory = temp();
        failing(code, None, || write_everything(directory.path(), directory.path()));
    }
}

/// A directory that this user may write to and not open.
#[test]
fn a_directory_need_not_be_listed() {
    const VARIABLE: &str = "ST_SECRETS_TEST_DIRECTORY";
    let directory = temp();
    if !is_test_body() {
        for (name, mode) in [("", 0o755), ("state", 0o777), ("drop", 0o1733)] {
            let path = directory.path().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
    }
    without_home("a_directory_need_not_be_listed", &[(VARIABLE, directory.path().to_str())], || {
        let directory = PathBuf::from(std::env::var_os(VARIABLE).unwrap());
        assert!(fs::read_dir(directory.join("drop")).is_err());
        write_everything(&directory.join("state"), &directory.join("drop"));
    });
}

#[test]
fn an_error_says_that_the_file_is_written() {
    let (state, directory) = (temp(), temp());
    let store = open(state.path());
    store.provider_save("p", "{}").unwrap();
    let (secrets, copy) = (directory.path().join("secrets.json"), directory.path().join("copy.db"));
    let file = with_file(&secrets);
    failing(libc::EIO, None, || {
        for error in [
            file.set("TOKEN", b"value").unwrap_err(),
            store.backup(StoreDatabase::Main, &copy, false).unwrap_err(),
            store.backup(StoreDatabase::Main, &copy, true).unwrap_err(),
        ] {
            assert_eq!((error.status(), error.detail()), (Status::Io, libc::EIO), "{error}");
            assert!(error.message().contains("is written, but a loss of power may undo that: cannot sync"), "{error}");
        }
    });
    assert_eq!(text(&with_file(&secrets), "TOKEN").as_deref(), Some("value"));
    assert!(fs::metadata(&copy).unwrap().len() > 0);
}

/// The old key must be on disk before the new one replaces it. After that, the key is rotated.
#[test]
fn a_key_is_rotated_once_it_is_replaced() {
    let (state, new, old) = (temp(), temp(), temp());
    let key = new.path().join("credential.key");
    symlink(old.path().join("previous"), new.path().join("credential.key.previous")).unwrap();
    let cipher = cipher(&key);
    let store = open(state.path());
    store.credential_set(&cipher, 7, "replicate", "token", b"value").unwrap();
    let before = fs::read(&key).unwrap();
    let rotate = || store.credentials_rotate(&cipher, |_, _| true);
    let error = failing(libc::EIO, Some(old.path()), rotate).unwrap_err();
    assert!(error.message().contains("the key was not rotated"), "{error}");
    assert_eq!(fs::read(&key).unwrap(), before);
    let failed = || entries(&store).iter().filter(|entry| entry["action"] == "failed").count();
    assert_eq!(failed(), 1);

    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = warnings.clone();
    log::set(Level::Warn, move |_, _, message| sink.lock().unwrap().push(message.to_owned()));
    assert_eq!(failing(libc::EIO, Some(new.path()), rotate).unwrap().reencrypted, 1);
    log::clear();
    assert_ne!(fs::read(&key).unwrap(), before);
    assert_eq!(failed(), 1);
    let warnings = warnings.lock().unwrap();
    let is_named = |warning: &String| warning.contains("credential.key is written, but a loss of power may undo that");
    assert_eq!(warnings.iter().filter(|warning| is_named(warning)).count(), 1, "{warnings:?}");
}
