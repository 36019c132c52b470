//! Login methods and the lifetime of tokens.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use st_secrets::Status;
use st_secrets::log::{self, Level};

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::{bao, http, unique};
use crate::common::time::{PATIENCE, advance};
use crate::common::{temp, text, write};
use crate::{alone, at, check, refreshed};

/// A secret, and a policy to read it.
fn secret_and_policy() -> (String, String) {
    let path = unique("app");
    bao().put("secret", &path, &json!({"A": "value"}));
    let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
    (path, policy)
}

/// The paths of the requests since the last call, without `/v1/`.
fn requested(proxy: &Proxy) -> Vec<String> {
    let paths = proxy.requests().iter().map(|request| request.path.replace("/v1/", "")).collect();
    proxy.forget();
    paths
}

#[test]
fn approle_logs_in() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let (role, secret) = bao().approle(&[&policy], "1h");
        let directory = temp();
        let file = write(&directory.path().join("secret-id"), &format!("{secret}\n"));
        let common = [("vault_auth", "approle"), ("vault_role_id", &role), ("vault_path", &path)];
        for own in [("vault_secret_id", &*secret), ("vault_secret_id_file", file.to_str().unwrap())] {
            let secrets = at(&bao().url(), &[&common[..], &[own]].concat());
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        }
        let secrets = at(&bao().url(), &[&common[..], &[("vault_secret_id", "CANARY")]].concat());
        let error = secrets.get("A").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 400));
        assert!(error.message().contains("the approle login at auth/approle was rejected"), "{error}");
        assert!(!error.message().contains("CANARY") && !error.message().contains(&role), "{error}");
        let secrets = at(&bao().url(), &[&common[..], &[("vault_auth_mount", "nowhere")]].concat());
        let error = secrets.get("A").unwrap_err();
        assert!(error.message().contains("vault_auth_mount"), "{error}");
    });
}

#[test]
fn wrapped_secret_id_is_unwrapped_once() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        bao().auth("approle", "approle");
        let role = format!("auth/approle/role/{}", unique("role"));
        bao().ask("POST", &role, json!({"token_policies": [policy], "token_ttl": "1h"}));
        let id = bao().ask("GET", &format!("{role}/role-id"), json!(null))["data"]["role_id"].clone();
        let wrap = |path: &str, body: &str| {
            let headers = [("x-vault-token", bao().root()), ("x-vault-wrap-ttl", "1h")];
            let (address, time) = (bao().address(), PATIENCE);
            let answer =
                http::request(address, "POST", &format!("/v1/{path}"), &headers, body.as_bytes(), time).unwrap();
            let made: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            made["wrap_info"]["token"].as_str().unwrap().to_owned()
        };
        let directory = temp();
        let file = write(&directory.path().join("wrapped"), &wrap(&format!("{role}/secret-id"), "{}"));
        let settings = [
            ("vault_auth", "approle"),
            ("vault_role_id", id.as_str().unwrap()),
            ("vault_secret_id_file", file.to_str().unwrap()),
            ("vault_secret_id_wrapped", "true"),
            ("vault_path", &path),
        ];
        let secrets = at(&bao().url(), &settings);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        advance(Duration::from_secs(3601));
        assert!(refreshed(&secrets, "A").is_ok(), "the secret id is kept for the next login");
        let error = at(&bao().url(), &settings).get("A").unwrap_err();
        assert_eq!(error.status(), Status::AccessDenied);
        assert!(error.message().contains("was unwrapped before"), "{error}");
        write(&file, &wrap("sys/wrapping/wrap", r#"{"other": "thing"}"#));
        let error = at(&bao().url(), &settings).get("A").unwrap_err();
        assert!(error.message().contains("does not contain a secret ID"), "{error}");
    });
}

