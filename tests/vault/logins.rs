//! Logins with a password (`userpass`, `ldap`) and with a client certificate (`cert`).

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use st_secrets::Status;

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::bao::Bao;
use crate::common::servers::{bao, set_variables, unique};
use crate::common::time::advance;
use crate::common::{open, temp, text, write};
use crate::{alone, at, check, refreshed};

/// A password with what could be escaped wrongly in JSON or trimmed.
const PASSWORD: &str = "CANARY \"é\\ %2f";

/// A secret, and a policy to read it.
fn secret_and_policy(bao: &Bao) -> (String, String) {
    let path = unique("app");
    bao.put("secret", &path, &json!({"A": "value"}));
    let policy = bao.policy(&[&format!("secret/data/{path}")], &["read"]);
    (path, policy)
}

/// A user of the method `userpass` at this mount.
fn user_with_password(mount: &str, user: &str, policy: &str) {
    bao().auth("userpass", mount);
    let settings = json!({"password": PASSWORD, "token_policies": [policy], "token_ttl": "1h"});
    bao().ask("POST", &format!("auth/{mount}/users/{user}"), settings);
}

/// The paths of the logins that were sent.
fn logins(proxy: &Proxy) -> Vec<String> {
    let paths = proxy.requests().into_iter().map(|request| request.path);
    paths.filter(|path| path.contains("/login")).collect()
}

/// Asserts that logins with this method and these settings read the secret, whatever way the password is given.
fn assert_logs_in(method: &str, mount: &str, user: &str, path: &str) {
    let directory = temp();
    let file = write(&directory.path().join("password"), &format!("{PASSWORD}\n"));
    let common = [("vault_auth", method), ("vault_auth_mount", mount), ("vault_username", user), ("vault_path", path)];
    for own in [("vault_password", PASSWORD), ("vault_password_file", file.to_str().unwrap())] {
        let secrets = at(&bao().url(), &[&common[..], &[own]].concat());
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        // The next login, after the token has expired.
        advance(Duration::from_secs(3601));
        assert!(refreshed(&secrets, "A").is_ok());
    }
    let proxy = Proxy::to(bao().address());
    for own in [("vault_password", "CANARY-bad"), ("vault_password_file", file.to_str().unwrap())] {
        write(&file, "CANARY-worse");
        let secrets = at(&proxy.url(), &[&common[..], &[own, ("max_backoff", "0.01")]].concat());
        for _ in 0..20 {
            let error = refreshed(&secrets, "A").unwrap_err();
            assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 400), "{error}");
            let named = if own.0 == "vault_password" { own.0 } else { own.1 };
            for part in [&format!("the {method} login at auth/{mount} was rejected"), "vault_username", named] {
                assert!(error.message().contains(part), "{part}: {error}");
            }
            assert!(error.message().contains("would lock the user"), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        assert_eq!(check(&secrets)["state"], "failed");
    }
    // Each password was sent once, so no user is locked.
    assert_eq!(logins(&proxy), [format!("/v1/auth/{mount}/login/{user}"), format!("/v1/auth/{mount}/login/{user}")]);
    let locked = bao().ask("GET", "sys/locked-users", Value::Null);
    assert!(!locked.to_string().contains(user), "{locked:#}");
    write(&file, PASSWORD);
    let secrets = at(&proxy.url(), &[&common[..], &[("vault_password_file", file.to_str().unwrap())]].concat());
    assert!(refreshed(&secrets, "A").is_ok());
}

#[test]
fn user_logs_in_with_a_password() {
    alone!(|| {
        let (path, policy) = secret_and_policy(bao());
        let (mount, user) = (unique("userpass"), "some.one");
        user_with_password(&mount, user, &policy);
        assert_logs_in("userpass", &mount, user, &path);
    });
}

/// OpenBao has no method `ldap` of its own. Its request is that of `userpass`, which therefore answers it here.
#[test]
fn user_of_an_ldap_server_logs_in() {
    alone!(|| {
        let (path, policy) = secret_and_policy(bao());
        let (mount, user) = (unique("ldap"), "some.one");
        user_with_password(&mount, user, &policy);
        assert_logs_in("ldap", &mount, user, &path);
        // A server that cannot reach the LDAP server reports it like a rejected login. It is an outage, which the next
        // attempt ends.
        let proxy = Proxy::to(bao().address());
        let messages = [
            "error connecting to host \"ldap://ldap:389\": LDAP Result Code 200 \"Network Error\": EOF",
            "LDAP Result Code 200 \"Network Error\": dial tcp 127.0.0.1:389: connect: connection refused",
        ];
        for message in messages {
            let login = [("vault_auth", "ldap"), ("vault_auth_mount", &*mount), ("vault_username", user)];
            let more = [("vault_password", PASSWORD), ("vault_path", &*path), ("vault_kv_version", "2")];
            let secrets = at(&proxy.url(), &[&login[..], &more].concat());
            proxy.next(1, Fault::vault(400, &[message]));
            let error = refreshed(&secrets, "A").unwrap_err();
            assert_eq!((error.status(), error.is_retryable()), (Status::Unavailable, true), "{error}");
            assert!(error.message().contains("LDAP server") && !error.message().contains("CANARY"), "{error}");
            assert!(refreshed(&secrets, "A").is_ok());
        }
    });
}

