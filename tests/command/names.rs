//! Names as people write them.

use std::fs;

use crate::home::Home;

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
fn two_secrets_of_one_variable_need_a_new_name() {
    let home = Home::with(r#"{"a/b": "1", "a_b": "2"}"#);
    home.run(&["run", "a/b", "a_b", "--", "true"]).fails(2, &["would both be the variable A_B", "--rename a_b=OTHER"]);
    let script = "echo $A_B$OTHER";
    let answer = home.run(&["run", "a/b", "a_b", "--rename", "a_b=OTHER", "--", "sh", "-c", script]);
    assert_eq!(answer.ok().text(), "12\n");
}
