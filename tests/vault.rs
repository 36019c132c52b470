//! The Vault layer on a real OpenBao: both versions of KV, policies, namespaces, logins, the life of tokens.

mod common;

use std::thread;
use std::time::Duration;

use common::servers::bao::{Bao, bao};
use common::servers::{in_clean_environment, unique};
use common::{open, temp, text, write};
use serde_json::{Value, json};
use st_secrets::{Manager, Options, Status};

/// Runs `body` in a process of its own, where nothing of the machine's settings is seen.
fn alone(name: &str, body: impl FnOnce()) {
    bao();
    in_clean_environment(name, Vec::new, body);
}

/// A manager that asks this server alone.
fn at(bao: &Bao, settings: &[(&str, &str)]) -> Manager {
    let url = bao.url();
    let mut all = vec![("providers", r#"["vault"]"#), ("vault_url", &*url)];
    all.extend(settings);
    open(&all).unwrap()
}

fn refreshed(secrets: &Manager, key: &str) -> st_secrets::Result<st_secrets::Secret> {
    secrets.get_with(key, &Options { refresh: true, ..Options::default() })
}

fn check(secrets: &Manager) -> Value {
    let told: Value = serde_json::from_str(&secrets.check()).unwrap();
    told["layers"][0].clone()
}

#[test]
fn a_secret_of_kv_version_2_is_found_with_its_version() {
    alone("a_secret_of_kv_version_2_is_found_with_its_version", || {
        let path = unique("app");
        bao().put("secret", &path, &json!({"HF_TOKEN": "hf_1"}));
        bao().put("secret", &path, &json!({"HF_TOKEN": "hf_2", "EMPTY": "", "NULL": null}));
        let secrets = at(bao(), &[("vault_token", bao().root()), ("vault_path", &path)]);
        let secret = secrets.get("HF_TOKEN").unwrap();
        assert_eq!((&**secret.value(), secret.version(), secret.layer()), (&b"hf_2"[..], Some("2"), "vault"));
        assert_eq!(text(&secrets, "EMPTY").as_deref(), Some(""));
        let error = secrets.get("NULL").unwrap_err();
        assert_eq!(error.status(), Status::NotFound);
        assert!(error.message().contains(&format!("secret/{path}")), "{error}");
    });
}

#[test]
fn a_secret_of_kv_version_1_is_found() {
    alone("a_secret_of_kv_version_1_is_found", || {
        let mount = unique("old");
        bao().mount(&mount, 1);
        bao().put_v1(&mount, "team/app", &json!({"A": 1.50, "ttl": "90s"}));
        let settings = [("vault_token", bao().root()), ("vault_mount", &mount), ("vault_path", "team/app")];
        let secrets = at(bao(), &settings);
        let secret = secrets.get("A").unwrap();
        assert_eq!((&**secret.value(), secret.version()), (&b"1.5"[..], None));
        // Its own `ttl` says how long it is good.
        assert!(secret.expires_in() <= Duration::from_secs(90), "{:?}", secret.expires_in());
        assert_eq!(text(&secrets, "ttl").as_deref(), Some("90s"));
        assert_eq!(check(&secrets)["state"], "ok", "{:#}", check(&secrets));
        let told: Value = serde_json::from_str(&secrets.describe()).unwrap();
        assert_eq!(told["layers"][0]["kv_version"], 1);
    });
}

#[test]
fn a_token_that_may_only_read_the_secret_is_enough() {
    alone("a_token_that_may_only_read_the_secret_is_enough", || {
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
            let secrets = at(bao(), &[("vault_token", &token), ("vault_mount", &mount), ("vault_path", path)]);
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "version {version}: {:?}", secrets.get("A"));
            let wrong = at(bao(), &[("vault_token", &token), ("vault_mount", &mount), ("vault_path", "other")]);
            let error = wrong.get("A").unwrap_err();
            assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 403));
            let needed = readable.replace(path, "other");
            assert!(error.message().contains(&format!("path \"{needed}\" {{ capabilities")), "{error}");
            assert!(!error.message().contains(&token), "{error}");
        }
    });
}

