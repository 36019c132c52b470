//! Provider configuration and hardware prices, on real files.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use common::python::Python;
use common::store::{config, entries, jobs, open};
use common::time::soon;
use common::{mode, temp};
use rusqlite::Connection;
use serde_json::{Value, json};
use st_secrets::store::DEFAULT_HARDWARE_INFO;
use st_secrets::{Config, SharedBytes, Status, Store, cache};

/// Runs SQL as SimpleTuner does, in a separate process.
fn python(directory: &Path, sql: &str) {
    let mut python = Python::start("simpletuner_store.py", &[]);
    python.ask(&json!({"do": "script", "db": jobs(directory), "sql": sql}));
}

#[test]
fn saved_configuration_is_read_back_verbatim() {
    let directory = temp();
    let store = open(directory.path());
    assert_eq!(config(&store, "replicate"), "{}");
    assert!(!directory.path().join("cloud").exists(), "reading created a file");

    let text = r#"{ "cost" : 1.50, "big":12345678901234567890123, "nan": NaN, "ä": "\u00e9" }"#;
    store.provider_save("replicate", text).unwrap();
    assert_eq!(config(&store, "replicate"), text);
    store.provider_update("replicate", r#"{"cost": 2.0, "webhook_url": "https://x"}"#).unwrap();
    assert_eq!(
        config(&store, "replicate"),
        r#"{"cost": 2.0, "big": 12345678901234567890123, "nan": NaN, "ä": "\u00e9", "webhook_url": "https://x"}"#
    );
    store.provider_save("other", "{}").unwrap();
    let list: Value = serde_json::from_str(&store.provider_list().unwrap()).unwrap();
    assert_eq!(list[0]["provider"], "other");
    assert_eq!(list[1]["provider"], "replicate");
    assert!(list[1]["updated_at"].as_str().unwrap().ends_with("+00:00"));
    assert!(store.provider_delete("replicate").unwrap());
    assert!(!store.provider_delete("replicate").unwrap());
    assert_eq!(config(&store, "replicate"), "{}");
    for file in ["cloud/jobs.db", "audit.db", "audit.key"] {
        assert_eq!(mode(&directory.path().join(file)), 0o600, "{file}");
    }
}

#[test]
fn each_change_is_recorded_without_values() {
    let directory = temp();
    let store = open(directory.path());
    let actor = st_secrets::store::Actor { user_id: Some(7), username: Some("ada".into()), ip: Some("::1".into()) };
    let ada = store.as_actor(actor).unwrap();
    ada.provider_save("replicate", r#"{"webhook_url": "CANARY", "webhook_secret": "CANARY", "a": 1}"#).unwrap();
    store.provider_update("replicate", r#"{"webhook_url": "CANARY2", "webhook_secret": "CANARY2", "b": 1}"#).unwrap();
    store.provider_delete("replicate").unwrap();
    let entries = entries(&store);
    let trail: Vec<_> =
        entries.iter().map(|entry| (&entry["event_type"], &entry["action"], &entry["details"])).collect();
    assert_eq!(
        trail,
        [
            (
                &json!("provider.configured"),
                &json!("save"),
                &json!({"added": ["webhook_url", "a"], "changed": ["webhook_secret"], "removed": []})
            ),
            (
                &json!("config.changed"),
                &json!("update"),
                &json!({"added": ["b"], "changed": ["webhook_url", "webhook_secret"], "removed": []})
            ),
            (
                &json!("config.changed"),
                &json!("delete"),
                &json!({"added": [], "changed": ["webhook_secret"], "removed": ["webhook_url", "a", "b"]})
            ),
        ]
    );
    assert_eq!(
        (&entries[0]["actor_id"], &entries[0]["actor_username"], &entries[0]["actor_ip"]),
        (&json!(7), &json!("ada"), &json!("::1"))
    );
    assert!(entries[1]["actor_id"].is_null() && entries[1]["target_id"] == "replicate");
    assert!(!format!("{entries:?}").contains("CANARY"));
    let verified = store.audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == 3, "{verified:?}");
}

#[test]
fn write_of_another_process_is_seen_soon() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("replicate", r#"{"n": 0}"#).unwrap();
    for n in 1..4 {
        assert_eq!(config(&store, "replicate"), format!("{{\"n\": {}}}", n - 1));
        python(directory.path(), &format!("UPDATE provider_config SET config = '{{\"n\": {n}}}'"));
        soon(|| config(&store, "replicate") == format!("{{\"n\": {n}}}"));
    }
    // Also when the database file is replaced.
    let new = temp();
    let other = open(new.path());
    other.provider_save("replicate", r#"{"n": "replaced"}"#).unwrap();
    python(new.path(), "PRAGMA wal_checkpoint(TRUNCATE)");
    fs::rename(new.path().join("cloud/jobs.db"), directory.path().join("cloud/jobs.db")).unwrap();
    for left in ["cloud/jobs.db-wal", "cloud/jobs.db-shm"] {
        fs::remove_file(directory.path().join(left)).unwrap();
    }
    soon(|| config(&store, "replicate") == r#"{"n": "replaced"}"#);
    store.provider_update("replicate", r#"{"m": 1}"#).unwrap();
    assert_eq!(config(&store, "replicate"), r#"{"n": "replaced", "m": 1}"#);
}

#[test]
fn views_have_defaults() {
    let directory = temp();
    let store = open(directory.path());
    let json = |bytes: SharedBytes| -> Value { serde_json::from_slice(&bytes).unwrap() };
    assert_eq!(
        json(store.provider_webhook("replicate").unwrap()),
        json!({"webhook_url": null, "webhook_secret": null, "webhook_require_signature": true, "webhook_allowed_ips": []})
    );
    assert_eq!(
        json(store.provider_cost_limit("replicate").unwrap()),
        json!({"cost_limit_enabled": false, "cost_limit_amount": 0.0, "cost_limit_period": "daily", "cost_limit_action": "warn"})
    );
    store.provider_save("replicate", r#"{"webhook_require_signature": false, "cost_limit_amount": 1.50}"#).unwrap();
    assert_eq!(json(store.provider_webhook("replicate").unwrap())["webhook_require_signature"], false);
    let text = String::from_utf8(store.provider_cost_limit("replicate").unwrap().to_vec()).unwrap();
    assert!(text.contains("\"cost_limit_amount\": 1.50,"), "{text}");
}

#[test]
fn prices_come_from_the_configuration_or_the_defaults() {
    let directory = temp();
    let store = open(directory.path());
    assert!((store.hardware_cost_per_hour("gpu-l40s").unwrap() - 3.51).abs() < 1e-9);
    assert!((store.hardware_cost_per_hour("gpu-a100-large").unwrap() - 5.04).abs() < 1e-9);
    assert!(!directory.path().join("cloud").exists(), "reading prices created a database");
    assert!((store.hardware_cost_per_hour("gpu-h100").unwrap() - 5.49).abs() < 1e-9);
    assert!((store.hardware_default_cost_per_hour().unwrap() - 3.51).abs() < 1e-9);
    assert_eq!(&*store.hardware_info().unwrap(), DEFAULT_HARDWARE_INFO.as_bytes());
    let error = store.hardware_cost_per_hour("gpu").unwrap_err();
    assert!(error.status() == Status::NotFound && error.message().contains("gpu-l40s"), "{error}");

    store.provider_save("replicate", r#"{"hardware_info": {"gpu": {"name": "G", "cost_per_second": 0.001}}}"#).unwrap();
    assert!(store.hardware_cost_per_hour("gpu").is_err(), "the prices are cached separately");
    store.hardware_clear();
    assert!((store.hardware_cost_per_hour("gpu").unwrap() - 3.6).abs() < 1e-9);
    assert!((store.hardware_default_cost_per_hour().unwrap() - 3.51).abs() < 1e-9, "not configured: the default");
    for (config, cost) in [
        (r#"{"hardware_info": {"gpu-l40s": {"name": "L", "cost_per_second": 0.5}}}"#, Some(1800.0)),
        (r#"{"hardware_info": {"gpu-l40s": {"name": "no price"}}}"#, Some(3.51)),
        (r#"{"hardware_info": {"gpu-l40s": 5}}"#, Some(3.51)),
        (r#"{"hardware_info": {"gpu-l40s": {"name": "L", "cost_per_second": "dear"}}}"#, None),
    ] {
        store.provider_save("replicate", config).unwrap();
        store.hardware_clear();
        match (store.hardware_default_cost_per_hour(), cost) {
            (Ok(found), Some(cost)) => assert!((found - cost).abs() < 1e-9, "{config}: {found}"),
            (Err(error), None) => assert_eq!(error.status(), Status::WrongType, "{config}: {error}"),
            (found, _) => panic!("{config}: {found:?}"),
        }
    }
    store.provider_save("replicate", r#"{"hardware_info": {"gpu": {"name": "G", "cost_per_second": 0.001}}}"#).unwrap();
    store.hardware_set(r#"{"set": {"name": "S", "cost_per_second": 1}}"#).unwrap();
    assert_eq!(store.hardware_cost_per_hour("set").unwrap(), 3600.0);
    store.hardware_clear();
    assert!(store.hardware_cost_per_hour("gpu").is_ok());
    for empty in ["{}", "[]", "null", "5"] {
        store.provider_save("replicate", &format!("{{\"hardware_info\": {empty}}}")).unwrap();
        store.hardware_clear();
        assert!(store.hardware_cost_per_hour("gpu-l40s").is_ok(), "{empty}");
    }
    for bad in ["[]", r#"{"a": {"name": "x"}}"#, r#"{"a": {"cost_per_second": -1}}"#] {
        assert_eq!(store.hardware_set(bad).unwrap_err().status(), Status::InvalidArgument, "{bad}");
    }
}

#[test]
fn invalid_configuration_is_rejected() {
    let directory = temp();
    let store = open(directory.path());
    for bad in ["", "[]", "CANARY", r#"{"a": CANARY}"#, "{\"a\": 1"] {
        for result in [store.provider_save("replicate", bad), store.provider_update("replicate", bad)] {
            let error = result.unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument);
            assert!(!error.message().contains("CANARY"), "{error}");
        }
    }
    for name in ["", "a\nb", &"x".repeat(129)] {
        assert_eq!(store.provider_get(name).unwrap_err().status(), Status::InvalidArgument);
        assert_eq!(store.provider_save(name, "{}").unwrap_err().status(), Status::InvalidArgument);
    }
    // A value stored by another program that is not an object.
    store.provider_save("replicate", "{}").unwrap();
    python(directory.path(), "UPDATE provider_config SET config = '[\"CANARY\"]'");
    soon(|| store.provider_get("replicate").is_err());
    for error in [store.provider_get("replicate").unwrap_err(), store.provider_update("replicate", "{}").unwrap_err()] {
        assert_eq!(error.status(), Status::Corrupt);
        assert!(error.message().contains("\"replicate\"") && !error.message().contains("CANARY"), "{error}");
    }
    store.provider_save("replicate", r#"{"a": 1}"#).unwrap();
    assert_eq!(config(&store, "replicate"), r#"{"a": 1}"#);
}

/// Whatever the order in which stores are opened and used.
#[test]
fn built_in_cache_belongs_to_the_store_of_the_process() {
    let name = "built_in_cache_belongs_to_the_store_of_the_process";
    common::in_environment(name, &[], || {
        let (first, second, other) = (temp(), temp(), temp());
        let reset = |directory: &Path| {
            let mut settings = Config::new();
            settings.set("state_dir", directory.to_str().unwrap()).unwrap();
            Store::reset_default(Some(&settings)).unwrap();
            Store::default_instance().unwrap()
        };
        let cached = || {
            cache::provider_config()
                .unwrap()
                .get(b"provider:p:config")
                .map(|value| value.into_bytes().unwrap().to_vec())
        };
        let default_config = || String::from_utf8(Store::default_provider_get("p").unwrap().to_vec()).unwrap();

        let other = open(other.path());
        other.provider_save("p", r#"{"of": "other"}"#).unwrap();
        assert_eq!(config(&other, "p"), r#"{"of": "other"}"#);
        assert!(cached().is_none(), "another store uses the built-in cache");

        let old = reset(first.path());
        old.provider_save("p", r#"{"of": 1}"#).unwrap();
        for _ in 0..2 {
            assert_eq!((config(&old, "p"), default_config()), (r#"{"of": 1}"#.to_owned(), r#"{"of": 1}"#.to_owned()));
            assert_eq!(config(&other, "p"), r#"{"of": "other"}"#);
        }
        assert_eq!(cached().as_deref(), Some(&br#"{"of": 1}"#[..]));
        cache::provider_config()
            .unwrap()
            .set(b"provider:p:derived", cache::Value::copy_from(b"x").unwrap(), None)
            .unwrap();
        other.provider_save("p", "{}").unwrap();
        assert!(cached().is_some(), "a write to the database of another store does not concern this one");
        old.provider_update("p", "{}").unwrap();
        assert!(cached().is_none() && cache::provider_config().unwrap().get(b"provider:p:derived").is_none());

        // The next store of the process takes the cache over; the old one continues without it.
        assert_eq!(config(&old, "p"), r#"{"of": 1}"#);
        let new = reset(second.path());
        assert!(cached().is_none());
        new.provider_save("p", r#"{"of": 2}"#).unwrap();
        for _ in 0..2 {
            assert_eq!((config(&new, "p"), default_config()), (r#"{"of": 2}"#.to_owned(), r#"{"of": 2}"#.to_owned()));
            assert_eq!(config(&old, "p"), r#"{"of": 1}"#);
            assert_eq!(cached().as_deref(), Some(&br#"{"of": 2}"#[..]));
        }
        old.provider_save("p", r#"{"of": "old"}"#).unwrap();
        assert_eq!((config(&old, "p"), config(&new, "p")), (r#"{"of": "old"}"#.to_owned(), r#"{"of": 2}"#.to_owned()));
    });
}

/// Readers of the process's store never see the configuration of a store that was replaced before they asked.
#[test]
fn reset_leaves_nothing_of_the_old_store_in_the_built_in_cache() {
    let name = "reset_leaves_nothing_of_the_old_store_in_the_built_in_cache";
    common::in_environment(name, &[], || {
        let directories = [temp(), temp()];
        for (number, directory) in directories.iter().enumerate() {
            open(directory.path()).provider_save("p", &format!("{{\"of\": {number}}}")).unwrap();
        }
        let reset = |number: usize| {
            let mut settings = Config::new();
            settings.set("state_dir", directories[number].path().to_str().unwrap()).unwrap();
            Store::reset_default(Some(&settings)).unwrap();
        };
        // Before that, the store of the process is an empty one.
        reset(0);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        let text = Store::default_provider_get("p").unwrap();
                        assert!(text.starts_with(b"{\"of\": "), "{text:?}");
                    }
                });
            }
            for round in 0..100 {
                reset(round % 2);
                for _ in 0..5 {
                    let text = Store::default_provider_get("p").unwrap();
                    assert_eq!(&*text, format!("{{\"of\": {}}}", round % 2).as_bytes());
                }
            }
            stop.store(true, SeqCst);
        });
    });
}

#[test]
fn ten_thousand_providers_are_kept() {
    let directory = temp();
    let store = open(directory.path());
    for n in 0..10_000 {
        store.provider_save(&format!("provider-{n}"), &format!("{{\"n\": {n}}}")).unwrap();
    }
    for n in (0..10_000).rev().step_by(7) {
        assert_eq!(config(&store, &format!("provider-{n}")), format!("{{\"n\": {n}}}"));
    }
    let list: Vec<Value> = serde_json::from_str(&store.provider_list().unwrap()).unwrap();
    assert_eq!(list.len(), 10_000);
    let verified = store.audit_verify(0, 0).unwrap();
    assert!(verified.is_intact() && verified.checked == 10_000);
}

#[test]
fn tables_are_simpletuners() {
    let directory = temp();
    open(directory.path()).provider_save("replicate", "{}").unwrap();
    // Read from a copy, so that this process closes no descriptor of the file.
    let copy = directory.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["jobs.db", "jobs.db-wal"] {
        fs::copy(directory.path().join("cloud").join(name), copy.join(name)).unwrap();
    }
    let database = Connection::open(copy.join("jobs.db")).unwrap();
    let mode: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let time: String = database.query_row("SELECT updated_at FROM provider_config", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert!(time.len() == 32 || time.len() == 25, "{time}");
}

#[test]
fn write_through_another_store_of_this_process_is_seen_at_once() {
    let directory = temp();
    let (one, two) = (open(directory.path()), open(directory.path()));
    one.provider_save("p", r#"{"n": 0}"#).unwrap();
    for n in 1..20 {
        for store in [&one, &two] {
            assert_eq!(config(store, "p"), format!("{{\"n\": {}}}", n - 1));
        }
        let store = if n % 2 == 0 { &one } else { &two };
        store.provider_save("p", &format!("{{\"n\": {n}}}")).unwrap();
    }
    assert!(one.provider_delete("p").unwrap());
    assert_eq!((config(&one, "p"), config(&two, "p")), ("{}".to_owned(), "{}".to_owned()));
}

#[test]
fn configuration_that_is_not_text_may_be_replaced_or_removed() {
    for what in ["x'ff00'", "CAST(x'ff' AS TEXT)", "7", "'no JSON'"] {
        let directory = temp();
        let store = open(directory.path());
        let damage = || {
            store.provider_save("p", r#"{"n": 0}"#).unwrap();
            let other = Connection::open(jobs(directory.path())).unwrap();
            other.execute(&format!("UPDATE provider_config SET config = {what}"), []).unwrap();
        };
        damage();
        let error = store.provider_update("p", r#"{"n": 1}"#).unwrap_err();
        assert!(error.status() == Status::Corrupt && error.message().contains("save it again"), "{what}: {error}");
        store.provider_save("p", r#"{"n": 2}"#).unwrap();
        assert_eq!(config(&store, "p"), r#"{"n": 2}"#);
        damage();
        assert!(store.provider_delete("p").unwrap(), "{what}");
        assert_eq!(config(&store, "p"), "{}");
    }
}

#[test]
fn change_applies_to_a_database_that_was_just_replaced() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("p", "{}").unwrap();
    let new = temp();
    open(new.path()).provider_save("p", "{}").unwrap();
    let other = Connection::open(jobs(new.path())).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    store.provider_list().unwrap();
    for left in ["cloud/jobs.db-wal", "cloud/jobs.db-shm"] {
        fs::remove_file(directory.path().join(left)).unwrap();
    }
    fs::rename(jobs(new.path()), jobs(directory.path())).unwrap();
    assert!(store.provider_delete("p").unwrap());
    assert_eq!(open(directory.path()).provider_list().unwrap(), "[]");
}
