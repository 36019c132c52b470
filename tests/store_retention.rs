//! Removal of old audit entries: what is left is a valid chain for this library and for SimpleTuner.

mod common;

use std::path::Path;
use std::time::Instant;

use common::simpletuner::{Simpletuner, fill};
use common::store::{entries, open, open_with};
use common::time::PATIENCE;
use common::{in_environment, temp};
use serde_json::{Value, json};
use st_secrets::store::{Actor, Retention, Violation};
use st_secrets::{Status, Store};

/// A trail of `count` entries, of which the first `old` are as old as SimpleTuner's could be: a year.
fn aged(directory: &Path, count: usize, old: usize) -> (Store, Simpletuner) {
    let store = fill(directory, 1);
    let mut other = Simpletuner::of(directory);
    other.run("DELETE FROM audit_log; DELETE FROM sqlite_sequence");
    for n in 0..count {
        other.append_at((n < old).then_some("2025-01-01T00:00:00+00:00"));
    }
    assert_eq!(other.bad(), json!([]));
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
    (store, other)
}

fn assert_valid(store: &Store, other: &mut Simpletuner, count: u64, range: (i64, i64)) {
    let verified = store.audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == count && verified.range == Some(range), "{verified:?}");
    let chain = other.ask(json!({"do": "chain"}));
    assert_eq!((&chain["valid"], &chain["entries_checked"]), (&json!(true), &json!(count)), "{chain}");
}

#[test]
fn audit_retain_leaves_a_chain_that_is_valid_for_both_programs() {
    let directory = temp();
    let (store, mut other) = aged(directory.path(), 10, 4);
    let before = entries(&store);
    let ada = store.as_actor(Actor { user_id: Some(7), username: Some("ada".into()), ip: None }).unwrap();
    let retention = ada.audit_retain(Some(90)).unwrap();
    assert_eq!((retention.removed, retention.range, retention.record_id), (4, Some((1, 4)), Some(11)));
    assert_valid(&store, &mut other, 7, (5, 11));
    // What is kept is unchanged, apart from the signatures.
    let after = entries(&store);
    for (kept, was) in after.iter().zip(&before[4..]) {
        let unsigned = |entry: &Value| {
            let mut entry = entry.clone();
            entry["entry_hash"] = Value::Null;
            entry["previous_hash"] = Value::Null;
            entry
        };
        assert_eq!(unsigned(kept), unsigned(was));
        assert_ne!(kept["entry_hash"], was["entry_hash"]);
    }
    let record = after.last().unwrap();
    assert_eq!(record["event_type"], "config.changed");
    assert_eq!(record["action"], "retention");
    assert_eq!((&record["target_type"], &record["target_id"]), (&json!("audit_log"), &json!("1-4")));
    assert_eq!((&record["actor_id"], &record["actor_username"]), (&json!(7), &json!("ada")));
    let expected = json!({
        "before": retention.before, "days": 90, "removed": 4, "first_id": 1, "last_id": 4,
        "last_hash": before[3]["entry_hash"], "head_hash": before[9]["entry_hash"], "forks": 0,
        "recent_hashes": before.iter().rev().map(|entry| &entry["entry_hash"]).collect::<Vec<_>>(),
    });
    assert_eq!(record["details"], expected);
    // Both programs continue, and ranges are valid too.
    other.append(None);
    store.audit_log("config.changed", "test", None, "").unwrap();
    assert_valid(&store, &mut other, 9, (5, 13));
    for (first, last, checked) in [(1, 4, 0), (1, 5, 1), (5, 7, 3), (6, 0, 8), (3, 100, 9)] {
        let verified = store.audit_verify(first, last).unwrap();
        assert!(verified.is_intact() && verified.checked == checked, "{first} to {last}: {verified:?}");
    }
    // No entry is old now.
    let again = store.audit_retain(Some(90)).unwrap();
    assert_eq!(again, Retention { removed: 0, range: None, record_id: None, before: again.before.clone() });
    assert_valid(&store, &mut other, 9, (5, 13));
}

#[test]
fn audit_retain_can_be_repeated_and_can_remove_everything() {
    let directory = temp();
    let (store, mut other) = aged(directory.path(), 3, 3);
    assert_eq!(store.audit_retain(Some(90)).unwrap().removed, 3);
    assert_valid(&store, &mut other, 1, (4, 4));
    // The record itself becomes old.
    other.run("UPDATE audit_log SET timestamp = '2025-06-01T00:00:00+00:00'");
    other.sign_again();
    other.append(None);
    assert_valid(&store, &mut other, 2, (4, 5));
    let retention = store.audit_retain(Some(90)).unwrap();
    assert_eq!((retention.removed, retention.range, retention.record_id), (1, Some((4, 4)), Some(6)));
    assert_valid(&store, &mut other, 2, (5, 6));
}

#[test]
fn audit_retain_removes_no_entry_after_a_recent_one() {
    let directory = temp();
    let (store, mut other) = aged(directory.path(), 1, 1);
    other.append_at(None);
    other.append_at(Some("2025-01-01T00:00:00+00:00"));
    let retention = store.audit_retain(Some(90)).unwrap();
    assert_eq!((retention.removed, retention.range), (1, Some((1, 1))));
    assert_valid(&store, &mut other, 3, (2, 4));
}

