//! The audit trail, written and verified by this library and by SimpleTuner's code.

mod common;

use std::fs;

use common::simpletuner::{Simpletuner, fill};
use common::store::{entries, open};
use common::{mode, temp, write};
use serde_json::{Value, json};
use st_secrets::Status;
use st_secrets::store::{Actor, Violation};

#[test]
fn simpletuner_and_library_share_one_valid_chain() {
    let directory = temp();
    let store = open(directory.path());
    let id = store
        .audit_log("user.login", "login", None, "{\"name\":\"J\u{fc}rgen \u{1f600} /\",\"n\":[1,2.50,null]}")
        .unwrap();
    assert_eq!(id, 1);
    let mut other = Simpletuner::of(directory.path());
    assert_eq!(mode(&directory.path().join("audit.key")), 0o600);
    other.append(None);
    let actor = Actor { user_id: Some(-3), username: Some("Ada".to_owned()), ip: None };
    store.as_actor(actor).unwrap().audit_log("config.changed", "test", None, "{}").unwrap();
    other.append(None);
    assert_eq!(other.bad(), json!([]));
    let verified = store.audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == 4, "{verified:?}");
    assert_eq!(entries(&store)[0]["details"], json!({"name": "Jürgen 😀 /", "n": [1, 2.5, null]}));
    for (first, last, checked) in [(1, 4, 4), (2, 3, 2), (4, 0, 1), (3, 100, 2), (5, 9, 0), (-5, 1, 1)] {
        let verified = store.audit_verify(first, last).unwrap();
        assert!(verified.is_intact() && verified.checked == checked, "{first} to {last}: {verified:?}");
    }
}

#[test]
fn audit_verify_distinguishes_tampering_from_forks() {
    let tamper = |sql: &str| {
        let directory = temp();
        let store = fill(directory.path(), 6);
        Simpletuner::of(directory.path()).run(sql);
        (store.audit_verify(0, 0).unwrap(), directory)
    };
    for (sql, first) in [
        ("UPDATE audit_log SET action = 'other' WHERE id = 4", (4, Violation::Altered)),
        ("UPDATE audit_log SET details = '{}  ' WHERE id = 1", (1, Violation::Altered)),
        ("UPDATE audit_log SET timestamp = timestamp || '0' WHERE id = 6", (6, Violation::Altered)),
        ("UPDATE audit_log SET actor_id = 1 WHERE id = 2", (2, Violation::Altered)),
        ("UPDATE audit_log SET actor_id = 'None' WHERE id = 2", (2, Violation::Altered)),
        ("UPDATE audit_log SET entry_hash = 'x' WHERE id = 2", (2, Violation::Altered)),
        ("DELETE FROM audit_log WHERE id = 3", (4, Violation::Missing)),
        ("DELETE FROM audit_log WHERE id < 3", (3, Violation::Missing)),
        ("DELETE FROM audit_log WHERE id > 4", (5, Violation::Missing)),
        ("DELETE FROM audit_log", (1, Violation::Missing)),
        ("UPDATE audit_log SET id = 9 WHERE id = 2", (3, Violation::Missing)),
    ] {
        let (verified, _directory) = tamper(sql);
        assert_eq!((verified.first, verified.tampered), (Some(first), Some(first)), "{sql}");
    }
    // An entry that was removed behind a fork, and one that was copied.
    for (sql, first) in [
        ("DELETE FROM audit_log WHERE id = 4", (5, Violation::Missing)),
        (
            "INSERT INTO audit_log (timestamp, event_type, actor_id, action, details, previous_hash, entry_hash)
             SELECT timestamp, event_type, actor_id, action, details, previous_hash, entry_hash FROM audit_log WHERE id = 2",
            (6, Violation::Altered),
        ),
    ] {
        let directory = temp();
        let store = fill(directory.path(), 4);
        let mut other = Simpletuner::of(directory.path());
        let third = entries(&store)[2]["entry_hash"].as_str().unwrap().to_owned();
        other.append(Some(&third));
        other.run(sql);
        assert_eq!(store.audit_verify(0, 0).unwrap().tampered, Some(first), "{sql}");
    }
    // Name, address and target are not signed.
    let (verified, _directory) = tamper("UPDATE audit_log SET actor_username = 'x', target_id = 'y'");
    assert!(verified.is_intact());

    let directory = temp();
    let store = fill(directory.path(), 3);
    let hash = |id: usize| entries(&store)[id - 1]["entry_hash"].as_str().unwrap().to_owned();
    let mut other = Simpletuner::of(directory.path());
    other.append(Some(&hash(2)));
    other.append(Some("genesis"));
    let verified = store.audit_verify(0, 0).unwrap();
    assert_eq!((verified.first, verified.tampered), (Some((4, Violation::Fork)), None));
    assert_eq!(verified.forks, [4, 5]);
    assert_eq!(other.bad(), json!([4, 5]));
    other.run("UPDATE audit_log SET action = 'x' WHERE id = 5");
    store.audit_log("config.changed", "test", None, "").unwrap();
    let verified = store.audit_verify(0, 0).unwrap();
    assert_eq!((verified.first, verified.tampered), (Some((4, Violation::Fork)), Some((5, Violation::Altered))));
    let report: Value = serde_json::from_str(&verified.to_json()).unwrap();
    let hash = |id: usize| entries(&store)[id - 1]["entry_hash"].clone();
    let expected = json!({
        "valid": false,
        "entries_checked": 6,
        "first_id": 1,
        "last_id": 6,
        "broken_links": [
            {"id": 4, "kind": "fork", "expected_previous": hash(3), "actual_previous": hash(2)},
            {"id": 5, "kind": "altered", "expected_previous": hash(4), "actual_previous": "genesis"},
            {"id": 5, "kind": "altered", "error": "hash_mismatch", "expected_hash": null, "actual_hash": hash(5)},
        ],
        "broken_id": 4,
        "kind": "fork",
        "tampered_id": 5,
        "forks": [4],
    });
    assert_eq!(report, expected);
}

