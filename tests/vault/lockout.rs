//! Rejected logins are not repeated with the same credentials, so that no role is locked.

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use st_secrets::{Error, GetOptions, Manager, Status};

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::{bao, peers, unique};
use crate::common::time::advance;
use crate::common::{temp, text, write};
use crate::{alone, at, check, refreshed};

/// A secret, a role that may read it, and its secret ID.
struct Role {
    path: String,
    id: String,
    secret_id: String,
}

impl Role {
    fn new() -> Role {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (id, secret_id) = bao().approle(&[&policy], "1h");
        Role { path, id, secret_id }
    }

    fn at(&self, proxy: &Proxy, more: &[(&str, &str)]) -> Manager {
        let settings = [("vault_auth", "approle"), ("vault_role_id", &*self.id), ("vault_path", &self.path)];
        at(&proxy.url(), &[&settings[..], &[("vault_kv_version", "2")], more].concat())
    }

    /// Asserts that another process can log in, and that no role is locked.
    fn assert_not_locked(&self) {
        let locked = bao().ask("GET", "sys/locked-users", Value::Null);
        assert!(!locked.to_string().contains(&self.id), "{locked:#}");
        let login = json!({"role_id": self.id, "secret_id": self.secret_id});
        let (status, answer) = bao().call("POST", "auth/approle/login", &login, "");
        assert_eq!(status, 200, "{answer}");
        let token = answer["auth"]["client_token"].clone();
        let reads = json!([{"mount": "secret", "path": self.path, "kv": 2}]);
        let theirs = peers(&json!({"vault": {"url": bao().url(), "token": token, "reads": reads}}));
        assert!(theirs["vault"][0]["values"]["A"].is_string(), "{theirs}");
    }
}

fn logins(proxy: &Proxy) -> usize {
    proxy.requests().iter().filter(|request| request.path.ends_with("/login")).count()
}

/// Reads more often than a server needs to lock the role. The source has hardly any back-off.
fn read_on(secrets: &Manager) -> Error {
    for round in 0..60 {
        let error =
            secrets.get_with("A", &GetOptions { refresh: round % 3 == 0, ..GetOptions::default() }).unwrap_err();
        assert_eq!(error.status(), Status::AccessDenied, "{error}");
        thread::sleep(Duration::from_millis(25));
    }
    refreshed(secrets, "A").unwrap_err()
}

/// Waits until a get without a refresh succeeds.
fn eventually(secrets: &Manager) {
    let end = Instant::now() + Duration::from_secs(60);
    while let Err(error) = secrets.get("A") {
        assert!(Instant::now() < end, "{error}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Fails until the back-off of the source is hours long.
fn exhaust(secrets: &Manager) {
    for _ in 0..14 {
        assert!(refreshed(secrets, "A").is_err());
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    write(&new, text);
    fs::rename(new, path).unwrap();
}

#[test]
fn rejected_login_is_not_repeated_and_locks_no_role() {
    alone!(|| {
        let (role, proxy) = (Role::new(), Proxy::to(bao().address()));
        let directory = temp();
        let file = write(&directory.path().join("secret-id"), "CANARY-of-a-file");
        let ways = [("vault_secret_id", "CANARY"), ("vault_secret_id_file", file.to_str().unwrap())];
        for way in ways {
            let (began, before) = (Instant::now(), logins(&proxy));
            let error = read_on(&role.at(&proxy, &[way, ("max_backoff", "0.01")]));
            assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 400));
            for part in ["the approle login at auth/approle was rejected", "user_lockout", "sys/locked-users", "for 1"]
            {
                assert!(error.message().contains(part), "{part}: {error}");
            }
            assert!(!error.message().contains("CANARY") && !error.message().contains(&role.id), "{error}");
            // Neither does another manager of the process, or a check.
            for _ in 0..5 {
                let other = role.at(&proxy, &[way]);
                assert_eq!(other.get("A").unwrap_err().status(), Status::AccessDenied);
                assert_eq!(check(&other)["state"], "failed");
            }
            // After a minute a refresh may send it once more.
            let most = if began.elapsed() < Duration::from_secs(59) { 1 } else { 2 };
            assert!((1..=most).contains(&(logins(&proxy) - before)), "{}", logins(&proxy) - before);
        }
        role.assert_not_locked();
        let good = role.at(&proxy, &[("vault_secret_id", &role.secret_id)]);
        assert_eq!(text(&good, "A").as_deref(), Some("value"), "{:?}", good.get("A"));
    });
}

#[test]
fn concurrent_managers_do_not_lock_a_role() {
    alone!(|| {
        let (role, proxy) = (Role::new(), Proxy::to(bao().address()));
        let managers: Vec<Manager> = (0..8).map(|_| role.at(&proxy, &[("vault_secret_id", "bad")])).collect();
        let start = Barrier::new(managers.len());
        thread::scope(|scope| {
            for secrets in &managers {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(secrets.get("A").unwrap_err().status(), Status::AccessDenied);
                });
            }
        });
        assert_eq!(logins(&proxy), 1);
        role.assert_not_locked();
    });
}

