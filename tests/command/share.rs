//! `run --share`, `share`, `prefetch` and `invalidate`, with a real server.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::process::Process;
use crate::common::servers::{bao, unique};
use crate::common::temp_in_memory;
use crate::home::{Answer, Home, answer};
use crate::piped::Piped;

/// A document of OpenBao, and a directory for what is shared.
struct Host {
    home: Home,
    vault: Proxy,
    path: String,
    token: String,
    memory: tempfile::TempDir,
}

impl Host {
    fn start() -> Host {
        let path = unique("command");
        bao().put("secret", &path, &json!({"HF_TOKEN": "CANARY-hf"}));
        let token = bao().token(&[&bao().policy(&[&format!("secret/data/{path}")], &["read"])], "1h");
        Host { home: Home::new(), vault: Proxy::to(bao().address()), path, token, memory: temp_in_memory() }
    }

    fn directory(&self) -> PathBuf {
        self.memory.path().join("share")
    }

    /// The program, with everything set but the directory.
    fn plain(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.env("VAULT_ADDR", self.vault.url()).env("VAULT_TOKEN", &self.token);
        command.env("SIMPLETUNER_VAULT_PATH", &self.path);
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.plain(arguments);
        command.env("ST_SECRETS_SHARE_DIR", self.directory());
        command
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        answer(self.command(arguments))
    }

    fn shared(&self) -> Value {
        parsed(&self.run(&["share", "--json"]).ok())
    }

    /// How often the document was read.
    fn loads(&self) -> usize {
        let path = format!("/data/{}", self.path);
        self.vault.requests().iter().filter(|request| request.path.ends_with(&path)).count()
    }

    fn requests(&self) -> usize {
        self.vault.requests().len()
    }

    /// A shell script that looks up HF_TOKEN in a process of its own, and prints where that was and the variables.
    fn rank() -> String {
        let program = env!("CARGO_BIN_EXE_st-secrets");
        format!("{program} where --json HF_TOKEN | tr -d ' \\n'; echo; env | grep ST_SECRETS | sort")
    }
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(answer.text()).unwrap()
}

/// Whether the first line is a value that another process loaded, without its variables.
fn is_shared(answer: &Answer) -> bool {
    let first = answer.text().lines().next().unwrap();
    serde_json::from_str::<Value>(first).unwrap()["HF_TOKEN"]["shared"] == true
}

#[test]
fn run_share_loads_once_for_all_processes_of_the_command() {
    let host = Host::start();
    let ranks = format!("for rank in 1 2 3 4; do ({}) & done; wait", Host::rank());
    let run = host.run(&["run", "--share", "HF_TOKEN", "--", "sh", "-c", &format!("unset HF_TOKEN; {ranks}")]).ok();
    assert_eq!(run.text().matches("\"shared\":true").count(), 4, "{run:?}");
    assert_eq!(run.text().matches("ST_SECRETS_SHARE=host\n").count(), 4, "{run:?}");
    assert_eq!(host.loads(), 1);
    // Without the option, each loads for itself.
    let without = host.run(&["run", "HF_TOKEN", "--", "sh", "-c", &format!("unset HF_TOKEN; {}", Host::rank())]).ok();
    assert!(!is_shared(&without), "{without:?}");
    assert_eq!(host.loads(), 3);
}

#[test]
fn run_share_needs_no_name_and_ranks_send_no_request() {
    let host = Host::start();
    let seen = |run: &Answer| (is_shared(run), run.text().lines().skip(1).map(str::to_owned).collect::<Vec<_>>());
    host.run(&["run", "--share", "--", "true"]).ok();
    let before = host.requests();
    assert!(before > 0);
    let run = host.run(&["run", "--share", "--", "sh", "-c", &Host::rank()]).ok();
    let directory = format!("ST_SECRETS_SHARE_DIR={}", host.directory().display());
    assert_eq!(seen(&run), (true, vec!["ST_SECRETS_SHARE=host".to_owned(), directory]));
    assert_eq!(host.requests(), before);
}

