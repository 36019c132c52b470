//! Addresses with `unix://`: sockets in the file system, of an agent and of the server.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::json;
use st_secrets::Status;

use crate::common::servers::bao::Bao;
use crate::common::servers::{bao, set_variables, unique};
use crate::common::{open, temp, text};
use crate::{alone, at, check, refreshed};

/// The agent's own token reads the secret; ours is not needed.
#[test]
fn socket_of_an_agent_is_used() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let agent = bao().agent(&bao().token(&[&policy], "1h"));
        // A socket is not reached through a proxy.
        set_variables([("VAULT_PROXY_ADDR", "http://127.0.0.1:1"), ("HTTP_PROXY", "http://127.0.0.1:1")]);
        let secrets = at(&agent.url(), &[("vault_auth", "agent"), ("vault_path", &path)]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        let report = check(&secrets);
        assert_eq!(report["state"], "ok", "{report:#}");
        assert!(report["detail"].as_str().unwrap().contains(&agent.url()), "{report:#}");
        set_variables([("VAULT_AGENT_ADDR", agent.url()), ("SIMPLETUNER_VAULT_PATH", path.clone())]);
        let secrets = open(&[("providers", r#"["vault"]"#)]).unwrap();
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        drop(agent);
        assert!(refreshed(&secrets, "A").unwrap().is_stale());
    });
}

#[test]
fn socket_of_a_server_is_used_with_a_token() {
    alone!(|| {
        let bao = Bao::start_socket();
        bao.put("secret", "simpletuner", &json!({"A": "value", "B": "x".repeat(500_000)}));
        set_variables([("VAULT_ADDR", bao.socket_url()), ("VAULT_TOKEN", bao.root().to_owned())]);
        let secrets = open(&[("providers", r#"["vault"]"#), ("set_provider", "vault")]).unwrap();
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        assert_eq!(text(&secrets, "B").map(|value| value.len()), Some(500_000));
        secrets.set("A", b"other").unwrap();
        assert_eq!(**refreshed(&secrets, "A").unwrap().value(), *b"other");
    });
}

#[test]
fn failure_at_a_socket_names_it() {
    alone!(|| {
        let directory = temp();
        let path = directory.path().join("vault.sock");
        let url = format!("unix://{}", path.display());
        let settings = [("vault_token", "CANARY"), ("max_attempts", "1"), ("timeout", "0.5")];
        let failure = |status| {
            let secrets = at(&url, &settings);
            let error = secrets.get("A").unwrap_err();
            assert_eq!(error.status(), status, "{error}");
            assert!(error.message().contains(&url) && !error.message().contains("localhost"), "{error}");
            let report = check(&secrets);
            let advice = report["advice"].as_str().unwrap();
            let option = format!("curl --unix-socket {} http://localhost/v1/sys/health", path.display());
            assert!(advice.contains(&option), "{report:#}");
        };
        failure(Status::Unavailable);
        fs::write(&path, "").unwrap();
        failure(Status::Unavailable);
        fs::remove_file(&path).unwrap();
        // A server that never answers.
        let listener = UnixListener::bind(&path).unwrap();
        failure(Status::Timeout);
        // A response of another server.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
            }
        });
        let error = at(&url, &settings).get("A").unwrap_err();
        assert_eq!(error.status(), Status::Protocol, "{error}");
    });
}