#[test]
fn a_mount_may_be_longer_or_shorter_than_said() {
    alone("a_mount_may_be_longer_or_shorter_than_said", || {
        let (outer, inner) = (unique("kv"), "team/prod");
        let mount = format!("{outer}/{inner}");
        bao().mount(&mount, 2);
        bao().put(&mount, "app/one", &json!({"A": "value"}));
        let path = format!("{inner}/app/one");
        for (mount, path) in [(&*outer, &*path), (&*format!("/{mount}/"), "app/one/")] {
            let secrets = at(bao(), &[("vault_token", bao().root()), ("vault_mount", mount), ("vault_path", path)]);
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{mount} {path}");
        }
    });
}

#[test]
fn deleted_destroyed_and_missing_are_told_apart() {
    alone("deleted_destroyed_and_missing_are_told_apart", || {
        let path = unique("app");
        let secrets = at(bao(), &[("vault_token", bao().root()), ("vault_path", &path)]);
        let state = |part: &str| {
            assert_eq!(refreshed(&secrets, "A").unwrap_err().status(), Status::NotFound);
            let told = check(&secrets);
            assert_eq!(told["state"], "warning");
            assert!(told["detail"].as_str().unwrap().contains(part), "{told:#}");
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
fn namespaces_are_entered() {
    alone("namespaces_are_entered", || {
        let namespace = bao().namespace();
        let engine = json!({"type": "kv", "options": {"version": "2"}});
        bao().ask("POST", &format!("{namespace}/sys/mounts/secret"), engine);
        bao().put(&format!("{namespace}/secret"), "simpletuner", &json!({"A": "inside"}));
        let settings = [("vault_token", bao().root()), ("vault_namespace", &*format!("{namespace}/"))];
        let secrets = at(bao(), &settings);
        assert_eq!(text(&secrets, "A").as_deref(), Some("inside"));
        let secrets = at(bao(), &[("vault_token", bao().root()), ("vault_namespace", "nowhere")]);
        let error = secrets.get("A").unwrap_err();
        assert_eq!(error.status(), Status::Config);
        assert!(error.message().contains("there is no such namespace"), "{error}");
        assert!(error.message().contains("namespace nowhere"), "{error}");
    });
}

#[test]
fn an_unknown_mount_is_named() {
    alone("an_unknown_mount_is_named", || {
        let secrets = at(bao(), &[("vault_token", bao().root()), ("vault_mount", "nowhere")]);
        let error = secrets.get("A").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::Config, 404));
        assert!(error.message().contains("there is no secrets engine at \"nowhere\""), "{error}");
        let secrets = at(bao(), &[("vault_token", bao().root()), ("vault_mount", "sys")]);
        assert!(secrets.get("A").unwrap_err().message().contains("vault_mount"));
    });
}

#[test]
fn a_wrong_version_in_the_settings_is_told() {
    alone("a_wrong_version_in_the_settings_is_told", || {
        let settings = [("vault_token", bao().root()), ("vault_kv_version", "1")];
        let error = at(bao(), &settings).get("A").unwrap_err();
        assert!(error.message().contains("the mount is of KV version 2"), "{error}");
        let mount = unique("old");
        bao().mount(&mount, 1);
        bao().put_v1(&mount, "simpletuner", &json!({"A": "value"}));
        let settings = [("vault_token", bao().root()), ("vault_kv_version", "2"), ("vault_mount", &mount)];
        let told = check(&at(bao(), &settings));
        assert!(told["detail"].as_str().unwrap().contains("is the mount of the other version?"), "{told:#}");
    });
}

#[test]
fn a_mount_that_is_upgraded_is_read_on() {
    alone("a_mount_that_is_upgraded_is_read_on", || {
        let mount = unique("old");
        bao().mount(&mount, 1);
        bao().put_v1(&mount, "simpletuner", &json!({"A": "value"}));
        let secrets = at(bao(), &[("vault_token", bao().root()), ("vault_mount", &mount)]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"));
        bao().ask("POST", &format!("sys/mounts/{mount}/tune"), json!({"options": {"version": "2"}}));
        // For a moment it answers 400, "Upgrading from non-versioned to versioned data".
        let secret = refreshed(&secrets, "A").unwrap();
        assert_eq!((&**secret.value(), secret.version()), (&b"value"[..], Some("1")));
    });
}

#[test]
fn an_app_role_logs_in() {
    alone("an_app_role_logs_in", || {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (role, secret) = bao().approle(&[&policy], "1h");
        let folder = temp();
        let file = write(&folder.path().join("secret-id"), &format!("{secret}\n"));
        let common = [("vault_auth", "approle"), ("vault_role_id", &role), ("vault_path", &path)];
        for own in [("vault_secret_id", &*secret), ("vault_secret_id_file", file.to_str().unwrap())] {
            let secrets = at(bao(), &[&common[..], &[own]].concat());
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        }
        let secrets = at(bao(), &[&common[..], &[("vault_secret_id", "CANARY")]].concat());
        let error = secrets.get("A").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 400));
        assert!(error.message().contains("the approle login at auth/approle is refused"), "{error}");
        assert!(!error.message().contains("CANARY") && !error.message().contains(&role), "{error}");
        let secrets = at(bao(), &[&common[..], &[("vault_auth_mount", "nowhere")]].concat());
        let error = secrets.get("A").unwrap_err();
        assert!(error.message().contains("vault_auth_mount"), "{error}");
    });
}

#[test]
fn a_jwt_logs_in_and_its_file_is_read_anew() {
    alone("a_jwt_logs_in_and_its_file_is_read_anew", || {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let mount = unique("jwt");
        let (role, issuer) = bao().jwt(&mount, &[&policy], "2s");
        let folder = temp();
        let file = write(&folder.path().join("jwt"), &issuer.token(60));
        for method in ["jwt", "kubernetes"] {
            let settings = [
                ("vault_auth", method),
                ("vault_auth_mount", &*mount),
                ("vault_role", &role),
                ("vault_jwt_file", file.to_str().unwrap()),
                ("vault_path", &path),
            ];
            let secrets = at(bao(), &settings);
            write(&file, &issuer.token(60));
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
            write(&file, "CANARY.CANARY.CANARY");
            thread::sleep(Duration::from_millis(2100));
            let error = refreshed(&secrets, "A").unwrap_err();
            assert_eq!(error.status(), Status::AccessDenied);
            assert!(error.message().contains(file.to_str().unwrap()), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
            write(&file, &issuer.token(60));
            assert!(refreshed(&secrets, "A").is_ok());
        }
    });
}

#[test]
fn a_token_of_three_seconds_is_followed_by_another() {
    alone("a_token_of_three_seconds_is_followed_by_another", || {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (role, secret) = bao().approle(&[&policy], "3s");
        let secrets = at(
            bao(),
            &[("vault_auth", "approle"), ("vault_role_id", &role), ("vault_secret_id", &secret), ("vault_path", &path)],
        );
        for _ in 0..7 {
            assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
            thread::sleep(Duration::from_millis(1000));
        }
    });
}

#[test]
fn a_token_that_expired_is_told_from_one_that_lacks_a_policy() {
    alone("a_token_that_expired_is_told_from_one_that_lacks_a_policy", || {
        let poor = bao().token(&["default"], "1h");
        let secrets = at(bao(), &[("vault_token", &poor)]);
        let told = check(&secrets);
        assert_eq!(told["state"], "failed");
        assert!(told["detail"].as_str().unwrap().contains("the token itself is good"), "{told:#}");
        bao().revoke(&poor);
        let told = check(&secrets);
        assert!(told["detail"].as_str().unwrap().contains("has expired or was revoked"), "{told:#}");
        assert!(!told.to_string().contains(&poor), "{told:#}");
    });
}

#[test]
fn a_token_file_may_be_replaced() {
    alone("a_token_file_may_be_replaced", || {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (first, second) = (bao().token(&[&policy], "1h"), bao().token(&[&policy], "1h"));
        let folder = temp();
        let file = write(&folder.path().join("token"), &first);
        let secrets = at(bao(), &[("vault_token_file", file.to_str().unwrap()), ("vault_path", &path)]);
        assert!(secrets.get("A").is_ok());
        write(&folder.path().join("new"), &format!("{second}\n"));
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        bao().revoke(&first);
        assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
        bao().revoke(&second);
        assert_eq!(refreshed(&secrets, "A").unwrap_err().status(), Status::AccessDenied);
        std::fs::remove_file(&file).unwrap();
        let error = refreshed(&secrets, "A").unwrap_err();
        assert!(error.message().contains(file.to_str().unwrap()), "{error}");
    });
}
