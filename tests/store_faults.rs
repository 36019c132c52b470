//! Databases that are locked, read-only, full, damaged, or another program's: the error is clear, and nothing is lost.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::store::{cipher, config, jobs, open, open_with};
use common::temp;
use common::time::PATIENCE;
use rusqlite::Connection;
use st_secrets::{Config, Status, Store};

const TASK: &str = "ST_SECRETS_TEST_BODY";

#[test]
fn locked_database_is_awaited_until_the_timeout() {
    let directory = temp();
    let store = open_with(directory.path(), &[("timeout", "0.3")]).unwrap();
    store.provider_save("p", "{}").unwrap();
    let other = Connection::open(jobs(directory.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let error = store.provider_update("p", "{\"a\": 1}").unwrap_err();
    let took = start.elapsed();
    assert!(error.status() == Status::Busy && error.is_retryable(), "{error}");
    assert!(error.message().contains("process to unlock") && error.message().contains("jobs.db"), "{error}");
    assert!((Duration::from_millis(290)..PATIENCE).contains(&took), "{took:?}");
    assert_eq!(config(&store, "p"), "{}", "reading still works");
    // A thread that waits for the database makes others of the same process wait, but not hang.
    let results: Vec<Status> = std::thread::scope(|scope| {
        let write = || store.provider_save("q", "{}").unwrap_err().status();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().all(|status| matches!(status, Status::Busy | Status::Timeout)), "{results:?}");
    other.execute_batch("COMMIT").unwrap();
    store.provider_update("p", "{\"a\": 1}").unwrap();
    assert_eq!(config(&store, "p"), "{\"a\": 1}");
}

#[test]
fn lock_is_awaited_on_a_database_that_is_not_in_wal_mode() {
    let directory = temp();
    let path = jobs(directory.path());
    fs::create_dir(path.parent().unwrap()).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE jobs (id INTEGER); BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let store = open_with(directory.path(), &[("timeout", "0.3")]).unwrap();
    let error = store.provider_save("p", "{}").unwrap_err();
    let took = start.elapsed();
    assert!(error.status() == Status::Busy && error.is_retryable(), "{error}");
    assert!((Duration::from_millis(290)..PATIENCE).contains(&took), "{took:?}");
    let waiting = std::thread::spawn(move || open(directory.path()).provider_save("p", "{}").map(|()| directory));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished());
    other.execute_batch("COMMIT").unwrap();
    let directory = waiting.join().unwrap().unwrap();
    assert_eq!(config(&open(directory.path()), "p"), "{}");
    // The other connection does not know the new mode yet.
    let mode = Connection::open(&path).unwrap();
    let mode: String = mode.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn failed_change_is_revoked_in_the_audit_trail() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("p", "{}").unwrap();
    let other = Connection::open(jobs(directory.path())).unwrap();
    other
        .execute_batch("CREATE TRIGGER t BEFORE UPDATE ON provider_config BEGIN SELECT RAISE(ABORT, 'CANARY'); END")
        .unwrap();
    let error = store.provider_update("p", "{\"a\": 1}").unwrap_err();
    assert!(!error.message().contains("CANARY"), "{error}");
    let trail = common::store::entries(&store);
    assert_eq!(trail.len(), 3);
    assert!(trail[1]["action"] == "update" && trail[2]["action"] == "failed", "{trail:?}");
    assert_eq!(trail[2]["target_id"], trail[1]["id"].to_string());
    assert_eq!(config(&store, "p"), "{}");
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
}

#[test]
fn damage_is_reported_and_nothing_is_overwritten() {
    let directory = temp();
    open(directory.path()).provider_save("p", "{\"a\": 1}").unwrap();
    let damaged = |contents: &[u8]| {
        let directory = temp();
        let path = directory.path().join("some.db");
        fs::write(&path, contents).unwrap();
        let mut config = Config::new();
        config.set("database", path.to_str().unwrap()).unwrap();
        let store = Store::open(&config).unwrap();
        for error in [
            store.provider_get("p").map(drop).unwrap_err(),
            store.provider_save("p", "{}").unwrap_err(),
            store.provider_list().map(drop).unwrap_err(),
            store.credential_list(None, None).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.status(), Status::Corrupt, "{error}");
            assert!(error.message().contains("some.db"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), contents);
    };
    damaged(
        b"this is not a database, and is long enough to be one that has a header of 100 bytes and more than that too",
    );
    // A database with a valid header and nothing valid after it.
    let copy = directory.path().join("copy.db");
    Connection::open(jobs(directory.path())).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    bytes[100..].fill(0xEE);
    damaged(&bytes);
}

#[test]
fn database_of_another_program_is_not_changed() {
    let directory = temp();
    let path = directory.path().join("other.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE provider_config (name TEXT, value TEXT); CREATE TABLE theirs (x)").unwrap();
    let mut settings = Config::new();
    settings.set("database", path.to_str().unwrap()).unwrap();
    let store = Store::open(&settings).unwrap();
    for error in [store.provider_get("p").map(drop).unwrap_err(), store.provider_save("p", "{}").unwrap_err()] {
        assert_eq!(error.status(), Status::Corrupt);
        assert!(error.message().contains("provider_config has no column `provider`"), "{error}");
    }
    // Other tables in the same file are ignored.
    store.credential_set(&cipher("a secret", &[]), 1, "replicate", "token", b"v").unwrap();
    let tables: i64 =
        other.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'theirs'", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
    settings.set("audit_database", path.to_str().unwrap()).unwrap();
    assert_eq!(Store::open(&settings).unwrap_err().status(), Status::Config);
    fs::create_dir(directory.path().join("directory.db")).unwrap();
    settings = Config::new();
    settings.set("database", directory.path().join("directory.db").to_str().unwrap()).unwrap();
    let error = Store::open(&settings).unwrap().provider_save("p", "{}").unwrap_err();
    assert!(error.status() == Status::Io && error.message().contains("directory.db is not a file"), "{error}");
}

/// Runs a test of this file as another user, or on another disk, with the task `what`.
fn elsewhere(wrapper: &[&str], name: &str, what: &str, directory: &Path) {
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(|word| word.to_string()).chain([program.to_str().unwrap().to_owned()]);
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", name, "--test-threads=1"])
        .env(TASK, what)
        .env("ST_SECRETS_TEST_DIRECTORY", directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&printed));
}

fn task() -> Option<(String, PathBuf)> {
    Some((std::env::var(TASK).ok()?, std::env::var_os("ST_SECRETS_TEST_DIRECTORY")?.into()))
}

#[test]
fn missing_permissions_are_errors() {
    let name = "missing_permissions_are_errors";
    if let Some((what, directory)) = task() {
        let store = open(&directory);
        let read = store.provider_get("p").map(drop);
        let write = store.provider_save("p", "{}").unwrap_err();
        match &*what {
            "unreadable" => {
                let error = read.unwrap_err();
                assert!(error.status() == Status::AccessDenied && error.detail() == libc::EACCES, "{error}");
                assert_eq!(write.status(), Status::AccessDenied, "{write}");
            }
            "read-only file" => assert_eq!(write.status(), Status::ReadOnly, "{write}"),
            _ => assert!(matches!(write.status(), Status::AccessDenied | Status::ReadOnly), "{write}"),
        }
        assert!(write.message().contains(".db") || write.message().contains("cloud"), "{write}");
        return;
    }
    let user = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
    for (what, file_mode, directory_mode) in
        [("unreadable", 0o600, 0o755), ("read-only file", 0o644, 0o777), ("read-only directory", 0o644, 0o755)]
    {
        let directory = temp();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let store = open(directory.path());
        store.provider_save("p", "{\"a\": 1}").unwrap();
        for entry in fs::read_dir(directory.path().join("cloud")).unwrap() {
            fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(file_mode)).unwrap();
        }
        for (name, mode) in [("cloud", directory_mode), ("", 0o777), ("audit.db", 0o666), ("audit.key", 0o666)] {
            fs::set_permissions(directory.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        for left in ["audit.db-wal", "audit.db-shm"] {
            fs::set_permissions(directory.path().join(left), Permissions::from_mode(0o666)).unwrap();
        }
        elsewhere(&user, name, what, directory.path());
        assert_eq!(config(&store, "p"), "{\"a\": 1}", "{what}");
    }
}

#[test]
fn full_or_read_only_disk_loses_nothing() {
    let name = "full_or_read_only_disk_loses_nothing";
    if let Some((what, directory)) = task() {
        let store = open(&directory);
        let big = format!("{{\"big\": \"{}\"}}", "x".repeat(200_000));
        let error = store.provider_save("p", &big).unwrap_err();
        match &*what {
            "full" => assert_eq!((error.status(), error.detail()), (Status::Io, libc::ENOSPC), "{error}"),
            _ => assert_eq!(error.status(), Status::ReadOnly, "{error}"),
        }
        if what == "full" {
            assert_eq!(config(&open(&directory), "p"), "{\"a\": 1}");
            fs::remove_file(directory.join("filler")).unwrap();
            store.provider_update("p", "{\"b\": 2}").unwrap();
            assert_eq!(config(&store, "p"), "{\"a\": 1, \"b\": 2}");
            assert!(store.audit_verify(0, 0).unwrap().is_intact());
        }
        return;
    }
    let made = temp();
    open(made.path()).provider_save("p", "{\"a\": 1}").unwrap();
    // Copied without the log, as after a clean end.
    for database in [jobs(made.path()), made.path().join("audit.db")] {
        Connection::open(database).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }
    let script = r#"set -e; to=$1; from=$2; what=$ST_SECRETS_TEST_BODY; shift 2
        mount -t tmpfs -o size=512k,mode=700 tmpfs "$to"
        mkdir "$to/cloud"; cp "$from/cloud/jobs.db" "$to/cloud/"; cp "$from/audit.db" "$from/audit.key" "$to/"
        if [ "$what" = full ]; then head -c 200k /dev/zero >"$to/filler"; else mount -o remount,ro "$to"; fi
        exec "$@""#;
    for what in ["full", "read-only"] {
        let directory = temp();
        let (to, from) = (directory.path().to_str().unwrap(), made.path().to_str().unwrap());
        let wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", to, from];
        elsewhere(&wrapper, name, what, directory.path());
    }
}

#[test]
fn home_directory_is_found_or_requested() {
    let name = "home_directory_is_found_or_requested";
    let variables = [("SIMPLETUNER_STATE_DIR", None), ("SIMPLETUNER_CONFIG_DIR", None)];
    common::without_home(name, &variables, || {
        if Path::new("/workspace").exists() || Path::new("/notebooks").exists() {
            return;
        }
        let error = Store::open(&Config::new()).unwrap_err();
        assert!(error.status() == Status::Config && error.message().contains("SIMPLETUNER_STATE_DIR"), "{error}");
    });
}

#[test]
fn state_directory_is_found_like_simpletuners() {
    let name = "state_directory_is_found_like_simpletuners";
    let home = temp();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (state, config) = (path("state"), path("config"));
    common::in_environment(
        name,
        &[
            ("SIMPLETUNER_STATE_DIR", Some(&state)),
            ("SIMPLETUNER_CONFIG_DIR", Some(&config)),
            ("HOME", Some(&path(""))),
        ],
        || {
            let directory = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
            let save = || Store::open(&Config::new()).unwrap().provider_save("p", "{}").unwrap();
            save();
            assert!(directory("SIMPLETUNER_STATE_DIR").join("cloud/jobs.db").exists());
            // SAFETY: no other thread of this process reads the environment now.
            unsafe { std::env::set_var("SIMPLETUNER_STATE_DIR", "") };
            save();
            assert!(directory("SIMPLETUNER_CONFIG_DIR").join("audit.db").exists());
            // SAFETY: as above.
            unsafe { std::env::set_var("SIMPLETUNER_CONFIG_DIR", "~/below") };
            save();
            assert!(directory("HOME").join("below/cloud/jobs.db").exists());
            // SAFETY: as above.
            unsafe { std::env::remove_var("SIMPLETUNER_CONFIG_DIR") };
            if !Path::new("/workspace").exists() && !Path::new("/notebooks").exists() {
                save();
                assert!(directory("HOME").join(".simpletuner/cloud/jobs.db").exists());
            }
        },
    );
}
