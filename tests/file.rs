//! The file provider: reading, changing, refusing.

mod common;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::fork::{fork, said_yes};
use common::python::interpreter;
use common::time::soon;
use common::{mode, open, temp, temp_in_memory, text, with_file, write};
use st_secrets::{Config, GetOptions, Manager, Source, Status};

const REFRESH: GetOptions = GetOptions { timeout: None, refresh: true, cached_only: false };

#[test]
fn json_and_yaml_give_the_same_values() {
    let directory = temp();
    let json = write(
        &directory.path().join("s.json"),
        r#"{"TEXT": "a b", "NUMBER": 1.50, "FLAG": true, "LIST": [1, "x"], "NULL": null, "EMPTY": ""}"#,
    );
    let yaml = write(
        &directory.path().join("s.yaml"),
        "TEXT: a b\nNUMBER: 1.50\nFLAG: true\nLIST:\n  - 1\n  - x\nNULL: ~\nEMPTY: \"\"\n",
    );
    for path in [json, yaml] {
        let secrets = with_file(&path);
        for (key, value) in
            [("TEXT", "a b"), ("NUMBER", "1.50"), ("FLAG", "true"), ("LIST", "[1,\"x\"]"), ("EMPTY", "")]
        {
            assert_eq!(text(&secrets, key).as_deref(), Some(value), "{key} in {path:?}");
        }
        assert_eq!(secrets.get("NULL").unwrap_err().status(), Status::NotFound, "{path:?}");
        // Names are case-sensitive; only the environment has rules for names.
        assert_eq!(secrets.get("text").unwrap_err().status(), Status::NotFound, "{path:?}");
    }
}

