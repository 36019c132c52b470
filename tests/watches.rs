//! Live changes within one process: the generation and watches. Those of several are in `tests/share/changes.rs`.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::custom::empty;
use common::fork::{fork, said_yes};
use common::{temp, text, with_file, write};
use st_secrets::{GetOptions, Manager, Secret, SecretBytes};

const REFRESH: GetOptions = GetOptions { timeout: None, refresh: true, cached_only: false };

/// A manager of a file with these values of `A` and `B`, which it has read.
fn with_values(path: &Path, a: &str, b: &str) -> Arc<Manager> {
    write_values(path, a, b);
    let secrets = Arc::new(with_file(path));
    assert_eq!((text(&secrets, "A").as_deref(), text(&secrets, "B").as_deref()), (Some(a), Some(b)));
    secrets
}

fn write_values(path: &Path, a: &str, b: &str) {
    write(path, &format!(r#"{{"A": "{a}", "B": "{b}"}}"#));
}

/// Watches `A` with a callback that ends the watch of the returned number.
fn watch_that_removes_another(secrets: &Arc<Manager>) -> Arc<AtomicU64> {
    let other = Arc::new(AtomicU64::new(0));
    let (manager, id) = (Arc::downgrade(secrets), other.clone());
    let remove = move |_: Option<&str>, _| assert!(manager.upgrade().unwrap().unwatch(id.load(SeqCst)));
    secrets.watch(Some("A"), remove).unwrap();
    other
}

#[test]
fn callback_that_another_one_has_removed_is_not_called() {
    let place = temp();
    let path = place.path().join("s.json");
    let secrets = with_values(&path, "1", "1");
    let (other, calls) = (watch_that_removes_another(&secrets), Arc::new(AtomicUsize::new(0)));
    let counted = calls.clone();
    let count = move |_: Option<&str>, _| {
        counted.fetch_add(1, SeqCst);
    };
    let id = secrets.watch(Some("B"), count).unwrap();
    other.store(id, SeqCst);
    write_values(&path, "22", "22");
    secrets.get_with("A", &REFRESH).unwrap();
    assert!(!secrets.unwatch(id), "the callback of A was called");
    assert_eq!(calls.load(SeqCst), 0);
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn forks_do_not_wait_for_the_destructor_of_a_removed_callback() {
    let place = temp();
    let path = place.path().join("s.json");
    let secrets = with_values(&path, "1", "1");
    let other = watch_that_removes_another(&secrets);
    let (result, results) = sync_channel(1);
    let destructor = OnDrop(move || {
        let (done, forked) = channel();
        thread::spawn(move || done.send(said_yes(fork(|| true))));
        result.send(forked.recv_timeout(Duration::from_secs(20))).unwrap();
    });
    let callback = move |_: Option<&str>, _| {
        let _ = &destructor;
    };
    other.store(secrets.watch(Some("B"), callback).unwrap(), SeqCst);
    // Only `A` changes.
    write_values(&path, "22", "1");
    secrets.get_with("A", &REFRESH).unwrap();
    assert_eq!(results.try_recv(), Ok(Ok(true)));
}

#[test]
fn listen_with_several_watched_keys_ends_at_its_timeout() {
    let secrets = empty();
    let limits = Arc::new(Mutex::new(Vec::new()));
    let given = limits.clone();
    let slow = move |_: &str, limit| {
        given.lock().unwrap().push(limit);
        thread::sleep(limit);
        Ok(Some(Secret::new(SecretBytes::copy_from(b"x")?).with_ttl(Duration::ZERO)))
    };
    secrets.add_provider("slow", None, slow).unwrap();
    for key in ["A", "B", "C"] {
        secrets.watch(Some(key), |_, _| {}).unwrap();
    }
    secrets.listen(secrets.generation(), Duration::from_millis(200)).unwrap();
    let limits = limits.lock().unwrap();
    assert!(limits.iter().sum::<Duration>() <= Duration::from_millis(200), "{limits:?}");
}

/// Whether this manager notes a change of the value of `A` that is made after `forget`, and calls the callback once.
fn check_change_is_noted(secrets: &Manager, forget: impl Fn(), change: impl Fn()) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let count = move |_: Option<&str>, _| {
        counted.fetch_add(1, SeqCst);
    };
    secrets.watch(Some("A"), count).unwrap();
    let before = secrets.generation();
    forget();
    assert_eq!((text(secrets, "A").as_deref(), secrets.generation()), (Some("1"), before), "nothing has changed");
    forget();
    change();
    assert_eq!(text(secrets, "A").as_deref(), Some("22"));
    assert!(secrets.generation() > before);
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn change_of_a_file_is_noted_after_clear_cache() {
    let place = temp();
    let path = place.path().join("s.json");
    let secrets = with_values(&path, "1", "1");
    check_change_is_noted(&secrets, || secrets.clear_cache(), || write_values(&path, "22", "1"));
}

#[test]
fn change_of_a_directory_is_noted_after_clear_cache_and_refresh() {
    type Forget = fn(&Manager);
    let clear_cache: Forget = |secrets| secrets.clear_cache();
    let refresh: Forget = |secrets| secrets.refresh(None).unwrap();
    for forget in [clear_cache, refresh] {
        let place = temp();
        let path = write(&place.path().join("A"), "1");
        let secrets = with_file(place.path());
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        check_change_is_noted(&secrets, || forget(&secrets), || drop(write(&path, "22")));
    }
}