#[test]
fn client_certificate_logs_in() {
    alone!(|| {
        let bao = Bao::start_tls();
        let (path, policy) = secret_and_policy(&bao);
        bao.auth("cert", "cert");
        let ca = fs::read_to_string(bao.certificate("ca.pem")).unwrap();
        let role = json!({"certificate": ca, "allowed_common_names": ["client"], "token_policies": [policy]});
        bao.ask("POST", "auth/cert/certs/training", role);
        let other = json!({"certificate": ca, "allowed_common_names": ["other-name"], "token_policies": ["default"]});
        bao.ask("POST", "auth/cert/certs/other", other);
        let (ca, chain, key) =
            (bao.certificate("ca.pem"), bao.certificate("client.pem"), bao.certificate("client.key"));
        let common = [("vault_auth", "cert"), ("vault_ca_cert", &*ca), ("vault_path", &*path)];
        let pair = [("vault_client_cert", &*chain), ("vault_client_key", &*key)];
        for role in [&[][..], &[("vault_role", "training")]] {
            let secrets = at(&bao.tls_url(), &[&common[..], &pair, role].concat());
            assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        }
        let secrets = at(&bao.tls_url(), &[&common[..], &pair, &[("vault_role", "other")]].concat());
        let error = secrets.get("A").unwrap_err();
        assert_eq!(error.status(), Status::AccessDenied, "{error}");
        for part in ["the cert login at auth/cert was rejected", "vault_role", &chain] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        // A certificate that replaces a rejected one is sent at once.
        let directory = temp();
        let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (own_chain, own_key) = (place("own.pem"), place("own.key"));
        let use_pair = |name: &str| {
            for (file, end) in [(&own_key, "key"), (&own_chain, "pem")] {
                fs::copy(bao.certificate(&format!("{name}.{end}")), file).unwrap();
            }
        };
        use_pair("stranger");
        let own = [("vault_client_cert", &*own_chain), ("vault_client_key", &*own_key)];
        let secrets = at(&bao.tls_url(), &[&common[..], &own].concat());
        let error = secrets.get("A").unwrap_err();
        assert!(error.status() == Status::AccessDenied && error.message().contains(&own_chain), "{error}");
        use_pair("client");
        assert_eq!(**refreshed(&secrets, "A").unwrap().value(), *b"value");
        // The variables of the tools.
        set_variables([("VAULT_CLIENT_CERT", chain), ("VAULT_CLIENT_KEY", key)]);
        let secrets = at(&bao.tls_url(), &common);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
    });
}

#[test]
fn login_that_lacks_a_setting_names_it() {
    alone!(|| {
        let refused = |settings: &[(&str, &str)]| {
            let url = ("vault_url", "https://127.0.0.1:1");
            let error = open(&[&[("providers", r#"["vault"]"#), url], settings].concat()).err().unwrap();
            assert_eq!(error.status(), Status::Config);
            assert!(!error.message().contains("CANARY"), "{error}");
            error.message().to_owned()
        };
        for method in ["userpass", "ldap"] {
            let auth = ("vault_auth", method);
            assert!(refused(&[auth]).contains("also needs vault_username"));
            assert!(refused(&[auth, ("vault_username", "u")]).contains("vault_password or vault_password_file"));
            let both = [auth, ("vault_username", "u"), ("vault_password", "CANARY"), ("vault_password_file", "/p")];
            assert!(refused(&both).contains("not both"));
            for user in ["..", ".", "a/b"] {
                let given = [auth, ("vault_username", user), ("vault_password", "CANARY")];
                assert!(refused(&given).contains("`vault_username` must be the name of a user"));
            }
        }
        assert!(refused(&[("vault_password", "CANARY")]).contains("vault_auth, the login method, is not"));
        let cert = ("vault_auth", "cert");
        assert!(refused(&[cert]).contains("also needs vault_client_cert and vault_client_key"));
        assert!(refused(&[cert, ("vault_client_cert", "/c")]).contains("vault_client_key"));
        let plain =
            [cert, ("vault_client_cert", "/c"), ("vault_client_key", "/k"), ("vault_url", "http://127.0.0.1:1")];
        assert!(refused(&plain).contains("`vault_url` must begin with https://"));
    });
}