#[test]
fn dotenv_file_is_read_and_never_changed() {
    let directory = temp();
    let content = "# tokens\nexport HF_TOKEN=hf_1 # mine\nTWO='a b'\nEMPTY=\nHF_TOKEN=\"hf_2\\n\"\n";
    let path = write(&directory.path().join(".env"), content);
    let secrets = with_file(&path);
    for (key, value) in [("HF_TOKEN", "hf_2\n"), ("TWO", "a b"), ("EMPTY", "")] {
        assert_eq!(text(&secrets, key).as_deref(), Some(value), "{key}");
    }
    assert!(secrets.describe().contains("\"format\": \"dotenv\""));
    for error in [secrets.set("HF_TOKEN", b"x").unwrap_err(), secrets.delete("HF_TOKEN").unwrap_err()] {
        assert_eq!((error.status(), error.source_provider()), (Status::ReadOnly, Source::File), "{error}");
        assert!(error.message().contains(".env is a dotenv file"), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
    let missing = with_file(&directory.path().join("new.env"));
    assert_eq!(missing.set("A", b"x").unwrap_err().status(), Status::ReadOnly);
    assert!(!directory.path().join("new.env").exists());

    let broken = write(&directory.path().join("broken.env"), "A=1\nCANARY\n");
    let error = with_file(&broken).get("A").unwrap_err();
    assert_eq!(error.status(), Status::Protocol);
    assert!(error.message().contains("broken.env, line 2, column 1: not a dotenv file: write NAME=value"), "{error}");
    assert!(!error.message().contains("CANARY"), "{error}");
    // SimpleTuner reads a file of this name as JSON.
    let json = write(&directory.path().join("json.env"), "{\"A\": \"1\"}");
    assert_eq!(text(&with_file(&json), "A").as_deref(), Some("1"));
}

#[test]
fn toml_file_is_read_and_never_changed() {
    let directory = temp();
    let content = "HF_TOKEN = \"hf_1\" # mine\nN = 1.50\n[db]\npassword = 'x'\n";
    let path = write(&directory.path().join("s.toml"), content);
    let secrets = with_file(&path);
    for (key, value) in [("HF_TOKEN", "hf_1"), ("N", "1.50"), ("db", "{\"password\":\"x\"}")] {
        assert_eq!(text(&secrets, key).as_deref(), Some(value), "{key}");
    }
    let error = secrets.set("HF_TOKEN", b"x").unwrap_err();
    assert_eq!((error.status(), error.source_provider()), (Status::ReadOnly, Source::File), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
}

#[test]
fn file_change_is_noticed_soon_and_by_a_refresh_at_once() {
    let directory = temp();
    let path = write(&directory.path().join("s.json"), r#"{"A": "1"}"#);
    let secrets = with_file(&path);
    assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
    write(&path, r#"{"A": "2"}"#);
    assert_eq!(&**secrets.get_with("A", &REFRESH).unwrap().value(), b"2");
    write(&path, r#"{"A": "3"}"#);
    soon(|| text(&secrets, "A").as_deref() == Some("3"));
    fs::remove_file(&path).unwrap();
    assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::NotFound);
}

#[test]
fn invalid_file_is_an_error_with_the_line_and_without_the_value() {
    let directory = temp();
    for (name, contents, place) in [
        ("s.json", "{\n  \"A\": \"CANARY\",\n  \"B\" \"CANARY\"\n}", "s.json, line 3, column 7: "),
        ("s.yaml", "A: CANARY\nB: [CANARY\nC: 1\n", "s.yaml, line 3, column "),
        ("t.json", "[\"CANARY\"]", "t.json, line 1, column 1: the document must be a JSON object"),
        ("t.yaml", "- CANARY\n", "t.yaml"),
        (
            "b.json",
            "\u{feff}{\"A\": \"CANARY\"}",
            "b.json, line 1, column 1: the document begins with a byte order mark",
        ),
    ] {
        let path = write(&directory.path().join(name), contents);
        let secrets = with_file(&path);
        let get = secrets.get("A").unwrap_err();
        let set = secrets.set("A", b"new").unwrap_err();
        for error in [get, set] {
            assert_eq!((error.status(), error.source_provider()), (Status::Protocol, Source::File), "{error}");
            assert!(error.message().contains(place), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
    }
}

#[test]
fn set_and_delete_keep_the_rest_of_the_file() {
    let directory = temp();
    let json = write(&directory.path().join("s.json"), "{\n    \"A\": 1.50,\n    \"B\": \"x\"\n}\n");
    let yaml = write(&directory.path().join("s.yaml"), "# tokens\nA: 1.50  # price\nB: x\n");
    for path in [&json, &yaml] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let secrets = with_file(path);
        secrets.set("C", "käse \"quoted\"\n".as_bytes()).unwrap();
        assert_eq!(mode(path), 0o600);
        assert_eq!(text(&secrets, "C").as_deref(), Some("käse \"quoted\"\n"));
        assert_eq!(text(&secrets, "A").as_deref(), Some("1.50"));
        assert!(secrets.delete("B").unwrap());
        assert!(!secrets.delete("B").unwrap());
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
    }
    assert_eq!(fs::read_to_string(json).unwrap(), "{\n    \"A\": 1.50,\n    \"C\": \"käse \\\"quoted\\\"\\n\"\n}\n");
    let yaml = fs::read_to_string(yaml).unwrap();
    assert!(yaml.starts_with("# tokens\nA: 1.50  # price\nC: \""), "{yaml}");
}

#[test]
fn link_to_the_file_stays_a_link() {
    let directory = temp();
    let target = write(&directory.path().join("target.json"), "{}");
    let link = directory.path().join("link.json");
    symlink(&target, &link).unwrap();
    with_file(&link).set("A", b"1").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(text(&with_file(&target), "A").as_deref(), Some("1"));
}

#[test]
fn links_to_a_missing_file_stay_links() {
    let directory = temp();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    symlink("sub/second.json", at("first.json")).unwrap();
    symlink("../target.json", at("sub/second.json")).unwrap();
    with_file(&at("first.json")).set("A", b"1").unwrap();
    assert!(at("first.json").is_symlink() && at("sub/second.json").is_symlink());
    assert_eq!(text(&with_file(&at("target.json")), "A").as_deref(), Some("1"));
}

#[test]
fn only_the_file_and_its_lock_remain() {
    let directory = temp();
    let path = directory.path().join("new/directory/s.json");
    // The temporary file of a killed writer is removed.
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write(&path.with_file_name(".s.json.tmp"), "half");
    with_file(&path).set("A", b"1").unwrap();
    let mut names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".s.json.lock", "s.json"]);
    assert_eq!(mode(&path.with_file_name(".s.json.lock")), 0o600);
}

#[test]
fn concurrent_writes_lose_nothing() {
    let directory = temp();
    let path = directory.path().join("s.json");
    thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let secrets = with_file(path);
                (0..25).for_each(|n| secrets.set(&format!("KEY_{writer}_{n}"), b"v").unwrap());
            });
        }
    });
    let secrets = with_file(&path);
    for writer in 0..4 {
        (0..25).for_each(|n| assert_eq!(text(&secrets, &format!("KEY_{writer}_{n}")).as_deref(), Some("v")));
    }
}

