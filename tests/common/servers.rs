//! The real servers that the providers of AWS and Vault are tested on: moto and OpenBao, out of `build/venv`.
//!
//! [`moto()`] and [`bao()`] are the servers that all tests of one file share; each test gives its secrets, users,
//! mounts and policies names of its own ([`unique`]). A test that stops, seals, resets or switches a server starts one
//! for itself: [`Moto::start`], [`Bao::start`], [`Bao::start_tls`], [`Bao::start_stored`]. A server ends when its value
//! is dropped and when the test process ends, however it ends.
//!
//! Settings of the library that are variables are given to a process of the test's own, in which no variable of AWS,
//! Vault or a proxy is set and `HOME` is empty. What comes before the two functions runs in both processes,
//! `prepare` in the first alone, `body` in the second alone; the shared servers are the same ones in both:
//!
//! ```ignore
//! #[test]
//! fn a_secret_comes_from_aws() {
//!     in_clean_environment("a_secret_comes_from_aws", || {
//!         moto().secret("training", &json!({"HF_TOKEN": "hf_1"}).to_string());
//!         let key = moto().user(&["secretsmanager:GetSecretValue"]);
//!         let mut variables = moto().variables(&key);
//!         variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), "training".into()));
//!         variables
//!     }, || {
//!         let secrets = open(&[]).unwrap();
//!         assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("hf_1"));
//!     });
//! }
//! ```
//!
//! What `body` itself starts (a proxy, a server of its own) has an address that the other process does not have: it
//! passes it as a setting (`aws_endpoint_url`, `vault_url`), or by [`set_variables`] before it uses the library.

pub mod azure;
pub mod bao;
pub mod cloud;
pub mod google;
pub mod http;
pub mod infisical;
pub mod kubernetes;
pub mod moto;
pub mod onepassword;
pub mod postgres;
pub mod process;
pub mod tls;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::Value;

pub use azure::Azure;
pub use bao::{Bao, Issuer, bao};
pub use google::Google;
pub use infisical::Infisical;
pub use kubernetes::Kubernetes;
pub use moto::{Key, Moto, moto};
pub use onepassword::OnePassword;
pub use postgres::Postgres;
pub use tls::Tls;

/// Variables of a process: names and values.
pub type Variables = Vec<(String, String)>;

/// Runs `body` as [`super::in_environment`] does, as the test `name` of this file, with an empty directory as `HOME`
/// and with the variables that `prepare` gives. A panic of either fails the test.
pub fn in_clean_environment(name: &str, prepare: impl FnOnce() -> Variables, body: impl FnOnce()) {
    if super::is_test_body() {
        return body();
    }
    let home = super::temp();
    let given = prepare();
    let mut variables: Vec<(String, Option<String>)> = Vec::new();
    variables.push(("HOME".into(), Some(home.path().to_str().unwrap().into())));
    variables.extend(shared().into_iter().chain(given).map(|(name, value)| (name, Some(value))));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    super::in_environment(name, &variables, body);
}

/// Where the shared servers that run are to be found by a process of a test's own.
fn shared() -> Variables {
    moto::shared_variable().into_iter().chain(bao::shared_variable()).collect()
}

/// Sets variables of this process. For the body of a test that has a process of its own, before it uses the library.
pub fn set_variables<N: AsRef<str>, V: AsRef<OsStr>>(variables: impl IntoIterator<Item = (N, V)>) {
    assert!(super::is_test_body(), "only in a process of the test's own");
    for (name, value) in variables {
        // SAFETY: the process runs one test, and its other threads (servers, proxies) read no variables.
        unsafe { std::env::set_var(name.as_ref(), value) };
    }
}

/// A name that no other test has, in any process.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

/// The Python of the tests, with what `tests/python-tools.sh` installs.
pub fn python() -> Command {
    let mut command = Command::new(venv().join("bin/python"));
    command.current_dir(root());
    super::undisturbed(&mut command);
    command
}

/// What a script in `tests/python` prints, as JSON.
pub fn python_script(script: &str, arguments: &[&str]) -> Value {
    python_script_with(script, arguments, &Value::Null)
}

/// What boto3 and hvac read: `tests/python/peers.py` documents the requests and answers.
pub fn peers(asked: &Value) -> Value {
    python_script_with("peers.py", &[], asked)
}

/// The same, with this on its standard input.
pub fn python_script_with(script: &str, arguments: &[&str], input: &Value) -> Value {
    let mut command = python();
    command.arg(root().join("tests/python").join(script)).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The virtual environment, made where it is missing.
fn venv() -> &'static Path {
    static VENV: OnceLock<PathBuf> = OnceLock::new();
    VENV.get_or_init(|| {
        let made = Command::new("sh").arg(root().join("tests/python-tools.sh")).status().unwrap();
        assert!(made.success(), "run: make tools");
        root().join("build/venv")
    })
}