#[test]
fn jwt_logs_in_and_its_file_is_read_again() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let mount = unique("jwt");
        let (role, issuer) = bao().jwt(&mount, &[&policy], "1h");
        let directory = temp();
        let file = write(&directory.path().join("jwt"), &issuer.token(3600));
        for method in ["jwt", "kubernetes"] {
            let settings = [
                ("vault_auth", method),
                ("vault_auth_mount", &*mount),
                ("vault_role", &role),
                ("vault_jwt_file", file.to_str().unwrap()),
                ("vault_path", &path),
            ];
            let secrets = at(&bao().url(), &settings);
            write(&file, &issuer.token(3600));
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
            write(&file, "CANARY.CANARY.CANARY");
            advance(Duration::from_secs(3601));
            let error = refreshed(&secrets, "A").unwrap_err();
            assert_eq!(error.status(), Status::AccessDenied);
            assert!(error.message().contains(file.to_str().unwrap()), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
            write(&file, &issuer.token(3600));
            assert!(refreshed(&secrets, "A").is_ok());
        }
    });
}

#[test]
fn token_with_a_ttl_of_seconds_is_replaced() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let (role, secret) = bao().approle(&[&policy], "6s");
        let secrets = at(
            &bao().url(),
            &[("vault_auth", "approle"), ("vault_role_id", &role), ("vault_secret_id", &secret), ("vault_path", &path)],
        );
        for _ in 0..7 {
            assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
            std::thread::sleep(Duration::from_secs(2));
        }
    });
}

#[test]
fn check_distinguishes_an_expired_token_from_a_missing_policy() {
    alone!(|| {
        let poor = bao().token(&["default"], "1h");
        let secrets = at(&bao().url(), &[("vault_token", &poor)]);
        let report = check(&secrets);
        assert_eq!(report["state"], "failed");
        assert!(report["detail"].as_str().unwrap().contains("the token itself is valid"), "{report:#}");
        bao().revoke(&poor);
        let report = check(&secrets);
        assert!(report["detail"].as_str().unwrap().contains("has expired or was revoked"), "{report:#}");
        assert!(!report.to_string().contains(&poor), "{report:#}");
    });
}

#[test]
fn token_file_may_be_replaced() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let (first, second) = (bao().token(&[&policy], "1h"), bao().token(&[&policy], "1h"));
        let directory = temp();
        let file = write(&directory.path().join("token"), &first);
        let proxy = Proxy::to(bao().address());
        let secrets = at(&proxy.url(), &[("vault_token_file", file.to_str().unwrap()), ("vault_path", &path)]);
        assert!(secrets.get("A").is_ok());
        write(&directory.path().join("new"), &format!("{second}\n"));
        std::fs::rename(directory.path().join("new"), &file).unwrap();
        proxy.forget();
        assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
        assert_eq!(proxy.requests()[0].header("X-Vault-Token"), Some(&*second), "the old one was not even tried");
        // Another program may be writing it.
        write(&file, "");
        assert!(refreshed(&secrets, "A").is_ok());
        write(&file, "half of");
        assert!(refreshed(&secrets, "A").is_ok());
        std::fs::remove_file(&file).unwrap();
        assert!(refreshed(&secrets, "A").is_ok());
        write(&file, &second);
        bao().revoke(&second);
        assert_eq!(refreshed(&secrets, "A").unwrap_err().status(), Status::AccessDenied);
        std::fs::remove_file(&file).unwrap();
        let error = refreshed(&secrets, "A").unwrap_err();
        assert!(error.message().contains(file.to_str().unwrap()), "{error}");
    });
}

#[test]
fn revoked_token_causes_one_login() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let (role, secret) = bao().approle(&[&policy], "1h");
        let proxy = Proxy::to(bao().address());
        let role = [("vault_auth", "approle"), ("vault_role_id", &*role), ("vault_secret_id", &secret)];
        let secrets = at(&proxy.url(), &[&role[..], &[("vault_path", &path), ("vault_kv_version", "2")]].concat());
        assert!(secrets.get("A").is_ok());
        let used = proxy.requests()[1].header("X-Vault-Token").unwrap().to_owned();
        bao().revoke(&used);
        requested(&proxy);
        let data = format!("secret/data/{path}");
        assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
        assert_eq!(requested(&proxy), [&*data, "auth/approle/login", &data]);
    });
}

