//! Many processes use one store: nothing is lost, also when processes are killed.
//!
//! Each process runs this program with its task in the environment.

mod common;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::python::{Python, interpreter};
use common::simpletuner::Simpletuner;
use common::store::{cipher, config, entries, jobs, open};
use common::temp;
use rusqlite::Connection;
use serde_json::{Value, json};

const TASK: &str = "ST_SECRETS_TEST_BODY";
const DIRECTORY: &str = "ST_SECRETS_TEST_DIRECTORY";
const PROCESSES: usize = 8;
const UPDATES: usize = 150;

/// The task of a worker process: its number and the directory. `None` in the test itself.
fn task() -> Option<(usize, PathBuf)> {
    let number = std::env::var(TASK).ok()?.parse().ok()?;
    Some((number, std::env::var_os(DIRECTORY)?.into()))
}

fn worker(test: &str, number: usize, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(TASK, number.to_string())
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs SQLite's integrity check in another process: closing a file here would release locks.
fn check_integrity(directory: &Path) {
    let mut python = Python::start("simpletuner_store.py", &[]);
    for database in [jobs(directory), directory.join("audit.db")] {
        let answer = python.ask(&json!({"do": "sql", "db": database, "sql": "PRAGMA integrity_check"}));
        assert_eq!(answer["rows"], json!([["ok"]]), "{}", database.display());
    }
}

/// The names of members that the audit trail records.
fn recorded(trail: &[Value]) -> HashSet<String> {
    let names = trail.iter().flat_map(|entry| entry["details"]["added"].as_array().cloned().unwrap_or_default());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn members(text: &str) -> HashSet<String> {
    serde_json::from_str::<serde_json::Map<String, Value>>(text).unwrap().keys().cloned().collect()
}

#[test]
fn eight_processes_lose_no_update() {
    let name = "eight_processes_lose_no_update";
    if let Some((number, directory)) = task() {
        let store = open(&directory);
        for n in 0..UPDATES {
            store.provider_update("replicate", &format!("{{\"p{number}-{n}\": {n}}}")).unwrap();
        }
        return;
    }
    let directory = temp();
    let workers: Vec<Child> = (0..PROCESSES).map(|number| worker(name, number, directory.path())).collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let store = open(directory.path());
    let kept = members(&config(&store, "replicate"));
    let all: HashSet<String> = (0..PROCESSES).flat_map(|p| (0..UPDATES).map(move |n| format!("p{p}-{n}"))).collect();
    assert!(kept == all, "{} updates were lost", all.len() - kept.len());
    let verified = store.audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == (PROCESSES * UPDATES) as u64, "{verified:?}");
    assert!(recorded(&entries(&store)) == all, "a change has no entry");
    check_integrity(directory.path());
}

#[test]
fn concurrent_updates_with_simpletuner_are_all_kept() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("replicate", "{}").unwrap();
    std::thread::scope(|scope| {
        for number in 0..2 {
            let database = jobs(directory.path());
            scope.spawn(move || {
                let mut python = Python::start("simpletuner_store.py", &[]);
                for n in 0..200 {
                    let changes = json!({format!("python{number}-{n}"): n});
                    python.ask(&json!({"do": "update", "db": database, "provider": "replicate", "config": changes}));
                }
            });
            let store = &store;
            scope.spawn(move || {
                for n in 0..200 {
                    store.provider_update("replicate", &format!("{{\"ours{number}-{n}\": {n}}}")).unwrap();
                    config(store, "replicate");
                }
            });
        }
    });
    assert_eq!(members(&open_config(directory.path())).len(), 800);
    check_integrity(directory.path());
}

/// SimpleTuner reads the last signature before it locks the database, so its entries may fork the chain; nothing else
/// happens to the trail.
#[test]
fn audit_trail_of_both_programs_at_once_loses_nothing() {
    let name = "audit_trail_of_both_programs_at_once_loses_nothing";
    const ENTRIES: usize = 400;
    if let Some((_, directory)) = task() {
        let store = open(&directory);
        for n in 0..ENTRIES {
            store.audit_log("config.changed", "ours", None, &format!("{{\"n\": {n}}}")).unwrap();
        }
        return;
    }
    let directory = temp();
    let store = open(directory.path());
    store.audit_log("config.changed", "first", None, "").unwrap();
    let mut workers: Vec<Child> = (0..2).map(|number| worker(name, number, directory.path())).collect();
    let mut other = Simpletuner::of(directory.path());
    for _ in 0..ENTRIES {
        other.append(None);
    }
    assert!(workers.iter_mut().all(|worker| worker.wait().unwrap().success()));
    let trail = entries(&store);
    let of = |action: &str| trail.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((trail.len(), of("ours"), of("login")), (3 * ENTRIES + 1, 2 * ENTRIES, ENTRIES));
    let verified = store.audit_verify(0, 0).unwrap();
    assert_eq!((verified.tampered, verified.checked), (None, trail.len() as u64), "{verified:?}");
    assert_eq!(other.bad(), json!(verified.forks));
    // An entry of this library follows the last one, so a fork begins or ends with an entry of SimpleTuner's.
    for fork in &verified.forks {
        let pair = &trail[*fork as usize - 2..*fork as usize];
        assert!(pair.iter().any(|entry| entry["action"] == "login"), "{pair:?}");
    }
}

