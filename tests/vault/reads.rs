//! Reading secrets: both versions of KV, least privilege, mounts, namespaces, deleted secrets.

use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use st_secrets::Status;

use crate::common::servers::{bao, in_clean_environment, peers, unique};
use crate::common::{open, text};
use crate::{alone, at, check, refreshed};

#[test]
fn secret_of_kv_version_2_is_found_with_its_version() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"HF_TOKEN": "hf_1"}));
        bao().put("secret", &path, &json!({"HF_TOKEN": "hf_2", "EMPTY": "", "NULL": null}));
        let secrets = at(&bao().url(), &[("vault_token", bao().root()), ("vault_path", &path)]);
        let secret = secrets.get("HF_TOKEN").unwrap();
        assert_eq!((&**secret.value(), secret.version(), secret.provider()), (&b"hf_2"[..], Some("2"), "vault"));
        assert_eq!(text(&secrets, "EMPTY").as_deref(), Some(""));
        let error = secrets.get("NULL").unwrap_err();
        assert_eq!(error.status(), Status::NotFound);
        assert!(error.message().contains(&format!("secret/{path}")), "{error}");
    });
}

#[test]
fn secret_of_kv_version_1_is_found() {
    alone!(|| {
        let mount = unique("old");
        bao().mount(&mount, 1);
        bao().put_v1(&mount, "team/app", &json!({"A": 1.50, "ttl": "90s"}));
        let settings = [("vault_token", bao().root()), ("vault_mount", &mount), ("vault_path", "team/app")];
        let secrets = at(&bao().url(), &settings);
        let secret = secrets.get("A").unwrap();
        assert_eq!((&**secret.value(), secret.version()), (&b"1.5"[..], None));
        // It is valid for its own `ttl`.
        assert!(secret.expires_in() <= Duration::from_secs(90), "{:?}", secret.expires_in());
        assert_eq!(text(&secrets, "ttl").as_deref(), Some("90s"));
        assert_eq!(check(&secrets)["state"], "ok", "{:#}", check(&secrets));
        let report: Value = serde_json::from_str(&secrets.describe()).unwrap();
        assert_eq!(report["providers"][0]["kv_version"], 1);
    });
}

#[test]
fn token_that_may_only_read_the_secret_suffices() {
    alone!(|| {
        for version in [1, 2] {
            let (mount, path) = (unique("kv"), "team a/app%2f");
            bao().mount(&mount, version);
            let (document, encoded) = (json!({"A": "value"}), "team%20a/app%252f");
            let readable = if version == 1 {
                bao().put_v1(&mount, encoded, &document);
                format!("{mount}/{path}")
            } else {
                bao().put(&mount, encoded, &document);
                format!("{mount}/data/{path}")
            };
            let settings = json!({"policies": [bao().policy(&[&readable], &["read"])], "no_default_policy": true});
            let token = bao().token_with(settings);
            let secrets = at(&bao().url(), &[("vault_token", &token), ("vault_mount", &mount), ("vault_path", path)]);
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "version {version}: {:?}", secrets.get("A"));
            let wrong = at(&bao().url(), &[("vault_token", &token), ("vault_mount", &mount), ("vault_path", "other")]);
            let error = wrong.get("A").unwrap_err();
            assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 403));
            let needed = readable.replace(path, "other");
            assert!(error.message().contains(&format!("path \"{needed}\" {{ capabilities")), "{error}");
            assert!(!error.message().contains(&token), "{error}");
        }
    });
}

#[test]
fn mount_may_be_longer_or_shorter_than_configured() {
    alone!(|| {
        let (outer, inner) = (unique("kv"), "team/prod");
        let mount = format!("{outer}/{inner}");
        bao().mount(&mount, 2);
        bao().put(&mount, "app/one", &json!({"A": "value"}));
        let path = format!("{inner}/app/one");
        for (mount, path) in [(&*outer, &*path), (&*format!("/{mount}/"), "app/one/")] {
            let secrets =
                at(&bao().url(), &[("vault_token", bao().root()), ("vault_mount", mount), ("vault_path", path)]);
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{mount} {path}");
        }
    });
}

#[test]
fn deleted_destroyed_and_missing_secrets_are_distinguished() {
    alone!(|| {
        let path = unique("app");
        let secrets = at(&bao().url(), &[("vault_token", bao().root()), ("vault_path", &path)]);
        let state = |part: &str| {
            assert_eq!(refreshed(&secrets, "A").unwrap_err().status(), Status::NotFound);
            let report = check(&secrets);
            assert_eq!(report["state"], "warning");
            assert!(report["detail"].as_str().unwrap().contains(part), "{report:#}");
        };
        state("it does not exist");
        let version = bao().put("secret", &path, &json!({"A": "value"}));
        assert_eq!(text(&secrets, "A").as_deref(), None, "a miss is remembered for a moment");
        assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
        bao().delete("secret", &path, &[version]);
        state("version 1 was deleted on 20");
        bao().undelete("secret", &path, &[version]);
        assert!(refreshed(&secrets, "A").is_ok());
        bao().destroy("secret", &path, &[version]);
        state("version 1 was destroyed");
        bao().put("secret", &path, &json!({}));
        assert_eq!(check(&secrets)["state"], "ok");
        bao().remove("secret", &path);
        state("it does not exist");
    });
}

