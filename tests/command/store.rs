//! `credentials`, `provider`, `hardware` and `audit`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::home::{Answer, Home, answer};
use crate::session::Session;

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(answer.text()).unwrap()
}

#[test]
fn the_configuration_of_a_provider_is_saved_and_updated() {
    let home = Home::new();
    assert_eq!(home.run(&["provider", "list"]).says(&["no cloud provider has a configuration"]).code, 0);
    home.run_with(&["provider", "save", "replicate"], br#"{"webhook_secret": "CANARY", "cost_limit_amount": 25.0}"#)
        .ok();
    home.run_with(&["provider", "update", "replicate"], br#"{"cost_limit_amount": 30}"#).ok();
    let shown = home.run(&["provider", "show", "replicate"]).ok();
    assert_eq!(parsed(&shown), json!({"webhook_secret": "CANARY", "cost_limit_amount": 30}));
    let listed = parsed(&home.run(&["provider", "list", "--json"]).ok());
    assert_eq!(listed[0]["provider"], "replicate");
    assert!(home.run(&["provider", "list"]).ok().text().contains("replicate"));
    for (command, input) in
        [("save", &b"[CANARY]"[..]), ("save", b"\"CANARY\""), ("update", b""), ("save", b"{\"CANARY\": 1")]
    {
        let answer = home.run_with(&["provider", command, "replicate"], input);
        answer.fails(2, &["st-secrets: error: the configuration on stdin is not a JSON object (line 1, column"]);
    }
    // SimpleTuner writes numbers of Python that JSON does not have.
    home.run_with(&["provider", "save", "replicate"], br#"{"cost_limit_amount": Infinity}"#).ok();
    let infinite = home.run(&["provider", "show", "replicate"]).ok().text().to_owned();
    home.run_with(&["provider", "save", "replicate"], infinite.as_bytes()).ok();
    assert_eq!(home.run(&["provider", "show", "replicate"]).ok().text(), infinite);
    home.run(&["provider", "delete", "replicate"]).ok();
    home.run(&["provider", "delete", "replicate"]).fails(3, &["\"replicate\" has no configuration"]);
    assert_eq!(parsed(&home.run(&["provider", "list", "--json"]).ok()), json!([]));
}

/// DEL and U+009B may be in JSON as they are. A terminal would take the latter as the beginning of a command.
#[test]
fn json_is_written_as_it_is_and_escaped_on_a_terminal() {
    let home = Home::new();
    let config = "{\"webhook_secret\": \"a\u{7f}b\u{9b}2J\",\r\n \"hardware_info\": {\"x\u{7f}\u{9b}2J\": {}}}";
    home.run_with(&["provider", "save", "replicate"], config.as_bytes()).ok();
    assert_eq!(home.run(&["provider", "show", "replicate"]).ok().text(), format!("{config}\n"));
    assert_eq!(home.run(&["hardware", "--json"]).ok().text(), "{\"x\u{7f}\u{9b}2J\": {}}\n");
    let connection = rusqlite::Connection::open(audit_database(&home)).unwrap();
    connection.execute("UPDATE audit_log SET actor_username = ?1", ["a\u{7f}b\u{9b}2J"]).unwrap();
    drop(connection);
    let text = "\"a\u{7f}b\u{9b}2J\"";
    for arguments in [&["audit", "list", "--json"][..], &["audit", "export"]] {
        assert!(home.run(arguments).ok().text().contains(text), "{arguments:?}");
    }
    for (arguments, shown) in [
        (&["provider", "show", "replicate", "--show"][..], "\"a\\u007fb\\u009b2J\",\r\n"),
        (&["provider", "show", "replicate"], "\"x\\u007f\\u009b2J\""),
        (&["hardware", "--json"], "\"x\\u007f\\u009b2J\""),
        (&["audit", "list", "--json"], "\"a\\u007fb\\u009b2J\""),
        (&["audit", "export"], "\"a\\u007fb\\u009b2J\""),
        (&["audit", "export", "--format", "csv"], ",a\\u007fb\\u009b2J,"),
    ] {
        let (code, seen) = Session::start(&home, arguments).end();
        assert!(code == 0 && seen.contains(shown), "{arguments:?}: {seen:?}");
        assert!(!seen.contains(['\u{7f}', '\u{9b}']), "{arguments:?}: {seen:?}");
    }
}

#[test]
fn credentials_are_stored_without_being_shown() {
    let home = Home::new();
    home.run_with(&["credentials", "set", "7", "replicate", "api_token"], b"CANARY\n").ok();
    let listed = home.run(&["credentials", "list"]).ok();
    assert!(listed.text().contains("api_token") && !listed.text().contains("CANARY"), "{listed:?}");
    let listed = parsed(&home.run(&["credentials", "list", "--user", "7", "--json"]).ok());
    assert_eq!((&listed[0]["name"], &listed[0]["encrypted"]), (&json!("api_token"), &json!(true)));
    assert_eq!(parsed(&home.run(&["credentials", "list", "--user", "8", "--json"]).ok()), json!([]));
    let rotated = home.run(&["key", "rotate"]);
    assert_eq!((rotated.code, &parsed(&rotated)["reencrypted"]), (0, &json!(1)), "{rotated:?}");
    assert_eq!(parsed(&home.run(&["credentials", "reencrypt"]).ok())["unchanged"], 1);
    home.run(&["credentials", "delete", "7", "replicate", "api_token"]).ok();
    home.run(&["credentials", "delete", "7", "replicate", "api_token"]).fails(3, &["user 7 has no such credential"]);
}

#[test]
fn the_audit_trail_is_listed_and_verified() {
    let home = Home::new();
    let mut save = home.command(&["provider", "save", "replicate"]);
    save.env("LOGNAME", "ada").stdin(std::fs::File::open(home.write("config.json", "{}")).unwrap());
    answer(save).ok();
    let entries = parsed(&home.run(&["audit", "list", "--json"]).ok());
    assert_eq!((&entries[0]["actor_username"], &entries[0]["action"]), (&json!("ada"), &json!("save")));
    let listed = home.run(&["audit", "list", "--event", "provider.configured", "--limit", "1"]).ok();
    assert!(listed.text().contains("replicate") && listed.text().contains("ada"), "{listed:?}");
    assert_eq!(home.run(&["audit", "verify"]).ok().text(), "1 entry, all intact\n");
    assert_eq!(parsed(&home.run(&["audit", "verify", "--json"]).ok())["valid"], true);
    let connection = rusqlite::Connection::open(audit_database(&home)).unwrap();
    connection.execute("UPDATE audit_log SET action = 'changed'", []).unwrap();
    drop(connection);
    home.run(&["audit", "verify"]).fails(4, &["the audit trail is not intact: entry 1: altered"]);
    assert_eq!(home.run(&["audit", "verify", "--json"]).code, 4);
}

#[test]
fn the_audit_trail_is_exported() {
    let home = Home::new();
    assert_eq!(home.run(&["audit", "export"]).ok().text(), "");
    for provider in ["replicate", "modal"] {
        home.run_with(&["provider", "save", provider], br#"{"webhook_secret": "CANARY"}"#).ok();
    }
    let lines = home.run(&["audit", "export"]).ok();
    let entries: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let targets: Vec<&Value> = entries.iter().map(|entry| &entry["target_id"]).collect();
    assert_eq!(targets, ["replicate", "modal"]);
    let rows = home.run(&["audit", "export", "--format", "csv", "--event", "provider.configured"]).ok();
    let rows: Vec<&str> = rows.text().lines().collect();
    assert!(rows.len() == 3 && rows[0].starts_with("id,timestamp,") && rows[1].starts_with("1,"), "{rows:?}");
    assert_eq!(home.run(&["audit", "export", "--until", "2000-01-01T00:00:00Z"]).ok().text(), "");
    home.run(&["audit", "export", "--since", "CANARY"]).fails(2, &["`since`"]);
    home.run(&["audit", "export", "--format", "xml"]).fails(2, &["possible values: jsonl, csv"]);
}

#[test]
fn the_databases_are_copied() {
    let home = Home::new();
    home.run(&["backup", "copy"]).fails(3, &["there is nothing to back up"]);
    home.run_with(&["provider", "save", "replicate"], br#"{"a": 1}"#).ok();
    let backup = home.run(&["backup", "copy"]).says(&["copy/jobs.db is written", "copy/audit.db is written"]);
    assert_eq!((backup.code, backup.text()), (0, ""));
    home.run(&["backup", "copy"]).fails(2, &["copy/jobs.db exists; add --replace"]);
    assert_eq!(home.run(&["backup", "copy", "--replace"]).code, 0);
    let copy = rusqlite::Connection::open(home.path("copy/audit.db")).unwrap();
    assert_eq!(copy.query_row("SELECT count(*) FROM audit_log", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    let config = home.write("c.toml", &format!("database = {:?}\n", home.path("copy/jobs.db")));
    let restored = home.run(&["provider", "show", "replicate", "--config", config.to_str().unwrap()]).ok();
    assert_eq!(parsed(&restored), json!({"a": 1}));
}

#[test]
fn hardware_has_prices() {
    let home = Home::new();
    let listed = home.run(&["hardware"]).ok();
    assert!(listed.text().contains("gpu-l40s") && listed.text().contains("3.5100"), "{listed:?}");
    assert_eq!(parsed(&home.run(&["hardware", "--json"]).ok())["gpu-l40s"]["name"], "L40S (48GB)");
}

#[test]
fn devices_without_a_valid_price_do_not_hide_the_others() {
    let home = Home::new();
    let config = br#"{"hardware_info": {"first": {"name": "First (8GB)", "cost_per_second": 0.001},
        "nan": {"name": "Nan", "cost_per_second": NaN}, "text": {"cost_per_second": "0.001"}, "none": {"name": 7},
        "number": 1, "last": {"cost_per_second": 0}}}"#;
    home.run_with(&["provider", "save", "replicate"], config).ok();
    let bad = ["nan", "text", "none", "number"];
    let messages = bad.map(|id| format!("the price of \"{id}\" is not a valid number; correct `cost_per_second`"));
    let listed = home.run(&["hardware"]).says(&messages.each_ref().map(String::as_str));
    assert_eq!(listed.code, 4, "{listed:?}");
    let rows: Vec<Vec<&str>> = listed.text().lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    let expected: [&[&str]; 6] = [
        &["first", "First", "(8GB)", "3.6000"],
        &["nan", "Nan", "invalid"],
        &["text", "invalid"],
        &["none", "invalid"],
        &["number", "invalid"],
        &["last", "0.0000"],
    ];
    assert_eq!(rows, expected);
    home.run(&["hardware", "--json"]).ok();
}

fn audit_database(home: &Home) -> PathBuf {
    walk(&home.path("")).into_iter().find(|path| path.ends_with("audit.db")).unwrap()
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
