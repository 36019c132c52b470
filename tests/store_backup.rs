//! Backups while the databases are in use, on a full disk, and by processes that are killed.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use common::python::Python;
use common::store::{cipher, config, jobs, open, open_with};
use common::{mode, temp};
use serde_json::{Value, json};
use st_secrets::store::StoreDatabase;
use st_secrets::{Config, Status, Store};

const TASK: &str = "ST_SECRETS_TEST_BODY";
const DIRECTORY: &str = "ST_SECRETS_TEST_DIRECTORY";

/// What Python's SQLite reads in a file, which is opened read-only and must need no other file.
fn query(path: &Path, sql: &str) -> Value {
    let script = "import json, sqlite3, sys
connection = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro&immutable=1', uri=True)
assert connection.execute('PRAGMA integrity_check').fetchone() == ('ok',)
print(json.dumps(connection.execute(sys.argv[2]).fetchall()))";
    let output = Command::new("python3").args(["-c", script]).arg(path).arg(sql).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn backup_is_one_complete_file() {
    let (directory, to) = (temp(), temp());
    let store = open(directory.path());
    store.provider_save("p", "{\"a\": 1}").unwrap();
    store.credential_set(&cipher("a secret", &[]), 1, "replicate", "token", b"r8_token").unwrap();
    let path = to.path().join("below/jobs.db");
    store.backup(StoreDatabase::Main, &path, false).unwrap();
    store.backup(StoreDatabase::Audit, &to.path().join("below/audit.db"), false).unwrap();
    assert_eq!(names(&to.path().join("below")), ["audit.db", "jobs.db"]);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(query(&path, "SELECT provider, config FROM provider_config"), json!([["p", "{\"a\": 1}"]]));
    assert_eq!(query(&path, "SELECT count(*) FROM provider_credentials"), json!([[1]]));
    assert_eq!(query(&to.path().join("below/audit.db"), "SELECT count(*) FROM audit_log"), json!([[2]]));
    // It serves as a store, with the key.
    let restored = temp();
    fs::create_dir(restored.path().join("cloud")).unwrap();
    fs::copy(&path, jobs(restored.path())).unwrap();
    fs::copy(to.path().join("below/audit.db"), restored.path().join("audit.db")).unwrap();
    fs::copy(directory.path().join("audit.key"), restored.path().join("audit.key")).unwrap();
    let restored = open(restored.path());
    assert_eq!(config(&restored, "p"), "{\"a\": 1}");
    restored.provider_update("p", "{\"b\": 2}").unwrap();
    let verified = restored.audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == 3, "{verified:?}");
    // The original still works as before.
    store.provider_update("p", "{\"c\": 3}").unwrap();
    assert_eq!(config(&store, "p"), "{\"a\": 1, \"c\": 3}");
}

