//! Programs that fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use st_secrets::{Error, Source, Status};

use crate::common::{temp, without_home};
use crate::{program, with_program, with_providers};

fn failure(script: &str) -> Error {
    let directory = temp();
    let error = with_program(directory.path(), script).get("A").unwrap_err();
    assert_eq!(error.source_provider(), Source::Exec, "{error}");
    assert!(error.message().starts_with("secret \"A\": the provider exec failed: /"), "{error}");
    error
}

#[test]
fn failing_program_is_reported_with_its_status_and_its_first_line() {
    for (script, status, words) in [
        ("echo '{\"A\": \"1\"}'; exit 3", Status::Unavailable, "failed with exit status: 3"),
        ("kill -9 $$", Status::Unavailable, "failed with signal: 9"),
        (
            "printf '\\n\\033[31mno key\\033[0m\\r\\nmore' >&2; exit 1",
            Status::Unavailable,
            "status: 1; it says: [31mno key[0m",
        ),
        ("echo CANARY CANARY", Status::Protocol, "line 1 of its output is neither JSON nor dotenv"),
        ("echo '{\"A\": CANARY}'", Status::Protocol, "its output, line 1, column 7"),
        ("printf 'A=CANARY\\377'", Status::Protocol, "not UTF-8"),
        ("true", Status::Protocol, "it printed nothing"),
        ("head -c 5242880 /dev/zero", Status::Protocol, "prints more than 4 MiB"),
        ("yes CANARY", Status::Protocol, "prints more than 4 MiB"),
    ] {
        let error = failure(script);
        assert_eq!(error.status(), status, "{script}: {error}");
        assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{error}");
        assert!(!error.message().contains(char::is_control), "{error}");
    }
}

#[test]
fn values_on_the_standard_error_are_masked() {
    for (script, quoted) in [
        ("echo '{\"A\": \"correct horse\"}'; echo 'bad correct horse!' >&2; exit 3", "bad ***!"),
        ("echo '{\"A\": \"correct horse\"}'; echo 'bad Y29ycmVjdCBob3JzZQ!' >&2; exit 3", "bad ***Q!"),
        ("echo 'A=\"correct horse\"'; echo bad correct horse >&2; exit 3", "bad ***"),
        // In an object, or beside an entry that cannot be used.
        ("echo '{\"A\": {\"data\": [\"correct horse\"]}}'; echo bad correct horse >&2; exit 3", "bad ***"),
        ("echo '{\"A\": {\"data\": \"horse-staple\"}}'; echo bad data horse-staple >&2; exit 3", "bad data ***"),
        ("echo '{\"A\": {\"a\": NaN, \"b\": \"horse-staple\"}}'; echo bad horse-staple >&2; exit 3", "bad ***"),
        ("echo '{\"LONG_KEY\": \"horse-staple\"}'; echo LONG_KEY: bad horse-staple >&2; exit 3", "LONG_KEY: bad ***"),
        // Output that cannot be parsed is masked word by word.
        ("echo '{\"A\": \"battery-staple'; echo bad battery-staple >&2; exit 3", "bad ***"),
        ("echo 'battery-staple'; yes battery-staple | head -c 5000 | tr '\\n' ' ' >&2; exit 3", "*** ***"),
    ] {
        let error = failure(script);
        let message = error.message();
        assert!(message.contains(&format!("exit status: 3; it says: {quoted}")), "{script}: {message}");
        assert!(!message.contains("horse") && !message.contains("batt"), "{message}");
    }
}

#[test]
fn line_without_an_end_is_cut() {
    let error = failure("yes 'no key' | tr '\\n' ' ' | head -c 100000 >&2; exit 3");
    assert!(error.message().ends_with('…') && error.message().len() < 1000, "{error}");
}

#[test]
fn program_that_cannot_be_started_is_named() {
    let directory = temp();
    let plain = program(directory.path(), "plain", "echo A=1");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o600)).unwrap();
    for (words, status, detail, what) in [
        (json!(["/no/such/program"]), Status::Config, libc::ENOENT, "/no/such/program: it cannot be started: "),
        (json!(["no-such-program-in-path"]), Status::Config, libc::ENOENT, "install it, or name its path"),
        (json!([plain]), Status::AccessDenied, libc::EACCES, "make it executable"),
        (json!([directory.path()]), Status::AccessDenied, libc::EACCES, "make it executable"),
    ] {
        let secrets = with_providers(&json!([{"name": "sops", "exec": words}, "env"]));
        let error = secrets.get("ST_SECRETS_TEST_UNSET").unwrap_err();
        assert_eq!((error.status(), error.detail()), (status, detail), "{error}");
        assert!(error.message().contains(what) && error.message().contains("the provider sops failed"), "{error}");
    }
}

#[test]
fn directory_of_path_that_may_not_be_read_is_skipped() {
    let directory = temp();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let name = "faults::directory_of_path_that_may_not_be_read_is_skipped";
    without_home(name, &[("PATH", Some(&path))], || {
        let error = with_providers(&json!([{"exec": ["no-such-program-in-path"]}])).get("A").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::Config, libc::ENOENT), "{error}");
        assert!(error.message().contains("install it, or name its path"), "{error}");
    });
}

#[test]
fn failing_program_does_not_hide_other_providers() {
    let directory = temp();
    let fails = program(directory.path(), "fails", "exit 1");
    let works = program(directory.path(), "works", "echo A=1");
    let secrets = with_providers(&json!([{"exec": [fails]}, {"name": "second", "exec": [works]}]));
    let secret = secrets.get("A").unwrap();
    assert!(secret.is_degraded() && secret.provider() == "second");
}
