//! What is read, and what the official client reads.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use st_secrets::Status;

use crate::common::proxy::Proxy;
use crate::common::remote::{Shown, alone};
use crate::common::{temp, text, write};
use crate::{Kubernetes, at, read};

#[test]
fn values_are_those_that_the_official_client_reads() {
    alone!(|| {
        let server = Kubernetes::start();
        let secrets = at(&server.url(), &server, &[("kubernetes_secret", "train")]);
        let asked = json!([["ml", "train"], ["ml", "absent"], ["secret-ns", "train"], ["ml", "app=train,odd=1"]]);
        let peer = server.peer("reader", &asked);
        let (values, version) = (peer[0][0].as_object().unwrap(), peer[0][1].as_str().unwrap());
        assert_eq!(values.len(), 3);
        for (key, value) in values {
            let value = STANDARD.decode(value.as_str().unwrap()).unwrap();
            assert_eq!(read(&secrets, key).unwrap(), (value, Some(version.to_owned())), "{key}");
        }
        assert_eq!(peer[1], 404);
        assert_eq!(peer[2], 403);
        assert_eq!(peer[3], json!(["page-1", "page-3"]));
        assert_eq!(server.peer("expired", &json!([["ml", "train"]])), json!([401]));
        assert_eq!(server.peer("stranger", &json!([["ml", "train"]])), json!([403]));

        let error = read(&secrets, "ABSENT").unwrap_err();
        assert_eq!(error.status(), Status::NotFound, "{error}");
        let report: Value = serde_json::from_str(&secrets.check()).unwrap();
        let check = &report["providers"][0];
        assert!(check.to_string().contains("3 keys") && !check.to_string().contains("CANARY"), "{check}");
        assert!(!secrets.describe().contains("CANARY"), "{}", secrets.describe());
    });
}

#[test]
fn first_secret_of_several_supplies_a_key() {
    alone!(|| {
        let server = Kubernetes::start();
        let names = r#"["absent", "empty", "more", "train"]"#;
        let secrets = at(&server.url(), &server, &[("kubernetes_secret", names)]);
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap(), (b"CANARY-other".to_vec(), Some("102".to_owned())));
        assert_eq!(read(&secrets, "NAME").unwrap(), ("Zoë".as_bytes().to_vec(), Some("101".to_owned())));
        let elements = r#"[{"kubernetes_secret": "train", "namespace": "other", "name": "other"},
            {"kubernetes_secret": "more"}]"#;
        let secrets = at(&server.url(), &server, &[("providers", elements)]);
        let secret = secrets.get("HF_TOKEN").unwrap();
        assert_eq!((&secret.value()[..], secret.provider()), (&b"CANARY-elsewhere"[..], "other"));
        assert_eq!(secrets.get("MORE").unwrap().provider(), "kubernetes:more");
    });
}

#[test]
fn selector_reads_all_pages() {
    alone!(|| {
        let server = Kubernetes::start();
        let proxy = Proxy::to(&server.address());
        let secrets = at(&proxy.url(), &server, &[("kubernetes_selector", "app=train")]);
        for number in 0..5 {
            assert_eq!(text(&secrets, &format!("PAGE_{number}")).unwrap(), format!("CANARY-{number}"));
        }
        assert_eq!(proxy.requests().len(), 3, "the server has two Secrets on a page");
        let secrets = at(&server.url(), &server, &[("kubernetes_selector", "app=train,odd=1")]);
        assert!(text(&secrets, "PAGE_1").is_some());
        assert_eq!(read(&secrets, "PAGE_2").unwrap_err().status(), Status::NotFound);
        let secrets = at(&server.url(), &server, &[("kubernetes_selector", "app=none")]);
        assert_eq!(read(&secrets, "PAGE_1").unwrap_err().status(), Status::NotFound);
    });
}

#[test]
fn what_is_denied_names_the_remedy() {
    alone!(|| {
        let server = Kubernetes::start();
        let refused = |user: &str, more: &[(&str, &str)], status: Status, words: &str| {
            let token = server.token_file(user);
            let more = [&[("kubernetes_token_file", token.as_str())], more].concat();
            let error = read(&at(&server.url(), &server, &more), "HF_TOKEN").unwrap_err();
            assert_eq!(error.status(), status, "{error}");
            assert!(error.message().contains(words), "{words:?} in: {error}");
        };
        let train = ("kubernetes_secret", "train");
        refused("expired", &[train], Status::AccessDenied, "has expired");
        refused("stranger", &[train], Status::AccessDenied, "verbs: [\"get\"] in the namespace ml");
        refused("stranger", &[("kubernetes_selector", "a=b")], Status::AccessDenied, "verbs: [\"list\"]");
        refused("reader", &[("kubernetes_secret", "absent")], Status::NotFound, "does not exist");
        refused("reader", &[train, ("kubernetes_namespace", "kube-system")], Status::AccessDenied, "kube-system");
    });
}

#[test]
fn replaced_token_is_used_at_once() {
    alone!(|| {
        let server = Kubernetes::start();
        let directory = temp();
        let token = |user: &str| {
            let text = fs::read_to_string(server.token_file(user)).unwrap();
            write(&directory.path().join("token"), &text)
        };
        let path = token("expired");
        let more = [("kubernetes_secret", "train"), ("kubernetes_token_file", path.to_str().unwrap())];
        let secrets = at(&server.url(), &server, &more);
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap_err().status(), Status::AccessDenied);
        token("reader");
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf");
    });
}

#[test]
fn nothing_is_sent_without_the_name_of_a_secret() {
    alone!(|| {
        let server = Kubernetes::start();
        let proxy = Proxy::to(&server.address());
        let secrets = at(&proxy.url(), &server, &[]);
        assert_eq!(secrets.get("HF_TOKEN").unwrap_err().status(), Status::NotFound);
        secrets.check();
        assert_eq!(proxy.connections(), 0);
    });
}

#[test]
fn no_output_has_a_value_or_a_token() {
    alone!(|| {
        let server = Kubernetes::start();
        let shown = Shown::start();
        for user in ["reader", "stranger", "expired"] {
            let token = server.token_file(user);
            let more = [("kubernetes_secret", "train"), ("kubernetes_token_file", &token)];
            shown.has_no_secret(&at(&server.url(), &server, &more), &["HF_TOKEN", "NONE"], &token);
        }
        shown.log_has("/namespaces/ml/secrets/train");
    });
}
