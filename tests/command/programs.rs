//! Real programs under `run --redact`: each shows the secret without, and none with.

use crate::home::{CANARY, Home, python};
use crate::session::Session;

/// It has characters that URLs and programs escape.
const VALUE: &str = "CANARY/9f'2 7+k=Q";

fn home() -> Home {
    Home::with(&serde_json::json!({ "TOKEN": VALUE }).to_string())
}

/// What the command writes to both streams.
fn output(home: &Home, options: &[&str], command: &[&str]) -> String {
    let arguments = [&["run", "TOKEN"], options, &["--"], command].concat();
    let output = home.command(&arguments).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Checks that this text shows the secret.
fn is_redacted(home: &Home, shown: &str, command: &[&str]) {
    let plain = output(home, &[], command);
    assert!(plain.contains(shown), "{command:?} does not show it: {plain}");
    let redacted = output(home, &["--redact"], command);
    assert!(redacted.contains("***"), "{command:?}: {redacted}");
    assert!(!redacted.contains(shown) && !redacted.contains(CANARY), "{command:?}: {redacted}");
}

#[test]
fn a_traceback_is_redacted() {
    let script = "import os; token = os.environ['TOKEN']; raise ValueError(f'bad token {token!r}')";
    is_redacted(&home(), CANARY, &["python3", "-c", script]);
    let script = "import os, traceback\ntoken = os.environ['TOKEN']\ntry:\n    {}[token]\nexcept KeyError:\n    traceback.print_exc()";
    is_redacted(&home(), CANARY, &["python3", "-c", script]);
}

#[test]
fn the_environment_is_redacted() {
    is_redacted(&home(), CANARY, &["env"]);
    is_redacted(&home(), CANARY, &["python3", "-c", "import os; print(dict(os.environ))"]);
    is_redacted(&home(), CANARY, &["python3", "-c", "import os, json; print(json.dumps(dict(os.environ)))"]);
}

#[test]
fn the_trace_of_a_shell_is_redacted() {
    for shell in ["sh", "bash"] {
        is_redacted(&home(), CANARY, &[shell, "-xc", r#": "--header=$TOKEN""#]);
        is_redacted(&home(), CANARY, &[shell, "-xc", r#"header="Bearer $TOKEN"; : "$header""#]);
    }
}

#[test]
fn encoded_secrets_are_redacted() {
    let base64 = |prefix: &str| {
        let script =
            format!("import base64, os; print(base64.b64encode(('{prefix}' + os.environ['TOKEN']).encode()).decode())");
        let home = home();
        let plain = output(&home, &[], &["python3", "-c", &script]);
        let redacted = output(&home, &["--redact"], &["python3", "-c", &script]);
        assert!(plain.len() > 20 && redacted.contains("***") && redacted.len() < 20, "{plain}{redacted}");
    };
    ["", "u:", "user:", "abc:"].into_iter().for_each(base64);
    is_redacted(
        &home(),
        "CANARY%2F",
        &["python3", "-c", "import os, urllib.parse as p; print(p.quote(os.environ['TOKEN'], safe=''))"],
    );
    is_redacted(&home(), "43414e415259", &["python3", "-c", "import os; print(os.environb[b'TOKEN'].hex())"]);
}

#[test]
fn pip_with_a_credential_in_its_index_is_redacted() {
    let home = home();
    let python = python();
    let python = python.get_program().to_str().unwrap();
    let url = format!(
        "import os, sys, urllib.parse as p\n\
         os.environ['PIP_INDEX_URL'] = 'http://u:' + p.quote(os.environ['TOKEN'], safe='') + '@127.0.0.1:1/simple'\n\
         os.execv('{python}', ['{python}', '-m', 'pip', *sys.argv[1:]])"
    );
    is_redacted(&home, "CANARY%2F", &[python, "-c", &url, "config", "list"]);
    let failing = ["-c", &url, "download", "-vvv", "--retries", "0", "--disable-pip-version-check", "no-such-package"];
    let redacted = output(&home, &["--redact"], &[&[python], &failing[..]].concat());
    assert!(redacted.contains("no-such-package") && !redacted.contains(CANARY), "{redacted}");
}

#[test]
fn wandb_offline_is_redacted() {
    let python = python();
    let script = "import os, wandb\ntoken = os.environ['TOKEN']\n\
                  run = wandb.init(project='p', mode='offline', config={'token': token})\n\
                  print(dict(run.config))\nwandb.termlog(token)\nrun.log({'loss': 0.5})\nrun.finish()";
    is_redacted(&home(), CANARY, &[python.get_program().to_str().unwrap(), "-c", script]);
}

#[test]
fn a_progress_bar_is_live_and_redacted() {
    let home = home();
    let script =
        "import os, tqdm\nfor step in tqdm.tqdm(range(3), desc=os.environ['TOKEN'], mininterval=0):\n    input()";
    let python = python();
    let program =
        home.command(&["run", "TOKEN", "--redact", "--", python.get_program().to_str().unwrap(), "-c", script]);
    let mut session = Session::of(&home, &program, 80);
    for percent in ["  0%|", " 33%|", " 67%|"] {
        session.expect(percent);
        session.type_in(b"\n");
    }
    session.expect("100%|");
    let (code, seen) = session.end();
    assert!(code == 0 && seen.contains("***: 100%|") && !seen.contains(CANARY), "{seen}");
    // It fills the line, as on the real terminal.
    let line = seen.split(['\r', '\n']).find(|line| line.contains("100%|")).unwrap();
    assert!(line.chars().count() > 50, "{line}");
}

#[test]
fn a_child_of_the_command_is_redacted() {
    let script = "import os, subprocess; subprocess.run(['sh', '-c', 'echo \"$TOKEN\" >&2; echo \"$TOKEN\"'])";
    is_redacted(&home(), CANARY, &["python3", "-c", script]);
}
