//! The AWS provider against moto, which checks signatures and permissions.

mod agent;
mod aws_login;
#[path = "../common/mod.rs"]
mod common;
mod endpoints;
mod faults;
mod listed;
mod logins;
mod one_value;
mod oracle;
mod parameters;
mod profiles;
mod programs;
mod regions;
mod renewal;
mod roles;
mod settings;
mod throttling;
mod values;
mod writes;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::proxy::{Fault, Reply};
use common::servers::{Key, Variables, moto, unique};
use common::{open, text, write};
use serde_json::json;
use st_secrets::{Error, GetOptions, Manager, Source, Status, log};

/// Runs the body of a test in a process of its own, as [`common::servers::in_clean_environment`] does.
macro_rules! alone {
    ($prepare:expr, $body:expr $(,)?) => {{
        fn here() {}
        crate::common::servers::in_clean_environment(crate::name_of(&here), $prepare, $body);
    }};
}
use alone;

/// Returns the name of the test that contains a function.
fn name_of<T>(here: &T) -> &'static str {
    std::any::type_name_of_val(here).trim_start_matches("aws::").trim_end_matches("::here")
}

const READ: &[&str] = &["secretsmanager:GetSecretValue"];

const REFRESH: GetOptions = GetOptions { timeout: None, refresh: true, cached_only: false };

/// Creates a user with these permissions, and a secret with this text. Returns variables with the keys of the user and
/// the name of the secret.
fn user_and_secret(actions: &[&str], text: &str) -> Variables {
    let name = unique("app/prod");
    moto().secret(&name, text);
    let mut variables = moto().variables(&moto().user(actions));
    variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), name));
    variables
}

/// Creates a secret. Returns variables with its name and the endpoint of moto, without credentials.
fn secret_alone() -> Variables {
    let name = unique("secret");
    moto().secret(&name, r#"{"A": "1"}"#);
    vec![
        ("SIMPLETUNER_AWS_SECRET_NAME".into(), name),
        ("AWS_DEFAULT_REGION".into(), "us-east-1".into()),
        ("AWS_ENDPOINT_URL".into(), moto().url()),
        ("AWS_EC2_METADATA_DISABLED".into(), "true".into()),
    ]
}

/// As [`secret_alone`], with keys in variables that the library does not read.
fn secret_and(keys: &[(&str, Key)]) -> Variables {
    let mut variables = secret_alone();
    for (name, key) in keys {
        variables.push((format!("{name}_ID"), key.id.clone()));
        variables.push((format!("{name}_SECRET"), key.secret.clone()));
        variables.push((format!("{name}_TOKEN"), key.token.clone().unwrap_or_default()));
    }
    variables
}

/// Returns a variable of this process.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Returns the key that [`secret_and`] stored under this name.
fn key(name: &str) -> Key {
    let token = Some(variable(&format!("{name}_TOKEN"))).filter(|token| !token.is_empty());
    Key::new(&variable(&format!("{name}_ID")), &variable(&format!("{name}_SECRET")), token.as_deref())
}

/// Writes `~/.aws/{name}` and returns its path.
fn aws_file(name: &str, text: &str) -> PathBuf {
    let directory = Path::new(&variable("HOME")).join(".aws");
    fs::create_dir_all(&directory).unwrap();
    write(&directory.join(name), text)
}

/// Opens a manager with only the AWS provider.
fn aws() -> Manager {
    open(&[("providers", r#"["aws"]"#), ("timeout", "120")]).unwrap()
}

/// Refreshes a secret, which must fail with this status and a message with these parts.
fn refused_by(secrets: &Manager, status: Status, parts: &[&str]) -> Error {
    let error = secrets.get_with("A", &REFRESH).unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    assert_eq!(error.source_provider(), Source::Aws, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "{part:?} in: {error}");
    }
    error
}

/// As [`refused_by`], with a new manager.
fn refused(status: Status, parts: &[&str]) -> Error {
    refused_by(&aws(), status, parts)
}

/// Checks that a new manager reads the secret.
fn reads() {
    let secrets = aws();
    let got = secrets.get("A");
    assert!(got.is_ok(), "{}", got.unwrap_err());
    assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
}

/// Collects what the library logs from now on, at the finest level.
fn logged() -> Arc<Mutex<String>> {
    let lines: Arc<Mutex<String>> = Arc::default();
    let kept = lines.clone();
    log::set(log::Level::Trace, move |_, _, message| {
        let mut lines = kept.lock().unwrap();
        lines.push_str(message);
        lines.push('\n');
    });
    lines
}

fn in_seconds(seconds: i64) -> SystemTime {
    let now = SystemTime::now();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now - distance } else { now + distance }
}

/// `2026-11-21T02:49:45.949991000Z`
fn iso(time: SystemTime) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ", "-d"])
        .arg(format!("@{:.6}", time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The response of a container endpoint.
fn container_response(key: &Key, expires: SystemTime) -> Fault {
    let body =
        json!({"AccessKeyId": key.id, "SecretAccessKey": key.secret, "Token": key.token, "Expiration": iso(expires)});
    Reply::new(200).body(body.to_string()).into()
}
