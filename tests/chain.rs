//! The lookup: the order of the providers, failures, custom providers.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::time::{PATIENCE, advance};
use common::{in_environment, open, temp, text, with_file, write};
use st_secrets::{Error, Manager, Options, Secret, SecretBytes, Source, Status};

/// The result of the callback of a custom provider.
type Answer = st_secrets::Result<Option<Secret>>;

fn empty() -> Manager {
    open(&[("providers", "[]")]).unwrap()
}

fn found(text: &str) -> Answer {
    Ok(Some(Secret::new(SecretBytes::copy_from(text.as_bytes())?)))
}

fn failing(_: &str, _: Duration) -> Answer {
    Err(Error::new(Status::Unavailable, "the server is down").with_retryable(true))
}

#[test]
fn get_returns_the_value_of_the_first_provider_that_has_it() {
    let secrets = empty();
    secrets.add_provider("last", None, |_, _| found("from last")).unwrap();
    secrets.add_provider("first", Some(0), |key, _| if key == "A" { found("from first") } else { Ok(None) }).unwrap();
    let secret = secrets.get("A").unwrap();
    assert_eq!((&**secret.value(), secret.provider(), secret.source()), (&b"from first"[..], "first", Source::Custom));
    assert!(!secret.is_degraded());
    assert_eq!(secrets.get("B").unwrap().provider(), "last");
}

#[test]
fn get_sees_changes_of_values_and_providers_at_once() {
    let directory = temp();
    let secrets = with_file(&write(&directory.path().join("s.json"), r#"{"A": "1", "B": "2"}"#));
    let both = || ["A", "B"].map(|key| text(&secrets, key).unwrap());
    // Twice: the second time everything is cached.
    assert_eq!((both(), both()), (["1", "2"].map(str::to_owned), ["1", "2"].map(str::to_owned)));
    secrets.set("A", b"3").unwrap();
    assert_eq!((both(), both()), (["3", "2"].map(str::to_owned), ["3", "2"].map(str::to_owned)));
    secrets.add_provider("first", Some(0), |key, _| if key == "B" { found("4") } else { Ok(None) }).unwrap();
    assert_eq!((both(), both()), (["3", "4"].map(str::to_owned), ["3", "4"].map(str::to_owned)));
    secrets.clear_cache();
    assert_eq!(both(), ["3", "4"].map(str::to_owned));
    assert!(secrets.delete("A").unwrap());
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
}

#[test]
fn get_returns_whole_values_during_changes_and_clear_cache() {
    let directory = temp();
    let secrets = with_file(&write(&directory.path().join("s.json"), r#"{"A": "1111111111111111"}"#));
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while done.load(Ordering::SeqCst) == 0 {
                    let value = secrets.get("A").unwrap().into_value();
                    assert!(value.len() == 16 && value.iter().all(|byte| *byte == value[0]));
                }
            });
        }
        for round in 0..100 {
            secrets.set("A", if round % 2 == 0 { b"2222222222222222" } else { b"1111111111111111" }).unwrap();
            secrets.clear_cache();
            if round % 10 == 0 {
                secrets.add_provider(&format!("none-{round}"), Some(0), |_, _| Ok(None)).unwrap();
            }
        }
        done.store(1, Ordering::SeqCst);
    });
}

#[test]
fn failure_never_becomes_not_found() {
    let secrets = empty();
    secrets.add_provider("broken", None, failing).unwrap();
    secrets.add_provider("empty", None, |_, _| Ok(None)).unwrap();
    let error = secrets.get("A").unwrap_err();
    assert_eq!((error.status(), error.source_provider()), (Status::Unavailable, Source::Custom));
    assert_eq!(error.message(), "secret \"A\": the provider broken failed: the server is down");
    assert!(error.is_retryable());

    secrets.add_provider("good", None, |_, _| found("value")).unwrap();
    let secret = secrets.get("A").unwrap();
    assert_eq!(&**secret.value(), b"value");
    assert!(secret.is_degraded());
}

#[test]
fn provider_that_panics_has_failed() {
    let secrets = empty();
    secrets.add_provider("wild", None, |_, _| panic!("CANARY")).unwrap();
    let error = secrets.get("A").unwrap_err();
    assert_eq!(error.status(), Status::Panic);
    assert!(!error.message().contains("CANARY"), "{error}");
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::Panic);
}

