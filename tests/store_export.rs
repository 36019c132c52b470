//! Statistics and export of the audit trail, as text and to a webhook.

mod common;

use common::servers::process::Process;
use common::servers::{Tls, python};
use common::simpletuner::{Simpletuner, fill};
use common::store::{entries, open};
use common::temp;
use serde_json::{Value, json};
use st_secrets::store::{Actor, AuditFormat};
use st_secrets::{Status, Store};

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn stats_have_simpletuners_members() {
    let directory = temp();
    let store = open(directory.path());
    let empty = json!({"total_entries": 0, "by_type": {}, "last_24h": 0, "first_entry": null, "last_entry": null});
    assert_eq!(parsed(&store.audit_stats().unwrap()), empty);
    assert!(!directory.path().join("audit.db").exists());
    for event in ["user.login", "job.submitted", "config.changed", "job.submitted", "\u{e9}\"quoted\""] {
        store.audit_log(event, "test", None, "").unwrap();
    }
    let mut other = Simpletuner::of(directory.path());
    other.append_at(Some("2025-01-01T00:00:00+00:00"));
    let trail = entries(&store);
    let text = store.audit_stats().unwrap();
    let expected = json!({
        "total_entries": 6,
        "by_type": {
            "job.submitted": 2, "config.changed": 1, "user.login": 1, "user.updated": 1, "\u{e9}\"quoted\"": 1,
        },
        "last_24h": 5,
        "first_entry": "2025-01-01T00:00:00+00:00",
        "last_entry": trail[4]["timestamp"],
    });
    assert_eq!(parsed(&text), expected);
    assert!(text.contains(r#""by_type":{"job.submitted":2,"config.changed":1,"#), "{text}");
}

#[test]
fn event_types_are_those_of_simpletuner() {
    let all = parsed(&Store::audit_event_types());
    assert_eq!(all.as_array().unwrap().len(), 27);
    let directory = temp();
    let store = open(directory.path());
    for event in all.as_array().unwrap() {
        store.audit_log(event["value"].as_str().unwrap(), "test", None, "").unwrap();
    }
    let stats = parsed(&store.audit_stats().unwrap());
    assert_eq!(stats["by_type"].as_object().unwrap().len(), 27);
}

#[test]
fn dates_and_times_select_what_they_select_in_simpletuner() {
    let directory = temp();
    let store = fill(directory.path(), 1);
    let mut other = Simpletuner::of(directory.path());
    for time in [
        "2026-08-21T23:59:59.999999+00:00",
        "2026-08-22T00:00:00.000001+00:00",
        "2026-08-22T09:59:59.999999+00:00",
        "2026-08-22T10:00:00.500000+00:00",
        "2026-08-22T10:00:01.000001+00:00",
        "2026-08-22T23:59:59.999999+00:00",
        "2026-08-23T00:00:00.000001+00:00",
    ] {
        other.append_at(Some(time));
    }
    let ids = |filter: &Value| -> Value {
        let found = parsed(&store.audit_query(&filter.to_string()).unwrap());
        found.as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect()
    };
    for time in [
        "2026-08-22",
        "2026-08-23",
        "2026-08-22T10:00:00",
        "2026-08-22T10:00:01",
        "2026-08-22T10:00:00.400000",
        "2026-08-22T10:00:00.500000+00:00",
        "2026-08-22T10:00:01.000001+00:00",
        "1999-01-01",
    ] {
        for filter in [json!({"since": time}), json!({"until": time}), json!({"since": time, "until": "2026-08-23"})] {
            let mut request = filter.clone();
            request["do"] = json!("ids");
            assert_eq!(json!({"ids": ids(&filter)}), other.ask(request), "{filter}");
        }
    }
    // With an offset, the point in time counts; SimpleTuner compares the digits.
    assert_eq!(ids(&json!({"since": "2026-08-22T12:00:00+02:00", "until": "2026-08-22T12:00:01+02:00"})), json!([5]));
    assert_eq!(ids(&json!({"since": "2026-08-22 10:00", "until": "2026-08-22T10:00:01Z"})), json!([5]));
}

#[test]
fn export_continues_after_an_entry() {
    let directory = temp();
    let store = open(directory.path());
    assert_eq!(store.audit_export("", AuditFormat::JsonLines).unwrap().last_id, 0);
    fill(directory.path(), 5);
    let (mut lines, mut after) = (Vec::new(), 0);
    loop {
        let filter = json!({"after_id": after, "limit": 2}).to_string();
        let part = store.audit_export(&filter, AuditFormat::JsonLines).unwrap();
        if part.last_id == 0 {
            assert!(part.text.is_empty());
            break;
        }
        after = part.last_id;
        lines.extend(part.text.lines().map(parsed));
    }
    assert_eq!(lines, entries(&store));
}

#[test]
fn csv_is_read_by_pythons_module() {
    let directory = temp();
    let store = open(directory.path());
    let actor = Actor { user_id: Some(-3), username: Some("=HYPERLINK(\"x\")".into()), ip: Some("::1".into()) };
    let details = r#"{"text": "a, \"b\"\nc"}"#;
    store.as_actor(actor).unwrap().audit_log("user.login", "a,b", Some(("user", "+A1")), details).unwrap();
    store.audit_log("user.logout", "plain", None, "").unwrap();
    let export = store.audit_export("", AuditFormat::Csv).unwrap();
    assert!(export.last_id == 2 && export.text.ends_with("\r\n"), "{export:?}");
    let script =
        "import csv, io, json, sys; print(json.dumps(list(csv.DictReader(io.StringIO(sys.argv[1], newline='')))))";
    let output = python().args(["-c", script, &export.text]).output().unwrap();
    let rows = parsed(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(rows.as_array().unwrap().len(), 2, "{}", String::from_utf8_lossy(&output.stderr));
    let first = &rows[0];
    assert_eq!((&first["id"], &first["actor_id"], &first["actor_ip"]), (&json!("1"), &json!("-3"), &json!("::1")));
    assert_eq!((&first["actor_username"], &first["target_id"]), (&json!("'=HYPERLINK(\"x\")"), &json!("'+A1")));
    assert_eq!((&first["action"], &rows[1]["actor_id"]), (&json!("a,b"), &json!("")));
    assert_eq!(parsed(first["details"].as_str().unwrap()), parsed(details));
    let rest = store.audit_export(r#"{"after_id": 1}"#, AuditFormat::Csv).unwrap();
    assert!(rest.text.starts_with("2,") && rest.text.lines().count() == 1, "{}", rest.text);
}

/// A webhook that answers the first requests with these statuses, and its TLS.
struct Webhook {
    server: Process,
    tls: Tls,
    _directory: tempfile::TempDir,
}

impl Webhook {
    fn start(statuses: &[u16]) -> Webhook {
        let directory = temp();
        let mut command = python();
        command.arg("tests/python/webhook.py").args(statuses.iter().map(u16::to_string));
        let mut server = Process::start(command, &directory.path().join("webhook.log"));
        assert!(server.wait(|log| log.contains('.')), "{}", server.log());
        let log = server.log();
        let port = log.trim().trim_start_matches("port ").trim_end_matches('.').to_owned();
        Webhook { tls: Tls::to(&format!("127.0.0.1:{port}"), &[]), server, _directory: directory }
    }

    /// Settings with this change.
    fn settings(&self, change: Value) -> String {
        let mut settings = json!({
            "url": format!("{}/in?key=CANARY", self.tls.url()),
            "ca_file": self.tls.certificate("ca.pem"),
            "timeout": 60,
        });
        settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        settings.to_string()
    }

    /// The requests so far.
    fn requests(&self) -> Vec<Value> {
        self.server.log().lines().skip(1).map(parsed).collect()
    }
}

#[test]
fn webhook_receives_entries_as_simpletuner_sends_them() {
    let directory = temp();
    let store = open(directory.path());
    let actor = Actor { user_id: Some(7), username: Some("ada".into()), ip: Some("192.0.2.1".into()) };
    let details = r#"{"n": 1.50, "name": "\u00e9"}"#;
    store.as_actor(actor).unwrap().audit_log("user.created", "create", Some(("user", "8")), details).unwrap();
    store.audit_log("job.submitted", "submit", None, "").unwrap();
    let webhook = Webhook::start(&[]);
    let settings = webhook.settings(json!({"token": "CANARY"}));
    assert_eq!(store.audit_send("", &settings).unwrap(), 2);
    let requests = webhook.requests();
    assert_eq!(requests.len(), 2);
    let (path, headers) = (&requests[0]["path"], &requests[0]["headers"]);
    assert_eq!((path, &headers["content-type"]), (&json!("/in?key=CANARY"), &json!("application/json")));
    assert_eq!(headers["authorization"], "ApiKey CANARY");
    let trail = entries(&store);
    let expected = json!({
        "@timestamp": trail[0]["timestamp"],
        "event": {"kind": "event", "category": ["audit"], "type": ["user"], "action": "create"},
        "simpletuner": {
            "audit_id": 1, "event_type": "user.created", "actor_id": 7, "actor_username": "ada",
            "actor_ip": "192.0.2.1", "target_type": "user", "target_id": "8", "details": {"n": 1.5, "name": "\u{e9}"},
        },
    });
    assert_eq!(parsed(requests[0]["body"].as_str().unwrap()), expected);
    let second = parsed(requests[1]["body"].as_str().unwrap());
    assert_eq!((&second["simpletuner"]["actor_id"], &second["simpletuner"]["details"]), (&json!(null), &json!({})));
    assert_eq!(store.audit_send(r#"{"after_id": 2}"#, &settings).unwrap(), 0);
    assert_eq!(webhook.requests().len(), 2);
}

#[test]
fn webhook_receives_batches_and_only_security_events() {
    let directory = temp();
    let store = open(directory.path());
    for event in ["auth.login.failed", "user.created", "security.suspicious", "security.rate_limited", "job.approved"] {
        store.audit_log(event, "test", None, "").unwrap();
    }
    let webhook = Webhook::start(&[]);
    let settings = webhook.settings(json!({"security_only": true, "batch": 2}));
    assert_eq!(store.audit_send("", &settings).unwrap(), 5, "entries that are skipped count");
    let requests = webhook.requests();
    let ids = |request: &Value| -> Vec<i64> {
        let body = request["body"].as_str().unwrap();
        assert!(body.ends_with('\n'), "{body}");
        body.lines().map(|line| parsed(line)["simpletuner"]["audit_id"].as_i64().unwrap()).collect()
    };
    assert_eq!(requests.iter().map(ids).collect::<Vec<_>>(), [vec![1, 3], vec![4]]);
    assert_eq!(requests[0]["headers"]["content-type"], "application/x-ndjson");
    assert!(requests[0]["headers"].get("authorization").is_none());
}

#[test]
fn webhook_failures_are_retried_or_reported() {
    let directory = temp();
    let store = fill(directory.path(), 3);
    // Failures that pass.
    let webhook = Webhook::start(&[503, 0, 500]);
    assert_eq!(store.audit_send("", &webhook.settings(json!({"retries": 5}))).unwrap(), 3);
    assert_eq!(webhook.requests().len(), 6);
    // A failure after a delivery is reported by the next call.
    let webhook = Webhook::start(&[200, 400, 400]);
    let settings = webhook.settings(json!({}));
    assert_eq!(store.audit_send("", &settings).unwrap(), 1);
    let error = store.audit_send(r#"{"after_id": 1}"#, &settings).unwrap_err();
    assert_eq!((error.status(), error.detail()), (Status::Protocol, 400), "{error}");
    assert_eq!(store.audit_send(r#"{"after_id": 1}"#, &settings).unwrap(), 3);
    for (status, expected, word) in [
        (401, Status::AccessDenied, "rejects the token"),
        (403, Status::AccessDenied, "rejects the token"),
        (302, Status::Protocol, "set `url` to the final URL"),
        (404, Status::Protocol, "check `url`"),
        (429, Status::Unavailable, "accepts no more entries now"),
        (503, Status::Unavailable, "try again later"),
        (501, Status::Unavailable, "try again later"),
    ] {
        let webhook = Webhook::start(&[status]);
        let error = store.audit_send("", &webhook.settings(json!({"retries": 0, "token": "CANARY"}))).unwrap_err();
        assert_eq!((error.status(), error.detail()), (expected, i32::from(status)), "{error}");
        assert!(error.message().contains(word) && error.message().contains("https://127.0.0.1:"), "{error}");
        assert!(!error.message().contains("CANARY"), "{error}");
        assert_eq!(error.is_retryable(), expected == Status::Unavailable);
    }
}

#[test]
fn webhook_must_be_trusted_and_must_answer_in_time() {
    let directory = temp();
    let store = fill(directory.path(), 1);
    let webhook = Webhook::start(&[]);
    let error = store.audit_send("", &webhook.settings(json!({"ca_file": null}))).unwrap_err();
    assert_eq!(error.status(), Status::AccessDenied, "{error}");
    assert!(error.message().contains("certificate"), "{error}");
    assert_eq!(webhook.requests().len(), 0);
    webhook.server.pause();
    let error = store.audit_send("", &webhook.settings(json!({"timeout": 0.3}))).unwrap_err();
    assert_eq!(error.status(), Status::Timeout, "{error}");
    assert!(!error.message().contains("CANARY"), "{error}");
    assert_eq!(
        store.audit_send("", r#"{"url": "http://example.com/", "token": "x"}"#).unwrap_err().status(),
        Status::InvalidArgument
    );
}
