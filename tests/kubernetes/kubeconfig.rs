//! kubeconfig files: every way to log in, and what the official client reads with it.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use st_secrets::{Manager, Source, Status};

use crate::Kubernetes;
use crate::common::proxy::Proxy;
use crate::common::remote::{Shown, alone, check, refused};
use crate::common::servers::set_variables;
use crate::common::{open, temp, write};
use crate::read;

fn with(more: &[(&str, &str)]) -> Manager {
    let own = [("providers", r#"["kubernetes"]"#), ("kubernetes_secret", "train")];
    open(&[&own[..], more].concat()).unwrap()
}

/// A manager of the current context.
fn of(kubeconfig: &str) -> Manager {
    set_variables([("KUBECONFIG", kubeconfig)]);
    with(&[])
}

#[test]
fn every_login_reads_what_the_official_client_reads_with_it() {
    alone!(|| {
        let server = Kubernetes::start();
        let plain = server.peer("reader", &json!([["ml", "train"]]));
        for login in ["token", "token_file", "certificate", "certificate_data", "exec", "exec_beta", "exec_certificate"]
        {
            let kubeconfig = server.kubeconfig(login);
            assert_eq!(server.peer_of(&kubeconfig, &json!([["ml", "train"]])), plain, "{login}");
            let secrets = of(&kubeconfig);
            let (value, version) = read(&secrets, "HF_TOKEN").unwrap_or_else(|error| panic!("{login}: {error}"));
            assert_eq!((&value[..], version.as_deref()), (&b"CANARY-hf"[..], plain[0][1].as_str()), "{login}");
            let described: Value = serde_json::from_str(&secrets.describe()).unwrap();
            let described = &described["providers"][0];
            assert_eq!(described["credentials"], format!("the login of the user {login:?} in {kubeconfig}"));
            assert_eq!(described["namespace"], "ml");
        }
        for (login, status, words) in [("stranger", 403, "give the account a Role"), ("expired", 401, "has expired")] {
            let kubeconfig = server.kubeconfig(login);
            assert_eq!(server.peer_of(&kubeconfig, &json!([["ml", "train"]])), json!([status]));
            let secrets = of(&kubeconfig);
            refused(&secrets, Source::Kubernetes, "HF_TOKEN", Status::AccessDenied, &[words]);
            assert_eq!(check(&secrets)["state"], "failed");
        }
    });
}

#[test]
fn user_acts_as_another_one() {
    alone!(|| {
        let server = Kubernetes::start();
        let directory = temp();
        let path = directory.path().join("config");
        let more = "as-uid: '7'\n    as-groups: [ml, readers]\n    as-user-extra: {example.com/scopes: [view, list]}";
        // The rights are those of the other user, not those of the login.
        for (login, other, is_reader) in [("stranger", "reader", true), ("reader", "stranger", false)] {
            let good = fs::read_to_string(server.kubeconfig(if is_reader { "stranger" } else { "token" })).unwrap();
            let token = format!("token: {}", fs::read_to_string(server.token_file(login)).unwrap().trim());
            write(&path, &good.replace(&token, &format!("{token}\n    as: {other}\n    {more}")));
            let secrets = of(path.to_str().unwrap());
            match is_reader {
                true => assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf"),
                false => refused(&secrets, Source::Kubernetes, "HF_TOKEN", Status::AccessDenied, &["stranger"]),
            }
        }
    });
}

#[test]
fn program_gets_the_whole_cluster() {
    alone!(|| {
        let server = Kubernetes::start();
        let good = fs::read_to_string(server.kubeconfig("exec")).unwrap().replace("by_data", "by_file");
        let path = server.kubeconfig("exec-by-file");
        write(Path::new(&path), &good);
        assert_eq!(read(&of(&path), "HF_TOKEN").unwrap().0, b"CANARY-hf");
        let info: Value = serde_json::from_str(&fs::read_to_string(server.file("exec.runs")).unwrap()).unwrap();
        let cluster = &info["spec"]["cluster"];
        let authority = fs::read(server.file("ca.pem")).unwrap();
        assert_eq!(cluster["certificate-authority-data"], STANDARD.encode(authority));
        assert_eq!(cluster["config"], json!({"audience": "ml"}));
        assert_eq!(cluster.get("insecure-skip-tls-verify"), None);
        write(Path::new(&path), &good.replace("certificate-authority: ca.pem", "insecure-skip-tls-verify: true"));
        assert!(read(&of(&path), "HF_TOKEN").is_ok());
        let runs = fs::read_to_string(server.file("exec.runs")).unwrap();
        let info: Value = serde_json::from_str(runs.lines().last().unwrap()).unwrap();
        assert_eq!(info["spec"]["cluster"]["insecure-skip-tls-verify"], true);
    });
}

#[test]
fn files_are_found_and_merged_in_the_order_of_kubectl() {
    alone!(|| {
        let server = Kubernetes::start();
        let directory = temp();
        // The first file has the current context alone; the others are those of the second one.
        let current = write(&directory.path().join("current"), "current-context: exec\n");
        let paths = [current.to_str().unwrap(), "/nowhere/config", &server.kubeconfig("stranger")].join(":");
        assert_eq!(read(&of(&paths), "HF_TOKEN").unwrap().0, b"CANARY-hf");
        let info: Value = serde_json::from_str(fs::read_to_string(server.file("exec.runs")).unwrap().trim()).unwrap();
        let port = fs::read_to_string(server.file("tls_port")).unwrap();
        assert_eq!(info["spec"]["cluster"]["server"], format!("https://127.0.0.1:{port}"));
        assert_eq!(info["spec"]["interactive"], false);
        // The namespace of the settings and of an element comes before that of the context.
        let elsewhere = with(&[("kubernetes_namespace", "other")]);
        assert_eq!(read(&elsewhere, "HF_TOKEN").unwrap().0, b"CANARY-elsewhere");
        let element = r#"[{"kubernetes_secret": "train", "namespace": "other"}]"#;
        assert_eq!(read(&with(&[("providers", element)]), "HF_TOKEN").unwrap().0, b"CANARY-elsewhere");
        // In a pod, the file in the home directory is not used, but that of the variable is.
        set_variables([("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", "1")]);
        assert!(read(&with(&[]), "HF_TOKEN").is_ok());
        let home = PathBuf::from(std::env::var("HOME").unwrap()).join(".kube");
        fs::create_dir(&home).unwrap();
        fs::copy(server.kubeconfig("token"), home.join("config")).unwrap();
        set_variables([("KUBECONFIG", "")]);
        assert!(read(&with(&[]), "HF_TOKEN").unwrap_err().message().contains("/var/run/secrets/"));
        set_variables([("KUBERNETES_SERVICE_HOST", "")]);
        assert_eq!(read(&with(&[]), "HF_TOKEN").unwrap().0, b"CANARY-hf");
        // A change is seen, and ends a backoff.
        fs::copy(server.kubeconfig("expired"), home.join("config")).unwrap();
        let secrets = with(&[]);
        assert_eq!(secrets.get("HF_TOKEN").unwrap_err().status(), Status::AccessDenied);
        fs::copy(server.kubeconfig("token"), home.join("config")).unwrap();
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf");
        // Settings of a server come before all files.
        let url = server.url();
        let token = server.token_file("reader");
        let own = with(&[("kubernetes_url", &url), ("kubernetes_token_file", &token), ("kubernetes_namespace", "ml")]);
        assert!(read(&own, "HF_TOKEN").is_ok());
        let error =
            open(&[("kubernetes_secret", "a"), ("kubernetes_token_file", "/x"), ("providers", r#"["kubernetes"]"#)]);
        assert!(error.err().unwrap().message().contains("kubernetes_url is not"));
    });
}

#[test]
fn unusable_file_says_what_to_change() {
    alone!(|| {
        let server = Kubernetes::start();
        let good = fs::read_to_string(server.kubeconfig("token")).unwrap();
        let directory = temp();
        let path = directory.path().join("config");
        let token = fs::read_to_string(server.token_file("reader")).unwrap();
        let token = format!("token: {}", token.trim());
        for (contents, words) in [
            ("", "has no current-context; run `kubectl config use-context NAME`"),
            ("[CANARY", "is not valid YAML"),
            ("a: {CANARY: [}", "is not valid YAML, line 1"),
            ("current-context: x\n", "names the context \"x\", which does not exist"),
            (&good.replace("name: token\n", "name: other\n"), "names the context \"token\", which does not exist"),
            (&good.replace("server: https", "was: https"), "has no server"),
            (&good.replace(&token, "token: CANARY x"), "has a token with spaces"),
            (&good.replace(&token, "client-certificate: /x"), "a client certificate or a key, but not both"),
            (&good.replace(&token, "client-certificate-data: CANARY"), "\"client-certificate-data\" that is not PEM"),
            (&good.replace(&token, "auth-provider: {name: gcp}"), "with a password or an auth-provider"),
            (&good.replace(&token, "exec: {apiVersion: v0, command: x}"), "whose apiVersion is not"),
            (
                &good.replace(&token, "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}"),
                "asks for input",
            ),
            (&good.replace(&token, "as-groups: [CANARY]"), "without \"as\""),
            (&good.replace(&token, "{as: a, as-groups: CANARY}"), "\"as-groups\" with a value that is not a list"),
            (&good.replace(&token, "{as: a, as-user-extra: CANARY}"), "\"as-user-extra\" that is not a map"),
            (&good.replace("namespace: ml", "namespace: A_B"), "a namespace that is not a name"),
        ] {
            write(&path, contents);
            let secrets = of(path.to_str().unwrap());
            refused(&secrets, Source::Kubernetes, "HF_TOKEN", Status::Config, &[words, path.to_str().unwrap()]);
            assert!(!secrets.describe().contains("CANARY"), "{}", secrets.describe());
        }
        fs::remove_file(&path).unwrap();
        refused(
            &of(path.to_str().unwrap()),
            Source::Kubernetes,
            "HF_TOKEN",
            Status::Config,
            &["there is no kubeconfig"],
        );
    });
}

#[test]
fn program_that_fails_is_reported_without_what_it_prints() {
    alone!(|| {
        let server = Kubernetes::start();
        let kubeconfig = server.kubeconfig("exec");
        let version = "client.authentication.k8s.io/v1";
        let credential = |status: &str| {
            format!(r#"echo '{{"kind": "ExecCredential", "apiVersion": "{version}", "status": {status}}}'"#)
        };
        for (script, status, words) in [
            ("echo CANARY; echo CANARY >&2; exit 7", Status::Unavailable, "failed with exit status: 7"),
            ("echo CANARY", Status::Protocol, "printed no ExecCredential of the version"),
            (r#"echo '{"kind": "ExecCredential", "apiVersion": "v0"}'"#, Status::Protocol, "printed no ExecCredential"),
            (&credential("{}"), Status::Protocol, "printed neither a token nor a client certificate"),
            (&credential(r#"{"token": "CANARY x"}"#), Status::Protocol, "printed a token with spaces"),
            (&credential(r#"{"clientCertificateData": "CANARY"}"#), Status::Protocol, "printed neither"),
            (
                &credential(r#"{"clientCertificateData": "-----BEGIN CANARY", "clientKeyData": "-----BEGIN CANARY"}"#),
                Status::Config,
                "clientCertificateData of",
            ),
            ("exec sleep 1000", Status::Timeout, "did not end in time, and was killed"),
        ] {
            write(Path::new(&server.file("exec")), &format!("#!/bin/sh\n{script}\n"));
            set_variables([("KUBECONFIG", &kubeconfig)]);
            let secrets = with(&[("timeout", if status == Status::Timeout { "1.5" } else { "60" })]);
            refused(&secrets, Source::Kubernetes, "HF_TOKEN", status, &[words, &server.file("exec")]);
        }
    });
}

#[test]
fn certificate_of_the_server_is_checked() {
    alone!(|| {
        let server = Kubernetes::start();
        let directory = temp();
        let path = directory.path().join("config");
        let good = fs::read_to_string(server.kubeconfig("token")).unwrap();
        let line = good.lines().find(|line| line.contains("certificate-authority-data:")).unwrap();
        let indent = &line[..line.len() - line.trim_start().len()];
        // Long values are on one line or on two.
        let cluster = |change: &str| {
            let mut lines = good.lines().peekable();
            let mut changed = String::new();
            while let Some(line) = lines.next() {
                if line.contains("certificate-authority-data:") {
                    changed.push_str(&format!("{indent}{change}\n"));
                    while lines.peek().is_some_and(|next| !next.contains(':')) {
                        lines.next();
                    }
                } else {
                    changed.push_str(&format!("{line}\n"));
                }
            }
            changed
        };
        write(&path, &cluster("name: none"));
        let words = ["is signed by an authority that is not trusted here"];
        refused(&of(path.to_str().unwrap()), Source::Kubernetes, "HF_TOKEN", Status::AccessDenied, &words);
        write(&path, &cluster("insecure-skip-tls-verify: true"));
        assert!(read(&of(path.to_str().unwrap()), "HF_TOKEN").is_ok());
        write(&path, &cluster(&format!("{}\n{indent}tls-server-name: other.example", line.trim_start())));
        // The value may continue in the next line, which is cut off.
        assert!(read(&of(path.to_str().unwrap()), "HF_TOKEN").is_err());
        let proxy = Proxy::forward();
        let port = fs::read_to_string(server.file("tls_port")).unwrap();
        write(&path, &cluster(&format!("insecure-skip-tls-verify: true\n{indent}proxy-url: {}", proxy.url())));
        assert!(read(&of(path.to_str().unwrap()), "HF_TOKEN").is_ok());
        assert_eq!(proxy.requests()[0].path, format!("127.0.0.1:{port}"));
    });
}

#[test]
fn no_output_has_a_value_or_a_credential() {
    alone!(|| {
        let server = Kubernetes::start();
        let shown = Shown::start();
        for login in ["token", "certificate_data", "exec", "exec_certificate", "stranger", "expired"] {
            let secrets = of(&server.kubeconfig(login));
            shown.has_no_secret(&secrets, &["HF_TOKEN", "NONE"], &format!("the user \\\"{login}\\\" in"));
        }
        shown.log_has("/namespaces/ml/secrets/train");
    });
}
