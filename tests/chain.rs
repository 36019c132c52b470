//! The chain: order, failures, providers of the program.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::time::{PATIENCE, advance};
use common::{in_environment, open, temp, text, with_file, write};
use st_secrets::{Error, Found, Manager, Options, SecretBytes, Source, Status};

/// The type of what a provider of the program answers.
type Answer = st_secrets::Result<Option<Found>>;

fn empty() -> Manager {
    open(&[("providers", "[]")]).unwrap()
}

fn found(text: &str) -> Answer {
    Ok(Some(Found::new(SecretBytes::copy_from(text.as_bytes())?)))
}

fn failing(_: &str, _: Duration) -> Answer {
    Err(Error::new(Status::Unavailable, "the server is down").with_retryable(true))
}

#[test]
fn the_first_provider_that_has_the_key_answers() {
    let secrets = empty();
    secrets.add_provider("last", None, |_, _| found("from last")).unwrap();
    secrets.add_provider("first", Some(0), |key, _| if key == "A" { found("from first") } else { Ok(None) }).unwrap();
    let secret = secrets.get("A").unwrap();
    assert_eq!((&**secret.value(), secret.provider(), secret.source()), (&b"from first"[..], "first", Source::Custom));
    assert!(!secret.is_degraded());
    assert_eq!(secrets.get("B").unwrap().provider(), "last");
}

