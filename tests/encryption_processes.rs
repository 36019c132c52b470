//! Concurrent processes and full disks: no key is ever lost.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::keys::{previous, with_file};
use common::{temp, write};
use st_secrets::{Cipher, Status};

const BODY: &str = "ST_SECRETS_TEST_BODY";

/// The task of a worker process: what to do, and the path of the key file. `None` in the test itself.
fn task() -> Option<(String, PathBuf)> {
    let what = std::env::var(BODY).ok()?;
    Some((what, PathBuf::from(std::env::var_os("HOME").unwrap()).join(".simpletuner/credential.key")))
}

/// The test `name` of this file as a process with the task `what`.
fn worker(wrapper: &[&str], name: &str, what: &str, home: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(|word| word.to_string()).chain([program.to_str().unwrap().to_owned()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", name, "--test-threads=1"]).env(BODY, what).env("HOME", home);
    command.env_remove("SIMPLETUNER_CREDENTIAL_KEY").env_remove("SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn concurrent_processes_agree_on_one_generated_key() {
    let name = "concurrent_processes_agree_on_one_generated_key";
    if let Some((what, path)) = task() {
        let cipher = Cipher::default_instance().unwrap();
        let token = cipher.encrypt(b"plain").unwrap();
        fs::write(path.with_file_name(format!("token.{what}")), &*token).unwrap();
        return;
    }
    for round in 0..3 {
        let home = temp();
        let start = |n: usize| worker(&[], name, &n.to_string(), home.path()).spawn().unwrap();
        let workers: Vec<Child> = (0..16).map(start).collect();
        for mut worker in workers {
            assert!(worker.wait().unwrap().success());
        }
        let directory = home.path().join(".simpletuner");
        let cipher = with_file(&directory.join("credential.key")).unwrap();
        for n in 0..16 {
            let token = fs::read(directory.join(format!("token.{n}"))).unwrap();
            assert_eq!(&*cipher.decrypt(&token).unwrap(), b"plain", "round {round}, process {n}");
        }
        assert!(!directory.join("credential.key.previous").exists());
    }
}

#[test]
fn concurrent_rotations_lose_no_key() {
    let name = "concurrent_rotations_lose_no_key";
    if let Some((_, path)) = task() {
        let cipher = with_file(&path).unwrap();
        (0..10).for_each(|_| cipher.rotate_key().unwrap());
        return;
    }
    let home = temp();
    fs::create_dir(home.path().join(".simpletuner")).unwrap();
    let path = write(&home.path().join(".simpletuner/credential.key"), "first");
    let start = |n: usize| worker(&[], name, &n.to_string(), home.path()).spawn().unwrap();
    for mut worker in (0..4).map(start).collect::<Vec<_>>() {
        assert!(worker.wait().unwrap().success());
    }
    let kept = fs::read_to_string(previous(&path)).unwrap();
    let kept: HashSet<&str> = kept.lines().collect();
    assert!(kept.len() == 40 && kept.contains("first"), "{}", kept.len());
}

#[test]
fn full_or_read_only_disk_changes_nothing() {
    let name = "full_or_read_only_disk_changes_nothing";
    if let Some((what, path)) = task() {
        let fresh = path.with_file_name("fresh");
        let (io, errno) = if what == "full" { (Status::Io, 28) } else { (Status::ReadOnly, 30) };
        let cipher = with_file(&path).unwrap();
        for error in [cipher.rotate_key().unwrap_err(), with_file(&fresh).unwrap_err()] {
            assert_eq!((error.status(), error.detail()), (io, errno), "{error}");
        }
        assert!(!fresh.exists() && !previous(&path).exists());
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        assert!(cipher.encrypt(b"plain").is_ok());
        return;
    }
    // A small private disk, in a mount namespace that ends with the process.
    let home = temp();
    let script = r#"set -e; mkdir -p "$HOME/.simpletuner"; mount -t tmpfs -o size=16k,mode=700 tmpfs "$HOME/.simpletuner"
        cd "$HOME/.simpletuner"; printf secret >credential.key; chmod 600 credential.key
        if [ "$ST_SECRETS_TEST_BODY" = full ]; then : >.credential.key.lock; cat /dev/zero >filler 2>/dev/null || true
        else mount -o remount,ro "$HOME/.simpletuner"; fi
        cd /; exec "$@""#;
    for what in ["full", "read-only"] {
        let wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"];
        let output = worker(&wrapper, name, what, home.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        let printed = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&printed));
    }
}
