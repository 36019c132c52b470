//! Secrets at paths, compared with what Infisical's own client reads.

use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::open;
use crate::common::proxy::Proxy;
use crate::common::remote::{alone, check};
use crate::common::servers::infisical::PROJECT;
use crate::common::servers::set_variables;
use crate::{Infisical, at, read, refused};

/// A manager with these elements of `providers`.
fn elements(server: &Infisical, elements: &Value) -> Manager {
    at(&server.url(), server, &[("providers", &elements.to_string())])
}

#[test]
fn unencrypted_network_is_a_warning() {
    alone!(|| {
        // The library takes a name for one of another machine, and the proxy leads it here.
        let server = Infisical::start();
        let proxy = Proxy::forward();
        proxy.route("infisical.example:8080", &server.address());
        set_variables([("HTTP_PROXY", proxy.url())]);
        let secrets = at("http://infisical.example:8080", &server, &[]);
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf");
        let checked = check(&secrets);
        assert_eq!(checked["state"], "warning", "{checked}");
        assert!(checked.to_string().contains("unencrypted"), "{checked}");
    });
}

/// The value and version as the library reads them.
fn expected(theirs: &Value, at: usize) -> (Vec<u8>, Option<String>) {
    (theirs[at].as_str().unwrap().as_bytes().to_vec(), Some(theirs[at + 1].as_str().unwrap().to_owned()))
}

#[test]
fn values_are_those_that_infisicals_client_reads() {
    alone!(|| {
        let server = Infisical::start();
        let theirs =
            server.peer("reader", &json!([["prod", "/"], ["prod", "/", "HF_TOKEN"], ["dev", "/", "HF_TOKEN"]]));
        let all = theirs[0][0].as_array().unwrap();
        assert_eq!(all.len(), 5, "{theirs}");
        let secrets = at(&server.url(), &server, &[]);
        for theirs in all {
            let name = theirs[0].as_str().unwrap();
            assert_eq!(read(&secrets, name).unwrap(), expected(theirs, 1), "{name}");
            let one = elements(&server, &json!([{"infisical_secret": name, "as": "K"}]));
            assert_eq!(read(&one, "K").unwrap(), expected(theirs, 1), "{name}");
        }
        let checked = check(&secrets);
        assert_eq!(checked["state"], "ok", "{checked}");
        assert!(checked.to_string().contains("5 keys") && !checked.to_string().contains("CANARY"), "{checked}");
        assert_eq!(read(&secrets, "URL").unwrap().0, b"https://CANARY-hf@host", "references are expanded");
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap(), expected(&theirs[1], 0));
        let dev = elements(&server, &json!([{"infisical_path": "/", "environment": "dev"}]));
        assert_eq!(read(&dev, "HF_TOKEN").unwrap(), expected(&theirs[2], 0));
        refused(&dev, "NAME", Status::NotFound, &["path \"/\" in project", "environment dev"]);
    });
}

#[test]
fn imports_come_after_own_secrets_and_the_last_one_first() {
    alone!(|| {
        let server = Infisical::start();
        let names = ["HF_TOKEN", "BOTH", "ONLY_A"];
        let asked: Vec<Value> = names.iter().map(|name| json!(["prod", "/train", name])).collect();
        let theirs = server.peer("reader", &json!(asked));
        let secrets = at(&server.url(), &server, &[("infisical_path", "/train/")]);
        for (name, theirs) in names.iter().zip(theirs.as_array().unwrap()) {
            assert_eq!(read(&secrets, name).unwrap(), expected(theirs, 0), "{name}");
        }
        assert_eq!(read(&secrets, "BOTH").unwrap().0, b"CANARY-b");
        // What the client lists has both; its own order says nothing about precedence.
        let listed = server.peer("reader", &json!([["prod", "/train"]]));
        assert_eq!(listed[0][1][0][0], json!(["BOTH", "CANARY-a", "1"]), "{listed}");
    });
}

