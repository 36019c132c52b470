//! The file layer: reading, changing, refusing.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;

use common::time::soon;
use common::{mode, open, temp, text, with_file, write};
use st_secrets::{Options, Source, Status};

const REFRESH: Options = Options { timeout: None, refresh: true, cached_only: false };

#[test]
fn json_and_yaml_answer_alike() {
    let folder = temp();
    let json = write(
        &folder.path().join("s.json"),
        r#"{"TEXT": "a b", "NUMBER": 1.50, "FLAG": true, "LIST": [1, "x"], "NULL": null, "EMPTY": ""}"#,
    );
    let yaml = write(
        &folder.path().join("s.yaml"),
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
        // Names are taken as they are: only the environment has rules of its own.
        assert_eq!(secrets.get("text").unwrap_err().status(), Status::NotFound, "{path:?}");
    }
}

#[test]
fn a_change_of_the_file_is_seen_soon_and_at_once_on_demand() {
    let folder = temp();
    let path = write(&folder.path().join("s.json"), r#"{"A": "1"}"#);
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
fn a_broken_file_is_an_error_that_names_the_line_and_not_the_value() {
    let folder = temp();
    for (name, contents, place) in [
        ("s.json", "{\n  \"A\": \"CANARY\",\n  \"B\" \"CANARY\"\n}", "s.json, line 3, column 7: "),
        ("s.yaml", "A: CANARY\nB: [CANARY\nC: 1\n", "s.yaml, line 3, column "),
        ("t.json", "[\"CANARY\"]", "t.json, line 1, column 1: this must hold a JSON object"),
        ("t.yaml", "- CANARY\n", "t.yaml"),
        ("b.json", "\u{feff}{\"A\": \"CANARY\"}", "b.json, line 1, column 1: the file begins with a byte order mark"),
    ] {
        let path = write(&folder.path().join(name), contents);
        let secrets = with_file(&path);
        let get = secrets.get("A").unwrap_err();
        let set = secrets.set("A", b"new").unwrap_err();
        for error in [get, set] {
            assert_eq!((error.status(), error.source_layer()), (Status::Protocol, Source::File), "{error}");
            assert!(error.message().contains(place), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
    }
}

#[test]
fn set_and_delete_keep_the_rest_of_the_file() {
    let folder = temp();
    let json = write(&folder.path().join("s.json"), "{\n    \"A\": 1.50,\n    \"B\": \"x\"\n}\n");
    let yaml = write(&folder.path().join("s.yaml"), "# tokens\nA: 1.50  # price\nB: x\n");
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
fn a_link_to_the_file_stays_a_link() {
    let folder = temp();
    let target = write(&folder.path().join("target.json"), "{}");
    let link = folder.path().join("link.json");
    symlink(&target, &link).unwrap();
    with_file(&link).set("A", b"1").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(text(&with_file(&target), "A").as_deref(), Some("1"));
}

#[test]
fn nothing_but_the_file_and_its_lock_is_left() {
    let folder = temp();
    let path = folder.path().join("new/folder/s.json");
    // What a killed writer left behind is cleared away.
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
fn threads_that_write_lose_nothing() {
    let folder = temp();
    let path = folder.path().join("s.json");
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
fn a_writer_that_does_not_finish_is_not_waited_for_beyond_the_timeout() {
    let folder = temp();
    let path = write(&folder.path().join("s.json"), "{}");
    let lock = fs::File::create(folder.path().join(".s.json.lock")).unwrap();
    lock.lock().unwrap();
    let secrets = open(&[("file_path", path.to_str().unwrap()), ("timeout", "0.1")]).unwrap();
    let error = secrets.set("A", b"1").unwrap_err();
    assert_eq!(error.status(), Status::Busy);
    assert!(error.is_retryable());
    lock.unlock().unwrap();
    secrets.set("A", b"1").unwrap();
}

#[test]
fn a_readable_file_is_refused_when_strict() {
    let folder = temp();
    let path = write(&folder.path().join("s.json"), r#"{"A": "1"}"#);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let lax = with_file(&path);
    assert_eq!(text(&lax, "A").as_deref(), Some("1"));
    assert!(lax.check().contains(&format!("\"advice\": \"chmod 600 {}\"", path.display())), "{}", lax.check());
    let strict = open(&[("file_path", path.to_str().unwrap()), ("strict_permissions", "true")]).unwrap();
    for error in [strict.get("A").unwrap_err(), strict.set("A", b"2").unwrap_err()] {
        assert_eq!(error.status(), Status::AccessDenied, "{error}");
        assert!(error.message().contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_folder_holds_one_secret_in_each_file() {
    let folder = temp();
    // As Kubernetes lays out a secret: links to a folder that is swapped as a whole.
    let data = folder.path().join("..2026_11_21");
    fs::create_dir(&data).unwrap();
    write(&data.join("HF_TOKEN"), "hf_1\n");
    write(&data.join("TWO_NEWLINES"), "x\n\n");
    symlink("..2026_11_21", folder.path().join("..data")).unwrap();
    for name in ["HF_TOKEN", "TWO_NEWLINES"] {
        symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
    }
    let secrets = with_file(folder.path());
    assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("hf_1"));
    assert_eq!(text(&secrets, "TWO_NEWLINES").as_deref(), Some("x\n"));
    for key in ["MISSING", "..data", "..data/HF_TOKEN", "../x", ".", "/etc/passwd"] {
        assert_eq!(secrets.get(key).unwrap_err().status(), Status::NotFound, "{key}");
    }
    let error = secrets.get("..data/HF_TOKEN").unwrap_err();
    assert!(error.message().contains("no such name is looked for"), "{error}");
    assert_eq!(secrets.set("HF_TOKEN", b"x").unwrap_err().status(), Status::ReadOnly);
    // The swap is seen.
    let next = folder.path().join("..2026_11_22");
    fs::create_dir(&next).unwrap();
    write(&next.join("HF_TOKEN"), "hf_2\n");
    symlink("..2026_11_22", folder.path().join("..next")).unwrap();
    fs::rename(folder.path().join("..next"), folder.path().join("..data")).unwrap();
    assert_eq!(&**secrets.get_with("HF_TOKEN", &REFRESH).unwrap().value(), b"hf_2");
    assert_eq!(secrets.get_with("TWO_NEWLINES", &REFRESH).unwrap_err().status(), Status::NotFound);
}

#[test]
fn what_is_no_file_is_refused_and_does_not_hang() {
    let folder = temp();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), std::path::Path::new("/dev/zero")] {
        let error = with_file(path).get("A").unwrap_err();
        assert_eq!(error.status(), Status::Io, "{error}");
        assert!(error.message().ends_with("is no regular file"), "{error}");
    }
    let large = write(&folder.path().join("large.json"), &format!("{{\"A\": \"{}\"}}", "x".repeat(5 << 20)));
    let error = with_file(&large).get("A").unwrap_err();
    assert!(error.message().contains("is larger than"), "{error}");
}
