//! Children forked while other threads read and write: none hangs, each inherits the cache, and locks work between
//! parent and child.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::fork::{fork, said_yes};
use common::python::Python;
use common::store::{cipher, config, entries, jobs, open, open_with};
use common::temp;
use common::time::soon;
use serde_json::json;
use st_secrets::{Cipher, Status, Store};

const FORKS: usize = 100;

fn disturb(store: &Store, key: &Cipher, number: usize, stop: &AtomicBool) {
    for n in 0.. {
        if stop.load(Relaxed) {
            return;
        }
        match (number + n) % 4 {
            0 => store.provider_update("busy", &format!("{{\"t{number}\": {n}}}")).unwrap(),
            1 => drop(store.provider_get("busy").unwrap()),
            2 => drop(store.credential_get(key, 1, "replicate", "token").unwrap()),
            _ => store.provider_save(&format!("p{number}"), "{\"a\": 1}").unwrap(),
        }
    }
}

fn use_everything(store: &Store, key: &Cipher, number: usize) -> bool {
    let cached = config(store, "kept") == "{\"kept\": 1}";
    let updated = store.provider_update("children", &format!("{{\"c{number}\": 1}}")).is_ok();
    let read = config(store, "children").contains(&format!("\"c{number}\""));
    let token = store.credential_get(key, 1, "replicate", "token").is_ok_and(|token| &*token == b"CANARY");
    let listed = store.provider_list().is_ok();
    cached && updated && read && token && listed
}

#[test]
fn no_child_hangs_while_eight_threads_read_and_write() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.credential_set(&key, 1, "replicate", "token", b"CANARY").unwrap();
    store.provider_save("kept", "{\"kept\": 1}").unwrap();
    config(&store, "kept");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..8 {
            let (store, key, stop) = (&store, &key, &stop);
            scope.spawn(move || disturb(store, key, number, stop));
        }
        let forks = std::env::var("ST_TEST_FORKS").ok().and_then(|forks| forks.parse().ok()).unwrap_or(FORKS);
        let bad = (0..forks).filter(|number| !said_yes(fork(|| use_everything(&store, &key, *number)))).count();
        stop.store(true, Relaxed);
        assert_eq!(bad, 0, "children that missed something");
        let children = config(&open(directory.path()), "children");
        assert_eq!(children.matches("\"c").count(), forks, "updates of children were lost");
    });
    assert!(store.audit_verify(0, 0).unwrap().is_intact());
    let mut python = Python::start("simpletuner_store.py", &[]);
    let answer = python.ask(&json!({"do": "sql", "db": jobs(directory.path()), "sql": "PRAGMA integrity_check"}));
    assert_eq!(answer["rows"], json!([["ok"]]));
}

#[test]
fn lock_of_the_parent_excludes_the_child_and_ends_with_the_parent() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("a secret", &[]);
    store.provider_save("kept", "{}").unwrap();
    store.credential_set(&key, 1, "replicate", "token", b"CANARY").unwrap();
    // A middle process holds the lock, has a child of its own, and is killed: the lock does not live on in the child.
    let (kept_out, done) = (directory.path().join("kept out"), directory.path().join("done"));
    let middle = fork(|| {
        let store = open_with(directory.path(), &[]).unwrap();
        store
            .credentials_reencrypt(&key, false, |_, _| {
                fork(|| {
                    let hasty = open_with(directory.path(), &[("timeout", "0.2")]).unwrap();
                    if hasty.provider_save("child", "{}").unwrap_err().status() == Status::Busy {
                        std::fs::write(&kept_out, "").unwrap();
                    }
                    soon(|| done.exists());
                    true
                });
                soon(|| done.exists());
                true
            })
            .is_ok()
    });
    soon(|| kept_out.exists());
    let hasty = open_with(directory.path(), &[("timeout", "0.2")]).unwrap();
    assert_eq!(hasty.provider_save("p", "{}").unwrap_err().status(), Status::Busy);
    // SAFETY: it is a child of ours that was not waited for yet.
    unsafe {
        libc::kill(middle, libc::SIGKILL);
        libc::waitpid(middle, std::ptr::null_mut(), 0);
    }
    hasty.provider_save("p", "{}").unwrap();
    std::fs::write(&done, "").unwrap();
}

#[test]
fn child_of_a_process_waiting_for_a_lock_does_not_wait() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("kept", "{\"kept\": 1}").unwrap();
    let other = rusqlite::Connection::open(jobs(directory.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.provider_update("kept", "{\"by\": \"the waiting thread\"}"));
        thread::sleep(Duration::from_millis(200));
        let child = fork(|| {
            let hasty = open_with(directory.path(), &[("timeout", "0.2")]).unwrap();
            store.provider_list().is_ok()
                && config(&store, "kept") == "{\"kept\": 1}"
                && hasty.provider_save("p", "{}").is_err_and(|error| error.status() == Status::Busy)
        });
        assert!(said_yes(child));
        assert!(!waiting.is_finished());
        other.execute_batch("COMMIT").unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(config(&store, "kept").contains("the waiting thread"));
}

#[test]
fn transaction_stays_in_the_parent_when_a_callback_forks() {
    let directory = temp();
    let store = open(directory.path());
    let key = cipher("old", &[]);
    for user in 0..5 {
        store.credential_set(&key, user, "replicate", "token", b"CANARY").unwrap();
    }
    let new = cipher("new", &["old"]);
    let mut child = 0;
    let me = std::process::id();
    let result = store.credentials_reencrypt(&new, false, |done, _| {
        if done == 2 {
            // SAFETY: the child continues in this library, and ends below.
            child = unsafe { libc::fork() };
        }
        true
    });
    if std::process::id() != me {
        let given_up = result.is_err_and(|error| error.status() == Status::Abandoned);
        let works = store.credential_get(&new, 1, "replicate", "token").is_ok_and(|token| &*token == b"CANARY");
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(i32::from(!(given_up && works))) };
    }
    assert_eq!(result.unwrap().reencrypted, 5);
    assert!(said_yes(child));
    let failed = entries(&store).iter().filter(|entry| entry["action"] == "failed").count();
    assert_eq!(failed, 0, "the child took back what the parent did");
}

#[test]
fn child_sees_later_writes() {
    let directory = temp();
    let store = open(directory.path());
    store.provider_save("replicate", "{\"n\": 1}").unwrap();
    config(&store, "replicate");
    let cached = directory.path().join("cached");
    let child = fork(|| {
        if config(&store, "replicate") == "{\"n\": 1}" {
            std::fs::write(&cached, "").unwrap();
        }
        soon(|| config(&store, "replicate") == "{\"n\": 2}");
        said_yes(fork(|| {
            store.provider_update("replicate", "{\"m\": 3}").is_ok()
                && config(&store, "replicate") == "{\"n\": 2, \"m\": 3}"
        }))
    });
    soon(|| cached.exists());
    store.provider_save("replicate", "{\"n\": 2}").unwrap();
    assert!(said_yes(child));
    soon(|| config(&store, "replicate") == "{\"n\": 2, \"m\": 3}");
}

#[test]
fn closed_standard_descriptor_is_not_used_for_a_database() {
    let directory = temp();
    let child = fork(|| {
        // SAFETY: nothing in this process reads from it.
        unsafe { libc::close(0) };
        let store = open(directory.path());
        let saved = store.provider_save("p", "{}").is_ok();
        // SAFETY: only asks whether it is open.
        let is_open = || unsafe { libc::fcntl(0, libc::F_GETFD) } >= 0;
        saved && is_open() && said_yes(fork(is_open))
    });
    assert!(said_yes(child));
}
