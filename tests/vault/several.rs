//! Several secrets as one document, and elements of `providers`.

use base64::Engine;
use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::{bao, peers, set_variables, unique};
use crate::common::{open, text};
use crate::{alone, at, check, refreshed};

/// A manager whose only provider is this element.
fn of_element(url: &str, token: &str, element: &Value, settings: &[(&str, &str)]) -> Manager {
    let providers = json!([element]).to_string();
    open(&[&[("providers", &*providers), ("vault_url", url), ("vault_token", token)], settings].concat()).unwrap()
}

fn describe(secrets: &Manager) -> Value {
    let report: Value = serde_json::from_str(&secrets.describe()).unwrap();
    report["providers"][0].clone()
}

#[test]
fn first_secret_that_has_a_key_supplies_it() {
    alone!(|| {
        let (first, none, last) = (unique("first"), unique("none"), unique("last"));
        bao().put("secret", &first, &json!({"A": "1", "B": "1", "NULL": null}));
        bao().put("secret", &last, &json!({"B": "2", "C": "2"}));
        bao().put("secret", &last, &json!({"B": "3", "C": "3", "NULL": "3"}));
        let proxy = Proxy::to(bao().address());
        let paths = json!([first, none, last]).to_string();
        let secrets = at(&proxy.url(), &[("vault_token", "root"), ("vault_path", &paths)]);
        for (key, value, version) in [("A", "1", "1"), ("B", "1", "1"), ("C", "3", "2"), ("NULL", "3", "2")] {
            let secret = secrets.get(key).unwrap();
            assert_eq!((&**secret.value(), secret.version()), (value.as_bytes(), Some(version)), "{key}");
        }
        let error = secrets.get("D").unwrap_err();
        assert!(error.status() == Status::NotFound && error.message().contains(&last), "{error}");
        // Each is what another client reads.
        let read = |path: &str| json!({"mount": "secret", "path": path, "kv": 2});
        let asked = json!({"vault": {"url": bao().url(), "token": "root", "reads": [read(&first), read(&last)]}});
        let theirs = peers(&asked)["vault"].clone();
        for (at_theirs, key) in [(0, "A"), (0, "B"), (1, "C")] {
            let ours = base64::engine::general_purpose::STANDARD.encode(&**secrets.get(key).unwrap().value());
            assert_eq!(theirs[at_theirs]["values"][key], json!(ours), "{key}");
        }
        // The mount is detected once, and each is read once.
        let requests: Vec<String> = proxy.requests().into_iter().map(|request| request.path).collect();
        let count = |part: &str| requests.iter().filter(|path| path.contains(part)).count();
        assert_eq!((count("sys/internal/ui/mounts"), count("secret/data/")), (1, 3), "{requests:#?}");
        let report = check(&secrets);
        assert_eq!(report["state"], "warning", "{report:#}");
        for part in
            [&format!("secret \"secret/{last}\" is readable, version 2"), &format!("no secret \"secret/{none}\"")]
        {
            assert!(report["detail"].as_str().unwrap().contains(part), "{part}: {report:#}");
        }
        let shown = json!([format!("secret/{first}"), format!("secret/{none}"), format!("secret/{last}")]);
        assert_eq!(describe(&secrets)["secrets"], shown);
        // The same from the environment.
        set_variables([("VAULT_ADDR", proxy.url()), ("VAULT_TOKEN", "root".to_owned())]);
        set_variables([("SIMPLETUNER_VAULT_PATH", paths)]);
        assert_eq!(text(&open(&[("providers", r#"["vault"]"#)]).unwrap(), "C").as_deref(), Some("3"));
    });
}

#[test]
fn secret_that_cannot_be_read_makes_only_later_keys_fail() {
    alone!(|| {
        let (first, denied, last) = (unique("first"), unique("denied"), unique("last"));
        bao().put("secret", &first, &json!({"A": "1"}));
        bao().put("secret", &denied, &json!({"B": "CANARY"}));
        bao().put("secret", &last, &json!({"C": "3"}));
        let policy = bao().policy(&[&format!("secret/data/{first}"), &format!("secret/data/{last}")], &["read"]);
        let token = bao().token(&[&policy], "1h");
        let paths = json!([first, denied, last]).to_string();
        let secrets = at(&bao().url(), &[("vault_token", &token), ("vault_path", &paths)]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        for key in ["B", "C"] {
            let error = secrets.get(key).unwrap_err();
            assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 403), "{error}");
            assert!(error.message().contains(&format!("path \"secret/data/{denied}\" {{ capabilities")), "{error}");
        }
        let report = check(&secrets);
        assert_eq!(report["state"], "warning", "{report:#}");
        assert!(report["detail"].as_str().unwrap().contains("keys that no earlier secret has"), "{report:#}");
        // If the first one is denied, nothing is known.
        let paths = json!([denied, first]).to_string();
        let secrets = at(&bao().url(), &[("vault_token", &token), ("vault_path", &paths)]);
        assert_eq!(secrets.get("A").unwrap_err().status(), Status::AccessDenied);
        assert_eq!(check(&secrets)["state"], "failed");
    });
}

#[test]
fn outage_in_the_middle_keeps_the_last_values() {
    alone!(|| {
        let (first, second) = (unique("first"), unique("second"));
        bao().put("secret", &first, &json!({"A": "1"}));
        bao().put("secret", &second, &json!({"B": "2"}));
        let proxy = Proxy::to(bao().address());
        let paths = json!([first, second]).to_string();
        let settings = [("vault_token", "root"), ("vault_path", &*paths), ("max_attempts", "1"), ("max_backoff", "0")];
        let secrets = at(&proxy.url(), &settings);
        assert_eq!(text(&secrets, "B").as_deref(), Some("2"));
        proxy.at(&format!("GET /v1/secret/data/{second}"), Fault::vault(500, &["CANARY"]));
        assert_eq!(**refreshed(&secrets, "A").unwrap().value(), *b"1");
        let kept = refreshed(&secrets, "B").unwrap();
        assert!(**kept.value() == *b"2" && kept.is_stale(), "{kept:?}");
        let unknown = refreshed(&secrets, "C").unwrap_err();
        assert_eq!((unknown.status(), unknown.is_retryable()), (Status::Unavailable, true), "{unknown}");
        assert!(unknown.message().contains(&format!("path {second}")), "{unknown}");
        proxy.heal();
        let healed = refreshed(&secrets, "B").unwrap();
        assert!(**healed.value() == *b"2" && !healed.is_stale(), "{healed:?}");
    });
}

#[test]
fn element_reads_several_mounts_of_both_versions() {
    alone!(|| {
        let (old, new, path) = (unique("old"), format!("{}/deep", unique("new")), unique("app"));
        bao().mount(&old, 1);
        bao().mount(&new, 2);
        bao().put_v1(&old, &path, &json!({"password": "1", "user": "ann"}));
        bao().put(&new, &path, &json!({"password": "2", "host": "db", "other": "CANARY"}));
        let element = json!({
            "vault_secret": [format!("{old}/{path}"), format!("{new}/{path}")],
            "as": {"password": "DB_PASSWORD", "host": "DB_HOST", "nowhere": "DB_PORT"},
        });
        // The version and the mount of the provider `vault` do not apply.
        let more = [("vault_kv_version", "2"), ("vault_mount", "nowhere")];
        let secrets = of_element(&bao().url(), "root", &element, &more);
        assert_eq!(text(&secrets, "DB_PASSWORD").as_deref(), Some("1"), "{:?}", secrets.get("DB_PASSWORD"));
        let host = secrets.get("DB_HOST").unwrap();
        assert_eq!((&**host.value(), host.version()), (&b"db"[..], Some("1")));
        let name = host.provider().to_owned();
        assert!(name.starts_with("vault:") && name.ends_with(&path[path.len().min(4)..]), "{name}");
        for absent in ["password", "host", "other", "user", "DB_PORT"] {
            assert_eq!(secrets.get(absent).unwrap_err().status(), Status::NotFound, "{absent}");
        }
        assert_eq!(check(&secrets)["state"], "ok", "{:#}", check(&secrets));
        let described = describe(&secrets);
        assert_eq!((&described["as"], &described["name"]), (&element["as"], &json!(name)));
        assert!(!described.to_string().contains("CANARY"));
    });
}

#[test]
fn element_sends_no_request_for_other_keys() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"password": "1"}));
        let proxy = Proxy::to(bao().address());
        let element = json!({"vault_secret": format!("secret/{path}"), "as": {"password": "P"}, "name": "db"});
        let secrets = of_element(&proxy.url(), "root", &element, &[]);
        assert_eq!(secrets.get("OTHER").unwrap_err().status(), Status::NotFound);
        assert!(proxy.requests().is_empty());
        let secret = secrets.get("P").unwrap();
        assert_eq!((&**secret.value(), secret.provider()), (&b"1"[..], "db"));
    });
}