#[test]
fn wait_for_another_writer_ends_at_the_timeout() {
    let directory = temp();
    let path = write(&directory.path().join("s.json"), "{}");
    let lock = fs::File::create(directory.path().join(".s.json.lock")).unwrap();
    lock.lock().unwrap();
    let secrets = open(&[("file_path", path.to_str().unwrap()), ("timeout", "0.1")]).unwrap();
    let error = secrets.set("A", b"1").unwrap_err();
    assert_eq!(error.status(), Status::Busy);
    assert!(error.is_retryable());
    lock.unlock().unwrap();
    secrets.set("A", b"1").unwrap();
}

#[test]
fn strict_permissions_refuses_a_readable_file() {
    let directory = temp();
    let path = write(&directory.path().join("my s.json"), r#"{"A": "1"}"#);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let lax = with_file(&path);
    assert_eq!(text(&lax, "A").as_deref(), Some("1"));
    let advice = format!("\"advice\": \"chmod 600 '{}'\"", path.display());
    assert!(lax.check().contains(&advice), "the path is quoted for the shell: {}", lax.check());
    let strict = open(&[("file_path", path.to_str().unwrap()), ("strict_permissions", "true")]).unwrap();
    for error in [strict.get("A").unwrap_err(), strict.set("A", b"2").unwrap_err()] {
        assert_eq!(error.status(), Status::AccessDenied, "{error}");
        assert!(error.message().contains("chmod 600"), "{error}");
    }
}

/// systemd gives a credential to the user of a service in this way. The group bits of the mode are then those of the
/// mask.
#[test]
fn strict_permissions_accepts_an_access_list_of_this_user_alone() {
    // A file system in memory has access lists.
    let directory = temp_in_memory();
    let path = write(&directory.path().join("A"), "1");
    let user = fs::metadata(&path).unwrap().uid();
    let settings = [("file_path", directory.path().to_str().unwrap()), ("strict_permissions", "true")];
    // Entries of the owner, a named user, the owning group, the mask and others, with 4 for reading.
    let script = "import os, struct, sys; path, user, group = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n\
                  entries = [(1, 6, -1), (2, 4, user), (4, group, -1), (16, 4, -1), (32, 0, -1)]\n\
                  entries = b''.join(struct.pack('<HHi', *entry) for entry in entries)\n\
                  try: os.setxattr(path, 'system.posix_acl_access', struct.pack('<I', 2) + entries)\n\
                  except OSError as error: sys.exit(error.errno)";
    for (user, group, is_accepted) in [(user, 0, true), (user + 1, 0, false), (user, 4, false)] {
        let arguments = [user.to_string(), group.to_string()];
        let status = Command::new(interpreter()).args(["-c", script]).arg(&path).args(arguments).status().unwrap();
        assert!(status.success(), "access lists are needed in {}: {status}", path.display());
        assert_eq!(mode(&path), 0o640);
        let found = open(&settings).unwrap().get("A");
        assert_eq!(found.map_err(|error| error.status()).err(), (!is_accepted).then_some(Status::AccessDenied));
    }
}

#[test]
fn directory_notices_new_and_removed_files() {
    let directory = temp();
    let secrets = with_file(directory.path());
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
    let longer_than_a_name = "A".repeat(300);
    assert_eq!(secrets.get(&longer_than_a_name).unwrap_err().status(), Status::NotFound);
    let path = write(&directory.path().join("A"), "1");
    let start = Instant::now();
    while secrets.get("A").is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "a file is looked for again after a second");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
    fs::remove_file(path).unwrap();
    assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::NotFound);
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
    write(&directory.path().join("A"), "2");
    assert_eq!(&**secrets.get_with("A", &REFRESH).unwrap().value(), b"2");
    assert_eq!(text(&secrets, "A").as_deref(), Some("2"));
    // However many names are looked up.
    for number in 0..2500 {
        assert_eq!(secrets.get(&format!("missing-{number}")).unwrap_err().status(), Status::NotFound);
    }
    assert_eq!(text(&secrets, "A").as_deref(), Some("2"));
}