/// The members of a report that SimpleTuner has too, and what it finds.
fn common_members(mut report: Value) -> Value {
    for member in ["broken_id", "kind", "tampered_id", "forks"] {
        report.as_object_mut().unwrap().remove(member);
    }
    let links = report["broken_links"].as_array_mut().unwrap();
    links.retain(|link| link["error"] != "entries_removed");
    for link in links {
        link.as_object_mut().unwrap().remove("kind");
        if let Some(expected) = link.get_mut("expected_hash") {
            *expected = Value::Null;
        }
    }
    report
}

#[test]
fn audit_verify_report_has_simpletuners_members() {
    for sql in [
        "",
        "UPDATE audit_log SET action = 'other' WHERE id = 4",
        "UPDATE audit_log SET entry_hash = 'x' WHERE id = 1",
        "DELETE FROM audit_log WHERE id = 3",
        "DELETE FROM audit_log WHERE id < 3",
        "UPDATE audit_log SET details = '{}  ' WHERE id > 4",
    ] {
        let directory = temp();
        let store = fill(directory.path(), 6);
        let mut other = Simpletuner::of(directory.path());
        other.run(sql);
        let ours = serde_json::from_str(&store.audit_verify(0, 0).unwrap().to_json()).unwrap();
        let theirs = other.ask(json!({"do": "chain"}));
        assert_eq!(common_members(ours), common_members(theirs), "{sql}");
    }
    // A trail without entries, and an end that was removed, which SimpleTuner does not notice.
    let directory = temp();
    let report = |store: &st_secrets::Store| -> Value {
        serde_json::from_str(&store.audit_verify(0, 0).unwrap().to_json()).unwrap()
    };
    let empty = report(&open(directory.path()));
    assert_eq!((&empty["valid"], &empty["first_id"], &empty["broken_links"]), (&json!(true), &json!(null), &json!([])));
    let store = fill(directory.path(), 3);
    Simpletuner::of(directory.path()).run("DELETE FROM audit_log WHERE id = 3");
    let expected = json!([{"id": 3, "kind": "missing", "error": "entries_removed"}]);
    assert_eq!(report(&store)["broken_links"], expected);
}

#[test]
fn audit_verify_limits_the_links_of_a_report() {
    let directory = temp();
    let store = fill(directory.path(), 1);
    let mut other = Simpletuner::of(directory.path());
    other.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
         INSERT INTO audit_log (timestamp, event_type, action, previous_hash, entry_hash) SELECT '', 'e', 'a', '', 'x' FROM n",
    );
    let verified = store.audit_verify(0, 0).unwrap();
    assert_eq!((verified.checked, verified.broken_links.len()), (2501, 1000));
}

