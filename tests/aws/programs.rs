//! Credentials from a `credential_process`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use st_secrets::{GetOptions, Status};

use crate::common::servers::{moto, unique};
use crate::common::time::{PATIENCE, soon};
use crate::common::{open, text};
use crate::{READ, alone, aws, aws_file, in_seconds, iso, key, logged, refused, secret_alone, secret_and, variable};

/// A profile whose program runs this shell script.
fn program(script: &str) -> String {
    let path = aws_file(&unique("program"), &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    format!("[default]\ncredential_process = '{}' \"an argument\"\n", path.display())
}

#[test]
fn program_prints_credentials() {
    alone!(|| secret_and(&[("USER", moto().user(READ))]), || {
        let user = key("USER");
        let lines = logged();
        let output = json!({"Version": 1, "AccessKeyId": user.id, "SecretAccessKey": user.secret,
                "Expiration": iso(in_seconds(3600))});
        let count = Path::new(&variable("HOME")).join("count");
        let script = format!(
            "[ \"$1\" = 'an argument' ] || exit 3\necho x >>{}\necho a word >&2\necho '{}' >&2\ncat <<'END'\n{output}\nEND",
            count.display(),
            user.secret
        );
        aws_file("config", &program(&script));
        let secrets = aws();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        secrets.refresh(None).unwrap();
        assert_eq!(fs::read_to_string(&count).unwrap(), "x\n", "its credentials are used by the second load");
        let lines = lines.lock().unwrap();
        let size = "a word\n".len() + user.secret.len() + 1;
        assert!(lines.contains(&format!("`credential_process` writes {size} bytes to its standard error")), "{lines}");
        assert!(!lines.contains(&user.secret), "{lines}");
    });
}

#[test]
fn failing_program_is_named_and_its_output_is_not_shown() {
    alone!(secret_alone, || {
        let keys = r#""AccessKeyId": "AKIACANARY", "SecretAccessKey": "CANARY""#;
        let lines = logged();
        for (script, status, words) in [
            ("echo CANARY >&2; exit 7".to_owned(), Status::Unavailable, "failed with exit status: 7"),
            ("kill -9 $$".to_owned(), Status::Unavailable, "signal: 9"),
            ("echo CANARY".to_owned(), Status::Protocol, "is not a JSON object"),
            (format!("echo '{{{keys}}}'"), Status::Protocol, "no `\"Version\": 1`"),
            (format!("echo '{{\"Version\": 2, {keys}}}'"), Status::Protocol, "no `\"Version\": 1`"),
            ("echo '{\"Version\": 1, \"AccessKeyId\": \"CANARY\"}'".to_owned(), Status::Protocol, "lacks"),
            (
                format!("echo '{{\"Version\": 1, \"Expiration\": \"soon\", {keys}}}'"),
                Status::Protocol,
                "must be a time",
            ),
            (
                format!("echo '{{\"Version\": 1, \"Expiration\": \"2020-01-01T00:00:00Z\", {keys}}}'"),
                Status::AccessDenied,
                "have expired",
            ),
            ("yes CANARY".to_owned(), Status::Protocol, "prints more than 65536 bytes"),
            ("yes CANARY >&2".to_owned(), Status::Timeout, "did not end in time, and was killed"),
        ] {
            aws_file("config", &program(&script));
            let timeout = if status == Status::Timeout { "1.5" } else { "120" };
            let secrets = open(&[("providers", r#"["aws"]"#), ("timeout", timeout)]).unwrap();
            let error = secrets.get("A").unwrap_err();
            assert_eq!(error.status(), status, "{script}: {error}");
            assert!(error.message().contains(words) && error.message().contains("profile `default` in "), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        assert!(!lines.lock().unwrap().contains("CANARY"), "{}", lines.lock().unwrap());
        aws_file("config", "[default]\ncredential_process = /no/such/program\n");
        refused(Status::Config, &["cannot start /no/such/program"]);
    });
}

#[test]
fn hanging_program_is_killed_with_its_descendants() {
    alone!(secret_alone, || {
        let file = Path::new(&variable("HOME")).join("pids");
        let hang = format!("sleep 1000 &\necho $$ $! >{}\nwait", file.display());
        let closed = format!("exec >&- 2>&-\n{hang}");
        let talks = format!("yes >&2 &\n{hang}");
        let leaves = hang.replace("sleep", "setsid sleep");
        for script in [hang, closed, talks, leaves] {
            aws_file("config", &program(&script));
            let secrets = open(&[("providers", r#"["aws"]"#)]).unwrap();
            let open_files = fs::read_dir("/proc/self/fd").unwrap().count();
            let _ = fs::remove_file(&file);
            // On a busy machine it may time out before it has started its child.
            for limit in [1, 4, 16, 64].map(Duration::from_secs) {
                let start = Instant::now();
                let error =
                    secrets.get_with("A", &GetOptions { timeout: Some(limit), ..GetOptions::default() }).unwrap_err();
                assert_eq!(error.status(), Status::Timeout, "{error}");
                assert!((limit..limit + PATIENCE).contains(&start.elapsed()), "{:?}", start.elapsed());
                if fs::read_to_string(&file).is_ok_and(|pids| pids.ends_with('\n')) {
                    break;
                }
            }
            for pid in fs::read_to_string(&file).unwrap().split_whitespace() {
                // A grandchild ends after a moment, and another process reaps it.
                let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let killed = || state().is_empty() || state().contains(") Z ");
                soon(killed);
            }
            assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), open_files);
            let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
            assert_eq!(children, "", "no child is left");
        }
    });
}
