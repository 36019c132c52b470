//! Only a response in Vault's own form is a denial or a miss. Any other response from its address, of whatever status,
//! is an outage: the last document is used, a secret is never "not found", and nothing is remembered.

use serde_json::{Value, json};
use st_secrets::{GetOptions, Manager, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::bao::Bao;
use crate::common::servers::{bao, set_variables, unique};
use crate::common::{temp, write};
use crate::{alone, at, refreshed};

const HTML: &str = "<html><body>a page</body></html>";

fn json_reply(status: u16, body: &str) -> Fault {
    Reply::new(status).header("Content-Type", "application/json").body(body).into()
}

/// Responses of gateways, portals and unavailable servers.
fn faults() -> Vec<Fault> {
    let spring = r#"{"timestamp":"2026-01-01T00:00:00Z","status":404,"error":"Not Found","path":"/v1/secret"}"#;
    let not_vault = [
        r#"{"message":"no Route matched with those values"}"#,
        "{}",
        "[]",
        r#"{"error":"not found"}"#,
        spring,
        r#"{"errors":null}"#,
        r#"{"errors":"not found"}"#,
        r#"{"errors":[{"code":404,"message":"not found"}]}"#,
        r#"{"data":null}"#,
        r#"{"data":{}}"#,
        r#"{"data":{"metadata":{}}}"#,
        HTML,
        "",
    ];
    let mut faults = Vec::new();
    for status in [404, 403, 400] {
        faults.extend(not_vault.iter().map(|body| json_reply(status, body)));
    }
    for status in [401, 405, 407, 408, 409, 410, 421, 425, 429, 451, 473, 499, 500, 502, 503, 504, 520, 530] {
        faults.push(json_reply(status, HTML));
        faults.push(json_reply(status, r#"{"message":"a gateway says so"}"#));
        faults.push(Fault::vault(status, &["permission denied"]));
    }
    // With status 200 an object in the form of a secret is a secret. None of these has that form.
    faults.extend(not_vault[..8].iter().chain(&[HTML, ""]).map(|body| json_reply(200, body)));
    faults.extend([
        Fault::status(204),
        Fault::vault(503, &["Vault is sealed"]),
        Fault::vault(412, &["required index state not present"]),
        Fault::vault(400, &["Field validation failed"]),
        Fault::vault(404, &["no handler for route \"secret/\". route entry not found."]),
        Fault::vault(404, &["namespace not found"]),
        Fault::status(472),
        Fault::redirect(302, "https://login.example.com/?next=/v1/secret"),
        Fault::redirect(301, "/login"),
        Fault::RedirectForever,
        Reply::new(404).body("x".repeat(100_000)).into(),
        Fault::Garbage,
        Fault::Refuse,
        Fault::ResetAfter,
        Fault::Half,
    ]);
    faults
}

fn reader(proxy: &Proxy, path: &str, more: &[(&str, &str)]) -> Manager {
    let settings = [("vault_token", bao().root()), ("vault_path", path), ("max_attempts", "1"), ("miss_ttl", "0")];
    at(&proxy.url(), &[&settings[..], more].concat())
}

fn described(secrets: &Manager) -> Value {
    let report: Value = serde_json::from_str(&secrets.describe()).unwrap();
    report["providers"][0].clone()
}

fn secret_behind_a_proxy() -> (Proxy, String) {
    let path = unique("app");
    bao().put("secret", &path, &json!({"A": "value"}));
    (Proxy::to(bao().address()), path)
}

#[test]
fn foreign_response_is_an_outage_to_a_warm_reader() {
    alone!(|| {
        let (proxy, path) = secret_behind_a_proxy();
        let secrets = reader(&proxy, &path, &[]);
        assert!(secrets.get("A").is_ok());
        for fault in faults() {
            proxy.always(fault.clone());
            let secret = refreshed(&secrets, "A").unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert_eq!(&**secret.value(), b"value", "{fault:?}");
            let error = refreshed(&secrets, "B").unwrap_err();
            assert_ne!(error.status(), Status::NotFound, "{fault:?}: {error}");
            assert_eq!(described(&secrets)["kv_version"], 2, "{fault:?}");
            proxy.heal();
            let secret = refreshed(&secrets, "A").unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(!secret.is_cached() && !secret.is_stale(), "{fault:?}");
        }
    });
}

#[test]
fn foreign_response_is_an_outage_to_a_cold_reader() {
    alone!(|| {
        let (proxy, path) = secret_behind_a_proxy();
        for version in ["auto", "1", "2"] {
            for fault in faults() {
                let secrets = reader(&proxy, &path, &[("vault_kv_version", version)]);
                proxy.always(fault.clone());
                for refresh in [true, false, true] {
                    let options = GetOptions { refresh, ..GetOptions::default() };
                    let error = secrets.get_with("A", &options).unwrap_err();
                    assert_ne!(error.status(), Status::NotFound, "{version}, {fault:?}: {error}");
                    assert!(!error.message().contains(bao().root()) || bao().root() == "root", "{error}");
                }
                if version == "auto" {
                    assert_eq!(described(&secrets)["kv_version"], Value::Null, "{fault:?}");
                }
                proxy.heal();
                if version != "1" {
                    let secret = refreshed(&secrets, "A").unwrap_or_else(|error| panic!("{fault:?}: {error}"));
                    assert_eq!((&**secret.value(), secret.version()), (&b"value"[..], Some("1")), "{fault:?}");
                }
            }
        }
    });
}

#[test]
fn partial_outage_changes_nothing_that_is_remembered() {
    alone!(|| {
        let (proxy, path) = secret_behind_a_proxy();
        let (mounts, data) = (format!("sys/internal/ui/mounts/secret/{path}"), format!("secret/data/{path}"));
        for fault in faults() {
            for place in [&mounts, &data] {
                let secrets = reader(&proxy, &path, &[]);
                proxy.at(&format!("GET /v1/{place}"), fault.clone());
                // If the server does not have the first path, the secret is read nevertheless.
                match refreshed(&secrets, "A") {
                    Ok(secret) => assert_eq!((&**secret.value(), place), (&b"value"[..], &mounts), "{fault:?}"),
                    Err(error) => assert_ne!(error.status(), Status::NotFound, "{place}, {fault:?}: {error}"),
                }
                proxy.at(&format!("GET /v1/{place}"), Fault::Pass);
                let secret = refreshed(&secrets, "A").unwrap_or_else(|error| panic!("{place}, {fault:?}: {error}"));
                assert_eq!((&**secret.value(), secret.version()), (&b"value"[..], Some("1")), "{place}, {fault:?}");
            }
        }
    });
}

#[test]
fn denial_or_miss_by_vault_ends_the_use_of_the_last_document() {
    alone!(|| {
        let (proxy, path) = secret_behind_a_proxy();
        let decisions = [
            (Fault::vault(403, &["1 error occurred:\n\t* permission denied\n\n"]), Status::AccessDenied),
            (Fault::vault(404, &[]), Status::NotFound),
            (
                json_reply(
                    404,
                    r#"{"data":{"data":null,"metadata":{"version":3,"deletion_time":"","destroyed":true}}}"#,
                ),
                Status::NotFound,
            ),
        ];
        for (decision, status) in decisions {
            let secrets = reader(&proxy, &path, &[]);
            assert!(secrets.get("A").is_ok());
            proxy.always(decision.clone());
            for refresh in [true, false, true] {
                let options = GetOptions { refresh, ..GetOptions::default() };
                let error = secrets.get_with("A", &options).unwrap_err();
                assert_eq!(error.status(), status, "{decision:?}: {error}");
            }
            // It is not used again in an outage.
            proxy.always(Fault::status(503));
            assert_ne!(refreshed(&secrets, "A").unwrap_err().status(), Status::Ok);
            proxy.heal();
            assert!(refreshed(&secrets, "A").is_ok());
        }
    });
}

#[test]
fn denial_is_reported_if_there_is_no_other_token() {
    alone!(|| {
        let (proxy, path) = secret_behind_a_proxy();
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let token = bao().token(&[&policy], "1h");
        let directory = temp();
        let file = write(&directory.path().join("token"), &token);
        let settings = [("vault_path", &*path), ("max_attempts", "1")];
        let of_file = at(&proxy.url(), &[&settings[..], &[("vault_token_file", file.to_str().unwrap())]].concat());
        let (role, secret_id) = bao().approle(&[&policy], "1h");
        let role = [("vault_auth", "approle"), ("vault_role_id", &*role), ("vault_secret_id", &secret_id)];
        let of_role = at(&proxy.url(), &[&settings[..], &role].concat());
        assert!(of_file.get("A").is_ok() && of_role.get("A").is_ok());
        bao().revoke(&token);
        std::fs::remove_file(&file).unwrap();
        proxy.at(&format!("GET /v1/secret/data/{path}"), Fault::vault(403, &["permission denied"]));
        proxy.at("POST /v1/auth/approle/login", Fault::status(503));
        for (secrets, other) in [(of_file, file.to_str().unwrap()), (of_role, "overloaded")] {
            for refresh in [true, false] {
                let options = GetOptions { refresh, ..GetOptions::default() };
                let error = secrets.get_with("A", &options).unwrap_err();
                assert_eq!(error.status(), Status::AccessDenied, "{error}");
                assert!(error.message().contains("no other token is available: "), "{error}");
                assert!(error.message().contains(other), "{error}");
            }
        }
    });
}

#[test]
fn expired_certificate_is_an_outage() {
    alone!(|| {
        let bao = Bao::start_tls();
        bao.put("secret", "simpletuner", &json!({"A": "value"}));
        let host = |url: String| url.trim_start_matches("https://").to_owned();
        let (good, expired) = (host(bao.tls_url()), host(bao.expired_url()));
        let way = Proxy::forward();
        set_variables([("VAULT_PROXY_ADDR", way.url())]);
        let ca = bao.certificate("ca.pem");
        let settings = [("vault_token", bao.root()), ("vault_ca_cert", &*ca), ("max_attempts", "1")];
        let secrets = at(&bao.tls_url(), &settings);
        assert!(secrets.get("A").is_ok());
        way.route(&good, &expired);
        assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
        let error = refreshed(&secrets, "B").unwrap_err();
        assert!(error.message().contains("has expired"), "{error}");
        way.route(&good, &good);
        assert!(!refreshed(&secrets, "A").unwrap().is_cached());
    });
}