#[test]
fn element_that_is_wrong_says_what_to_do() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "1"}));
        let message = |secret: &str| {
            let secrets = of_element(&bao().url(), "root", &json!({"vault_secret": secret}), &[]);
            secrets.get("A").unwrap_err().message().to_owned()
        };
        let nowhere = message("nowhere/app");
        assert!(nowhere.contains("no secrets engine at \"nowhere\""), "{nowhere}");
        assert!(nowhere.contains("begin \"vault_secret\" with the mount of the KV engine"), "{nowhere}");
        let of_api = message(&format!("secret/data/{path}"));
        assert!(of_api.contains(&format!("without the `data/` of the API, its path is \"{path}\"")), "{of_api}");
        // Without an address, only this provider fails.
        let element = json!([{"vault_secret": "secret/app"}]).to_string();
        let error = open(&[("providers", &element)]).unwrap().get("A").unwrap_err();
        assert_eq!(error.status(), Status::Config, "{error}");
        assert!(error.message().contains("neither vault_url nor VAULT_ADDR is set"), "{error}");
        let twice = json!([{"vault_secret": "secret/app"}, {"vault_secret": "secret/app"}]).to_string();
        let error = open(&[("providers", &twice)]).err().unwrap();
        assert!(error.message().ends_with("twice; give each \"vault_secret\" a \"name\" of its own"), "{error}");
    });
}

#[test]
fn key_is_written_to_the_secret_that_has_it() {
    alone!(|| {
        let (first, second) = (unique("first"), unique("second"));
        bao().put("secret", &first, &json!({"A": "1"}));
        bao().put("secret", &second, &json!({"A": "hidden", "B": "2"}));
        let paths = json!([first, second]).to_string();
        let settings = [("vault_token", "root"), ("vault_path", &*paths), ("set_provider", "vault")];
        let secrets = at(&bao().url(), &settings);
        let data = |path: &str| bao().ask("GET", &format!("secret/data/{path}"), Value::Null)["data"]["data"].clone();
        for (key, value) in [("A", "new"), ("B", "new"), ("C", "added")] {
            secrets.set(key, value.as_bytes()).unwrap();
            assert_eq!(text(&secrets, key).as_deref(), Some(value));
        }
        assert_eq!(data(&first), json!({"A": "new", "C": "added"}));
        assert_eq!(data(&second), json!({"A": "hidden", "B": "new"}));
        assert!(secrets.delete("A").unwrap());
        assert_eq!(text(&secrets, "A").as_deref(), Some("hidden"));
    });
}
