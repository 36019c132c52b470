//! The provider `exec`: the output of programs.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod processes;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use common::{in_environment, open, temp, text, write};
use serde_json::{Value, json};
use st_secrets::{Config, GetOptions, Manager, Source, Status};

const REFRESH: GetOptions = GetOptions { timeout: None, refresh: true, cached_only: false };

/// Writes a shell program.
fn program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = write(&directory.join(name), &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// A manager with these providers alone.
fn with_providers(providers: &Value) -> Manager {
    open(&[("providers", &providers.to_string())]).unwrap()
}

/// A manager whose only provider is the output of this shell program.
fn with_program(directory: &Path, script: &str) -> Manager {
    with_providers(&json!([{"exec": [program(directory, "program", script)]}]))
}

/// How often a script that appends a line to this file was run.
fn runs(count: &Path) -> usize {
    fs::read_to_string(count).unwrap_or_default().lines().count()
}

#[test]
fn program_is_run_once_and_without_a_shell() {
    let directory = temp();
    let count = directory.path().join("count");
    let script = format!(
        "echo x >>{}\ncat\nprintf '{{\"A\": \"%s\", \"B\": \"%s\", \"N\": null}}' \"$1\" \"$2\"",
        count.display()
    );
    let words = json!([program(directory.path(), "program", &script), "$HOME; *", ""]);
    let secrets = with_providers(&json!([{"exec": words}]));
    assert_eq!(runs(&count), 0, "nothing is run before it is needed");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(text(&secrets, "A").as_deref(), Some("$HOME; *")));
        }
    });
    assert_eq!(text(&secrets, "B").as_deref(), Some(""));
    assert_eq!(runs(&count), 1, "one run serves all calls");
    let secret = secrets.get("A").unwrap();
    assert_eq!((secret.provider(), secret.source(), secret.is_cached()), ("exec", Source::Exec, true));
    let error = secrets.get("N").unwrap_err();
    assert_eq!(error.status(), Status::NotFound);
    assert!(error.message().contains("exec (not in the output of /"), "{error}");
    assert_eq!(secrets.names(None)[0].names.as_deref(), Some(&["A".to_owned(), "B".to_owned()][..]));
    secrets.refresh(None).unwrap();
    assert_eq!(runs(&count), 2);
    secrets.clear_cache();
    secrets.get("A").unwrap();
    assert_eq!(runs(&count), 3);
}

#[test]
fn each_format_is_read() {
    let directory = temp();
    let path = |name: &str, script: &str| program(directory.path(), name, script);
    let secrets = with_providers(&json!([
        {"name": "dotenv", "exec": [path("dotenv", "echo '# comment'; echo export A=1; echo 'B=\"two\\nlines\"'")]},
        {"name": "value", "exec": [path("value", "echo '{\"not\": \"parsed\"}'")], "as": "C"},
        {"name": "binary", "exec": [path("binary", "printf '\\377\\000'")], "as": "D", "format": "value"},
        {"name": "json", "exec": [path("json", "echo '{\"A\": \"hidden\", \"E\": {\"a\": [1, 2]}}'")], "format": "json"},
    ]));
    for (key, value, provider) in [
        ("A", &b"1"[..], "dotenv"),
        ("B", b"two\nlines", "dotenv"),
        ("C", b"{\"not\": \"parsed\"}", "value"),
        ("D", b"\xff\0", "binary"),
        ("E", b"{\"a\":[1,2]}", "json"),
    ] {
        let secret = secrets.get(key).unwrap();
        assert_eq!((&secret.value()[..], secret.provider(), secret.source()), (value, provider, Source::Exec));
    }
    let check: Value = serde_json::from_str(&secrets.check()).unwrap();
    assert_eq!(check["ok"], true, "{check}");
    let names: Vec<&str> =
        check["providers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dotenv", "value", "binary", "json"]);
    assert!(check["providers"][0]["detail"].as_str().unwrap().contains("prints 2 keys, in "), "{check}");
    let description: Value = serde_json::from_str(&secrets.describe()).unwrap();
    let value = &description["providers"][1];
    assert_eq!((&value["format"], &value["as"], &value["entries"]), (&json!("value"), &json!("C"), &json!(1)));
}