#[test]
fn what_changes_the_chain_counts_for_the_next_get() {
    let directory = temp();
    let secrets = with_file(&write(&directory.path().join("s.json"), r#"{"A": "1", "B": "2"}"#));
    let both = || ["A", "B"].map(|key| text(&secrets, key).unwrap());
    // Twice, as the second time nothing has to be looked at.
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
fn values_are_whole_while_others_change_and_forget_them() {
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
fn a_failure_never_becomes_not_found() {
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
fn a_provider_that_panics_has_failed() {
    let secrets = empty();
    secrets.add_provider("wild", None, |_, _| panic!("CANARY")).unwrap();
    let error = secrets.get("A").unwrap_err();
    assert_eq!(error.status(), Status::Panic);
    assert!(!error.message().contains("CANARY"), "{error}");
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::Panic);
}

#[test]
fn a_provider_may_use_the_manager_that_asks_it() {
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
fn a_provider_is_told_how_much_time_is_left() {
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
fn what_is_at_hand_does_not_ask_providers_that_may_take_long() {
    let directory = temp();
    let secrets = with_file(&write(&directory.path().join("s.json"), r#"{"IN_FILE": "x"}"#));
    secrets.add_provider("slow", None, |_, _| panic!("asked")).unwrap();
    let at_hand = Options { cached_only: true, ..Options::default() };
    assert_eq!(&**secrets.get_with("IN_FILE", &at_hand).unwrap().value(), b"x");
    let error = secrets.get_with("NOWHERE", &at_hand).unwrap_err();
    assert_eq!(error.status(), Status::Unavailable);
    assert!(error.message().contains("slow may not be asked"), "{error}");
}

/// A provider that counts how often it is asked and knows `A` alone.
fn counting(count: &Arc<AtomicUsize>) -> impl Fn(&str, Duration) -> Answer + Send + Sync + 'static {
    let count = count.clone();
    move |key, _| {
        count.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        if key == "A" { found("a") } else { Ok(None) }
    }
}

#[test]
fn answers_of_the_programs_own_providers_are_remembered() {
    let asked = Arc::new(AtomicUsize::new(0));
    let secrets = open(&[("providers", "[]"), ("miss_ttl", "600"), ("cache_ttl", "3600")]).unwrap();
    secrets.add_provider("p", None, counting(&asked)).unwrap();
    let refresh = Options { refresh: true, ..Options::default() };
    let at_hand = Options { cached_only: true, ..Options::default() };

    assert!(!secrets.get("A").unwrap().is_cached());
    let secret = secrets.get_with("A", &at_hand).unwrap();
    assert!(secret.is_cached());
    assert!(secret.age() > Duration::ZERO && secret.expires_in() > Duration::from_secs(3000));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    secrets.get_with("A", &refresh).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    secrets.clear_cache();
    secrets.get("A").unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);

    // That there is none is remembered too, for a shorter time.
    assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
    assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    advance(Duration::from_secs(600));
    assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    assert!(secrets.get("A").unwrap().is_cached());
}

#[test]
fn however_many_callers_ask_the_provider_is_asked_once() {
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
fn a_failure_is_not_remembered() {
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
fn get_many_answers_each_key_for_itself() {
    let secrets = empty();
    secrets.add_provider("p", None, |key, _| if key == "A" { found("a") } else { Ok(None) }).unwrap();
    let answers = secrets.get_many(&["A", "B", ""]);
    assert_eq!(&**answers[0].as_ref().unwrap().value(), b"a");
    assert_eq!(answers[1].as_ref().unwrap_err().status(), Status::NotFound);
    assert_eq!(answers[2].as_ref().unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn of_several_names_the_first_provider_with_any_of_them_answers() {
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
    // What no call waits for is found in the same way.
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
fn names_are_listed_for_each_provider() {
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
fn the_files_of_a_directory_are_names() {
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
fn a_provider_that_is_half_configured_says_what_it_lacks() {
    let home = temp();
    let environment =
        [("HOME", home.path().to_str()), ("VAULT_TOKEN", None), ("BAO_TOKEN", None), ("VAULT_ADDR", None)];
    in_environment("a_provider_that_is_half_configured_says_what_it_lacks", &environment, || {
        let not_found = |settings: &[(&str, &str)]| {
            let error = open(&[&[("providers", r#"["vault"]"#)], settings].concat()).unwrap().get("A").unwrap_err();
            assert_eq!(error.status(), Status::NotFound);
            error.message().to_owned()
        };
        let half = not_found(&[("vault_url", "https://localhost:1")]);
        assert!(half.contains("`vault_url` is set, but there is no way to log in: set VAULT_TOKEN"), "{half}");
        assert!(not_found(&[]).ends_with("vault (not configured)"));
    });
}

#[test]
fn providers_are_configured_by_name() {
    let error = open(&[("providers", r#"["env", "fil"]"#)]).err().unwrap();
    assert_eq!(error.message(), "`providers` names an unknown provider \"fil\"; did you mean \"file\"?");
    let error = open(&[("providers", r#"["env", "env"]"#)]).err().unwrap();
    assert_eq!(error.message(), "`providers` names \"env\" twice");
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
fn nothing_that_is_printed_holds_a_value() {
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
fn the_default_manager_is_shared_and_replaced() {
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
fn the_log_tells_of_failures_without_holding_a_lock() {
    let messages = Arc::new(AtomicUsize::new(0));
    let secrets = Arc::new(empty());
    secrets.add_provider("broken", None, failing).unwrap();
    let (seen, inner) = (messages.clone(), secrets.clone());
    st_secrets::log::set(st_secrets::log::Level::Warn, move |_, _, message| {
        if message.contains("LOGGED_KEY") {
            seen.fetch_add(1, Ordering::SeqCst);
            // Would hang if the library held a lock here, and recurse without end if it logged this.
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

/// A provider that answers `old`, then stays in the middle of its second answer until the test says what that is.
struct Asked {
    entered: Receiver<()>,
    answer: Sender<Answer>,
}

fn held_up(secrets: &Manager) -> Asked {
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
    Asked { entered, answer }
}

#[test]
fn the_last_answer_of_a_provider_serves_while_it_is_asked_again() {
    let secrets = open(&[("providers", "[]"), ("cache_ttl", "0.000001")]).unwrap();
    let at_hand = Options { cached_only: true, ..Options::default() };
    let asked = held_up(&secrets);
    assert!(!secrets.get("A").unwrap().is_stale());
    // The clock of a cache lags on a machine that is busy, so the time of an answer may seem to last a little longer.
    let get_instead_of = |last: &[u8]| loop {
        match secrets.get("A") {
            Ok(secret) if &**secret.value() == last => thread::yield_now(),
            other => return other,
        }
    };
    thread::scope(|scope| {
        let leader = scope.spawn(|| get_instead_of(b"old"));
        asked.entered.recv_timeout(PATIENCE).unwrap();
        for options in [Options::default(), at_hand] {
            let secret = secrets.get_with("A", &options).unwrap();
            assert_eq!(&**secret.value(), b"old");
            assert!(secret.is_stale() && secret.is_cached() && secret.expires_in().is_zero());
        }
        asked.answer.send(found("new")).unwrap();
        let secret = leader.join().unwrap().unwrap();
        assert_eq!((&**secret.value(), secret.is_stale()), (&b"new"[..], false));
    });
    // An outage is that call's error; the answer before still serves others. A denial ends that.
    for (status, is_cached) in [(Status::Unavailable, true), (Status::AccessDenied, false)] {
        asked.answer.send(Err(Error::new(status, "it fails"))).unwrap();
        assert_eq!(get_instead_of(b"new").unwrap_err().status(), status);
        assert_eq!(secrets.get_with("A", &at_hand).is_ok(), is_cached, "{status:?}");
    }
}

#[test]
fn an_answer_with_a_time_of_its_own_is_not_used_past_it() {
    let secrets = open(&[("providers", "[]")]).unwrap();
    let short = |_: &str, _| {
        let value = SecretBytes::copy_from(b"token")?;
        Ok(Some(Found { ttl: Some(Duration::from_nanos(1)), ..Found::new(value) }))
    };
    secrets.add_provider("p", None, short).unwrap();
    assert!(!secrets.get("A").unwrap().is_stale());
    let at_hand = Options { cached_only: true, ..Options::default() };
    assert_eq!(secrets.get_with("A", &at_hand).unwrap_err().status(), Status::Unavailable);
}

#[test]
fn what_is_answered_while_the_memory_is_cleared_is_not_remembered() {
    let secrets = open(&[("providers", "[]")]).unwrap();
    let asked = held_up(&secrets);
    let refresh = Options { refresh: true, ..Options::default() };
    secrets.get("A").unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| secrets.get_with("A", &refresh));
        asked.entered.recv_timeout(PATIENCE).unwrap();
        assert_eq!(text(&secrets, "A").as_deref(), Some("old"));
        secrets.clear_cache();
        asked.answer.send(found("before the clearing")).unwrap();
        assert!(leader.join().unwrap().is_ok());
    });
    asked.answer.send(found("after it")).unwrap();
    assert_eq!(text(&secrets, "A").as_deref(), Some("after it"));
}
