//! Secret managers, run with the commands of `docs/exec.md`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::common::time::soon;
use crate::common::{in_environment, temp, text, write};
use crate::with_providers;

/// Runs a program with this input, and returns its output.
fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; run: make tools"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn age_decrypts_a_dotenv_file() {
    let directory = temp();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    run("age-keygen", &["-o", &path("key.txt")], "");
    let public = run("age-keygen", &["-y", &path("key.txt")], "");
    run("age", &["-r", public.trim(), "-o", &path("secrets.env.age")], "A=1\nB='two words'\n");
    let secrets = with_providers(&json!([
        {"name": "age", "exec": ["age", "-d", "-i", path("key.txt"), path("secrets.env.age")]}
    ]));
    assert_eq!(text(&secrets, "B").as_deref(), Some("two words"));
    run("age-keygen", &["-o", &path("other.txt")], "");
    let other = json!([{"exec": ["age", "-d", "-i", path("other.txt"), path("secrets.env.age")]}]);
    let error = with_providers(&other).get("A").unwrap_err();
    assert!(error.message().contains("age failed with exit status: 1; it says: age: error: "), "{error}");
}

/// Runs `body` in a process of its own with a new key `test@example.com` in `GNUPGHOME`.
fn with_gpg(name: &str, body: impl FnOnce(&Path)) {
    // The socket of gpg's agent is in this directory, and its path must fit into 107 bytes.
    let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
    let directory = home.path().to_str().unwrap().to_owned();
    let store = format!("{directory}/store");
    let variables = [("GNUPGHOME", Some(&*directory)), ("PASSWORD_STORE_DIR", Some(&*store))];
    in_environment(name, &variables, || {
        let home = std::env::var("GNUPGHOME").unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        // gpg starts its agent itself, but waits for it only for five seconds.
        let agent = || Command::new("gpg-connect-agent").args(["--no-autostart", "/bye"]).output().unwrap();
        Command::new("gpg-agent").args(["--daemon", "--quiet"]).output().unwrap();
        soon(|| agent().stderr.is_empty());
        let key = ["--batch", "--passphrase", "", "--quick-gen-key", "test@example.com", "rsa2048", "encr"];
        run("gpg", &key, "");
        body(Path::new(&home));
        run("gpgconf", &["--kill", "all"], "");
    });
}

#[test]
fn gpg_decrypts_a_json_file() {
    with_gpg("tools::gpg_decrypts_a_json_file", |home| {
        let plain = write(&home.join("secrets.json"), "{\"A\": \"1\", \"B\": \"two\\nlines\"}");
        let file = home.join("secrets.json.gpg").to_str().unwrap().to_owned();
        let encrypt = ["--batch", "--trust-model", "always", "-r", "test@example.com", "-o", &file, "-e"];
        run("gpg", &[&encrypt[..], &[plain.to_str().unwrap()]].concat(), "");
        let secrets = with_providers(&json!([{"name": "gpg", "exec": ["gpg", "--batch", "--quiet", "-d", file]}]));
        assert_eq!(text(&secrets, "B").as_deref(), Some("two\nlines"));
        let missing = json!([{"exec": ["gpg", "--batch", "--quiet", "-d", "/no/such/file"]}]);
        let error = with_providers(&missing).get("A").unwrap_err();
        assert!(error.message().contains("gpg failed with exit status: 2; it says: gpg: can't open"), "{error}");
    });
}

#[test]
fn pass_shows_one_value() {
    with_gpg("tools::pass_shows_one_value", |_| {
        run("pass", &["init", "test@example.com"], "");
        run("pass", &["insert", "--multiline", "hf/token"], "hf_example\n");
        let secrets = with_providers(&json!([
            {"name": "hf", "exec": ["pass", "show", "hf/token"], "as": "HF_TOKEN"},
            {"name": "none", "exec": ["pass", "show", "no/such"], "as": "NONE"},
        ]));
        assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("hf_example"));
        let error = secrets.get("NONE").unwrap_err();
        let words = "the provider none failed: pass failed with exit status: 1; it says: Error: no/such is not";
        assert!(error.message().contains(words), "{error}");
    });
}

/// SOPS, which is built if it is missing.
fn sops() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("sh").arg(root.join("tests/exec/sops.sh")).output().unwrap();
    assert!(output.status.success(), "tests/exec/sops.sh: {}", String::from_utf8_lossy(&output.stderr));
    root.join("build/sops").join(String::from_utf8(output.stdout).unwrap().trim()).to_str().unwrap().to_owned()
}

#[test]
#[ignore = "builds SOPS, which takes minutes: make soak runs it"]
fn sops_decrypts_a_file() {
    let sops = sops();
    let directory = temp();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    run("age-keygen", &["-o", &path("key.txt")], "");
    let public = run("age-keygen", &["-y", &path("key.txt")], "");
    let plain = write(&directory.path().join("plain.json"), "{\"A\": \"1\", \"B\": \"two\\nlines\"}");
    let encrypted = run(&sops, &["-e", "--age", public.trim(), plain.to_str().unwrap()], "");
    let file = write(&directory.path().join("secrets.enc.json"), &encrypted).to_str().unwrap().to_owned();
    let identity = format!("SOPS_AGE_KEY_FILE={}", path("key.txt"));
    let decrypts = json!(["env", identity, sops, "-d", "--output-type", "json", file]);
    let secrets = with_providers(&json!([{"exec": decrypts, "name": "sops"}]));
    assert_eq!(text(&secrets, "B").as_deref(), Some("two\nlines"));
    let other = json!(["env", "SOPS_AGE_KEY_FILE=/no/such/file", sops, "-d", "--output-type", "json", file]);
    let error = with_providers(&json!([{"exec": other}])).get("A").unwrap_err();
    assert!(
        error.message().contains("env failed with exit status: 128; it says: Failed to get the data key"),
        "{error}"
    );
}
