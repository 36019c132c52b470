//! Items and fields, compared with what 1Password's own client reads.

use std::fs;

use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::Proxy;
use crate::common::remote::{Shown, alone, check};
use crate::common::servers::set_variables;
use crate::common::{open, temp, text, write};
use crate::{DATABASE, OnePassword, at, read, refused};

const TRAIN_ID: &str = "trainvault0000000000000000";
const DATABASE_ID: &str = "databaseprod00000000000000";

/// A manager with these elements of `providers`.
fn elements(server: &OnePassword, elements: &Value) -> Manager {
    at(&server.url(), server, &[("providers", &elements.to_string())])
}

#[test]
fn values_are_those_that_1passwords_client_reads() {
    alone!(|| {
        let server = OnePassword::start();
        let pairs = [("train", DATABASE), (TRAIN_ID, DATABASE_ID), ("train", DATABASE_ID), (TRAIN_ID, DATABASE)];
        let theirs = server.peer("reader", &json!(pairs));
        for ((vault, item), theirs) in pairs.iter().zip(theirs.as_array().unwrap()) {
            let (fields, version) = (theirs[0].as_array().unwrap(), theirs[1].as_str().unwrap());
            assert_eq!((fields.len(), version), (5, "7"), "{theirs}");
            let settings = [("onepassword_vault", *vault), ("onepassword_item", *item)];
            let whole = at(&server.url(), &server, &settings);
            for field in fields {
                let (label, section) = (field[0].as_str().unwrap(), field[2].as_str());
                let spec = section.map_or(label.to_owned(), |section| format!("{section}/{label}"));
                let one = json!([{"onepassword_item": item, "vault": vault, "field": spec, "as": "K"}]);
                let one = elements(&server, &one);
                let Some(value) = field[1].as_str() else {
                    refused(&one, "K", Status::NotFound, &["it has no field \"empty\" with a value"]);
                    refused(&whole, label, Status::NotFound, &[]);
                    continue;
                };
                let expected = (value.as_bytes().to_vec(), Some(version.to_owned()));
                assert_eq!(read(&one, "K").unwrap(), expected, "{spec}");
                if section.is_none() {
                    assert_eq!(read(&whole, label).unwrap(), expected, "{label}");
                }
            }
        }
    });
}

#[test]
fn what_1passwords_client_cannot_read_is_refused_with_the_reason() {
    alone!(|| {
        let server = OnePassword::start();
        let twice = "2 items are named \"twice\"; use the identifier of the item";
        let denied = "give the token access to the vault";
        let rejected = "does not accept the token";
        for (user, vault, item, theirs, status, words) in [
            ("reader", "train", "absent", "Found 0 items", Status::NotFound, "it does not exist"),
            ("reader", "absent", "more", "Found 0 vaults", Status::NotFound, "the vault does not exist, or"),
            ("reader", "zzzzzzzzzzzzzzzzzzzzzzzzzz", "more", "", Status::NotFound, "the vault does not exist, or"),
            ("reader", "train", "twice", "Found 2 items", Status::Config, twice),
            ("reader", TRAIN_ID, "zzzzzzzzzzzzzzzzzzzzzzzzzz", "Found 0 items", Status::NotFound, "it does not exist"),
            ("stranger", TRAIN_ID, "more", "Received 403", Status::AccessDenied, denied),
            ("stranger", "train", "more", "Found 0 vaults", Status::NotFound, "or the token has no access to it"),
            ("revoked", "train", "more", "Received 401", Status::AccessDenied, rejected),
        ] {
            let answer = server.peer(user, &json!([[vault, item]]));
            assert!(answer[0].as_str().unwrap().contains(theirs), "{vault}/{item}: {answer}");
            let token = server.file(user);
            let settings = [("onepassword_vault", vault), ("onepassword_item", item)];
            let secrets = at(&server.url(), &server, &[&settings[..], &[("onepassword_token_file", &token)]].concat());
            refused(&secrets, "HF_TOKEN", status, &[words]);
            let state = if status == Status::NotFound { "warning" } else { "failed" };
            assert_eq!(check(&secrets)["state"], state, "{}", check(&secrets));
        }
        // Archived items are read by no name, though the server returns them.
        let archived = elements(&server, &json!([{"onepassword_item": "archived"}]));
        refused(&archived, "a", Status::NotFound, &["archived"]);
        // A title that has the form of an identifier.
        let titled = elements(&server, &json!([{"onepassword_item": "abcdefghijklmnopqrstuvwxyz"}]));
        assert_eq!(read(&titled, "a").unwrap().0, b"CANARY-title");
        let theirs = server.peer("reader", &json!([["train", "abcdefghijklmnopqrstuvwxyz"], null]));
        let vaults = json!(["ML team", "abcdefghijklmnopqrstuvwxyz", "train"]);
        assert_eq!((&theirs[0][0][0][1], &theirs[1]), (&json!("CANARY-title"), &vaults));
        // The same for a vault, with an item by name and by identifier.
        for item in ["more", "more0000000000000000000000"] {
            let named = elements(&server, &json!([{"onepassword_item": item, "vault": "abcdefghijklmnopqrstuvwxyz"}]));
            assert_eq!(read(&named, "a").unwrap().0, b"CANARY-named", "{item}");
        }
    });
}

