//! Spellings of names.

use std::fs;

use crate::home::{Home, answer};

#[test]
fn every_spelling_finds_a_file_of_docker_or_kubernetes() {
    let home = Home::new();
    for (file, value) in [("hf_token", "1"), ("wandb-api-key", "2"), ("S3_KEY", "3")] {
        home.write(&format!("secrets/{file}"), &format!("{value}\n"));
    }
    for (names, value) in [
        (["hf_token", "HF_TOKEN", "hf-token", "hf.token"], "1"),
        (["wandb-api-key", "WANDB_API_KEY", "wandb_api_key", "wandb.api.key"], "2"),
        (["s3_key", "S3_KEY", "s3-key", "S3.KEY"], "3"),
    ] {
        for name in names {
            assert_eq!(home.run(&["get", name, "--file", "secrets"]).ok().text(), value, "{name}");
        }
    }
    let answer =
        home.run(&["run", "--all", "--file", "secrets", "--", "sh", "-c", "echo $HF_TOKEN$WANDB_API_KEY$S3_KEY"]);
    assert_eq!(answer.ok().text(), "123\n");
}

#[test]
fn a_name_that_is_written_in_full_goes_before_its_other_spellings() {
    let home = Home::with(r#"{"hf-token": "1", "HF_TOKEN": "2", "hf_token": "3"}"#);
    for (name, value) in [("hf-token", "1"), ("HF_TOKEN", "2"), ("hf_token", "3"), ("Hf.Token", "2")] {
        assert_eq!(home.run(&["get", name]).ok().text(), value, "{name}");
    }
}

#[test]
fn set_and_delete_change_the_spelling_that_is_there() {
    let home = Home::with(r#"{"hf_token": "1"}"#);
    assert_eq!(home.run_with(&["set", "HF-TOKEN"], b"2").says(&["hf_token is set in "]).code, 0);
    assert_eq!(fs::read_to_string(home.secrets()).unwrap(), r#"{"hf_token": "2"}"#);
    assert_eq!(home.run(&["delete", "HF_TOKEN"]).code, 0);
    assert_eq!(home.run_with(&["set", "hf-token"], b"3").says(&["hf-token is set in "]).code, 0);
    assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "3");
}

#[test]
fn every_spelling_in_the_file_is_deleted() {
    let home = Home::with(r#"{"HF_TOKEN": "CANARY-1", "hf-token": "CANARY-2", "hf_token": "CANARY-3", "B": "4"}"#);
    let mut command = home.command(&["delete", "HF_TOKEN"]);
    command.env("HF_TOKEN", "CANARY-env");
    let deleted = answer(command).says(&[
        "HF_TOKEN is deleted from ",
        "hf-token is deleted from ",
        "hf_token is deleted from ",
        "warning: HF_TOKEN still comes from provider env",
    ]);
    assert_eq!(deleted.code, 0);
    assert_eq!(fs::read_to_string(home.secrets()).unwrap(), r#"{"B": "4"}"#);
    home.run(&["get", "HF_TOKEN"]).fails(3, &["was not found"]);
}

#[test]
fn every_listed_name_can_be_looked_up() {
    let home = Home::with(r#"{"Hf_Token": "1", "tls.key": "2", "tls-key": "3"}"#);
    let listed = home.run(&["list"]).ok();
    let names: Vec<&str> = listed.text().lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["Hf_Token", "tls-key", "tls.key"]);
    for (name, value) in [("Hf_Token", "1"), ("tls.key", "2"), ("tls-key", "3")] {
        assert_eq!(home.run(&["get", name]).ok().text(), value);
    }
}

#[test]
fn two_secrets_of_one_variable_are_never_one_of_them() {
    let home = Home::with(r#"{"db/password": "slash", "db_password": "under"}"#);
    for selection in [&["--all"][..], &["--only", "db_*,db/*"], &["--only", "DB_*"]] {
        let arguments = [&["run"], selection, &["--", "echo", "started"]].concat();
        home.run(&arguments).fails(2, &["would both be the variable DB_PASSWORD", "--rename"]);
    }
    let script = "echo $DB_PASSWORD";
    assert_eq!(home.run(&["run", "--only", "db_*", "--", "sh", "-c", script]).ok().text(), "under\n");
    let script = "echo $DB_PASSWORD $OTHER";
    let arguments = ["run", "--all", "--rename", "db/password=OTHER", "--", "sh", "-c", script];
    assert_eq!(home.run(&arguments).ok().text(), "under slash\n");
    let dots = Home::with(r#"{"tls.key": "dot", "tls-key": "dash"}"#);
    dots.run(&["run", "--all", "--", "echo", "started"]).fails(2, &["would both be the variable TLS_KEY"]);
    // A name of the command line is the listed one that it finds.
    let home = Home::with(r#"{"hf_token": "1"}"#);
    assert_eq!(home.run(&["run", "--all", "hf.token", "--", "sh", "-c", "echo $HF_TOKEN"]).ok().text(), "1\n");
}

#[test]
fn a_listed_name_that_cannot_be_a_variable_is_skipped_with_a_warning() {
    let home = Home::with("{\"A\": \"1\", \"a=b\": \"CANARY\", \"\": \"CANARY\", \"c\\u0000d\": \"CANARY\"}");
    let run = home.run(&["run", "--all", "--", "sh", "-c", "echo $A"]);
    assert_eq!((run.code, run.text()), (0, "1\n"), "{run:?}");
    run.says(&["provider file lists \"a=b\", which is not a valid name; it is skipped", "\"\"", "\"c\\0d\""]);
}

#[test]
fn two_secrets_of_one_variable_need_a_new_name() {
    let home = Home::with(r#"{"a/b": "1", "a_b": "2"}"#);
    home.run(&["run", "a/b", "a_b", "--", "true"]).fails(2, &["would both be the variable A_B", "--rename a_b=OTHER"]);
    let script = "echo $A_B$OTHER";
    let answer = home.run(&["run", "a/b", "a_b", "--rename", "a_b=OTHER", "--", "sh", "-c", script]);
    assert_eq!(answer.ok().text(), "12\n");
}