#[test]
fn namespace_is_used() {
    alone!(|| {
        let namespace = bao().namespace();
        let engine = json!({"type": "kv", "options": {"version": "2"}});
        bao().ask("POST", &format!("{namespace}/sys/mounts/secret"), engine);
        bao().put(&format!("{namespace}/secret"), "simpletuner", &json!({"A": "inside"}));
        let settings = [("vault_token", bao().root()), ("vault_namespace", &*format!("{namespace}/"))];
        let secrets = at(&bao().url(), &settings);
        assert_eq!(text(&secrets, "A").as_deref(), Some("inside"));
        let secrets = at(&bao().url(), &[("vault_token", bao().root()), ("vault_namespace", "nowhere")]);
        let error = secrets.get("A").unwrap_err();
        assert_eq!(error.status(), Status::Config);
        assert!(error.message().contains("the namespace does not exist"), "{error}");
        assert!(error.message().contains("namespace nowhere"), "{error}");
    });
}

#[test]
fn unknown_mount_is_named() {
    alone!(|| {
        let secrets = at(&bao().url(), &[("vault_token", bao().root()), ("vault_mount", "nowhere")]);
        let error = secrets.get("A").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::Config, 404));
        assert!(error.message().contains("there is no secrets engine at \"nowhere\""), "{error}");
        let secrets = at(&bao().url(), &[("vault_token", bao().root()), ("vault_mount", "sys")]);
        assert!(secrets.get("A").unwrap_err().message().contains("vault_mount"));
    });
}

#[test]
fn wrong_version_in_the_settings_is_reported() {
    alone!(|| {
        let settings = [("vault_token", bao().root()), ("vault_kv_version", "1")];
        let error = at(&bao().url(), &settings).get("A").unwrap_err();
        assert!(error.message().contains("the mount is of KV version 2"), "{error}");
        let mount = unique("old");
        bao().mount(&mount, 1);
        bao().put_v1(&mount, "simpletuner", &json!({"A": "value"}));
        let settings = [("vault_token", bao().root()), ("vault_kv_version", "2"), ("vault_mount", &mount)];
        let report = check(&at(&bao().url(), &settings));
        let hint = format!("is {mount:?} the mount of a KV engine of that version?");
        assert!(report["detail"].as_str().unwrap().contains(&hint), "{report:#}");
        let other = unique("transit");
        bao().ask("POST", &format!("sys/mounts/{other}"), json!({"type": "transit"}));
        for version in ["1", "2", "auto"] {
            let settings = [("vault_token", bao().root()), ("vault_kv_version", version), ("vault_mount", &other)];
            let error = at(&bao().url(), &settings).get("A").unwrap_err();
            assert_eq!(error.status(), Status::Config, "{version}: {error}");
            assert!(
                error.message().contains("not kv") && error.message().contains("vault_mount"),
                "{version}: {error}"
            );
        }
    });
}

#[test]
fn mount_is_read_during_its_upgrade() {
    alone!(|| {
        let mount = unique("old");
        bao().mount(&mount, 1);
        bao().put_v1(&mount, "simpletuner", &json!({"A": "value"}));
        let secrets = at(&bao().url(), &[("vault_token", bao().root()), ("vault_mount", &mount)]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"));
        bao().ask("POST", &format!("sys/mounts/{mount}/tune"), json!({"options": {"version": "2"}}));
        // For a moment it answers 400, "Upgrading from non-versioned to versioned data".
        let secret = refreshed(&secrets, "A").unwrap();
        assert_eq!((&**secret.value(), secret.version()), (&b"value"[..], Some("1")));
    });
}

#[test]
fn values_equal_those_of_hvac() {
    alone!(|| {
        let path = unique("app");
        let document = json!({
            "TEXT": "käse ☃ \u{1f511} \"quoted\" \\ \n\t\u{1}", "EMPTY": "", "TRUE": true, "COUNT": 12, "RATE": 1.5,
            "LIST": [1, "two", null, {"a": []}], "OBJECT": {"b": 1, "a": {"c": "é"}}, "a key/with.all": "x",
            "LONG": "x".repeat(100_000),
        });
        let old = unique("old");
        bao().mount(&old, 1);
        bao().put("secret", &path, &document);
        bao().put_v1(&old, &path, &document);
        let reads = json!([{"mount": "secret", "path": path, "kv": 2}, {"mount": old, "path": path, "kv": 1}]);
        let asked = json!({"vault": {"url": bao().url(), "token": bao().root(), "reads": reads}});
        let theirs = peers(&asked);
        for (at_theirs, mount) in ["secret", &old].into_iter().enumerate() {
            let settings = [("vault_token", bao().root()), ("vault_mount", mount), ("vault_path", &path)];
            let secrets = at(&bao().url(), &settings);
            let values = theirs["vault"][at_theirs]["values"].as_object().unwrap();
            assert_eq!(values.len(), document.as_object().unwrap().len());
            for (key, value) in values {
                let ours = base64::engine::general_purpose::STANDARD.encode(&**secrets.get(key).unwrap().value());
                assert_eq!(value.as_str(), Some(&*ours), "{mount} {key}");
            }
        }
    });
}

#[test]
fn variables_of_the_tools_suffice() {
    let name = "reads::variables_of_the_tools_suffice";
    let prepare = || {
        bao().put("secret", "simpletuner", &json!({"A": "value"}));
        vec![("VAULT_ADDR".into(), bao().url()), ("BAO_TOKEN".into(), bao().root().into())]
    };
    in_clean_environment(name, prepare, || {
        let secrets = open(&[]).unwrap();
        let secret = secrets.get("A").unwrap();
        assert_eq!((&**secret.value(), secret.provider()), (&b"value"[..], "vault"));
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
    });
}
