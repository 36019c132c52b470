//! `run`: what the command gets, and what is left of the program.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::home::{Home, answer, set_mode};

const TWO: &str = r#"{"HF_TOKEN": "CANARY hf", "wandb-api-key": "CANARY-wandb"}"#;

/// Prints the variables of the environment, sorted, without those that shells set themselves.
const ENVIRONMENT: [&str; 3] =
    ["sh", "-c", "env | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL= -e ^SIMPLETUNER_ | sort"];

fn home_with_two() -> Home {
    Home::with(TWO)
}

#[test]
fn the_command_gets_the_secrets_and_its_arguments() {
    let home = home_with_two();
    let script = r#"echo "$HF_TOKEN, $WANDB_API_KEY, $*""#;
    let answer = home.run(&["run", "hf-token", "WANDB_API_KEY", "--", "sh", "-c", script, "name", "--all", "--"]);
    assert_eq!(answer.ok().text(), "CANARY hf, CANARY-wandb, --all --\n");
}

#[test]
fn the_program_becomes_the_command() {
    let home = home_with_two();
    let mut command = home.command(&["run", "HF_TOKEN", "--", "sh", "-c", "echo $$"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), process.to_string());
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    let home = home_with_two();
    assert_eq!(home.run(&["run", "HF_TOKEN", "--", "sh", "-c", "exit 42"]).code, 42);
    let mut killed = home.command(&["run", "HF_TOKEN", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.status().unwrap().signal(), Some(15));
    home.run(&["run", "HF_TOKEN", "--", "./no-such-command"]).fails(127, &["cannot run ./no-such-command"]);
    home.run(&["run", "HF_TOKEN", "--", "no-such-command"]).fails(127, &["cannot run no-such-command"]);
    let file = home.secrets();
    home.run(&["run", "HF_TOKEN", "--", file.to_str().unwrap()]).fails(126, &["cannot run", "secrets.json"]);
}

#[test]
fn a_script_without_an_interpreter_is_run_by_the_shell() {
    let home = home_with_two();
    set_mode(&home.write("bin/script", "echo \"$1 ${#HF_TOKEN}\""), 0o700);
    let file = home.path("bin/script");
    let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
    for options in [&[][..], &["--redact"], &["--watch"], &["--redact", "--tmpfs", "HF_TOKEN=./token"]] {
        for script in ["script", file.to_str().unwrap()] {
            let mut program = home.command(&[&["run", "HF_TOKEN"], options, &["--", script, "a b"]].concat());
            program.env("PATH", &path);
            assert_eq!(answer(program).ok().text(), "a b 9\n", "{options:?}");
        }
    }
}

#[test]
fn a_directory_of_path_that_may_not_be_read_is_skipped() {
    let home = Home::new();
    set_mode(&home.path(""), 0o755);
    set_mode(&home.write("own.env", "A=1\n"), 0o644);
    std::fs::create_dir(home.path("closed")).unwrap();
    set_mode(&home.path("closed"), 0o700);
    let path = format!("{}:/usr/bin:/bin", home.path("closed").display());
    for options in [&[][..], &["--redact"]] {
        let mut program =
            home.command(&[&["run", "--env-file", "own.env"], options, &["--", "no-such-command"]].concat());
        program.env("PATH", &path);
        let user = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
        answer(home.under(&user, &program)).fails(127, &["cannot run no-such-command: No such file or directory"]);
    }
}

#[test]
fn signals_are_as_the_caller_left_them() {
    let home = home_with_two();
    let program = env!("CARGO_BIN_EXE_st-secrets");
    // Ignored by the shell, so by all that it starts; SIGPIPE is the default for a command.
    let script = format!("trap '' HUP; {program} run HF_TOKEN -- sh -c 'kill -HUP $$; echo alive; kill -PIPE $$'");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{script}; echo $?")]).env("HOME", home.path(""));
    assert_eq!(answer(command).text(), "alive\n141\n");
}

#[test]
fn the_command_reads_stdin() {
    let home = home_with_two();
    assert_eq!(home.run_with(&["run", "HF_TOKEN", "--", "cat"], b"input\0").ok().stdout, b"input\0");
}

#[test]
fn a_missing_secret_starts_nothing_and_all_are_named() {
    let home = home_with_two();
    home.run(&["run", "NO_1", "HF_TOKEN", "NO_2", "--", "echo", "started"])
        .fails(3, &["secret \"NO_1\" was not found", "secret \"NO_2\" was not found", "secrets.json has no such key"]);
    let broken = Home::with(r#"{"HF_TOKEN": CANARY}"#);
    let answer = broken.run(&["run", "NO_1", "NO_2", "--", "echo", "started"]).fails(4, &["line 1, column 14"]);
    assert_eq!(answer.stderr.lines().count(), 2, "one line for each, no warning that says it again: {answer:?}");
}

#[test]
fn an_optional_secret_may_be_missing() {
    let home = home_with_two();
    let script = r#"echo "${HF_TOKEN-unset} ${NO_1-unset}""#;
    let answer = home.run(&["run", "--optional", "hf_token,NO_1", "--", "sh", "-c", script]);
    assert_eq!(answer.ok().text(), "CANARY hf unset\n");
    // A failure is not an answer.
    Home::with("{").run(&["run", "--optional", "HF_TOKEN", "--", "echo", "started"]).fails(4, &["secrets.json"]);
}

#[test]
fn a_secret_gets_the_variable_that_it_is_renamed_to() {
    let home = home_with_two();
    let mut arguments = vec!["run", "--clean", "--rename", "hf-token=A,hf-token=B", "wandb_api_key", "--"];
    arguments.extend(ENVIRONMENT);
    let answer = home.run(&arguments).ok();
    let environment = answer.text();
    assert!(environment.starts_with("A=CANARY hf\nB=CANARY hf\nHOME="), "{environment}");
    assert!(environment.ends_with("\nWANDB_API_KEY=CANARY-wandb\n"), "{environment}");
    assert!(!environment.contains("HF_TOKEN"), "{environment}");
}

#[test]
fn all_secrets_are_given_or_those_like_a_pattern() {
    let home = Home::with(r#"{"HF_TOKEN": "1", "hf.user": "2", "OTHER": "3"}"#);
    let given = |arguments: &[&str]| {
        let mut all = vec!["run", "--clean"];
        all.extend(arguments);
        all.push("--");
        all.extend(ENVIRONMENT);
        let environment = home.run(&all).ok().text().to_owned();
        let is_secret = |line: &&str| ["HF_TOKEN=", "HF_USER=", "OTHER="].iter().any(|name| line.starts_with(name));
        environment.lines().filter(is_secret).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(given(&["--all"]), ["HF_TOKEN=1", "HF_USER=2", "OTHER=3"]);
    assert_eq!(given(&["--only", "HF_*"]), ["HF_TOKEN=1", "HF_USER=2"]);
    assert_eq!(given(&["--all", "--only", "hf.*"]), ["HF_USER=2"]);
    assert_eq!(given(&["--only", "*_USER,other"]), ["HF_USER=2", "OTHER=3"]);
    home.run(&["run", "--only", "NO_*", "--", "echo", "started"]).fails(3, &["no secret name matches \"NO_*\""]);
    Home::with("{").run(&["run", "--all", "--", "echo", "started"]).fails(4, &["the names of provider file"]);
}

#[test]
fn a_clean_environment_has_what_programs_need_and_what_is_kept() {
    let home = home_with_two();
    let of = |arguments: &[&str]| {
        let mut command = home.command(&[&["run", "HF_TOKEN"], arguments, &["--"], &ENVIRONMENT].concat());
        command.envs([("LC_ALL", "C"), ("CUDA_HOME", "/cuda"), ("CUDA_X", "x"), ("OTHER", "o")]);
        let environment = answer(command).ok().text().to_owned();
        environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), ["CUDA_HOME", "CUDA_X", "HF_TOKEN", "HOME", "LC_ALL", "OTHER", "PATH"]);
    assert_eq!(of(&["--clean"]), ["HF_TOKEN", "HOME", "LC_ALL", "PATH"]);
    assert_eq!(of(&["--clean", "--keep", "CUDA_*"]), ["CUDA_HOME", "CUDA_X", "HF_TOKEN", "HOME", "LC_ALL", "PATH"]);
}

#[test]
fn secrets_go_before_the_variables_of_a_file_and_those_before_the_environment() {
    let home = home_with_two();
    home.write("first.env", "HF_TOKEN=file\nA=\"two\\nlines\" # comment\nB=1\nC=1\n");
    home.write("second.env", "export B='2'\n");
    let arguments = ["run", "HF_TOKEN", "--env-file", "first.env", "--env-file", "second.env", "--", "sh", "-c"];
    let mut command = home.command(&[&arguments[..], &[r#"echo "$HF_TOKEN|$A|$B|$C""#]].concat());
    command.env("C", "environment");
    assert_eq!(answer(command).ok().text(), "CANARY hf|two\nlines|2|1\n");
    home.write("broken.env", "A=1\nCANARY CANARY\n");
    let broken = ["run", "HF_TOKEN", "--env-file", "broken.env", "--", "echo", "started"];
    home.run(&broken).fails(2, &["broken.env, line 2: write NAME=value"]);
}

#[test]
fn a_file_of_variables_is_enough_and_warned_of_if_others_can_change_it() {
    let home = Home::new();
    let path = home.write("own vars.env", "A=1\n");
    let arguments = ["run", "--env-file", "own vars.env", "--", "sh", "-c", "echo $A"];
    assert_eq!(home.run(&arguments).ok().text(), "1\n");
    set_mode(&path, 0o666);
    let warned = home.run(&arguments).says(&["warning: ", "can be changed by other users", "chmod 600 'own vars.env'"]);
    assert_eq!((warned.code, warned.text()), (0, "1\n"));
}

#[test]
fn all_of_nothing_is_warned_of() {
    let run =
        Home::new().run(&["run", "--all", "--", "echo", "started"]).says(&["warning: no provider lists a secret"]);
    assert_eq!((run.code, run.text()), (0, "started\n"));
}

#[test]
fn the_environment_goes_before_the_file() {
    let home = home_with_two();
    let mut command = home.command(&["run", "hf-token", "--", "sh", "-c", "echo $HF_TOKEN"]);
    command.env("HF_TOKEN", "CANARY-env");
    assert_eq!(answer(command).ok().text(), "CANARY-env\n");
}

#[test]
fn a_value_that_no_variable_can_hold_is_an_error() {
    let home = Home::with("{\"A\": \"CANARY\\u0000\"}");
    home.run(&["run", "A", "--", "echo", "started"]).fails(4, &["A holds a NUL byte"]);
    home.write("nul.env", "B=1\nC='x\0'\n");
    home.run(&["run", "--optional", "NO", "--env-file", "nul.env", "--", "echo", "started"])
        .fails(2, &["nul.env, line 2: the value holds a NUL byte"]);
    let longest = 128 * 1024 - "AB=".len() - 1;
    let home = Home::with(&serde_json::json!({ "AB": "x".repeat(longest), "CD": "x".repeat(longest + 1) }).to_string());
    assert_eq!(home.run(&["run", "AB", "--", "sh", "-c", "echo ${#AB}"]).ok().text(), format!("{longest}\n"));
    home.run(&["run", "CD", "--", "echo", "started"]).fails(4, &["CD has 131069 bytes", "at most 128 KiB"]);
}

#[test]
fn warnings_go_to_stderr_once_and_the_command_runs() {
    let home = home_with_two();
    set_mode(&home.secrets(), 0o666);
    let answer = home.run(&["run", "HF_TOKEN", "WANDB_API_KEY", "--", "echo", "started"]);
    assert_eq!((answer.code, answer.text()), (0, "started\n"));
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    answer.says(&["st-secrets: warning: ", "chmod 600 "]);
}

#[test]
fn a_degraded_value_is_warned_of() {
    let home = Home::with(r#"{"HF_TOKEN": CANARY}"#);
    let config = home.write("c.toml", "providers = [\"file\", \"env\"]\n");
    let arguments = ["run", "--config", config.to_str().unwrap(), "HF_TOKEN", "--", "sh", "-c", "echo $HF_TOKEN"];
    let mut command = home.command(&arguments);
    command.env("HF_TOKEN", "CANARY-env");
    let answer = answer(command);
    assert_eq!((answer.code, answer.text()), (0, "CANARY-env\n"));
    answer.says(&["warning: HF_TOKEN comes from provider env, but a provider before it failed", "secrets.json"]);
}

#[test]
fn a_time_limit_is_over_everything() {
    let home = home_with_two();
    let config = home.write("c.toml", "vault_url = \"http://127.0.0.1:1\"\nvault_token = \"CANARY\"\n");
    let arguments = ["run", "--timeout", "0.5", "--config", config.to_str().unwrap(), "NO_1", "NO_2", "--", "true"];
    let begun = std::time::Instant::now();
    home.run(&arguments).fails(4, &["the provider vault failed", "127.0.0.1:1"]);
    let once = home.run(&["get", "hf-token", "--timeout", "0.5", "--file", "none.json", "--config", "c.toml"]);
    assert_eq!(once.stderr.lines().count(), 1, "no warning that says it again: {once:?}");
    once.fails(4, &["error: secret \"hf-token\": the provider vault failed"]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}
