//! Re-encryption and rotation.

use std::fs;

use serde_json::json;
use st_secrets::Status;
use st_secrets::store::Reencryption;

use crate::common::python::Python;
use crate::common::store::{cipher, entries, jobs, open};
use crate::common::temp;
use crate::common::time::advance;
use crate::{cipher_of_file, raw, value};

#[test]
fn credentials_rotate_reencrypts_every_credential() {
    let directory = temp();
    let store = open(directory.path());
    let path = directory.path().join("credential.key");
    let key = || cipher_of_file(&path);
    let first = key();
    for user in 0..50 {
        store.credential_set(&first, user, "replicate", "token", format!("CANARY {user}").as_bytes()).unwrap();
    }
    let report = store.credentials_rotate(&first, |_, _| true).unwrap();
    assert_eq!(report, Reencryption { total: 50, reencrypted: 50, ..Reencryption::default() });
    // The old key is no longer needed.
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
fn no_token_of_an_old_key_is_written_after_a_rotation() {
    let directory = temp();
    let store = open(directory.path());
    let path = directory.path().join("credential.key");
    let open_key = || cipher_of_file(&path);
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