#[test]
fn role_without_the_policy_does_not_log_in_repeatedly() {
    alone!(|| {
        let (path, _) = secret_and_policy();
        let (role, secret) = bao().approle(&["default"], "1h");
        let proxy = Proxy::to(bao().address());
        let role = [("vault_auth", "approle"), ("vault_role_id", &*role), ("vault_secret_id", &secret)];
        let secrets = at(&proxy.url(), &[&role[..], &[("vault_path", &path), ("vault_kv_version", "2")]].concat());
        let data = format!("secret/data/{path}");
        let error = secrets.get("A").unwrap_err();
        assert!(error.message().contains("the role lacks a policy"), "{error}");
        assert_eq!(requested(&proxy), ["auth/approle/login", &data]);
        assert_eq!(refreshed(&secrets, "A").unwrap_err().status(), Status::AccessDenied);
        assert_eq!(requested(&proxy), [&*data]);
    });
}

#[test]
fn login_after_the_manager_was_opened_is_noticed() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let file = Path::new(&std::env::var("HOME").unwrap()).join(".vault-token");
        let secrets = at(&bao().url(), &[("vault_path", &path)]);
        for error in [secrets.get("A").unwrap_err(), refreshed(&secrets, "A").unwrap_err()] {
            assert_eq!(error.status(), Status::NotFound, "{error}");
            assert!(error.message().contains("there is no way to log in: set VAULT_TOKEN"), "{error}");
        }
        assert_eq!(check(&secrets)["state"], "absent", "{:#}", check(&secrets));
        let configured = || {
            let report: serde_json::Value = serde_json::from_str(&secrets.describe()).unwrap();
            report["providers"][0]["configured"].as_bool()
        };
        assert_eq!(configured(), Some(false));
        write(&file, &bao().token(&[&policy], "1h"));
        assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
        assert_eq!((configured(), &check(&secrets)["state"]), (Some(true), &json!("ok")));
        // A token whose file was removed is still known.
        std::fs::remove_file(&file).unwrap();
        assert!(refreshed(&secrets, "A").is_ok());

        // Without a refresh it is noticed when the cached miss expires.
        let secrets = at(&bao().url(), &[("vault_path", &path), ("miss_ttl", "0.2")]);
        assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
        write(&file, &bao().token(&[&policy], "1h"));
        let end = Instant::now() + Duration::from_secs(60);
        while let Err(error) = secrets.get("A") {
            assert!(Instant::now() < end, "{error}");
            thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn agent_adds_the_token() {
    alone!(|| {
        let proxy = Proxy::to(bao().address());
        proxy.always(Fault::vault(403, &["permission denied"]));
        crate::common::servers::set_variables([("VAULT_AGENT_ADDR", proxy.url())]);
        let error = crate::common::open(&[]).unwrap().get("A").unwrap_err();
        assert!(error.message().contains("the agent adds none"), "{error}");
        assert!(proxy.requests().iter().all(|request| request.header("X-Vault-Token").is_none()));
    });
}

#[test]
fn token_and_secret_id_appear_in_no_text() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let (role, secret_id) = bao().approle(&[&policy], "1h");
        let proxy = Proxy::to(bao().address());
        let logged = Arc::new(Mutex::new(String::new()));
        let sink = logged.clone();
        log::set(Level::Trace, move |_, _, message| sink.lock().unwrap().push_str(message));
        let role = [("vault_auth", "approle"), ("vault_role_id", &*role), ("vault_secret_id", &secret_id)];
        let secrets = at(&proxy.url(), &[&role[..], &[("vault_path", &path)]].concat());
        assert!(secrets.get("A").is_ok());
        let token = proxy.requests().iter().find_map(|request| request.header("X-Vault-Token").map(str::to_owned));
        let token = token.unwrap();
        // Whatever the server says, no text contains the token.
        let mut texts = vec![secrets.describe(), secrets.check()];
        for fault in [Fault::vault(403, &["permission denied"]), Fault::vault(400, &["odd"]), Fault::status(500)] {
            proxy.always(fault);
            texts.push(format!("{:?}", refreshed(&secrets, "B").unwrap_err()));
            texts.push(secrets.check());
        }
        texts.push(logged.lock().unwrap().clone());
        for text in texts {
            for canary in [&*token, &secret_id, role[1].1, "value"] {
                assert!(!text.replace("\"value\"", "").contains(canary), "{text}");
            }
        }
    });
}