#[test]
fn provider_may_use_the_manager_that_calls_it() {
    let secrets = Arc::new(empty());
    secrets.add_provider("base", None, |key, _| if key == "BASE" { found("b") } else { Ok(None) }).unwrap();
    let inner = Arc::downgrade(&secrets);
    let derived = move |key: &str, _| match (key, inner.upgrade()) {
        ("DERIVED", Some(secrets)) => found(&format!("{}!", text(&secrets, "BASE").unwrap())),
        _ => Ok(None),
    };
    secrets.add_provider("derived", Some(0), derived).unwrap();
    assert_eq!(text(&secrets, "DERIVED").as_deref(), Some("b!"));
}

#[test]
fn provider_receives_the_remaining_time() {
    let secrets = open(&[("providers", "[]"), ("timeout", "3000")]).unwrap();
    secrets
        .add_provider("clock", None, |_, left| {
            assert!(left <= Duration::from_secs(3000) && left > Duration::from_secs(2000), "{left:?}");
            found("in time")
        })
        .unwrap();
    secrets.get("A").unwrap();
    let none = Options { timeout: Some(Duration::ZERO), ..Options::default() };
    assert_eq!(secrets.get_with("B", &none).unwrap_err().status(), Status::Timeout);
}

#[test]
fn cached_only_does_not_query_custom_providers() {
    let directory = temp();
    let secrets = with_file(&write(&directory.path().join("s.json"), r#"{"IN_FILE": "x"}"#));
    secrets.add_provider("slow", None, |_, _| panic!("queried")).unwrap();
    let cached_only = Options { cached_only: true, ..Options::default() };
    assert_eq!(&**secrets.get_with("IN_FILE", &cached_only).unwrap().value(), b"x");
    let error = secrets.get_with("NOWHERE", &cached_only).unwrap_err();
    assert_eq!(error.status(), Status::Unavailable);
    assert!(error.message().contains("does not query slow"), "{error}");
}

/// A provider that counts its queries and has only `A`.
fn counting(count: &Arc<AtomicUsize>) -> impl Fn(&str, Duration) -> Answer + Send + Sync + 'static {
    let count = count.clone();
    move |key, _| {
        count.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        if key == "A" { found("a") } else { Ok(None) }
    }
}

#[test]
fn answers_of_custom_providers_are_cached() {
    // In a process of its own: the clock is that of all threads.
    in_environment("answers_of_custom_providers_are_cached", &[], || {
        let asked = Arc::new(AtomicUsize::new(0));
        let secrets = open(&[("providers", "[]"), ("miss_ttl", "600"), ("cache_ttl", "3600")]).unwrap();
        secrets.add_provider("p", None, counting(&asked)).unwrap();
        let refresh = Options { refresh: true, ..Options::default() };
        let cached_only = Options { cached_only: true, ..Options::default() };

        assert!(!secrets.get("A").unwrap().is_cached());
        let secret = secrets.get_with("A", &cached_only).unwrap();
        assert!(secret.is_cached());
        assert!(secret.age() > Duration::ZERO && secret.expires_in() > Duration::from_secs(3000));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        secrets.get_with("A", &refresh).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        secrets.clear_cache();
        secrets.get("A").unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3);

        // The absence of a value is cached too, for a shorter time.
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        advance(Duration::from_secs(600));
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
        assert_eq!(asked.load(Ordering::SeqCst), 5);
        assert!(secrets.get("A").unwrap().is_cached());
    });
}

#[test]
fn secret_of_another_manager_is_cached_for_the_rest_of_its_time() {
    // In a process of its own: the clock is that of all threads.
    in_environment("secret_of_another_manager_is_cached_for_the_rest_of_its_time", &[], || {
        let inner = Arc::new(open(&[("providers", "[]"), ("cache_ttl", "3600")]).unwrap());
        inner.add_provider("p", None, |_, _| found("value")).unwrap();
        let outer = open(&[("providers", "[]"), ("cache_ttl", "3600")]).unwrap();
        let secrets = inner.clone();
        outer.add_provider("inner", None, move |key, _| secrets.get(key).map(Some)).unwrap();

        inner.get("A").unwrap();
        advance(Duration::from_secs(2000));
        let secret = outer.get("A").unwrap();
        assert!(secret.expires_in() <= Duration::from_secs(1600), "{:?}", secret.expires_in());
    });
}