#[test]
fn value_that_the_server_hides_fails_alone() {
    alone!(|| {
        let server = Infisical::start();
        let secrets = at(&server.url(), &server, &[("infisical_path", "/train")]);
        refused(&secrets, "HIDDEN", Status::AccessDenied, &["hides the value of \"HIDDEN\"", "readValue"]);
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-train");
        assert_eq!(check(&secrets)["state"], "warning");
        let one = elements(&server, &json!([{"infisical_secret": "HIDDEN", "path": "/train"}]));
        refused(&one, "HIDDEN", Status::AccessDenied, &["hides the value"]);
    });
}

#[test]
fn first_path_of_several_supplies_a_key() {
    alone!(|| {
        let server = Infisical::start();
        let paths = r#"["/absent", "/empty", "/train", "/"]"#;
        let secrets = at(&server.url(), &server, &[("infisical_path", paths)]);
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap(), (b"CANARY-train".to_vec(), Some("5".to_owned())));
        assert_eq!(read(&secrets, "EMPTY").unwrap(), (Vec::new(), Some("1".to_owned())));
        refused(&secrets, "NONE", Status::NotFound, &["\"/absent\", \"/empty\", \"/train\", \"/\""]);
    });
}

#[test]
fn what_infisicals_client_cannot_read_is_refused_with_the_reason() {
    alone!(|| {
        let server = Infisical::start();
        let denied = ["PermissionDenied", "a role in the project"];
        for (identity, environment, path, status, theirs, words) in [
            ("reader", "prod", "/absent", Status::NotFound, 404, &["the path does not exist"][..]),
            ("reader", "absent", "/", Status::NotFound, 404, &["the path does not exist"]),
            ("reader", "forbidden", "/", Status::AccessDenied, 403, &denied),
            ("stranger", "prod", "/", Status::AccessDenied, 403, &denied),
        ] {
            let answer = server.peer(identity, &json!([[environment, path]]));
            assert_eq!(answer[0][0], theirs, "{answer}");
            let (id, secret) = (format!("client-{identity}"), server.file(identity));
            let settings = [
                ("infisical_environment", environment),
                ("infisical_path", path),
                ("infisical_client_id", &*id),
                ("infisical_client_secret_file", &*secret),
            ];
            let secrets = at(&server.url(), &server, &settings);
            // A key of a path that does not exist is not found, with the reason in the report.
            let found = check(&secrets).to_string();
            assert!(words.iter().all(|word| found.contains(word)), "{words:?} in: {found}");
            refused(&secrets, "HF_TOKEN", status, &[]);
        }
        let one = elements(&server, &json!([{"infisical_secret": "NONE"}]));
        refused(&one, "NONE", Status::NotFound, &["it does not exist"]);
        let theirs = server.peer("reader", &json!([["prod", "/", "NONE"]]));
        assert_eq!(theirs[0][0], 404);
        let other = json!([{"infisical_path": "/", "project": "another-project"}]);
        refused(&elements(&server, &other), "HF_TOKEN", Status::NotFound, &["the project, the environment or"]);
    });
}

#[test]
fn nothing_is_sent_without_an_environment_or_for_another_key() {
    alone!(|| {
        let server = Infisical::start();
        let proxy = Proxy::to(&server.address());
        let url = proxy.url();
        let settings = [("infisical_url", url.as_str()), ("infisical_project", PROJECT), ("infisical_token", "CANARY")];
        let secrets = open(&[&settings[..], &[("providers", r#"["infisical"]"#)]].concat()).unwrap();
        refused(&secrets, "HF_TOKEN", Status::NotFound, &["infisical (not configured)"]);
        assert_eq!(check(&secrets)["state"], "absent");
        let one = json!([{"infisical_secret": "HF_TOKEN"}]).to_string();
        let error = open(&[&settings[..], &[("providers", one.as_str())]].concat()).err().unwrap();
        assert!(error.message().contains("needs an \"environment\""), "{error}");
        let secrets = at(&proxy.url(), &server, &[("providers", one.as_str())]);
        assert!(secrets.get("OTHER").is_err());
        assert_eq!(proxy.connections(), 0);
        assert!(secrets.get("HF_TOKEN").is_ok());
    });
}