#[test]
fn audit_trail_of_several_processes_is_valid_for_both_programs() {
    let name = "audit_trail_of_several_processes_is_valid_for_both_programs";
    const ENTRIES: usize = 400;
    if let Some((_, directory)) = task() {
        let store = open(&directory);
        for n in 0..ENTRIES {
            store.audit_log("job.submitted", "submit", None, &format!("{{\"n\": {n}}}")).unwrap();
        }
        return;
    }
    let directory = temp();
    let workers: Vec<Child> = (0..3).map(|number| worker(name, number, directory.path())).collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let verified = open(directory.path()).audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == 3 * ENTRIES as u64, "{verified:?}");
    assert_eq!(Simpletuner::of(directory.path()).bad(), json!([]));
}

/// The stored configuration, bypassing the cache.
fn open_config(directory: &Path) -> String {
    config(&open(directory), "replicate")
}

#[test]
fn killed_process_leaves_no_change_without_an_entry() {
    let name = "killed_process_leaves_no_change_without_an_entry";
    if let Some((number, directory)) = task() {
        let store = open(&directory);
        let key = cipher("a secret", &[]);
        store.credential_set(&key, 1, "replicate", "warm", b"CANARY").unwrap();
        std::io::stdout().write_all(b"\nready\n").unwrap();
        for n in 0.. {
            store.provider_update("replicate", &format!("{{\"r{number}-{n}\": 1}}")).unwrap();
            store.credential_set(&key, 1, "replicate", &format!("r{number}-{n}"), b"CANARY").unwrap();
            std::io::stdout().write_all(b"\nwritten\n").unwrap();
        }
        return;
    }
    let directory = temp();
    let rounds = std::env::var("ST_TEST_KILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(25);
    let mut random = 12345_u64;
    for round in 0..rounds {
        let mut victim = worker(name, round, directory.path());
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "ready"), "the process ended by itself");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // After some writes, in the midst of the next.
        for _ in 0..=(random >> 50) % 3 {
            assert!(lines.any(|line| line == "written"), "the process ended by itself");
        }
        std::thread::sleep(Duration::from_micros((random >> 33) % 5_000));
        victim.kill().unwrap();
        victim.wait().unwrap();
        if round % 20 != 19 {
            continue;
        }
        check_integrity(directory.path());
        let store = open(directory.path());
        let verified = store.audit_verify(0, 0).unwrap();
        assert!(verified.is_intact(), "round {round}: {verified:?}");
        check_entries(&store);
    }
    let store = open(directory.path());
    assert!(members(&config(&store, "replicate")).len() > rounds, "hardly anything was written before the kills");
}

/// Every stored member and credential has an audit entry.
fn check_entries(store: &st_secrets::Store) {
    let mut trail = Vec::new();
    loop {
        let filter = json!({"limit": 10_000, "offset": trail.len()}).to_string();
        let page: Vec<Value> = serde_json::from_str(&store.audit_query(&filter).unwrap()).unwrap();
        if page.is_empty() {
            break;
        }
        trail.extend(page);
    }
    let recorded = recorded(&trail);
    assert!(members(&config(store, "replicate")).is_subset(&recorded), "a change has no entry");
    let names: HashSet<&str> = trail
        .iter()
        .filter(|entry| entry["event_type"] == "credential.created")
        .map(|entry| entry["details"]["name"].as_str().unwrap())
        .collect();
    let listed: Vec<Value> = serde_json::from_str(&store.credential_list(None, None).unwrap()).unwrap();
    assert!(listed.iter().all(|row| names.contains(row["name"].as_str().unwrap())), "a credential has no entry");
}

/// Python's sqlite3 opens, reads and closes the file during a transaction of this library, in the same process.
#[test]
fn another_sqlite_in_the_process_releases_no_lock() {
    let directory = temp();
    let library = std::env::var_os("ST_SECRETS_LIBRARY").map(PathBuf::from).unwrap_or_else(shared_library);
    let status = Command::new(interpreter())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/two_sqlites.py"))
        .args([&library, directory.path()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The shared library built with the tests.
fn shared_library() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let library = tests.parent().unwrap().join("libst_secrets.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
}

/// A program that uses the same copy of SQLite itself finds its behavior unchanged.
#[test]
fn other_sqlite_connections_of_the_program_are_unaffected() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("replicate", "{}").unwrap();
    let path = directory.path().join("own.db");
    let (one, two) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
    one.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    for n in 0..10 {
        let read: i64 = two.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(read, 2 * n + 1);
        two.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        one.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    }
    // On our own files too, beside a transaction.
    let other = Connection::open(jobs(directory.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; UPDATE provider_config SET config = '{\"by\": \"other\"}'").unwrap();
    let waiting = std::thread::spawn(move || {
        open(directory.path()).provider_update("replicate", "{\"ours\": 1}").map(|()| directory)
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished(), "the lock of another connection does not count");
    other.execute_batch("COMMIT").unwrap();
    let directory = waiting.join().unwrap().unwrap();
    assert_eq!(open_config(directory.path()), r#"{"by": "other", "ours": 1}"#);
}