#[test]
fn many_callers_cause_one_query() {
    let asked = Arc::new(AtomicUsize::new(0));
    let secrets = empty();
    secrets.add_provider("p", None, counting(&asked)).unwrap();
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(&**secrets.get("A").unwrap().value(), b"a"));
        }
    });
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn failure_of_a_custom_provider_is_not_cached() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let secrets = empty();
    let state = down.clone();
    secrets
        .add_provider(
            "p",
            None,
            move |key, left| {
                if state.load(Ordering::SeqCst) { failing(key, left) } else { found("back") }
            },
        )
        .unwrap();
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::Unavailable);
    down.store(false, Ordering::SeqCst);
    assert_eq!(text(&secrets, "A").as_deref(), Some("back"));
}

#[test]
fn get_many_has_a_result_for_each_key() {
    let secrets = empty();
    secrets.add_provider("p", None, |key, _| if key == "A" { found("a") } else { Ok(None) }).unwrap();
    let answers = secrets.get_many(&["A", "B", ""]);
    assert_eq!(&**answers[0].as_ref().unwrap().value(), b"a");
    assert_eq!(answers[1].as_ref().unwrap_err().status(), Status::NotFound);
    assert_eq!(answers[2].as_ref().unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn get_any_returns_the_value_of_the_first_provider_with_any_key() {
    let secrets = empty();
    let has = |name: &'static str| {
        move |key: &str, _: Duration| if key == name { found(&format!("value of {name}")) } else { Ok(None) }
    };
    let directory = temp();
    let file = write(&directory.path().join("s.json"), r#"{"hf-token": "1", "hf_token": "2"}"#);
    let both = open(&[("providers", r#"["file"]"#), ("file_path", file.to_str().unwrap())]).unwrap();
    both.add_provider("last", None, has("HF_TOKEN")).unwrap();
    let names = ["HF_TOKEN", "hf_token", "hf-token"];
    let secret = both.get_any(&names, &Options::default()).unwrap();
    assert_eq!((&**secret.value(), secret.provider()), (&b"2"[..], "file"));
    // Without a query to remote providers, the result is the same.
    let cached = both.get_any(&names, &Options { cached_only: true, ..Options::default() }).unwrap();
    assert_eq!((&**cached.value(), cached.provider()), (&b"2"[..], "file"));

    assert_eq!(secrets.get_any(&[], &Options::default()).unwrap_err().status(), Status::InvalidArgument);
    secrets.add_provider("failing", None, failing).unwrap();
    let error = secrets.get_any(&names, &Options::default()).unwrap_err();
    assert_eq!(error.status(), Status::Unavailable);
    assert_eq!(error.message().matches("the server is down").count(), 1, "{error}");
    secrets.add_provider("last", None, has("hf-token")).unwrap();
    let secret = secrets.get_any(&names, &Options::default());
    assert!(secret.is_ok_and(|secret| secret.is_degraded()));
}

#[test]
fn names_lists_the_keys_of_each_provider() {
    let directory = temp();
    let file = write(&directory.path().join("s.json"), r#"{"B": "1", "A": "2", "GONE": null}"#);
    let secrets = open(&[("providers", r#"["env", "file", "aws"]"#), ("file_path", file.to_str().unwrap())]).unwrap();
    secrets.add_provider("own", None, |_, _| Ok(None)).unwrap();
    let listed = || {
        let names = secrets.names(None);
        names.into_iter().map(|listed| (listed.provider, listed.names, listed.error)).collect::<Vec<_>>()
    };
    let all = listed();
    let names: Vec<_> = all.iter().map(|(provider, names, _)| (provider.as_str(), names.clone())).collect();
    let texts = |names: &[&str]| Some(names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
    assert_eq!(names, [("env", None), ("file", texts(&["A", "B"])), ("aws", texts(&[])), ("own", None)]);
    assert!(all.iter().all(|(_, _, error)| error.is_none()));
    write(&file, "{");
    secrets.clear_cache();
    let (_, names, error) = listed().remove(1);
    assert_eq!((names, error.unwrap().source_provider()), (texts(&[]), Source::File));
}

#[test]
fn names_of_a_directory_are_its_files() {
    let directory = temp();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("..2026_01")).unwrap();
    write(&path("..2026_01/hf-token"), "1");
    std::os::unix::fs::symlink("..2026_01", path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/hf-token", path("hf-token")).unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    write(&path("API_KEY"), "2");
    write(&path(".hidden"), "3");
    let listed = with_file(directory.path()).names(None).remove(0);
    assert_eq!(listed.names.unwrap(), ["API_KEY", "hf-token"]);
    assert!(listed.error.is_none());
}

#[test]
fn provider_that_is_partly_configured_says_what_is_missing() {
    let home = temp();
    let environment =
        [("HOME", home.path().to_str()), ("VAULT_TOKEN", None), ("BAO_TOKEN", None), ("VAULT_ADDR", None)];
    in_environment("provider_that_is_partly_configured_says_what_is_missing", &environment, || {
        let not_found = |settings: &[(&str, &str)]| {
            let error = open(&[&[("providers", r#"["vault"]"#)], settings].concat()).unwrap().get("A").unwrap_err();
            assert_eq!(error.status(), Status::NotFound);
            error.message().to_owned()
        };
        let partly = not_found(&[("vault_url", "https://localhost:1")]);
        assert!(partly.contains("`vault_url` is set, but there is no way to log in: set VAULT_TOKEN"), "{partly}");
        assert!(not_found(&[]).ends_with("vault (not configured)"));
    });
}

#[test]
fn providers_are_configured_by_name() {
    let error = open(&[("providers", r#"["env", "fil"]"#)]).err().unwrap();
    assert_eq!(
        error.message(),
        "the configuration key `providers` lists an unknown provider \"fil\"; did you mean \"file\"?"
    );
    let error = open(&[("providers", r#"["env", "env"]"#)]).err().unwrap();
    assert_eq!(error.message(), "the configuration key `providers` lists \"env\" twice");
    let error = open(&[("providers", r#"["env"]"#)]).unwrap().set("A", b"x").unwrap_err();
    assert_eq!(error.status(), Status::Config);
    let secrets = empty();
    secrets.add_provider("a", None, failing).unwrap();
    for (name, position) in [("a", None), ("", None), ("b", Some(2)), (&*"x".repeat(32), None), ("n\nl", None)] {
        let error = secrets.add_provider(name, position, failing).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{name:?}");
    }
}

#[test]
fn debug_describe_and_check_contain_no_value() {
    let directory = temp();
    let secrets = with_file(&write(&directory.path().join("s.json"), r#"{"A": "CANARY", "B": {"x": "CANARY"}}"#));
    let secret = secrets.get("A").unwrap();
    assert_eq!(format!("{secret:?}"), "Secret { provider: \"file\", value: SecretBytes(6 bytes) }");
    for text in [secrets.describe(), secrets.check(), format!("{:?}", secrets.get("C"))] {
        assert!(!text.contains("CANARY"), "{text}");
    }
    assert!(secrets.describe().contains("\"entries\": 2"), "{}", secrets.describe());
}

#[test]
fn default_instance_is_shared_until_reset() {
    let first = Manager::default_instance().unwrap();
    assert!(Arc::ptr_eq(&first, &Manager::default_instance().unwrap()));
    let mut config = st_secrets::Config::new();
    config.set("providers", r#"["file"]"#).unwrap();
    Manager::reset_default(Some(&config)).unwrap();
    let second = Manager::default_instance().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(!second.describe().contains("\"env\""), "{}", second.describe());
    Manager::reset_default(None).unwrap();
    assert!(Manager::default_instance().unwrap().describe().contains("\"env\""));
}

#[test]
fn failures_are_logged_without_a_lock_held() {
    let messages = Arc::new(AtomicUsize::new(0));
    let secrets = Arc::new(empty());
    secrets.add_provider("broken", None, failing).unwrap();
    let (seen, inner) = (messages.clone(), secrets.clone());
    st_secrets::log::set(st_secrets::log::Level::Warn, move |_, _, message| {
        if message.contains("LOGGED_KEY") {
            seen.fetch_add(1, Ordering::SeqCst);
            // It would deadlock if the library held a lock here, and recurse forever if the library logged this.
            inner.get("LOGGED_KEY").unwrap_err();
            inner.add_provider("added by the log", None, |_, _| Ok(None)).ok();
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| secrets.get("LOGGED_KEY").unwrap_err());
    });
    st_secrets::log::clear();
    assert_eq!(messages.load(Ordering::SeqCst), 1);
}

/// A provider that returns `old`, and whose second query waits until the test sends its result.
struct WaitingProvider {
    entered: Receiver<()>,
    answer: Sender<Answer>,
}

fn waiting_provider(secrets: &Manager) -> WaitingProvider {
    let ((enter, entered), (answer, answers)) = (channel(), channel::<Answer>());
    let (answers, calls) = (Mutex::new(answers), AtomicUsize::new(0));
    secrets
        .add_provider("p", None, move |_, _| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => found("old"),
            _ => {
                enter.send(()).unwrap();
                answers.lock().unwrap().recv_timeout(PATIENCE).unwrap()
            }
        })
        .unwrap();
    WaitingProvider { entered, answer }
}

#[test]
fn last_value_is_returned_while_the_provider_is_queried_again() {
    let secrets = open(&[("providers", "[]"), ("cache_ttl", "0.000001")]).unwrap();
    let cached_only = Options { cached_only: true, ..Options::default() };
    let provider = waiting_provider(&secrets);
    assert!(!secrets.get("A").unwrap().is_stale());
    // The coarse clock of the cache lags on a busy machine, so a value may be fresh a little longer.
    let get_instead_of = |last: &[u8]| loop {
        match secrets.get("A") {
            Ok(secret) if &**secret.value() == last => thread::yield_now(),
            other => return other,
        }
    };
    thread::scope(|scope| {
        let leader = scope.spawn(|| get_instead_of(b"old"));
        provider.entered.recv_timeout(PATIENCE).unwrap();
        for options in [Options::default(), cached_only] {
            let secret = secrets.get_with("A", &options).unwrap();
            assert_eq!(&**secret.value(), b"old");
            assert!(secret.is_stale() && secret.is_cached() && secret.expires_in().is_zero());
        }
        provider.answer.send(found("new")).unwrap();
        let secret = leader.join().unwrap().unwrap();
        assert_eq!((&**secret.value(), secret.is_stale()), (&b"new"[..], false));
    });
    // A call reports an outage, but others still get the last value. A denial drops that value.
    for (status, is_cached) in [(Status::Unavailable, true), (Status::AccessDenied, false)] {
        provider.answer.send(Err(Error::new(status, "it fails"))).unwrap();
        assert_eq!(get_instead_of(b"new").unwrap_err().status(), status);
        assert_eq!(secrets.get_with("A", &cached_only).is_ok(), is_cached, "{status:?}");
    }
}

#[test]
fn value_with_its_own_ttl_is_not_used_after_it() {
    let secrets = open(&[("providers", "[]")]).unwrap();
    let short = |_: &str, _| {
        let value = SecretBytes::copy_from(b"token")?;
        Ok(Some(Secret::new(value).with_ttl(Duration::from_nanos(1))))
    };
    secrets.add_provider("p", None, short).unwrap();
    assert!(!secrets.get("A").unwrap().is_stale());
    let cached_only = Options { cached_only: true, ..Options::default() };
    assert_eq!(secrets.get_with("A", &cached_only).unwrap_err().status(), Status::Unavailable);
}

#[test]
fn value_requested_before_clear_cache_is_not_cached() {
    let secrets = open(&[("providers", "[]")]).unwrap();
    let provider = waiting_provider(&secrets);
    let refresh = Options { refresh: true, ..Options::default() };
    secrets.get("A").unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| secrets.get_with("A", &refresh));
        provider.entered.recv_timeout(PATIENCE).unwrap();
        assert_eq!(text(&secrets, "A").as_deref(), Some("old"));
        secrets.clear_cache();
        provider.answer.send(found("before clear_cache")).unwrap();
        assert!(leader.join().unwrap().is_ok());
    });
    provider.answer.send(found("after clear_cache")).unwrap();
    assert_eq!(text(&secrets, "A").as_deref(), Some("after clear_cache"));
}