#[test]
fn audit_query_filters_entries() {
    let directory = temp();
    let store = open(directory.path());
    let ada = store.as_actor(Actor { user_id: Some(1), username: Some("ada".into()), ip: None }).unwrap();
    for n in 0..5 {
        let (kind, actor) = if n % 2 == 0 { ("config.changed", &store) } else { ("user.login", &ada) };
        actor.audit_log(kind, "test", Some(("thing", &n.to_string())), "").unwrap();
    }
    let ids = |filter: &str| -> Vec<i64> {
        let found: Vec<Value> = serde_json::from_str(&store.audit_query(filter).unwrap()).unwrap();
        found.iter().map(|entry| entry["id"].as_i64().unwrap()).collect()
    };
    let third = entries(&store)[2]["timestamp"].as_str().unwrap().to_owned();
    for (filter, expected) in [
        ("", vec![5, 4, 3, 2, 1]),
        ("{}", vec![5, 4, 3, 2, 1]),
        (r#"{"event_type": "user.login"}"#, vec![4, 2]),
        (r#"{"actor_id": 1, "target_type": "thing", "target_id": "3"}"#, vec![4]),
        (r#"{"actor_username": "ada", "limit": 1, "offset": 1}"#, vec![2]),
        (r#"{"action": "none"}"#, vec![]),
        (r#"{"limit": 2, "actor_id": null}"#, vec![5, 4]),
        (&format!("{{\"since\": \"{third}\"}}"), vec![5, 4, 3]),
        (&format!("{{\"until\": \"{third}\"}}"), vec![3, 2, 1]),
        (r#"{"event_types": ["user.login", "user.logout"]}"#, vec![4, 2]),
        (r#"{"event_types": ["user.login", "config.changed"], "after_id": 3}"#, vec![5, 4]),
        (r#"{"event_types": [], "since": "", "until": ""}"#, vec![5, 4, 3, 2, 1]),
        (&format!("{{\"since_text\": \"{third}\"}}"), vec![5, 4, 3]),
        (&format!("{{\"until_text\": \"{third}\"}}"), vec![3, 2, 1]),
        (r#"{"since_text": "yesterday"}"#, vec![]),
        (r#"{"until_text": "yesterday", "limit": 2}"#, vec![5, 4]),
        (r#"{"since_text": "20", "until_text": ""}"#, vec![]),
        (r#"{"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00+01:00"}"#, vec![]),
    ] {
        assert_eq!(ids(filter), expected, "{filter}");
    }
    for (filter, word) in [
        ("[]", "JSON object"),
        (r#"{"event_typ": "x"}"#, "did you mean `event_type`"),
        (r#"{"limit": -1}"#, "limit"),
        (r#"{"limit": 100000}"#, "10000"),
        (r#"{"actor_id": "1"}"#, "actor_id"),
        (r#"{"since": "yesterday"}"#, "2026-08-22T17:32:24Z"),
        (r#"{"until": 5}"#, "`until` must be text"),
        (r#"{"since_text": 5}"#, "`since_text` must be text"),
        (r#"{"event_types": "user.login"}"#, "`event_types` must be an array"),
        (r#"{"event_types": [1]}"#, "`event_types` must be an array"),
        (r#"{"after_id": -1}"#, "after_id"),
    ] {
        let error = store.audit_query(filter).unwrap_err();
        assert!(error.status() == Status::InvalidArgument && error.message().contains(word), "{filter}: {error}");
    }
}

#[test]
fn lost_audit_key_is_never_replaced() {
    let directory = temp();
    let path = directory.path().join("audit.key");
    fill(directory.path(), 2);
    fs::remove_file(&path).unwrap();
    let store = open(directory.path());
    for error in [store.audit_log("a", "b", None, "").unwrap_err(), store.provider_save("p", "{}").unwrap_err()] {
        assert!(error.status() == Status::BadKey && error.message().contains("restore it"), "{error}");
    }
    assert!(!path.exists() && common::store::config(&store, "p") == "{}");
    write(&path, "");
    assert_eq!(open(directory.path()).audit_log("a", "b", None, "").unwrap_err().status(), Status::BadKey);
    write(&path, "another key");
    let store = open(directory.path());
    assert_eq!(store.audit_verify(0, 0).unwrap().first, Some((1, Violation::Altered)));
}

#[test]
fn audit_key_may_come_from_the_environment() {
    let name = "audit_key_may_come_from_the_environment";
    common::in_environment(name, &[("SIMPLETUNER_AUDIT_KEY", Some("schlüssel"))], || {
        let directory = temp();
        let store = fill(directory.path(), 2);
        assert!(!directory.path().join("audit.key").exists());
        write(&directory.path().join("audit.key"), "schlüssel");
        let mut other = Simpletuner::of(directory.path());
        assert_eq!(other.bad(), json!([]));
        assert!(store.audit_verify(0, 0).unwrap().is_intact());
    });
}

#[test]
fn change_that_cannot_be_recorded_is_not_made() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("p", r#"{"a": 1}"#).unwrap();
    fill(directory.path(), 1);
    // A table of this name that belongs to another program.
    let mut other = Simpletuner::of(directory.path());
    other.run("ALTER TABLE audit_log RENAME TO audit_log_2; CREATE TABLE audit_log (id INTEGER PRIMARY KEY)");
    let error = store.provider_update("p", r#"{"a": 2}"#).unwrap_err();
    assert_eq!(error.status(), Status::Corrupt, "{error}");
    assert!(error.message().contains("nothing was changed"), "{error}");
    assert_eq!(common::store::config(&store, "p"), r#"{"a": 1}"#);
}

#[test]
fn audit_log_keeps_the_last_of_duplicate_names() {
    let directory = temp();
    let store = open(directory.path());
    store.audit_log("e", "a", None, r#"{"a": 1, "b": -0, "\u0061": 2}"#).unwrap();
    let python = rusqlite::Connection::open(directory.path().join("audit.db")).unwrap();
    let details: String = python.query_row("SELECT details FROM audit_log", [], |row| row.get(0)).unwrap();
    assert_eq!(details, r#"{"a": 2, "b": 0}"#);
}

#[test]
fn audit_log_rejects_invalid_entries() {
    let directory = temp();
    let store = open(directory.path());
    for (event, action, target, details) in [
        ("", "a", None, ""),
        ("e", "", None, ""),
        ("e", "a", Some(("", "x")), ""),
        ("e", "a\n", None, ""),
        ("e", "a", None, "[1]"),
        ("e", "a", None, "{\"x\": CANARY}"),
    ] {
        let error = store.audit_log(event, action, target, details).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{error}");
        assert!(!error.message().contains("CANARY"), "{error}");
    }
    assert!(!directory.path().join("audit.db").exists());
    let long = Actor { username: Some("x".repeat(300)), ..Actor::default() };
    assert_eq!(store.as_actor(long).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn removed_trail_starts_again_with_its_own_key() {
    let directory = temp();
    let store = fill(directory.path(), 2);
    for file in ["audit.db", "audit.db-wal", "audit.db-shm", "audit.key"] {
        fs::remove_file(directory.path().join(file)).unwrap();
    }
    store.provider_save("p", "{}").unwrap();
    assert!(directory.path().join("audit.key").exists());
    let other = open(directory.path());
    assert_eq!(other.audit_log("config.changed", "test", None, "").unwrap(), 2);
    assert!(other.audit_verify(0, 0).unwrap().is_intact() && store.audit_verify(0, 0).unwrap().is_intact());
}

#[test]
fn replaced_trail_uses_its_own_key() {
    let (directory, backup) = (temp(), temp());
    let store = fill(directory.path(), 2);
    fill(backup.path(), 3);
    Simpletuner::of(backup.path()).run("PRAGMA wal_checkpoint(TRUNCATE)");
    for file in ["audit.db-wal", "audit.db-shm"] {
        fs::remove_file(directory.path().join(file)).unwrap();
    }
    for file in ["audit.db", "audit.key"] {
        fs::rename(backup.path().join(file), directory.path().join(file)).unwrap();
    }
    assert_eq!(store.audit_log("config.changed", "test", None, "").unwrap(), 4);
    let verified = open(directory.path()).audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == 4, "{verified:?}");
}

/// A lone surrogate in a name is preserved wherever JSON is accepted or returned.
#[test]
fn lone_surrogates_in_names_are_preserved() {
    let directory = temp();
    let store = open(directory.path());
    let text = r#"{"\ud800": {"cost_per_second": 1}, "a": {"cost_per_second": 2}}"#;
    store.provider_save("replicate", text).unwrap();
    assert_eq!(&*store.provider_get("replicate").unwrap(), text.as_bytes());
    store.provider_update("replicate", r#"{"\uD800": 3}"#).unwrap();
    assert_eq!(&*store.provider_get("replicate").unwrap(), br#"{"\ud800": 3, "a": {"cost_per_second": 2}}"#);
    assert!(store.provider_webhook("replicate").is_ok());
    store.hardware_set(text).unwrap();
    assert_eq!(store.hardware_cost_per_hour("a").unwrap(), 7200.0);
    store.audit_log("test", "test", None, r#"{"\uD800": "\udc00"}"#).unwrap();
    let trail = store.audit_query(r#"{"event_type": "test"}"#).unwrap();
    assert!(trail.contains(r#""details":{"\ud800": "\udc00"}"#), "{trail}");
    let error = store.audit_query(r#"{"\ud800": 1}"#).unwrap_err();
    assert!(error.message().starts_with("unknown filter"), "{error}");
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
}