#[test]
fn directory_has_one_secret_in_each_file() {
    let directory = temp();
    // As in Kubernetes: links to a directory that is replaced as a whole.
    let data = directory.path().join("..2026_11_21");
    fs::create_dir(&data).unwrap();
    write(&data.join("HF_TOKEN"), "hf_1\n");
    write(&data.join("TWO_NEWLINES"), "x\n\n");
    symlink("..2026_11_21", directory.path().join("..data")).unwrap();
    for name in ["HF_TOKEN", "TWO_NEWLINES"] {
        symlink(format!("..data/{name}"), directory.path().join(name)).unwrap();
    }
    let secrets = with_file(directory.path());
    assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("hf_1"));
    assert_eq!(text(&secrets, "TWO_NEWLINES").as_deref(), Some("x\n"));
    for key in ["MISSING", "..data", "..data/HF_TOKEN", "../x", ".", "/etc/passwd"] {
        assert_eq!(secrets.get(key).unwrap_err().status(), Status::NotFound, "{key}");
    }
    let error = secrets.get("..data/HF_TOKEN").unwrap_err();
    assert!(error.message().contains("not a valid name of a file in it"), "{error}");
    assert_eq!(secrets.set("HF_TOKEN", b"x").unwrap_err().status(), Status::ReadOnly);
    // The replacement is noticed.
    let next = directory.path().join("..2026_11_22");
    fs::create_dir(&next).unwrap();
    write(&next.join("HF_TOKEN"), "hf_2\n");
    symlink("..2026_11_22", directory.path().join("..next")).unwrap();
    fs::rename(directory.path().join("..next"), directory.path().join("..data")).unwrap();
    assert_eq!(&**secrets.get_with("HF_TOKEN", &REFRESH).unwrap().value(), b"hf_2");
    assert_eq!(secrets.get_with("TWO_NEWLINES", &REFRESH).unwrap_err().status(), Status::NotFound);
}

#[test]
fn special_or_large_file_is_refused_and_does_not_hang() {
    let directory = temp();
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), std::path::Path::new("/dev/zero")] {
        let error = with_file(path).get("A").unwrap_err();
        assert_eq!(error.status(), Status::Io, "{error}");
        assert!(error.message().ends_with("is not a regular file"), "{error}");
    }
    let large = write(&directory.path().join("large.json"), &format!("{{\"A\": \"{}\"}}", "x".repeat(5 << 20)));
    let error = with_file(&large).get("A").unwrap_err();
    assert!(error.message().contains("is larger than"), "{error}");
}

/// A document that takes some seconds to parse in a debug build.
fn large_yaml(value: &str) -> String {
    let mut text = format!("A: {value}\n");
    for n in 0..15_000 {
        text += &format!("KEY_{n}: [a value, {n}, {{of: several, parts: {n}.50}}]\n");
    }
    text
}

#[test]
fn forks_and_other_gets_do_not_wait_for_a_file_being_read() {
    let directory = temp();
    let path = write(&directory.path().join("s.yaml"), "A: 1\n");
    let secrets = open(&[("file_path", path.to_str().unwrap()), ("timeout", "300")]).unwrap();
    assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
    let new = write(&directory.path().join("new.yaml"), &large_yaml("2"));
    fs::rename(new, &path).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let value = secrets.get_with("A", &REFRESH);
            done.store(true, SeqCst);
            assert_eq!(&**value.unwrap().value(), b"2");
        });
        // More than the few that may happen before the read starts or after it ends.
        let mut meanwhile = 0;
        while !done.load(SeqCst) {
            assert!(said_yes(fork(|| true)));
            let value = text(&secrets, "A");
            assert!(matches!(value.as_deref(), Some("1" | "2")), "{value:?}");
            meanwhile += usize::from(!done.load(SeqCst) && value.as_deref() == Some("1"));
        }
        assert!(meanwhile >= 5, "{meanwhile} forks and gets while the file was read");
    });
    // After a change by this process, no caller gets the previous value.
    secrets.set("A", b"3").unwrap();
    assert_eq!(text(&secrets, "A").as_deref(), Some("3"));
}

#[test]
fn reading_or_changing_a_large_file_ends_at_the_timeout() {
    let directory = temp();
    let json: Vec<String> = (0..100_000).map(|n| format!("\"KEY_{n}\": \"a value\"")).collect();
    for (name, contents) in [("s.yaml", large_yaml("1")), ("s.json", format!("{{{}}}", json.join(", ")))] {
        let path = write(&directory.path().join(name), &contents);
        let secrets = open(&[("file_path", path.to_str().unwrap()), ("timeout", "0.000001")]).unwrap();
        for error in [secrets.get("A").unwrap_err(), secrets.set("A", b"2").unwrap_err()] {
            assert_eq!(error.status(), Status::Timeout, "{error}");
            assert!(error.is_retryable() && error.message().contains(name), "{error}");
        }
        assert!(fs::read_to_string(&path).unwrap() == contents);
    }
}

