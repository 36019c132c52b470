//! `list`, `where` and `check`.

use std::fs;

use serde_json::{Value, json};

use crate::home::{Answer, Home, answer, set_mode};

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(answer.text()).unwrap()
}

/// The words of each line.
fn lines(answer: &Answer) -> Vec<Vec<&str>> {
    answer.text().lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn names_are_listed_with_their_providers() {
    let home = Home::with(r#"{"hf-token": "CANARY", "B": "CANARY"}"#);
    let list = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("HF_TOKEN", "CANARY");
        answer(command).ok()
    };
    assert_eq!(
        lines(&list(&["list"])),
        [vec!["NAME", "PROVIDERS"], vec!["B", "file"], vec!["hf-token", "env,", "file"]]
    );
    let expected = json!([{"name": "B", "providers": ["file"]}, {"name": "hf-token", "providers": ["env", "file"]}]);
    assert_eq!(parsed(&list(&["list", "--json"])), expected);
    assert_eq!(parsed(&Home::new().run(&["list", "--json"]).ok()), json!([]));
    Home::with("{").run(&["list"]).fails(4, &["names of provider file may be missing"]);
}

#[test]
fn a_reader_that_has_read_enough_is_not_a_failure() {
    let home = Home::with(r#"{"A": "CANARY"}"#);
    for arguments in [&["list"][..], &["get", "A"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.command(arguments).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments:?}");
    }
}

#[test]
fn where_shows_the_provider_and_never_the_value() {
    let home = Home::with(r#"{"A": "CANARY", "hf_token": "CANARY-9"}"#);
    let found = home.run(&["where", "A", "HF_TOKEN"]).ok();
    assert_eq!(lines(&found)[1..], [vec!["A", "file", "6"], vec!["HF_TOKEN", "file", "8"]]);
    assert!(!found.text().contains("CANARY"));
    let found = home.run(&["where", "NO_1", "A", "NO_2"]);
    assert_eq!((found.code, lines(&found).len()), (3, 2));
    let found = found.says(&["\"NO_1\" was not found", "\"NO_2\" was not found"]);
    assert!(!found.text().contains("CANARY"));
    let flags = [("degraded", false), ("stale", false), ("shared", false)];
    let mut one = json!({"provider": "file", "bytes": 6, "version": null});
    flags.into_iter().for_each(|(flag, is_so)| one[flag] = json!(is_so));
    assert_eq!(parsed(&home.run(&["where", "A", "--json"]).ok()), json!({"A": one}));
}

#[test]
fn hf_token_is_found_under_its_aliases_and_in_the_token_file() {
    let home = Home::new();
    home.write(".cache/huggingface/token", "CANARY_file\n");
    assert_eq!(lines(&home.run(&["list"]).ok())[1], ["HF_TOKEN", "huggingface"]);
    assert_eq!(lines(&home.run(&["where", "hf-token"]).ok())[1], ["hf-token", "huggingface", "11"]);
    let checked = home.run(&["check"]).ok();
    assert!(checked.text().contains("HF_TOKEN is in ") && !checked.text().contains("CANARY"), "{checked:?}");
    let mut command = home.command(&["get", "HF_TOKEN"]);
    command.env("HUGGING_FACE_HUB_TOKEN", "CANARY_variable");
    assert_eq!(answer(command).ok().stdout, b"CANARY_variable");
}

#[test]
fn check_says_how_each_provider_is_and_what_to_do() {
    let home = Home::with(r#"{"A": "CANARY"}"#);
    let healthy = home.run(&["check"]).ok();
    let states: Vec<Vec<&str>> = lines(&healthy).into_iter().map(|line| line[..2].to_vec()).collect();
    assert_eq!(states[..3], [["PROVIDER", "STATE"], ["env", "ok"], ["file", "ok"]]);
    assert_eq!(states[3..6], [["aws", "absent"], ["vault", "absent"], ["huggingface", "absent"]]);
    assert!(healthy.text().contains("\nmemory ") && healthy.text().contains("\nshare "), "{healthy:?}");
    assert!(!healthy.text().contains('\x1b'));

    set_mode(&home.secrets(), 0o644);
    let exposed = home.run(&["check"]).ok();
    assert!(exposed.text().contains("what to do: ") && exposed.text().contains("chmod 600"), "{exposed:?}");
    assert_eq!(parsed(&home.run(&["check", "--json"]).ok())["providers"][1]["state"], "warning");

    fs::write(home.secrets(), "{\"A\": CANARY}").unwrap();
    let broken = home.run(&["check"]);
    assert_eq!(broken.code, 4);
    assert!(broken.text().contains("file") && broken.text().contains("failed") && broken.text().contains("column 7"));
    assert!(!broken.text().contains("CANARY"));
    let broken = home.run(&["check", "--json"]);
    assert_eq!((broken.code, &parsed(&broken)["ok"]), (4, &json!(false)));
}

#[test]
fn check_says_which_store_is_used_and_why() {
    let home = Home::new();
    let state = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let check = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = home.command(&[&["check"], arguments].concat());
        command.env_remove("SIMPLETUNER_STATE_DIR").envs(variables.iter().copied());
        answer(command).ok()
    };
    let row = |answer: &Answer| {
        let store = answer.text().lines().skip_while(|line| !line.starts_with("store ")).collect::<Vec<_>>().join(" ");
        store.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let named = state("named");
    let variable = [("SIMPLETUNER_STATE_DIR", &*named)];
    assert_eq!(row(&check(&variable, &[])), format!("store ok {named}: from SIMPLETUNER_STATE_DIR"));
    let store = &parsed(&check(&variable, &["--json"]))["store"];
    assert_eq!((&store["state"], &store["reason"]), (&json!("ok"), &json!("SIMPLETUNER_STATE_DIR")));
    assert_eq!(store["database"], json!(format!("{named}/cloud/jobs.db")));
    assert!(!home.path("named").exists(), "nothing is created");

    // The server beside it has another directory.
    home.write(".simpletuner/cloud/jobs.db", "");
    let variable = [("SIMPLETUNER_CONFIG_DIR", &*named)];
    let (table, servers) = (row(&check(&variable, &[])), state(".simpletuner"));
    let why = format!("SIMPLETUNER_CONFIG_DIR is {named}, which has no cloud/jobs.db");
    assert!(table.starts_with(&format!("store warning {servers}: {why}, and {servers}")), "{table}");
    assert!(table.ends_with("what to do: to choose explicitly, set SIMPLETUNER_STATE_DIR"), "{table}");
    let store = &parsed(&check(&variable, &["--json"]))["store"];
    assert_eq!((&store["state"], &store["reason"]), (&json!("warning"), &json!("in_use")));
    assert_eq!(store["state_dir"], json!(servers));

    home.write("named/cloud/jobs.db", "");
    let table = row(&check(&variable, &[]));
    assert!(
        table.starts_with(&format!("store warning {named}: both {named} and {servers} have a cloud/jobs.db")),
        "{table}"
    );
}
