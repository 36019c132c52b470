//! Stored credentials: encryption, resolution, rotation, migration.

#[path = "../common/mod.rs"]
mod common;
mod reencryption;
mod resolve;

use std::fs;
use std::path::Path;

use common::fork::{fork, said_yes};
use common::python::Python;
use common::store::{cipher, entries, jobs, open, open_with};
use common::{temp, write};
use serde_json::{Value, json};
use st_secrets::store::CredentialOrigin;
use st_secrets::{Cipher, Config, Status, Store};

fn value(store: &Store, cipher: &Cipher, user: i64, name: &str) -> String {
    String::from_utf8(store.credential_get(cipher, user, "replicate", name).unwrap().to_vec()).unwrap()
}

fn list(store: &Store) -> Vec<Value> {
    serde_json::from_str(&store.credential_list(None, None).unwrap()).unwrap()
}

/// The actions of the audit trail.
fn actions(store: &Store) -> Vec<String> {
    entries(store).iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

fn cipher_of_file(path: &Path) -> Cipher {
    let mut config = Config::new();
    config.set("key_file", path.to_str().unwrap()).unwrap();
    Cipher::open(&config).unwrap()
}

/// The raw contents of the column.
fn raw(directory: &Path, python: &mut Python) -> Vec<String> {
    let sql = "SELECT credential_value FROM provider_credentials ORDER BY id";
    let rows = python.ask(&json!({"do": "sql", "db": jobs(directory), "sql": sql}));
    rows["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn credential_is_stored_as_a_token_readable_on_both_sides() {
    let directory = temp();
    let mut python = Python::start("simpletuner_store.py", &[]);
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.credential_set(&key, 1, "replicate", "api_token", b"r8_CANARY").unwrap();
    assert_eq!(value(&store, &key, 1, "api_token"), "r8_CANARY");
    let stored = raw(directory.path(), &mut python);
    let answer = python.ask(&json!({"do": "decrypt", "secret": "a secret", "text": stored[0]}));
    assert_eq!(answer["text"], "r8_CANARY");

    let token = python.ask(&json!({"do": "encrypt", "secret": "a secret", "text": "CANARY from Python"}));
    let sql = format!(
        "PRAGMA foreign_keys=OFF; INSERT INTO provider_credentials (user_id, provider, credential_name, credential_value, created_at)
         VALUES (2, 'replicate', 'api_token', '{}', '2026-01-01T00:00:00+00:00'),
                (3, 'replicate', 'api_token', 'plain CANARY', '2026-01-01T00:00:00+00:00')",
        token["text"].as_str().unwrap()
    );
    python.ask(&json!({"do": "script", "db": jobs(directory.path()), "sql": sql}));
    assert_eq!(value(&store, &key, 2, "api_token"), "CANARY from Python");
    assert_eq!(value(&store, &key, 3, "api_token"), "plain CANARY");

    let listed = list(&store);
    assert_eq!(listed.len(), 3);
    assert_eq!((&listed[0]["encrypted"], &listed[2]["encrypted"]), (&json!(true), &json!(false)));
    assert!(listed[0]["last_used_at"].is_string());
    assert!(!format!("{listed:?}{:?}", entries(&store)).contains("CANARY"));
}

#[test]
fn each_use_and_change_of_a_credential_is_recorded() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.credential_set(&key, 1, "replicate", "token", b"CANARY").unwrap();
    store.credential_set(&key, 1, "replicate", "token", b"CANARY2").unwrap();
    value(&store, &key, 1, "token");
    assert!(store.credential_delete(1, "replicate", "token").unwrap());
    assert!(!store.credential_delete(1, "replicate", "token").unwrap());
    assert_eq!(store.credential_get(&key, 1, "replicate", "token").unwrap_err().status(), Status::NotFound);
    let trail: Vec<_> = entries(&store)
        .into_iter()
        .map(|entry| {
            assert_eq!(entry["details"], json!({"user_id": 1, "provider": "replicate", "name": "token"}));
            assert_eq!(
                (&entry["target_type"], &entry["target_id"]),
                (&json!("credential"), &json!("1/replicate/token"))
            );
            format!("{} {}", entry["event_type"].as_str().unwrap(), entry["action"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        trail,
        ["credential.created create", "credential.created replace", "credential.used use", "credential.deleted delete"]
    );
}

#[test]
fn credential_that_is_deactivated_is_not_found_until_it_is_set_again() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    assert!(!store.credential_deactivate(1, "replicate", "token").unwrap());
    assert!(!store.credential_mark_used(1, "replicate", "token").unwrap());
    assert!(!jobs(directory.path()).exists());
    let id = store.credential_set(&key, 1, "replicate", "token", b"one").unwrap();
    let other = store.credential_set(&key, 2, "replicate", "token", b"two").unwrap();
    assert_ne!(id, other);
    assert_eq!(list(&store).iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>(), [id, other]);

    assert!(store.credential_mark_used(1, "replicate", "token").unwrap());
    assert!(list(&store)[0]["last_used_at"].is_string() && list(&store)[1]["last_used_at"].is_null());
    assert!(store.credential_deactivate(1, "replicate", "token").unwrap());
    let row = &list(&store)[0];
    assert!(row["is_active"] == false && row["updated_at"].is_string(), "{row}");
    assert!(!store.credential_exists(1, "replicate", "token").unwrap());
    assert!(!store.credential_mark_used(1, "replicate", "token").unwrap());
    assert_eq!(store.credential_get(&key, 1, "replicate", "token").unwrap_err().status(), Status::NotFound);
    assert_eq!(value(&store, &key, 2, "token"), "two");

    assert_eq!(store.credential_set(&key, 1, "replicate", "token", b"again").unwrap(), id);
    assert_eq!(
        (value(&store, &key, 1, "token"), list(&store)[0]["is_active"].clone()),
        ("again".to_owned(), json!(true))
    );
    assert_eq!(actions(&store), ["create", "create", "use", "deactivate", "use", "replace", "use"]);
    assert!(store.credential_deactivate(1, "", "token").is_err() && store.credential_exists(-1, "p", "n").is_err());
}

#[test]
fn credential_set_requires_an_existing_user() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.credential_set(&key, 77, "replicate", "token", b"v").unwrap();
    let mut python = Python::start("simpletuner_store.py", &[]);
    let users = "CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1)";
    python.ask(&json!({"do": "script", "db": jobs(directory.path()), "sql": users}));
    store.credential_set(&key, 1, "replicate", "token", b"v").unwrap();
    let error = store.credential_set(&key, 2, "replicate", "token", b"v").unwrap_err();
    assert!(error.status() == Status::InvalidArgument && error.message().contains("no user 2"), "{error}");
    assert_eq!(entries(&store).len(), 2);
}

#[test]
fn log_sink_may_use_the_store_and_fork() {
    common::in_environment("log_sink_may_use_the_store_and_fork", &[], || {
        let directory = temp();
        let store = open(directory.path());
        let path = directory.path().join("credential.key");
        let key = cipher_of_file(&path);
        store.credential_set(&key, 1, "p", "token", b"v").unwrap();
        // Both keys can be read by others now, which is worth a warning when they are read next.
        for file in ["audit.key", "credential.key"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(directory.path().join(file), mode).unwrap();
        }
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (sink, theirs) = (seen.clone(), open(directory.path()));
        st_secrets::log::set(st_secrets::log::Level::Warn, move |_, _, message| {
            let saved = theirs.provider_save("from the sink", "{}").map_err(|error| error.to_string());
            let listed = theirs.credential_list(None, None).map(drop).map_err(|error| error.to_string());
            let works = said_yes(fork(|| theirs.provider_save("from the child", "{}").is_ok()));
            sink.lock().unwrap().push((message.to_owned(), saved, listed, works));
        });
        let store = open(directory.path());
        store.credential_set(&key, 1, "p", "token", b"v2").unwrap();
        assert_eq!(&*store.credential_get(&key, 1, "p", "token").unwrap(), b"v2");
        st_secrets::log::clear();
        let seen = seen.lock().unwrap();
        let warned = |file| seen.iter().any(|(message, ..)| message.contains(file));
        assert!(warned("audit.key") && warned("credential.key"), "{seen:?}");
        assert!(seen.iter().all(|(_, saved, listed, works)| saved.is_ok() && listed.is_ok() && *works), "{seen:?}");
    });
}

#[test]
fn names_of_maximum_length_are_recorded_completely() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    let (provider, name) = ("p".repeat(255), "n".repeat(255));
    store.credential_set(&key, i64::MAX, &provider, &name, b"v").unwrap();
    assert_eq!(entries(&store)[0]["target_id"], format!("{}/{provider}/{name}", i64::MAX));
}

#[test]
fn logs_and_errors_show_no_value() {
    let name = "logs_and_errors_show_no_value";
    common::in_environment(name, &[], || {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let sink = seen.clone();
        st_secrets::log::set(st_secrets::log::Level::Trace, move |_, target, message| {
            sink.lock().unwrap().push_str(&format!("{target}: {message}\n"));
        });
        let directory = temp();
        let store = open(directory.path());
        fs::create_dir_all(directory.path()).unwrap();
        write(&directory.path().join("audit.key"), "CANARY audit key");
        fs::set_permissions(directory.path().join("audit.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        let (key, other) = (cipher("CANARY", &[]), cipher("CANARY2", &[]));
        store.provider_save("p", r#"{"webhook_secret": "CANARY", "a": "CANARY"}"#).unwrap();
        store.credential_set(&key, 1, "p", "token", b"CANARY").unwrap();
        let value = store.credential_get(&key, 1, "p", "token").unwrap();
        let errors = [
            store.provider_save("p", "[\"CANARY\"]").unwrap_err(),
            store.provider_update("p", "{\"CANARY\": CANARY}").unwrap_err(),
            store.credential_get(&other, 1, "p", "token").unwrap_err(),
            store.credential_set(&key, 1, "p", "", b"CANARY").unwrap_err(),
            store.credentials_rotate(&key, |_, _| true).unwrap_err(),
            store.hardware_set("{\"a\": \"CANARY\"}").unwrap_err(),
            store.audit_log("e", "a", None, "CANARY").unwrap_err(),
            store.audit_query("{\"since\": \"CANARY\"}").unwrap_err(),
        ];
        let resolved = st_secrets::store::ResolvedCredential { value, origin: CredentialOrigin::User };
        let shown = format!("{errors:?} {store:?} {key:?} {resolved:?} {}", store.audit_query("").unwrap());
        let logged = seen.lock().unwrap().clone();
        assert!(logged.contains("audit.key can be read"), "{logged}");
        assert!(!shown.contains("CANARY") && !logged.contains("CANARY"), "{shown}\n{logged}");
    });
}

#[test]
fn credentials_may_have_a_separate_database() {
    let name = "credentials_may_have_a_separate_database";
    let directory = temp();
    let path = directory.path().join("auth.db");
    common::in_environment(name, &[("SIMPLETUNER_AUTH_DB_PATH", path.to_str())], || {
        let directory = temp();
        let store = open(directory.path());
        store.credential_set(&cipher("a secret", &[]), 1, "replicate", "token", b"v").unwrap();
        store.provider_save("replicate", "{}").unwrap();
        assert!(std::env::var_os("SIMPLETUNER_AUTH_DB_PATH").is_some_and(|path| fs::exists(path).unwrap()));
        assert_eq!(list(&store).len(), 1);
        // Explicit settings go first.
        let database = directory.path().join("all.db");
        let store = open_with(directory.path(), &[("database", database.to_str().unwrap())]).unwrap();
        assert_eq!(list(&store).len(), 0);
        store.provider_save("replicate", "{}").unwrap();
        assert!(directory.path().join("audit.db").exists());
    });
}