#[test]
fn run_share_passes_the_settings_of_the_file_on() {
    let host = Host::start();
    let key = "CANARYCANARYCANARYCANARYCANARYCANARYCANARYA=";
    let text = format!("share_dir = {:?}\nshare_key = {key:?}\nshare = \"off\"\n", host.directory());
    let config = host.home.write("c.toml", &text);
    let arguments = ["run", "--config", config.to_str().unwrap(), "--share", "--redact", "--", "sh", "-c"];
    let run = answer(host.plain(&[&arguments[..], &[&Host::rank()]].concat())).ok();
    assert!(is_shared(&run), "{run:?}");
    assert!(run.text().contains("\nST_SECRETS_SHARE_KEY=***\n"), "{run:?}");
    assert!(run.text().contains(&format!("\nST_SECRETS_SHARE_DIR={}\n", host.directory().display())), "{run:?}");
    // Another key does not open the document.
    let mut other = host.command(&["share", "--json"]);
    other.env("ST_SECRETS_SHARE_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(parsed(&answer(other).ok())["documents"][0]["age"], Value::Null);
    fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    host.home.run(&["--config", config.to_str().unwrap(), "list"]).says(&["can be read by other users"]);
}

#[test]
fn clean_environment_keeps_what_finds_the_share() {
    let host = Host::start();
    let keep = "VAULT_*,SIMPLETUNER_*";
    let arguments = ["run", "--share", "--clean", "--keep", keep, "--", "sh", "-c"];
    let mut run = host.plain(&[&arguments[..], &[&Host::rank()]].concat());
    run.env("XDG_RUNTIME_DIR", host.memory.path()).env("ST_SECRETS_SHARE_KEY", "A".repeat(43) + "=");
    let run = answer(run).ok();
    assert!(is_shared(&run), "{run:?}");
    assert!(run.text().contains("\nST_SECRETS_SHARE_KEY=AAAA"), "{run:?}");
    assert!(host.memory.path().join("st-secrets").is_dir());
}

#[test]
fn share_and_prefetch_show_and_load_the_documents() {
    let host = Host::start();
    let share = host.run(&["share"]).ok();
    let lines: Vec<&str> = share.text().lines().collect();
    assert!(lines[0].starts_with(host.directory().to_str().unwrap()) && lines[0].contains(" of user "), "{share:?}");
    assert!(lines[1].starts_with("PROVIDER") && lines[2].starts_with("vault") && lines[2].contains(&host.path));
    assert!(lines[2].ends_with("not loaded") && lines.len() == 3, "{share:?}");
    assert_eq!(host.requests(), 0);

    host.run(&["prefetch"]).ok();
    let loaded = host.requests();
    assert!(loaded > 0);
    host.run(&["prefetch"]).ok();
    assert_eq!(host.requests(), loaded);
    let shared = host.shared();
    assert_eq!((&shared["share"], &shared["refused"]), (&json!("host"), &Value::Null));
    assert!(shared["documents"][0]["age"].is_number(), "{shared}");
    let share = host.run(&["share"]).ok();
    let row: Vec<&str> = share.text().lines().nth(2).unwrap().split("  ").filter(|cell| !cell.is_empty()).collect();
    assert!(row[2].trim().ends_with(" s") && row[3].trim().ends_with(" s") && row[4].trim() == "loaded", "{row:?}");
    assert!(!share.text().contains("CANARY"));
    let mut unconfigured = host.home.command(&["share"]);
    unconfigured.env("ST_SECRETS_SHARE_DIR", host.directory());
    answer(unconfigured).says(&["neither AWS nor Vault has a document to share"]);
}

#[test]
fn refused_directory_is_warned_of_and_the_command_runs() {
    let host = Host::start();
    fs::create_dir(host.directory()).unwrap();
    fs::set_permissions(host.directory(), Permissions::from_mode(0o755)).unwrap();
    let reason = ["nothing is shared with other processes", "is open to other users (mode 0755); run: chmod 700"];
    let run = host.run(&["run", "--share", "HF_TOKEN", "--", "echo", "started"]);
    assert_eq!((run.code, run.text()), (0, "started\n"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    run.says(&reason);
    let share = host.run(&["share"]);
    assert_eq!(share.stderr.lines().count(), 1, "{share:?}");
    share.fails(4, &reason);
    let share = host.run(&["share", "--json"]);
    assert!(share.code == 4 && parsed(&share)["refused"].as_str().unwrap().contains("chmod 700"), "{share:?}");

    let mut check = host.command(&["check"]);
    check.env("ST_SECRETS_SHARE", "host");
    let check = answer(check).ok();
    let lines: Vec<&str> = check.text().lines().collect();
    let row = lines.iter().position(|line| line.starts_with("share ")).unwrap();
    assert!(lines[row].contains("warning") && lines[row].contains("chmod 700"), "{check:?}");
    assert!(lines[row + 1].contains("what to do: "), "{check:?}");
    let off = parsed(&host.run(&["check", "--json"]).ok());
    assert_eq!(off["share"]["state"], "absent");
}

#[test]
fn server_that_fails_is_warned_of_unless_a_secret_is_missing() {
    let host = Host::start();
    host.vault.always(Fault::vault(503, &["it is sealed"]));
    let run = host.run(&["run", "--share", "--", "echo", "started"]);
    assert_eq!((run.code, run.text()), (0, "started\n"), "{run:?}");
    run.says(&["warning: ", "vault"]);
    let share = host.run(&["share"]).ok();
    assert!(share.text().contains("failing, next attempt in "), "{share:?}");
    let missing = host.run(&["run", "--share", "HF_TOKEN", "--", "echo", "started"]);
    assert_eq!(missing.stderr.lines().count(), 1, "no warning that says it again: {missing:?}");
    missing.fails(4, &["HF_TOKEN", "vault"]);
    host.run(&["prefetch"]).fails(4, &["vault"]);
}

/// A process that follows its secrets, and so takes part in what is shared.
fn follower(host: &Host, variables: &[(&str, &str)]) -> Piped {
    let script = ["run", "--share", "HF_TOKEN", "--watch", "--on-change", "HUP", "--", "sh", "-c"];
    let mut command = host.command(&[&script[..], &["trap '' HUP; echo up; exec sleep 1000"]].concat());
    command.envs(variables.iter().copied());
    let mut follower = Piped::start(host.home.with_default_signals(&command));
    assert_eq!(follower.line(), "up");
    follower
}

fn signal(name: &str, process: &Piped) {
    assert!(Command::new("kill").args([name, &process.id().to_string()]).status().unwrap().success());
}

fn end(process: Piped) {
    signal("-TERM", &process);
    signal("-CONT", &process);
    process.end();
}

#[test]
fn invalidate_drops_what_processes_share() {
    let host = Host::start();
    let get = || host.run(&["run", "--share", "HF_TOKEN", "--", "sh", "-c", "echo $HF_TOKEN"]).ok().text().to_owned();
    assert_eq!(get(), "CANARY-hf\n");
    bao().put("secret", &host.path, &json!({"HF_TOKEN": "CANARY-new"}));
    assert_eq!(get(), "CANARY-hf\n");
    let follower = follower(&host, &[]);
    assert_eq!(host.run(&["invalidate"]).ok().text(), "confirmed by 1 process\n");
    assert_eq!(get(), "CANARY-new\n");
    let report = parsed(&host.run(&["invalidate", "--json"]).ok());
    assert_eq!((&report["scope"], &report["silent"]), (&json!("host"), &json!([])));
    assert!(report["confirmed"].as_array().unwrap().contains(&json!(follower.id())), "{report}");
    host.run(&["invalidate", "--cluster"]).fails(2, &["there is no cluster tier", "ST_SECRETS_SHARE_URL"]);
    end(follower);
    assert_eq!(host.run(&["invalidate"]).ok().text(), "confirmed by no other process\n");
}

#[test]
fn invalidate_names_the_hosts_that_have_not_confirmed() {
    let (one, other) = (Host::start(), Host::start());
    let directory = temp_in_memory();
    let socket = directory.path().join("redis.sock");
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--unixsocket", socket.to_str().unwrap()]);
    let mut redis = Process::start(command, &directory.path().join("log"));
    assert!(redis.wait(|log| log.contains("eady to accept connections")), "{}", redis.log());
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let url = format!("unix://{}", socket.display());
    let variables = [("ST_SECRETS_SHARE_KEY", key), ("ST_SECRETS_SHARE_URL", url.as_str())];
    let invalidate = |more: &[&str]| {
        let mut command = one.command(&[&["invalidate", "--cluster"], more].concat());
        command.envs(variables);
        answer(command)
    };
    let follower = follower(&other, &variables);
    assert_eq!(invalidate(&["--timeout", "120"]).ok().text(), "confirmed by 2 hosts\n");
    signal("-STOP", &follower);
    let silent = invalidate(&["--timeout", "1"]);
    assert_eq!((silent.code, silent.text()), (4, "confirmed by 1 host\n"), "{silent:?}");
    silent.says(&["error: host ", "/", " has not confirmed: it makes no calls, is stopped"]);
    let report = invalidate(&["--timeout", "1", "--json"]);
    assert_eq!((report.code, parsed(&report)["silent"].as_array().unwrap().len()), (4, 1), "{report:?}");
    end(follower);
}
