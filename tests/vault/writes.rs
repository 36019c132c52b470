//! Writing a key of a secret, with the setting `set_provider`.

use std::thread;

use serde_json::{Value, json};
use st_secrets::{Manager, Source, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{bao, unique};
use crate::common::{open, text};
use crate::{alone, at};

fn writer(url: &str, path: &str, settings: &[(&str, &str)]) -> Manager {
    let common = [("set_provider", "vault"), ("vault_token", bao().root()), ("vault_path", path), ("timeout", "120")];
    at(url, &[&common[..], settings].concat())
}

/// The data and metadata of the current version.
fn current(path: &str) -> Value {
    bao().ask("GET", &format!("secret/data/{path}"), Value::Null)["data"].clone()
}

#[test]
fn written_key_replaces_the_cached_one_and_the_rest_is_kept() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": 1.5, "B": "old", "DEEP": {"x": [1, null]}, "NULL": null}));
        let secrets = writer(&bao().url(), &path, &[]);
        let value = "n\u{e9}w \" \\ \n";
        assert_eq!(text(&secrets, "B").as_deref(), Some("old"));
        secrets.set("B", value.as_bytes()).unwrap();
        let expected = json!({"A": 1.5, "B": value, "DEEP": {"x": [1, null]}, "NULL": null});
        assert_eq!(current(&path)["data"], expected);
        let found = secrets.get("B").unwrap();
        assert_eq!((&**found.value(), found.version()), (value.as_bytes(), Some("2")), "the cached value is replaced");

        secrets.set("C", b"added").unwrap();
        assert!(secrets.delete("A").unwrap() && !secrets.delete("A").unwrap() && !secrets.delete("NULL").unwrap());
        assert_eq!(current(&path)["data"], json!({"B": value, "C": "added", "DEEP": {"x": [1, null]}}));
        assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
        secrets.set("C", b"added").unwrap();
        assert_eq!(current(&path)["metadata"]["version"], 5, "nothing to change");
    });
}

#[test]
fn secret_that_does_not_exist_or_was_deleted_is_created() {
    alone!(|| {
        let path = unique("new");
        let secrets = writer(&bao().url(), &path, &[]);
        assert!(!secrets.delete("A").unwrap());
        secrets.set("A", b"1").unwrap();
        assert_eq!(current(&path)["data"], json!({"A": "1"}));
        bao().delete("secret", &path, &[1]);
        secrets.set("B", b"2").unwrap();
        assert_eq!(text(&secrets, "B").as_deref(), Some("2"));
        let document = current(&path);
        assert_eq!((&document["data"], &document["metadata"]["version"]), (&json!({"B": "2"}), &json!(2)));
    });
}

#[test]
fn secret_of_kv_version_1_is_written() {
    alone!(|| {
        let mount = unique("old");
        bao().mount(&mount, 1);
        let secrets = writer(&bao().url(), "team/app", &[("vault_mount", &mount)]);
        secrets.set("A", b"1").unwrap();
        secrets.set("B", b"2").unwrap();
        assert!(secrets.delete("A").unwrap());
        assert_eq!(bao().ask("GET", &format!("{mount}/team/app"), Value::Null)["data"], json!({"B": "2"}));
        assert_eq!(text(&secrets, "B").as_deref(), Some("2"));
    });
}

#[test]
fn writers_lose_no_change_of_each_other() {
    alone!(|| {
        let path = unique("shared");
        let write = |writer_number: usize| {
            let secrets = writer(&bao().url(), &path, &[]);
            for number in 0..8 {
                let key = format!("KEY_{writer_number}_{number}");
                while let Err(error) = secrets.set(&key, b"x") {
                    assert_eq!(error.status(), Status::Busy, "{error}");
                }
            }
        };
        let write = &write;
        thread::scope(|scope| (0..4).for_each(|number| drop(scope.spawn(move || write(number)))));
        let document = current(&path);
        assert_eq!(document["data"].as_object().unwrap().len(), 32, "{document}");
        assert_eq!(document["metadata"]["version"], 32, "each change is one version");
    });
}

#[test]
fn change_is_made_in_the_version_that_another_client_has_written() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "old"}));
        bao().put("secret", &path, &json!({"A": "of another client"}));
        let proxy = Proxy::to(bao().address());
        let secrets = writer(&proxy.url(), &path, &[("vault_kv_version", "2")]);
        // The first read is from before the other write.
        let metadata = json!({"version": 1, "created_time": "", "deletion_time": "", "destroyed": false});
        let stale = json!({"data": {"data": {"A": "old"}, "metadata": metadata}});
        proxy.next(1, Reply::new(200).body(stale.to_string()));
        secrets.set("B", b"ours").unwrap();
        assert_eq!(current(&path)["data"], json!({"A": "of another client", "B": "ours"}));
        // The response to the write is lost, and the request is sent again.
        proxy.next(1, Fault::Pass);
        proxy.next(1, Fault::ResetAfter);
        assert!(secrets.delete("B").unwrap(), "it was there before the first request");
        let document = current(&path);
        assert_eq!(
            (&document["data"], &document["metadata"]["version"]),
            (&json!({"A": "of another client"}), &json!(4))
        );
    });
}

#[test]
fn refused_write_changes_nothing_and_says_what_to_do() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "1"}));
        let api_path = format!("secret/data/{path}");
        let refused = |secrets: Manager, status: Status, words: &str| {
            let error = secrets.set("A", b"CANARY-CANARY").unwrap_err();
            assert_eq!(error.status(), status, "{error}");
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{words}: {error}");
            assert_eq!(current(&path)["data"], json!({"A": "1"}));
            error
        };
        let policy = bao().policy(&[&api_path], &["read"]);
        let token = bao().token_with(json!({"policies": [policy], "no_default_policy": true}));
        let needed = format!("path \"{api_path}\" {{ capabilities = [\"create\", \"update\"] }}");
        let error = refused(writer(&bao().url(), &path, &[("vault_token", &token)]), Status::AccessDenied, &needed);
        assert_eq!((error.source_provider(), error.detail()), (Source::Vault, 403));
        // If it is not known whether the mount is of version 1 or 2, neither is where to write.
        let proxy = Proxy::to(bao().address());
        proxy.next(1, Reply::new(403).body(r#"{"errors": ["permission denied"]}"#));
        refused(writer(&proxy.url(), &unique("other"), &[]), Status::Config, "set vault_kv_version");
        refused(writer(&bao().url(), &path, &[("vault_mount", "nothing")]), Status::Config, "vault_mount");

        let unlisted = [("providers", r#"["env"]"#), ("set_provider", "vault")];
        refused(open(&unlisted).unwrap(), Status::Config, "which `providers` does not list");
        let unset = [("providers", r#"["vault"]"#), ("set_provider", "vault")];
        refused(open(&unset).unwrap(), Status::Config, "not configured");
        let url = bao().url();
        let no_login = [&unset[..], &[("vault_url", &url)]].concat();
        refused(open(&no_login).unwrap(), Status::Config, "not configured");
    });
}
