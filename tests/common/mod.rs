//! What the integration tests share.
#![allow(dead_code, unreachable_pub, unused_imports, unused_macros, reason = "each test file uses its own part")]

pub mod custom;
pub mod fork;
pub mod keys;
pub mod proxy;
pub mod python;
pub mod remote;
pub mod servers;
pub mod simpletuner;
pub mod store;
pub mod time;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use st_secrets::{Config, Manager, Result};

/// A directory that goes when the test ends.
pub fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A directory in memory that goes when the test ends.
pub fn temp_in_memory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("st-secrets-test-").tempdir_in("/dev/shm").unwrap()
}

/// A manager that asks nothing but this file or directory.
pub fn with_file(path: &Path) -> Manager {
    open(&[("providers", r#"["file"]"#), ("file_path", path.to_str().unwrap())]).unwrap()
}

/// A manager whose calls have more time than a busy machine takes, unless the settings say otherwise.
pub fn open(settings: &[(&str, &str)]) -> Result<Manager> {
    let mut config = Config::new();
    config.set("timeout", "120")?;
    for (key, value) in settings {
        config.set(key, value)?;
    }
    Manager::open(&config)
}

/// A file with mode 0600.
pub fn write(path: &Path, text: &str) -> PathBuf {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path.to_owned()
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub fn text(manager: &Manager, key: &str) -> Option<String> {
    manager.get(key).ok().map(|secret| String::from_utf8(secret.value().to_vec()).unwrap())
}

/// Runs `body` as [`in_environment`] does, without `HOME`, as a user that is not in the system's database.
pub fn without_home(name: &str, variables: &[(&str, Option<&str>)], body: impl FnOnce()) {
    let program = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
    let variables: Vec<_> = [("HOME", None)].iter().chain(variables).copied().collect();
    run_body(&program, name, &variables, body);
}

/// Runs `body` in a process of its own with these variables (`None`: not set), as the test `name` of this file. Of the
/// other variables it has none that is for AWS, Vault, a proxy or SimpleTuner.
pub fn in_environment(name: &str, variables: &[(&str, Option<&str>)], body: impl FnOnce()) {
    run_body(&[], name, variables, body);
}

/// Whether this is the process that a test has for its body.
pub fn is_test_body() -> bool {
    std::env::var_os("ST_SECRETS_TEST_BODY").is_some()
}

/// Keeps variables of the developer's or the machine's, which would change what the library does, from a process.
pub fn undisturbed(command: &mut Command) -> &mut Command {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_str().is_some_and(disturbs)).fold(command, Command::env_remove)
}

fn disturbs(name: &str) -> bool {
    let upper = name.to_uppercase();
    [
        "AWS_",
        "VAULT_",
        "BAO_",
        "SIMPLETUNER_",
        "ST_SECRETS_SHARE",
        "BOTO_",
        "HF_",
        "HUGGING",
        "GOOGLE_",
        "GCLOUD_",
        "GCE_",
        "CLOUDSDK_",
        "AZURE_",
        "IDENTITY_",
        "INFISICAL_",
        "OP_",
    ]
    .iter()
    .any(|start| upper.starts_with(start))
        || upper.ends_with("_PROXY")
        || ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].contains(&upper.as_str())
}

fn run_body(wrapper: &[&str], name: &str, variables: &[(&str, Option<&str>)], body: impl FnOnce()) {
    if is_test_body() {
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", name, "--test-threads=1"]).env("ST_SECRETS_TEST_BODY", "1");
    undisturbed(&mut command);
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&printed));
}