/// Whether a writer has the right to be the next owner of this lock file.
fn has_next(lock: &fs::File) -> bool {
    // SAFETY: the struct consists of numbers, for which zeros are a value.
    let mut asked: libc::flock = unsafe { std::mem::zeroed() };
    (asked.l_type, asked.l_start, asked.l_len) = (libc::F_WRLCK as libc::c_short, 1, 1);
    // SAFETY: the descriptor is open, and the struct is ours for the whole call.
    assert_eq!(unsafe { libc::fcntl(lock.as_raw_fd(), libc::F_OFD_GETLK, &raw mut asked) }, 0);
    asked.l_type != libc::F_UNLCK as libc::c_short
}

#[test]
fn waiting_writer_is_not_overtaken() {
    let directory = temp();
    let path = write(&directory.path().join("s.json"), "{}");
    for turn in 0..5 {
        let lock = fs::File::create(directory.path().join(".s.json.lock")).unwrap();
        lock.lock().unwrap();
        let write = |key: String| {
            let secrets = open(&[("file_path", path.to_str().unwrap()), ("timeout", "120")]).unwrap();
            secrets.set(&key, b"v").unwrap();
        };
        thread::scope(|scope| {
            scope.spawn(|| write(format!("FIRST_{turn}")));
            let end = Instant::now() + Duration::from_secs(60);
            while !has_next(&lock) {
                assert!(Instant::now() < end, "no writer is the next one");
                thread::yield_now();
            }
            let others: Vec<_> = (0..3)
                .map(|n| {
                    scope.spawn({
                        let write = &write;
                        move || write(format!("LATER_{turn}_{n}"))
                    })
                })
                .collect();
            thread::yield_now();
            lock.unlock().unwrap();
            others.into_iter().for_each(|other| other.join().unwrap());
        });
        let text = fs::read_to_string(&path).unwrap();
        let at = |key: &str| text.find(&format!("\"{key}_{turn}")).unwrap();
        assert!(at("FIRST") < at("LATER"), "{text}");
    }
}

/// A child keeps no lock of a parent that ends while it holds, or waits for, a lock.
#[test]
fn forked_child_keeps_no_lock() {
    let directory = temp();
    let path = write(&directory.path().join("s.json"), "{}");
    let lock = fs::File::create(directory.path().join(".s.json.lock")).unwrap();
    lock.lock().unwrap();
    let secrets = open(&[("file_path", path.to_str().unwrap()), ("timeout", "120")]).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| secrets.set("A", b"1"));
        while !has_next(&lock) {
            thread::yield_now();
        }
        let name = format!("{}", directory.path().join(".s.json.lock").display());
        let pid = fork(|| {
            let open =
                fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            // The test's own, and no other.
            open.filter(|target| target.to_str() == Some(&name)).count() == 1
        });
        assert!(said_yes(pid));
        lock.unlock().unwrap();
        writer.join().unwrap().unwrap();
    });
}

#[test]
fn unusable_home_counts_as_no_file() {
    let name = "unusable_home_counts_as_no_file";
    common::in_environment(name, &[("HOME", Some("/dev/null")), ("ST_SECRETS_TEST_ONLY_HERE", Some("found"))], || {
        let secrets = Manager::open(&Config::new()).unwrap();
        assert_eq!(text(&secrets, "ST_SECRETS_TEST_ONLY_HERE").as_deref(), Some("found"));
        let error = secrets.get("ST_SECRETS_TEST_MISSING").unwrap_err();
        assert_eq!(error.status(), Status::NotFound, "{error}");
        assert!(error.message().contains("/dev/null"), "{error}");
        let error = secrets.set("ST_SECRETS_TEST_MISSING", b"v").unwrap_err();
        assert_eq!(error.status(), Status::Config, "{error}");
        assert!(error.message().contains("/dev/null") && error.message().contains("set HOME"), "{error}");
        let check: serde_json::Value = serde_json::from_str(&secrets.check()).unwrap();
        let file = check["providers"].as_array().unwrap().iter().find(|provider| provider["name"] == "file").unwrap();
        assert_eq!(file["state"], "warning", "{check}");
        // A configured path must be usable.
        let secrets = with_file(std::path::Path::new("/dev/null/s.json"));
        assert_eq!(secrets.get("A").unwrap_err().status(), Status::Io);
    });
}
