//! The user's own credential, or a secret that all users share.

use std::fs;

use serde_json::{Value, json};
use st_secrets::Status;
use st_secrets::store::CredentialOrigin;

use crate::common::python::Python;
use crate::common::store::{cipher, jobs, open};
use crate::common::{temp, with_file, write};
use crate::{actions, list, raw};

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