#[test]
fn program_has_environment_and_directory_of_the_caller_and_no_input() {
    let directory = temp();
    program(
        directory.path(),
        "by-its-name",
        "read -r line && exit 9; printf '{\"V\": \"%s\", \"D\": \"%s\"}' \"$V\" \"$PWD\"",
    );
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let name = "program_has_environment_and_directory_of_the_caller_and_no_input";
    in_environment(name, &[("PATH", Some(&path)), ("V", Some("from the caller"))], || {
        let secrets = with_providers(&json!([{"exec": ["by-its-name"]}]));
        assert_eq!(text(&secrets, "V").as_deref(), Some("from the caller"));
        assert_eq!(text(&secrets, "D"), std::env::current_dir().unwrap().to_str().map(str::to_owned));
    });
}

#[test]
fn only_the_configuration_names_programs() {
    let (directory, name) = (temp(), "only_the_configuration_names_programs");
    let ran = directory.path().join("ran");
    let command = json!({"exec": [program(directory.path(), "program", &format!("touch {}", ran.display()))]});
    fs::create_dir(directory.path().join(".simpletuner")).unwrap();
    let settings = json!({"providers": [command], "exec": command["exec"]}).to_string();
    write(&directory.path().join(".simpletuner/secrets.json"), &settings);
    let variables = ["PROVIDERS", "EXEC", "SIMPLETUNER_PROVIDERS", "ST_SECRETS_PROVIDERS"];
    let text = json!([command]).to_string();
    let mut variables: Vec<_> = variables.iter().map(|name| (*name, Some(text.as_str()))).collect();
    variables.push(("HOME", directory.path().to_str()));
    in_environment(name, &variables, || {
        let secrets = Manager::open(&Config::new()).unwrap();
        assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
        secrets.check();
        let ran = std::env::home_dir().unwrap().join("ran");
        assert!(!ran.exists());
    });
}

#[test]
fn configuration_errors_name_the_provider() {
    let refused = |providers: Value| open(&[("providers", &providers.to_string())]).err().unwrap();
    for (providers, words) in [
        (json!(["exec"]), r#"{"exec": ["program", "argument"]}"#),
        (json!([{"exec": ["a"]}, {"exec": ["b"]}]), r#"lists "exec" twice; give each "exec" a "name" of its own"#),
        (json!(["env", "env"]), r#"lists "env" twice"#),
        (json!([{"exec": ["a"], "name": "file"}]), r#"is "file", which is a built-in provider"#),
        (json!([{"exec": ["a"], "name": "x".repeat(32)}]), "1 to 31 bytes"),
        (json!([{"exec": ["a"], "name": "a\nb"}]), "no control characters"),
        (json!([{"exce": ["a"]}]), r#"did you mean "exec"?"#),
        (json!([["a"]]), r#"must be a JSON array of names and objects"#),
    ] {
        let error = refused(providers);
        assert_eq!(error.status(), Status::Config);
        assert!(error.message().contains(words) && error.message().contains("`providers`"), "{error}");
    }
}

#[test]
fn last_output_serves_during_an_outage() {
    let directory = temp();
    let down = directory.path().join("down");
    let script = format!(
        "[ ! -e {} ] || {{ echo 'no key for correct horse or battery staple' >&2; exit 3; }}\n\
         echo '{{\"A\": \"correct horse\", \"B\": {{\"b\": \"battery staple\"}}}}'",
        down.display()
    );
    let path = program(directory.path(), "program", &script);
    let secrets = open(&[("providers", &json!([{"exec": [path]}]).to_string()), ("cache_ttl", "0.01")]).unwrap();
    assert_eq!(text(&secrets, "A").as_deref(), Some("correct horse"));
    write(&down, "");
    thread::sleep(Duration::from_millis(20));
    let secret = secrets.get_with("A", &REFRESH).unwrap();
    assert!(secret.is_stale() && &**secret.value() == b"correct horse");
    let description = secrets.describe();
    assert!(description.contains("failed with exit status: 3; it says: no key for *** or ***"), "{description}");
    let check = secrets.check();
    assert!(check.contains("it says: no key for *** or ***") && !check.contains("horse"), "{check}");
    fs::remove_file(&down).unwrap();
    assert!(!secrets.get_with("A", &REFRESH).unwrap().is_stale());
}