#[test]
fn backup_replaces_a_database_only_when_asked_and_other_files_never() {
    let (directory, to) = (temp(), temp());
    let store = open(directory.path());
    store.provider_save("p", "{}").unwrap();
    let path = to.path().join("jobs.db");
    let backup = |replace| store.backup(StoreDatabase::Main, &path, replace);
    backup(false).unwrap();
    store.provider_save("q", "{}").unwrap();
    let error = backup(false).unwrap_err();
    assert_eq!((error.status(), error.detail()), (Status::Io, libc::EEXIST), "{error}");
    assert!(error.message().contains("jobs.db exists; choose another name"), "{error}");
    assert_eq!(query(&path, "SELECT count(*) FROM provider_config"), json!([[1]]));
    backup(true).unwrap();
    assert_eq!(query(&path, "SELECT count(*) FROM provider_config"), json!([[2]]));
    for (name, contents) in [("key", "secret key"), ("long", "a file that is longer than the start of a database")] {
        let path = to.path().join(name);
        fs::write(&path, contents).unwrap();
        let error = store.backup(StoreDatabase::Main, &path, true).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{error}");
        assert!(error.message().contains("is not a database, so it is not replaced"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
    }
    symlink(jobs(directory.path()), to.path().join("link")).unwrap();
    for path in [jobs(directory.path()), directory.path().join("audit.db"), to.path().join("link")] {
        let error = store.backup(StoreDatabase::Main, &path, true).unwrap_err();
        assert!(error.status() == Status::InvalidArgument && error.message().contains("is in use"), "{error}");
    }
    assert_eq!(store.backup(StoreDatabase::Main, to.path(), true).unwrap_err().status(), Status::Io);
    assert_eq!(store.provider_list().unwrap().matches("provider\"").count(), 2);
    assert_eq!(names(to.path()), ["jobs.db", "key", "link", "long"]);
}

#[test]
fn backup_is_not_written_beside_the_changes_of_a_former_database() {
    let (directory, to) = (temp(), temp());
    let store = open(directory.path());
    store.provider_save("p", "{\"a\": 1}").unwrap();
    let path = to.path().join("jobs.db");
    // A process that is killed leaves its changes in the write-ahead log.
    let script = "import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute('PRAGMA journal_mode = WAL')
connection.execute('CREATE TABLE former (id INTEGER)')
connection.commit()
os._exit(0)";
    assert!(Command::new("python3").args(["-c", script]).arg(&path).status().unwrap().success());
    let log = to.path().join("jobs.db-wal");
    let before = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    let refused = |replace| {
        let error = store.backup(StoreDatabase::Main, &path, replace).unwrap_err();
        assert_eq!(error.status(), Status::Io, "{error}");
        assert!(error.message().contains("jobs.db-wal has changes of another database"), "{error}");
    };
    refused(true);
    assert_eq!((fs::read(&path).unwrap(), fs::read(&log).unwrap()), before);
    fs::remove_file(&path).unwrap();
    refused(false);
    assert!(!path.exists());
    fs::remove_file(&log).unwrap();
    store.backup(StoreDatabase::Main, &path, false).unwrap();
    assert_eq!(query(&path, "SELECT provider FROM provider_config"), json!([["p"]]));
}

#[test]
fn backup_of_nothing_is_not_found() {
    let (directory, to) = (temp(), temp());
    let store = open(directory.path());
    let error = store.backup(StoreDatabase::Main, &to.path().join("a.db"), false).unwrap_err();
    assert!(error.status() == Status::NotFound && error.message().contains("cloud/jobs.db does not exist"), "{error}");
    assert!(names(to.path()).is_empty() && names(directory.path()).is_empty());
}

#[test]
fn backup_copies_credentials_of_their_own_database() {
    let name = "backup_copies_credentials_of_their_own_database";
    let directory = temp();
    let auth = directory.path().join("auth.db").to_str().unwrap().to_owned();
    common::in_environment(name, &[("SIMPLETUNER_AUTH_DB_PATH", Some(&auth))], || {
        let (directory, to) = (temp(), temp());
        let store = open(directory.path());
        store.credential_set(&cipher("a secret", &[]), 1, "replicate", "token", b"r8_token").unwrap();
        let path = to.path().join("credentials.db");
        store.backup(StoreDatabase::Credentials, &path, false).unwrap();
        assert_eq!(query(&path, "SELECT user_id FROM provider_credentials"), json!([[1]]));
        assert_eq!(store.backup(StoreDatabase::Main, &path, false).unwrap_err().status(), Status::Io);
    });
}

/// A backup is the state at one point in time, however much others write: here each state has the same number in two
/// rows, far apart in the file.
#[test]
fn backup_is_consistent_while_others_write() {
    let (directory, to) = (temp(), temp());
    let store = open(directory.path());
    store.provider_save("p", "{}").unwrap();
    let mut python = Python::start("simpletuner_store.py", &[]);
    let database = jobs(directory.path());
    let script = "CREATE TABLE numbers (place INTEGER PRIMARY KEY, n INTEGER, filler BLOB);
        WITH RECURSIVE i(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM i WHERE x < 400)
        INSERT INTO numbers SELECT x, 0, zeroblob(20000) FROM i;";
    python.ask(&json!({"do": "script", "db": database, "sql": script}));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                let sql = "UPDATE numbers SET n = n + 1 WHERE place IN (0, 400)";
                python.ask(&json!({"do": "sql", "db": database, "sql": sql}));
            }
        });
        let writer = &store;
        let stop = &stop;
        scope.spawn(move || {
            for n in 0.. {
                if stop.load(Relaxed) {
                    return;
                }
                writer.provider_save("p", &format!("{{\"n\": {n}}}")).unwrap();
            }
        });
        let mut seen = Vec::new();
        for n in 0..5 {
            let path = to.path().join(format!("{n}.db"));
            store.backup(StoreDatabase::Main, &path, false).unwrap();
            let found = query(&path, "SELECT n FROM numbers WHERE place IN (0, 400)");
            assert_eq!(found[0], found[1], "a backup of two states");
            seen.push(found[0][0].as_i64().unwrap());
        }
        stop.store(true, Relaxed);
        assert!(seen.is_sorted() && seen[4] > seen[0], "nothing was written meanwhile: {seen:?}");
    });
}

#[test]
fn backup_ends_at_the_timeout() {
    let (directory, to) = (temp(), temp());
    fs::create_dir(directory.path().join("cloud")).unwrap();
    // A database without a write-ahead log is locked for readers while another program commits.
    let other = rusqlite::Connection::open(jobs(directory.path())).unwrap();
    other.execute_batch("CREATE TABLE jobs (x); BEGIN EXCLUSIVE").unwrap();
    let store = open_with(directory.path(), &[("timeout", "0.3")]).unwrap();
    let error = store.backup(StoreDatabase::Main, &to.path().join("a.db"), false).unwrap_err();
    assert!(error.status() == Status::Busy && error.is_retryable(), "{error}");
    assert!(names(to.path()).is_empty(), "{:?}", names(to.path()));
    other.execute_batch("COMMIT").unwrap();
    store.backup(StoreDatabase::Main, &to.path().join("a.db"), false).unwrap();
    assert_eq!(query(&to.path().join("a.db"), "SELECT count(*) FROM jobs"), json!([[0]]));
}