#[test]
fn first_item_of_several_supplies_a_key() {
    alone!(|| {
        let server = OnePassword::start();
        let items = json!(["absent", "without fields", "more", DATABASE]).to_string();
        let secrets = at(&server.url(), &server, &[("onepassword_item", &items)]);
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap(), (b"CANARY-other".to_vec(), Some("2".to_owned())));
        assert_eq!(read(&secrets, "password").unwrap(), (b"CANARY-password".to_vec(), Some("7".to_owned())));
        let checked = check(&secrets);
        assert_eq!(checked["state"], "ok", "{checked}");
        assert!(checked.to_string().contains("4 keys") && !checked.to_string().contains("CANARY"), "{checked}");
        let elsewhere = json!([{"onepassword_item": DATABASE, "vault": "ML team", "name": "ml"}, "onepassword"]);
        let secrets =
            at(&server.url(), &server, &[("providers", &elsewhere.to_string()), ("onepassword_item", "more")]);
        let secret = secrets.get("HF_TOKEN").unwrap();
        assert_eq!((&secret.value()[..], secret.provider()), (&b"CANARY-elsewhere"[..], "ml"));
        assert_eq!(secrets.get("MORE").unwrap().provider(), "onepassword");
        let described: Value = serde_json::from_str(&secrets.describe()).unwrap();
        assert_eq!(described["providers"][0]["vault"], "ML team", "{described}");
        assert_eq!(described["providers"][1]["vault"], "train", "{described}");
    });
}

#[test]
fn server_token_and_vault_are_found_in_the_variables_of_1passwords_clients() {
    alone!(|| {
        let server = OnePassword::start();
        let token = fs::read_to_string(server.file("reader")).unwrap();
        set_variables([("OP_CONNECT_HOST", server.url()), ("OP_CONNECT_TOKEN", token.trim().to_owned())]);
        let settings = [("providers", r#"["onepassword"]"#), ("onepassword_item", "more")];
        let secrets = open(&settings).unwrap();
        refused(&secrets, "MORE", Status::Config, &["`onepassword_vault` or OP_VAULT"]);
        set_variables([("OP_VAULT", "train")]);
        assert_eq!(read(&secrets, "MORE").unwrap().0, b"CANARY-more");
        // A variable that cannot be used is an error of the provider alone.
        set_variables([("OP_CONNECT_HOST", "CANARY")]);
        let secrets = open(&[settings[1], ("providers", r#"["env", "onepassword"]"#)]).unwrap();
        refused(&secrets, "MORE", Status::Config, &["the variable OP_CONNECT_HOST is not a valid URL"]);
        set_variables([("OP_CONNECT_HOST", server.url()), ("OP_CONNECT_TOKEN", "CANARY two".to_owned())]);
        refused(&secrets, "MORE", Status::Config, &["the variable OP_CONNECT_TOKEN has spaces"]);
    });
}

#[test]
fn replaced_token_is_used_at_once() {
    alone!(|| {
        let server = OnePassword::start();
        let directory = temp();
        let token =
            |user: &str| write(&directory.path().join("token"), &fs::read_to_string(server.file(user)).unwrap());
        let path = token("revoked");
        let more = [("onepassword_item", DATABASE), ("onepassword_token_file", path.to_str().unwrap())];
        let secrets = at(&server.url(), &server, &more);
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["does not accept the token"]);
        token("reader");
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf");
    });
}

#[test]
fn nothing_is_sent_without_the_name_of_an_item_or_for_another_key() {
    alone!(|| {
        let server = OnePassword::start();
        let proxy = Proxy::to(&server.address());
        let secrets = at(&proxy.url(), &server, &[]);
        refused(&secrets, "HF_TOKEN", Status::NotFound, &["onepassword (not configured)"]);
        assert_eq!(check(&secrets)["state"], "absent");
        let one = json!([{"onepassword_item": DATABASE, "field": "HF_TOKEN"}]).to_string();
        let secrets = at(&proxy.url(), &server, &[("providers", &one)]);
        assert!(secrets.get("OTHER").is_err());
        assert_eq!(proxy.connections(), 0);
        assert!(secrets.get("HF_TOKEN").is_ok());
    });
}

#[test]
fn unencrypted_network_is_a_warning() {
    alone!(|| {
        // The library takes a name for one of another machine, and the proxy leads it here.
        let server = OnePassword::start();
        let proxy = Proxy::forward();
        proxy.route("connect.example:8080", &server.address());
        set_variables([("HTTP_PROXY", proxy.url())]);
        let secrets = at("http://connect.example:8080", &server, &[("onepassword_item", "more")]);
        assert_eq!(text(&secrets, "MORE").as_deref(), Some("CANARY-more"));
        let checked = check(&secrets);
        assert_eq!(checked["state"], "warning", "{checked}");
        assert!(checked.to_string().contains("unencrypted"), "{checked}");
    });
}

#[test]
fn no_output_has_a_value_or_a_token() {
    alone!(|| {
        let server = OnePassword::start();
        let shown = Shown::start();
        let token = fs::read_to_string(server.file("reader")).unwrap();
        let settings = [("providers", r#"["onepassword"]"#), ("onepassword_item", DATABASE)];
        let more =
            [("onepassword_url", &*server.url()), ("onepassword_vault", "train"), ("onepassword_token", token.trim())];
        let secrets = open(&[&settings[..], &more].concat()).unwrap();
        shown.has_no_secret(&secrets, &["HF_TOKEN", "NONE"], "onepassword_token");
        shown.log_has("/v1/vaults/");
    });
}
