//! Stored credentials: encryption, resolution, rotation, migration.

mod common;

use std::fs;

use common::fork::{fork, said_yes};
use common::python::Python;
use common::store::{cipher, entries, jobs, open, open_with};
use common::time::advance;
use common::{temp, with_file, write};
use serde_json::{Value, json};
use st_secrets::store::{CredentialOrigin, Reencryption};
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

/// The raw contents of the column.
fn raw(directory: &std::path::Path, python: &mut Python) -> Vec<String> {
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
fn credential_resolve_prefers_the_users_own() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    let secrets = with_file(&write(&directory.path().join("secrets.json"), r#"{"REPLICATE_API_TOKEN": "global"}"#));
    let resolve = |user: i64, key_name: &str| {
        store.credential_resolve(&key, &secrets, Some(user), "replicate", "api_token", Some(key_name))
    };
    let resolved = resolve(1, "REPLICATE_API_TOKEN").unwrap();
    assert_eq!((&*resolved.value, resolved.origin), (&b"global"[..], CredentialOrigin::Global));
    assert!(!jobs(directory.path()).exists(), "resolving created a database");
    store.credential_set(&key, 1, "replicate", "api_token", b"own").unwrap();
    let resolved = resolve(1, "REPLICATE_API_TOKEN").unwrap();
    assert_eq!((&*resolved.value, resolved.origin), (&b"own"[..], CredentialOrigin::User));
    assert_eq!(resolve(2, "REPLICATE_API_TOKEN").unwrap().origin, CredentialOrigin::Global);
    let error = resolve(2, "NOT_THERE").unwrap_err();
    assert_eq!(error.status(), Status::NotFound);
    assert!(error.message().contains("user 2") && error.message().contains("NOT_THERE"), "{error}");
    // One that is not active does not count, one whose key is lost is an error.
    let mut python = Python::start("simpletuner_store.py", &[]);
    let off = "UPDATE provider_credentials SET is_active = 0";
    python.ask(&json!({"do": "script", "db": jobs(directory.path()), "sql": off}));
    assert_eq!(resolve(1, "REPLICATE_API_TOKEN").unwrap().origin, CredentialOrigin::Global);
    store.credential_set(&key, 1, "replicate", "api_token", b"on again").unwrap();
    let other = cipher("another", &[]);
    let error = store.credential_resolve(&other, &secrets, Some(1), "replicate", "api_token", Some("X")).unwrap_err();
    assert_eq!(error.status(), Status::BadToken);
}

#[test]
fn credential_resolve_works_without_a_user_or_a_shared_secret() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    let secrets = with_file(&write(&directory.path().join("secrets.json"), r#"{"SHARED": "global"}"#));
    store.credential_set(&key, 1, "replicate", "api_token", b"own").unwrap();
    let resolve = |user: Option<i64>, shared: Option<&str>| {
        store.credential_resolve(&key, &secrets, user, "replicate", "api_token", shared)
    };
    for (user, shared, origin) in [
        (Some(1), None, CredentialOrigin::User),
        (Some(1), Some("NOT_THERE"), CredentialOrigin::User),
        (None, Some("SHARED"), CredentialOrigin::Global),
    ] {
        assert_eq!(resolve(user, shared).unwrap().origin, origin, "{user:?} {shared:?}");
    }
    for (user, shared, words) in [
        (Some(2), None, ["user 2", "no key of a secret"]),
        (None, Some("NOT_THERE"), ["NOT_THERE", "was not found"]),
        (None, None, ["no user is given", "no key of a secret"]),
    ] {
        let error = resolve(user, shared).unwrap_err();
        assert_eq!(error.status(), Status::NotFound);
        assert!(words.iter().all(|word| error.message().contains(word)), "{error}");
    }
    for (user, shared) in [(Some(-1), Some("SHARED")), (Some(-1), None)] {
        assert_eq!(resolve(user, shared).unwrap_err().status(), Status::InvalidArgument);
    }
    assert_eq!(actions(&store), ["create", "use", "use"]);
}

#[test]
fn credential_source_reports_what_resolve_would_return() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    let path = write(&directory.path().join("secrets.json"), r#"{"SHARED": "global"}"#);
    let secrets = with_file(&path);
    let source = |user: Option<i64>, shared: Option<&str>| {
        store.credential_source(&secrets, user, "replicate", "token", shared).unwrap()
    };
    assert_eq!((source(Some(1), None), source(None, None)), (None, None));
    assert!(!store.credential_exists(1, "replicate", "token").unwrap());
    assert!(!jobs(directory.path()).exists(), "looking for a credential created a database");
    store.credential_set(&key, 1, "replicate", "token", b"own").unwrap();
    assert!(store.credential_exists(1, "replicate", "token").unwrap());
    for (user, shared, expected) in [
        (Some(1), None, Some(CredentialOrigin::User)),
        (Some(1), Some("SHARED"), Some(CredentialOrigin::User)),
        (Some(2), Some("SHARED"), Some(CredentialOrigin::Global)),
        (None, Some("SHARED"), Some(CredentialOrigin::Global)),
        (Some(2), Some("NOT_THERE"), None),
        (Some(2), None, None),
    ] {
        assert_eq!(source(user, shared), expected, "{user:?} {shared:?}");
    }
    // Nothing was used, and a credential whose key is lost is still the user's.
    assert_eq!((actions(&store), &list(&store)[0]["last_used_at"]), (vec!["create".to_owned()], &Value::Null));
    fs::write(&path, "{").unwrap();
    secrets.clear_cache();
    let failed = store.credential_source(&secrets, Some(2), "replicate", "token", Some("SHARED")).unwrap_err();
    assert_eq!(failed.status(), Status::Protocol, "a provider that fails is not the absence of a secret");
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
fn empty_value_counts_as_no_credential() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    let secrets = with_file(&write(&directory.path().join("secrets.json"), r#"{"SHARED": "global"}"#));
    store.credential_set(&key, 1, "replicate", "token", b"one").unwrap();
    let mut python = Python::start("simpletuner_store.py", &[]);
    let empty = "UPDATE provider_credentials SET credential_value = ''";
    python.ask(&json!({"do": "script", "db": jobs(directory.path()), "sql": empty}));
    assert!(!store.credential_exists(1, "replicate", "token").unwrap());
    assert_eq!(store.credential_get(&key, 1, "replicate", "token").unwrap_err().status(), Status::NotFound);
    let found = store.credential_resolve(&key, &secrets, Some(1), "replicate", "token", Some("SHARED")).unwrap();
    assert_eq!(found.origin, CredentialOrigin::Global);
    let report = store.credentials_reencrypt(&key, true, |_, _| true).unwrap();
    assert_eq!((report.total, report.migrated, report.plain), (1, 0, 1));
    assert_eq!(raw(directory.path(), &mut python), [""]);
}

/// A server that runs meanwhile adds and changes rows in plain text, as SimpleTuner does.
#[test]
fn plain_rows_are_migrated_beside_a_running_server() {
    const ROWS: i64 = 80;
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.credential_set(&key, 0, "replicate", "token", b"r8_0").unwrap();
    let mut server = Python::start("simpletuner_store.py", &[]);
    let mut write_row = |user: i64| {
        let sql = format!(
            "PRAGMA foreign_keys=OFF; INSERT INTO provider_credentials
             (user_id, provider, credential_name, credential_value, created_at)
             VALUES ({user}, 'replicate', 'token', 'r8_{user}', '2026-01-01T00:00:00+00:00')"
        );
        server.ask(&json!({"do": "script", "db": jobs(directory.path()), "sql": sql}));
    };
    (1..=ROWS / 2).for_each(&mut write_row);
    let mut migrated = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || (ROWS / 2 + 1..=ROWS).for_each(write_row));
        while !writer.is_finished() {
            let mut seen = Vec::new();
            let report = store.credentials_reencrypt(&key, true, |done, total| {
                seen.push((done, total));
                true
            });
            let report = report.unwrap();
            let total = report.total;
            assert_eq!(seen, (0..=total).map(|done| (done, total)).collect::<Vec<_>>());
            assert_eq!(report.migrated + report.unchanged, total);
            assert_eq!(value(&store, &key, ROWS / 4, "token"), format!("r8_{}", ROWS / 4));
            migrated += report.migrated;
        }
        writer.join().unwrap();
    });
    migrated += store.credentials_reencrypt(&key, true, |_, _| true).unwrap().migrated;
    assert_eq!(migrated, ROWS as u64, "each plain row once");
    for user in 0..=ROWS {
        assert_eq!(value(&store, &key, user, "token"), format!("r8_{user}"));
    }
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
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
fn credentials_rotate_reencrypts_every_credential() {
    let directory = temp();
    let store = open(directory.path());
    let path = directory.path().join("credential.key");
    let key = || {
        let mut config = Config::new();
        config.set("key_file", path.to_str().unwrap()).unwrap();
        Cipher::open(&config).unwrap()
    };
    let first = key();
    for user in 0..50 {
        store.credential_set(&first, user, "replicate", "token", format!("CANARY {user}").as_bytes()).unwrap();
    }
    let report = store.credentials_rotate(&first, |_, _| true).unwrap();
    assert_eq!(report, Reencryption { total: 50, reencrypted: 50, ..Reencryption::default() });
    // The old key is not needed any more.
    fs::remove_file(path.with_file_name("credential.key.previous")).unwrap();
    let second = key();
    for user in 0..50 {
        assert_eq!(value(&store, &second, user, "token"), format!("CANARY {user}"));
    }
    let report = store.credentials_reencrypt(&second, false, |_, _| true).unwrap();
    assert_eq!(report, Reencryption { total: 50, unchanged: 50, ..Reencryption::default() });
    let trail = entries(&store);
    assert!(trail[50]["action"] == "rotate_key" && trail[51]["action"] == "reencrypt", "{:?}", &trail[50..52]);

    // A key that cannot be rotated: the entry is revoked.
    let error = store.credentials_rotate(&cipher("fixed", &[]), |_, _| true).unwrap_err();
    assert_eq!(error.status(), Status::ReadOnly);
    let trail = entries(&store);
    let (entry, after) = (&trail[trail.len() - 2], &trail[trail.len() - 1]);
    assert!(entry["action"] == "rotate_key" && after["action"] == "failed", "{after}");
    assert_eq!(after["details"]["entry"], entry["id"]);
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
}

#[test]
fn reencrypt_migrates_plain_text_on_request() {
    let directory = temp();
    let store = open(directory.path());
    let mut python = Python::start("simpletuner_store.py", &[]);
    let (old, new) = (cipher("old", &[]), cipher("new", &["old"]));
    store.credential_set(&old, 1, "replicate", "token", b"one").unwrap();
    store.credential_set(&cipher("lost", &[]), 2, "replicate", "token", b"two").unwrap();
    let plain = "PRAGMA foreign_keys=OFF; INSERT INTO provider_credentials (user_id, provider, credential_name, credential_value, created_at)
        VALUES (3, 'replicate', 'token', 'r8_plain', ''), (4, 'replicate', 'token', '', '')";
    python.ask(&json!({"do": "script", "db": jobs(directory.path()), "sql": plain}));

    // Stopped on its way: nothing has changed.
    let before = raw(directory.path(), &mut python);
    let mut seen = Vec::new();
    let error = store
        .credentials_reencrypt(&new, true, |done, total| {
            seen.push((done, total));
            done < 3
        })
        .unwrap_err();
    assert_eq!(error.status(), Status::Abandoned);
    assert_eq!(seen, [(0, 4), (1, 4), (2, 4), (3, 4)]);
    assert_eq!(raw(directory.path(), &mut python), before);

    let report = store.credentials_reencrypt(&new, false, |_, _| true).unwrap();
    let expected = Reencryption { total: 4, reencrypted: 1, plain: 2, unreadable: vec![2], ..Reencryption::default() };
    assert_eq!(report, expected);
    assert_eq!(raw(directory.path(), &mut python)[2], "r8_plain");
    let report = store.credentials_reencrypt(&new, true, |_, _| true).unwrap();
    assert_eq!((report.migrated, report.unchanged, report.plain), (1, 1, 1), "an empty value remains");

    // SimpleTuner reads the column as it is.
    let after = raw(directory.path(), &mut python);
    assert_ne!(after[2], "r8_plain");
    let answer = python.ask(&json!({"do": "decrypt", "secret": "new", "text": after[2]}));
    assert_eq!(answer["text"], "r8_plain");
    assert_eq!(value(&store, &new, 3, "token"), "r8_plain");
    assert_eq!(after[1], before[1], "what cannot be read is left as it is");
    // No page keeps it either.
    for file in ["jobs.db", "jobs.db-wal"] {
        let bytes = fs::read(jobs(directory.path()).with_file_name(file)).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"r8_plain"), "{file}");
    }
}

#[test]
fn no_token_of_an_old_key_is_written_after_a_rotation() {
    let directory = temp();
    let store = open(directory.path());
    let path = directory.path().join("credential.key");
    let open_key = || {
        let mut config = Config::new();
        config.set("key_file", path.to_str().unwrap()).unwrap();
        Cipher::open(&config).unwrap()
    };
    // Two ciphers, as two processes have them.
    let (ours, theirs) = (open_key(), open_key());
    for (round, plain) in [false, true].into_iter().enumerate() {
        store.credential_set(&theirs, 1, "replicate", "token", b"before").unwrap();
        store.credentials_rotate(&ours, |_, _| true).unwrap();
        if plain {
            let other = rusqlite::Connection::open(jobs(directory.path())).unwrap();
            other.execute("UPDATE provider_credentials SET credential_value = 'after'", []).unwrap();
            store.credentials_reencrypt(&theirs, true, |_, _| true).unwrap();
        } else {
            store.credential_set(&theirs, 1, "replicate", "token", b"after").unwrap();
        }
        fs::remove_file(path.with_file_name("credential.key.previous")).unwrap();
        assert_eq!(value(&store, &open_key(), 1, "token"), "after", "{round}");
    }
}

#[test]
fn log_sink_may_use_the_store_and_fork() {
    common::in_environment("log_sink_may_use_the_store_and_fork", &[], || {
        let directory = temp();
        let store = open(directory.path());
        let path = directory.path().join("credential.key");
        let mut config = Config::new();
        config.set("key_file", path.to_str().unwrap()).unwrap();
        let key = Cipher::open(&config).unwrap();
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
fn failed_reencryption_is_revoked_after_a_panic_and_a_timeout() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.credential_set(&key, 1, "replicate", "token", b"v").unwrap();
    let is_revoked = || {
        let trail = entries(&store);
        let (entry, after) = (&trail[trail.len() - 2], &trail[trail.len() - 1]);
        assert!(entry["action"] == "reencrypt" && after["action"] == "failed", "{after}");
        assert_eq!(after["details"]["entry"], entry["id"]);
    };
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.credentials_reencrypt(&key, false, |_, _| std::panic::panic_any("a panic of the program's"))
    }));
    assert!(panicked.is_err());
    is_revoked();
    // The audit trail stays locked for a while after the call has timed out.
    let audit = rusqlite::Connection::open(directory.path().join("audit.db")).unwrap();
    let locked = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            store.credentials_reencrypt(&key, false, |_, _| {
                advance(std::time::Duration::from_secs(3600));
                locked.wait();
                locked.wait();
                false
            })
        });
        locked.wait();
        audit.execute_batch("BEGIN IMMEDIATE").unwrap();
        locked.wait();
        std::thread::sleep(std::time::Duration::from_millis(200));
        audit.execute_batch("ROLLBACK").unwrap();
        assert_eq!(slow.join().unwrap().unwrap_err().status(), Status::Abandoned);
    });
    is_revoked();
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
fn callback_that_uses_the_credentials_gets_busy() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.credential_set(&key, 1, "replicate", "token", b"v").unwrap();
    let mut status = None;
    store
        .credentials_reencrypt(&key, false, |_, _| {
            status = Some(store.credential_get(&key, 1, "replicate", "token").unwrap_err().status());
            // The audit trail is another database.
            store.audit_query("").is_ok()
        })
        .unwrap();
    assert_eq!(status, Some(Status::Busy));
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
