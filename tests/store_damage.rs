//! Damaged databases: every function of the store returns a result or an error, and no row twice.

mod common;

use std::fs;
use std::path::Path;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use common::simpletuner::fill;
use common::store::{cipher, entries, jobs, open, open_with};
use common::temp;
use rusqlite::Connection;
use serde_json::{Value, json};
use st_secrets::store::{AuditFormat, Violation};
use st_secrets::{Cipher, Result, Status, Store};

const PAGE: usize = 4096;
/// The deadline of each call.
const TIMEOUT: &str = "0.1";
/// A call that takes longer counts as hanging, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(120);

fn keys() -> &'static Cipher {
    static KEYS: LazyLock<Cipher> = LazyLock::new(|| cipher("a newer secret", &["a secret"]));
    &KEYS
}

/// A state directory with rows in each table, all of them checkpointed.
fn made(large: bool) -> tempfile::TempDir {
    let directory = temp();
    let store = open(directory.path());
    let rows = if large { 30 } else { 3 };
    let old = cipher("a secret", &[]);
    for n in 0..rows {
        let filler = "x".repeat(if large { 700 * (n % 12) } else { 10 });
        store.provider_save(&format!("provider-{n}"), &format!("{{\"webhook_url\": \"{filler}\"}}")).unwrap();
        store.credential_set(&old, n as i64, "replicate", "token", format!("r8_{filler}").as_bytes()).unwrap();
    }
    for database in [jobs(directory.path()), directory.path().join("audit.db")] {
        let other = Connection::open(database).unwrap();
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }
    directory
}

/// A copy of a state directory, whose databases are new files to this process.
fn copied(from: &Path) -> tempfile::TempDir {
    let directory = temp();
    fs::create_dir(directory.path().join("cloud")).unwrap();
    for name in ["cloud/jobs.db", "audit.db", "audit.key"] {
        fs::copy(from.join(name), directory.path().join(name)).unwrap();
    }
    directory
}

type Call = (&'static str, fn(&Store) -> Result<()>);

/// Every function of the store.
const CALLS: &[Call] = &[
    ("provider_list", |store| store.provider_list().map(drop)),
    ("provider_get", |store| store.provider_get("provider-1").map(drop)),
    ("provider_webhook", |store| store.provider_webhook("provider-2").map(drop)),
    ("provider_cost_limit", |store| store.provider_cost_limit("provider-2").map(drop)),
    ("credential_list", |store| store.credential_list(None, None).map(drop)),
    ("credential_list of one", |store| store.credential_list(Some(1), Some("replicate")).map(drop)),
    ("credential_get", |store| store.credential_get(keys(), 1, "replicate", "token").map(drop)),
    ("credentials_reencrypt", |store| store.credentials_reencrypt(keys(), false, |_, _| true).map(drop)),
    ("credentials_reencrypt plain", |store| store.credentials_reencrypt(keys(), true, |_, _| true).map(drop)),
    ("credential_set", |store| store.credential_set(keys(), 2, "replicate", "token", b"new").map(drop)),
    ("credential_set new", |store| store.credential_set(keys(), 99, "replicate", "token", &[7; 9000]).map(drop)),
    ("credential_deactivate", |store| store.credential_deactivate(2, "replicate", "token").map(drop)),
    ("credential_mark_used", |store| store.credential_mark_used(3, "replicate", "token").map(drop)),
    ("credential_exists", |store| store.credential_exists(1, "replicate", "token").map(drop)),
    ("credential_delete", |store| store.credential_delete(1, "replicate", "token").map(drop)),
    ("provider_save", |store| store.provider_save("provider-1", "{}")),
    ("provider_save new", |store| store.provider_save("new", "{}")),
    ("provider_update", |store| store.provider_update("provider-2", "{\"a\": 1}")),
    ("provider_delete", |store| store.provider_delete("provider-0").map(drop)),
    ("hardware_info", |store| store.hardware_info().map(drop)),
    ("hardware_set", |store| store.hardware_set("{\"gpu\": {\"name\": \"G\", \"cost_per_second\": 1}}")),
    ("audit_query", |store| store.audit_query("").map(drop)),
    ("audit_query of type", |store| store.audit_query("{\"event_type\": \"none\", \"action\": \"none\"}").map(drop)),
    ("audit_query since", |store| store.audit_query("{\"since\": \"2026-01-01T00:00:00Z\"}").map(drop)),
    ("audit_verify", |store| store.audit_verify(0, 0).map(drop)),
    ("audit_log", |store| store.audit_log("test", "test", None, "").map(drop)),
];

/// Calls every function on the databases of this directory. Returns the result of each.
fn use_everything(directory: &Path, what: &str) -> Vec<(&'static str, Result<()>)> {
    let mut results = Vec::new();
    for (name, call) in CALLS {
        let (sender, receiver) = mpsc::channel();
        let directory = directory.to_owned();
        let thread = thread::spawn(move || {
            // A store of its own, so that nothing is answered from memory.
            let store = open_with(&directory, &[("timeout", TIMEOUT)]).unwrap();
            let _ = sender.send(call(&store));
        });
        let result = receiver.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{name} hangs: {what}"));
        thread.join().unwrap();
        if let Err(error) = &result {
            assert_ne!(error.status(), Status::Panic, "{name}: {error}: {what}");
        }
        results.push((*name, result));
    }
    results
}

fn root_of(path: &Path, table: &str) -> usize {
    let sql = "SELECT rootpage FROM sqlite_master WHERE name = ?1";
    let root: i64 = Connection::open(path).unwrap().query_row(sql, [table], |row| row.get(0)).unwrap();
    root as usize
}

/// An inner page of a table, all of whose entries point to the same page.
fn inner_page(child: usize, entries: usize) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let child = (child as u32).to_be_bytes();
    let start = PAGE - entries * 6;
    page[0] = 5;
    page[3..5].copy_from_slice(&(entries as u16).to_be_bytes());
    page[5..7].copy_from_slice(&(start as u16).to_be_bytes());
    page[8..12].copy_from_slice(&child);
    for entry in 0..entries {
        let at = start + entry * 6;
        page[12 + entry * 2..14 + entry * 2].copy_from_slice(&(at as u16).to_be_bytes());
        page[at..at + 4].copy_from_slice(&child);
        // All rows up to number 1000.
        page[at + 4..at + 6].copy_from_slice(&[0x87, 0x68]);
    }
    page
}

