//! Ways to log in, and the life of tokens.

use std::thread;
use std::time::Duration;

use serde_json::json;
use st_secrets::Status;

use crate::common::servers::{bao, unique};
use crate::common::{temp, text, write};
use crate::{alone, at, check, refreshed};

#[test]
fn an_app_role_logs_in() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (role, secret) = bao().approle(&[&policy], "1h");
        let folder = temp();
        let file = write(&folder.path().join("secret-id"), &format!("{secret}\n"));
        let common = [("vault_auth", "approle"), ("vault_role_id", &role), ("vault_path", &path)];
        for own in [("vault_secret_id", &*secret), ("vault_secret_id_file", file.to_str().unwrap())] {
            let secrets = at(&bao().url(), &[&common[..], &[own]].concat());
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        }
        let secrets = at(&bao().url(), &[&common[..], &[("vault_secret_id", "CANARY")]].concat());
        let error = secrets.get("A").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 400));
        assert!(error.message().contains("the approle login at auth/approle is refused"), "{error}");
        assert!(!error.message().contains("CANARY") && !error.message().contains(&role), "{error}");
        let secrets = at(&bao().url(), &[&common[..], &[("vault_auth_mount", "nowhere")]].concat());
        let error = secrets.get("A").unwrap_err();
        assert!(error.message().contains("vault_auth_mount"), "{error}");
    });
}

#[test]
fn a_jwt_logs_in_and_its_file_is_read_anew() {
    alone!(|| {
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
            let secrets = at(&bao().url(), &settings);
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
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (role, secret) = bao().approle(&[&policy], "3s");
        let secrets = at(
            &bao().url(),
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
    alone!(|| {
        let poor = bao().token(&["default"], "1h");
        let secrets = at(&bao().url(), &[("vault_token", &poor)]);
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
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (first, second) = (bao().token(&[&policy], "1h"), bao().token(&[&policy], "1h"));
        let folder = temp();
        let file = write(&folder.path().join("token"), &first);
        let secrets = at(&bao().url(), &[("vault_token_file", file.to_str().unwrap()), ("vault_path", &path)]);
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
