//! The lookup: the order of the providers, failures, reports.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::custom::{empty, failing, found};
use common::{in_environment, open, temp, text, with_file, write};
use st_secrets::{GetOptions, Manager, Source, Status};

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
    let secret = both.get_any(&names, &GetOptions::default()).unwrap();
    assert_eq!((&**secret.value(), secret.provider()), (&b"2"[..], "file"));
    // Without a query to remote providers, the result is the same.
    let cached = both.get_any(&names, &GetOptions { cached_only: true, ..GetOptions::default() }).unwrap();
    assert_eq!((&**cached.value(), cached.provider()), (&b"2"[..], "file"));

    assert_eq!(secrets.get_any(&[], &GetOptions::default()).unwrap_err().status(), Status::InvalidArgument);
    secrets.add_provider("failing", None, failing).unwrap();
    let error = secrets.get_any(&names, &GetOptions::default()).unwrap_err();
    assert_eq!(error.status(), Status::Unavailable);
    assert_eq!(error.message().matches("the server is down").count(), 1, "{error}");
    secrets.add_provider("last", None, has("hf-token")).unwrap();
    let secret = secrets.get_any(&names, &GetOptions::default());
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