#[test]
fn audit_retain_refuses_a_trail_that_was_tampered_with() {
    for sql in [
        "UPDATE audit_log SET action = 'x' WHERE id = 1",
        "UPDATE audit_log SET action = 'x' WHERE id = 5",
        "DELETE FROM audit_log WHERE id = 2",
        "DELETE FROM audit_log WHERE id = 6",
    ] {
        let directory = temp();
        let (store, mut other) = aged(directory.path(), 6, 3);
        other.run(sql);
        let before = entries(&store);
        let error = store.audit_retain(Some(90)).unwrap_err();
        assert_eq!(error.status(), Status::Corrupt, "{sql}: {error}");
        assert!(error.message().contains("no old entry of the audit trail was removed: entry "), "{error}");
        assert_eq!(entries(&store), before, "{sql}");
    }
}

#[test]
fn removal_without_a_record_is_noticed() {
    let directory = temp();
    let (store, mut other) = aged(directory.path(), 8, 3);
    store.audit_retain(Some(90)).unwrap();
    // Entries 4 to 9 remain. More are removed, and the record is copied, without the key.
    other.run("DELETE FROM audit_log WHERE id = 4");
    assert_eq!(store.audit_verify(0, 0).unwrap().tampered, Some((5, Violation::Missing)));
    let directory = temp();
    let (store, mut other) = aged(directory.path(), 8, 3);
    store.audit_retain(Some(90)).unwrap();
    other.run("UPDATE audit_log SET details = replace(details, '\"last_id\": 3', '\"last_id\": 4') WHERE id = 9");
    other.run("DELETE FROM audit_log WHERE id = 4");
    let verified = store.audit_verify(0, 0).unwrap();
    assert_eq!(verified.tampered, Some((5, Violation::Missing)), "{verified:?}");
    // An intact first entry that was given another number.
    let directory = temp();
    let (store, mut other) = aged(directory.path(), 4, 0);
    other.run("DELETE FROM audit_log WHERE id > 1; UPDATE audit_log SET id = 4");
    assert_eq!(store.audit_verify(0, 0).unwrap().tampered, Some((4, Violation::Missing)));
}

#[test]
fn entry_that_simpletuner_appends_during_the_removal_is_a_fork() {
    let directory = temp();
    let (store, mut other) = aged(directory.path(), 6, 3);
    let before = entries(&store);
    let hash = |number: usize| before[number - 1]["entry_hash"].as_str().unwrap();
    store.audit_retain(Some(90)).unwrap();
    // It read the newest signature, or, if yet another program appended, an earlier one.
    other.append(Some(hash(6)));
    other.append(Some(hash(5)));
    let verified = store.audit_verify(0, 0).unwrap();
    assert_eq!((verified.first, verified.tampered), (Some((8, Violation::Fork)), None), "{verified:?}");
    assert_eq!(verified.forks, [8, 9]);
    assert_eq!(other.bad(), json!([8, 9]));
    // The trail can be shortened again.
    other.run("UPDATE audit_log SET timestamp = '2025-06-01T00:00:00+00:00' WHERE id = 4");
    other.sign_again();
    assert_eq!(store.audit_retain(Some(90)).unwrap().removed, 1);
}

#[test]
fn only_a_removal_is_recorded_as_one() {
    let directory = temp();
    let store = open(directory.path());
    let error = store.audit_log("config.changed", "retention", None, "").unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
    store.audit_log("job.submitted", "retention", None, r#"{"last_id": 5}"#).unwrap();
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
    assert_eq!(store.audit_retain(Some(0)).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn audit_retain_creates_no_database() {
    let directory = temp();
    assert_eq!(open(directory.path()).audit_retain(Some(1)).unwrap().removed, 0);
    assert!(!directory.path().join("audit.db").exists());
}

#[test]
fn retention_days_are_those_of_simpletuners_variable() {
    let name = "retention_days_are_those_of_simpletuners_variable";
    in_environment(name, &[("SIMPLETUNER_AUDIT_RETENTION_DAYS", None)], || {
        const VARIABLE: &str = "SIMPLETUNER_AUDIT_RETENTION_DAYS";
        for (value, removed) in
            [(None, 2), (Some(""), 2), (Some("90"), 2), (Some("36500"), 0), (Some("0"), 0), (Some("-1"), 0)]
        {
            let directory = temp();
            let (store, _) = aged(directory.path(), 3, 2);
            match value {
                // SAFETY: no other thread of this process reads the environment now.
                Some(value) => unsafe { std::env::set_var(VARIABLE, value) },
                // SAFETY: as above.
                None => unsafe { std::env::remove_var(VARIABLE) },
            }
            assert_eq!(store.audit_retain(None).unwrap().removed, removed, "{value:?}");
        }
        // SAFETY: as above.
        unsafe { std::env::set_var(VARIABLE, "CANARY") };
        let error = open(temp().path()).audit_retain(None).unwrap_err();
        assert!(error.status() == Status::Config && error.message().contains(VARIABLE), "{error}");
        assert!(!error.message().contains("CANARY"), "{error}");
    });
}

/// The removal is committed: what remains in the write-ahead log must not keep other writers out for long.
#[test]
fn reader_delays_audit_retain_for_a_second_at_most() {
    let directory = temp();
    aged(directory.path(), 5, 3);
    let reader = rusqlite::Connection::open(directory.path().join("audit.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM audit_log").unwrap();
    let store = open_with(directory.path(), &[("timeout", &(2 * PATIENCE).as_secs().to_string())]).unwrap();
    let start = Instant::now();
    assert_eq!(store.audit_retain(Some(90)).unwrap().removed, 3);
    let took = start.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
}