/// Inserts `depth` inner pages between the root of a table and its only leaf, each with many pointers to the next one.
fn braid(path: &Path, table: &str, depth: usize, entries: usize) {
    let root = root_of(path, table);
    let mut file = fs::read(path).unwrap();
    let page = |number: usize| (number - 1) * PAGE..number * PAGE;
    assert_eq!(file[page(root)][0], 13, "{table} has one leaf");
    let leaf = file[page(root)].to_vec();
    let first = file.len() / PAGE + 1;
    let last = first + depth - 1;
    for number in first..last {
        file.extend(inner_page(number + 1, entries));
    }
    file.extend(leaf);
    file[page(root)].copy_from_slice(&inner_page(first, entries));
    file[28..32].copy_from_slice(&(last as u32).to_be_bytes());
    fs::write(path, file).unwrap();
}

/// Each row is reached on two paths, or on more than could be followed in the age of the universe.
#[test]
fn table_with_pages_reached_on_many_paths_is_damaged() {
    let made = made(false);
    for (depth, entries) in [(1, 1), (17, 400)] {
        for table in ["provider_credentials", "provider_config", "audit_log"] {
            let directory = copied(made.path());
            let path = if table == "audit_log" { directory.path().join("audit.db") } else { jobs(directory.path()) };
            braid(&path, table, depth, entries);
            let what = format!("{table}, {depth} deep");
            let results = use_everything(directory.path(), &what);
            let status = |name: &str| {
                let result = &results.iter().find(|(other, _)| *other == name).unwrap().1;
                result.as_ref().map_err(st_secrets::Error::status).err()
            };
            let walks: &[&str] = match table {
                "provider_credentials" => &["credentials_reencrypt", "credentials_reencrypt plain"],
                "audit_log" => &["audit_query"],
                _ => &[],
            };
            for walk in walks {
                assert!(matches!(status(walk), Some(Status::Corrupt | Status::Timeout)), "{walk}: {what}: {results:?}");
            }
        }
    }
}

#[test]
fn every_call_returns_whatever_bytes_are_damaged() {
    let made = made(true);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let rounds = std::env::var("ST_TEST_DAMAGES").map_or(100, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let directory = copied(made.path());
        let mut what = format!("round {round}:");
        for name in ["cloud/jobs.db", "audit.db"] {
            let path = directory.path().join(name);
            let mut file = fs::read(&path).unwrap();
            for _ in 0..=random(6) {
                // Half of them in the first bytes of a page, where its structure is.
                let page = random(file.len() / PAGE);
                let at = page * PAGE + if random(2) == 0 { random(64) } else { random(PAGE) };
                // The first page's header beyond the magic number and the size of pages.
                let at = if at < 24 { at + 24 } else { at };
                file[at] = match random(3) {
                    0 => file[at] ^ (1 << random(8)),
                    1 => random(256) as u8,
                    _ => file[random(file.len())],
                };
                what += &format!(" {name} {at}");
            }
            fs::write(&path, file).unwrap();
        }
        use_everything(directory.path(), &what);
    }
}

/// Bytes where there should be text: an alteration of one entry neither hides the others nor stops the trail.
#[test]
fn audit_entry_of_unexpected_types_is_shown() {
    let signed = ["timestamp", "event_type", "actor_id", "action", "details", "previous_hash", "entry_hash"];
    let unsigned = ["actor_username", "actor_ip", "target_type", "target_id"];
    for column in signed.iter().chain(&unsigned) {
        for value in ["x'ff41'", "CAST(x'ff41' AS TEXT)"] {
            let directory = temp();
            let store = fill(directory.path(), 3);
            let other = Connection::open(directory.path().join("audit.db")).unwrap();
            other.execute(&format!("UPDATE audit_log SET {column} = {value} WHERE id = 3"), []).unwrap();
            drop(other);
            let trail = entries(&store);
            let shown = if *column == "actor_id" { Value::Null } else { json!("\u{fffd}A") };
            assert_eq!((trail.len(), &trail[2][column]), (3, &shown), "{column}");
            for format in [AuditFormat::JsonLines, AuditFormat::Csv] {
                let export = store.audit_export("", format).unwrap();
                assert_eq!((export.last_id, export.text.contains("\u{fffd}A")), (3, !shown.is_null()), "{column}");
            }
            let stats: Value = serde_json::from_str(&store.audit_stats().unwrap()).unwrap();
            assert_eq!(stats["total_entries"], 3, "{column}");
            // The next entry is appended and follows this one.
            store.audit_log("config.changed", "test", None, "").unwrap();
            let altered = signed.contains(column).then_some((3, Violation::Altered));
            for first in [0, 4] {
                let verified = store.audit_verify(first, 0).unwrap();
                assert_eq!(verified.first, altered.filter(|_| first == 0), "{column} from {first}: {verified:?}");
            }
        }
    }
}