#[test]
fn new_secret_id_in_the_file_logs_in_at_once() {
    alone!(|| {
        let (role, proxy) = (Role::new(), Proxy::to(bao().address()));
        let directory = temp();
        let file = write(&directory.path().join("secret-id"), "bad");
        let settings = [("vault_secret_id_file", file.to_str().unwrap()), ("max_backoff", "36000")];
        let secrets = role.at(&proxy, &settings);
        exhaust(&secrets);
        assert_eq!(logins(&proxy), 1);
        replace(&file, &role.secret_id);
        eventually(&secrets);
        assert_eq!(logins(&proxy), 2);
        role.assert_not_locked();
    });
}

#[test]
fn role_is_not_locked_by_several_bad_secret_ids() {
    alone!(|| {
        let (role, proxy) = (Role::new(), Proxy::to(bao().address()));
        let directory = temp();
        let file = write(&directory.path().join("secret-id"), "bad");
        let secrets = role.at(&proxy, &[("vault_secret_id_file", file.to_str().unwrap())]);
        for number in 0..8 {
            replace(&file, &format!("bad-{number}"));
            assert_eq!(refreshed(&secrets, "A").unwrap_err().status(), Status::AccessDenied);
        }
        assert_eq!(logins(&proxy), 4);
        role.assert_not_locked();
    });
}

#[test]
fn credentials_blocked_because_of_others_of_the_role_are_not_denied() {
    alone!(|| {
        let mut role = Role::new();
        let policy = bao().policy(&[&format!("secret/data/{}", role.path)], &["read"]);
        (role.id, role.secret_id) = bao().approle(&[&policy], "60s");
        let proxy = Proxy::to(bao().address());
        let secrets = role.at(&proxy, &[("vault_secret_id", &role.secret_id)]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        for number in 0..4 {
            let bad = role.at(&proxy, &[("vault_secret_id", &format!("bad-{number}"))]);
            assert_eq!(bad.get("A").unwrap_err().status(), Status::AccessDenied);
        }
        advance(Duration::from_secs(61));
        let before = logins(&proxy);
        let secret = refreshed(&secrets, "A").unwrap_or_else(|error| panic!("{error}"));
        assert!(secret.is_stale() && logins(&proxy) == before);
    });
}

#[test]
fn rejected_jwt_is_not_repeated_and_a_new_one_logs_in_at_once() {
    alone!(|| {
        let (role, proxy) = (Role::new(), Proxy::to(bao().address()));
        let policy = bao().policy(&[&format!("secret/data/{}", role.path)], &["read"]);
        let mount = unique("jwt");
        let (name, issuer) = bao().jwt(&mount, &[&policy], "1h");
        let directory = temp();
        let file = write(&directory.path().join("jwt"), "CANARY.CANARY.CANARY");
        let settings = [
            ("vault_auth", "jwt"),
            ("vault_auth_mount", &*mount),
            ("vault_role", &name),
            ("vault_jwt_file", file.to_str().unwrap()),
            ("vault_path", &role.path),
            ("max_backoff", "36000"),
        ];
        let secrets = at(&proxy.url(), &settings);
        exhaust(&secrets);
        assert_eq!(logins(&proxy), 1);
        replace(&file, &issuer.token(60));
        eventually(&secrets);
        assert_eq!(logins(&proxy), 2);
        // A server that cannot reach the issuer reports it like a rejected login.
        let other = at(&proxy.url(), &settings);
        proxy.next(1, Fault::vault(400, &["error verifying token signature: fetching keys oidc: dial tcp: timeout"]));
        let error = refreshed(&other, "A").unwrap_err();
        assert_eq!((error.status(), error.is_retryable()), (Status::Unavailable, true), "{error}");
        assert!(refreshed(&other, "A").is_ok());
    });
}

#[test]
fn login_with_a_foreign_response_is_repeated() {
    alone!(|| {
        let (role, proxy) = (Role::new(), Proxy::to(bao().address()));
        let secrets = role.at(&proxy, &[("vault_secret_id", &role.secret_id), ("max_attempts", "1")]);
        for status in [400, 401, 403, 404, 429, 500, 503] {
            proxy.next(1, Fault::status(status));
            assert!(refreshed(&secrets, "A").is_err());
        }
        assert!(refreshed(&secrets, "A").is_ok());
    });
}

#[test]
fn new_token_in_the_file_ends_the_back_off() {
    alone!(|| {
        let (role, proxy) = (Role::new(), Proxy::to(bao().address()));
        let policy = bao().policy(&[&format!("secret/data/{}", role.path)], &["read"]);
        let directory = temp();
        let file = write(&directory.path().join("token"), "bad");
        let settings = [
            ("vault_token_file", file.to_str().unwrap()),
            ("vault_path", &role.path),
            ("vault_kv_version", "2"),
            ("max_backoff", "36000"),
        ];
        let secrets = at(&proxy.url(), &settings);
        exhaust(&secrets);
        replace(&file, &bao().token(&[&policy], "1h"));
        eventually(&secrets);
    });
}