#[test]
fn damaged_database_replaces_no_backup() {
    let (directory, to) = (temp(), temp());
    let store = open(directory.path());
    store.provider_save("p", &format!("{{\"a\": \"{}\"}}", "x".repeat(100_000))).unwrap();
    let path = to.path().join("jobs.db");
    store.backup(StoreDatabase::Main, &path, false).unwrap();
    let good = fs::read(&path).unwrap();
    let other = temp();
    let damaged = other.path().join("damaged.db");
    let mut bytes = good.clone();
    bytes[4096..8192].fill(0xEE);
    fs::write(&damaged, bytes).unwrap();
    let mut settings = Config::new();
    settings.set("database", damaged.to_str().unwrap()).unwrap();
    let error = Store::open(&settings).unwrap().backup(StoreDatabase::Main, &path, true).unwrap_err();
    assert!(error.status() == Status::Corrupt && error.message().contains("damaged.db"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), good);
    assert_eq!(names(to.path()), ["jobs.db"]);
}

fn task() -> Option<PathBuf> {
    std::env::var_os(TASK)?;
    Some(std::env::var_os(DIRECTORY)?.into())
}

/// This test program, as the body of the test `name`.
fn body_of(name: &str, wrapper: &[&str], directory: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(|word| word.to_string()).chain([program.to_str().unwrap().to_owned()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", name, "--test-threads=1"]);
    command.env(TASK, "1").env(DIRECTORY, directory).stdin(Stdio::null());
    command
}

#[test]
fn full_disk_leaves_no_file() {
    let name = "full_disk_leaves_no_file";
    if let Some(directory) = task() {
        let state = temp();
        let store = open(state.path());
        store.provider_save("p", &format!("{{\"a\": \"{}\"}}", "x".repeat(500_000))).unwrap();
        let path = directory.join("jobs.db");
        let error = store.backup(StoreDatabase::Main, &path, false).unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::Io, libc::ENOSPC), "{error}");
        assert!(error.message().contains("jobs.db: no space left"), "{error}");
        assert!(names(&directory).is_empty(), "{:?}", names(&directory));
        // A smaller one fits.
        store.backup(StoreDatabase::Audit, &directory.join("audit.db"), false).unwrap();
        assert_eq!(names(&directory), ["audit.db"]);
        return;
    }
    let directory = temp();
    let script = r#"mount -t tmpfs -o size=256k,mode=700 tmpfs "$0" && exec "$@""#;
    let wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, directory.path().to_str().unwrap()];
    let output = body_of(name, &wrapper, directory.path()).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&printed));
}

#[test]
fn killed_backup_leaves_no_half_file() {
    let name = "killed_backup_leaves_no_half_file";
    if let Some(directory) = task() {
        let store = open(&directory);
        loop {
            store.backup(StoreDatabase::Main, &directory.join("backups/jobs.db"), true).unwrap();
        }
    }
    let directory = temp();
    let store = open(directory.path());
    for n in 0..40 {
        store.provider_save(&format!("p{n}"), &format!("{{\"a\": \"{}\"}}", "x".repeat(200_000))).unwrap();
    }
    let backups = directory.path().join("backups");
    let mut random = 12345_u64;
    for _ in 0..30 {
        let mut victim = body_of(name, &[], directory.path()).stdout(Stdio::null()).spawn().unwrap();
        common::time::soon(|| backups.join(".jobs.db.tmp").exists());
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 33) % 100_000));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let left = names(&backups);
        assert!(left.iter().all(|name| name == "jobs.db" || name.starts_with(".jobs.db.tmp")), "{left:?}");
        if backups.join("jobs.db").exists() {
            assert_eq!(query(&backups.join("jobs.db"), "SELECT count(*) FROM provider_config"), json!([[40]]));
        }
    }
    // What a killed process left does no harm, and goes.
    store.backup(StoreDatabase::Main, &backups.join("jobs.db"), true).unwrap();
    assert_eq!(query(&backups.join("jobs.db"), "SELECT count(*) FROM provider_config"), json!([[40]]));
    assert_eq!(names(&backups), ["jobs.db"]);
    assert_eq!(mode(&backups.join("jobs.db")), 0o600);
}

#[test]
fn concurrent_backups_to_one_place_do_not_mix() {
    let (directory, to) = (temp(), temp());
    let store = open(directory.path());
    store.provider_save("p", "{}").unwrap();
    let path = to.path().join("jobs.db");
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (store, path) = (open(directory.path()), path.clone());
                scope.spawn(move || {
                    let outcome = store.backup(StoreDatabase::Main, &path, true);
                    assert!(outcome.as_ref().err().is_none_or(|error| error.status() == Status::Busy), "{outcome:?}");
                    outcome.is_ok()
                })
            })
            .collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|done| *done).count();
        assert!(done > 0);
    });
    assert_eq!(query(&path, "SELECT count(*) FROM provider_config"), json!([[1]]));
    assert_eq!(names(to.path()), ["jobs.db"]);
}
