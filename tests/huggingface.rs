//! The provider `huggingface`: other names of `HF_TOKEN`, and the token file.

mod common;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::servers::set_variables;
use common::time::soon;
use common::{in_environment, open, temp, text, write};
use serde_json::Value;
use st_secrets::{GetOptions, Manager, Source, Status, log};

const ALONE: (&str, &str) = ("providers", r#"["huggingface"]"#);

/// Every variable that the provider reads.
const VARIABLES: [&str; 8] = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_HUB_TOKEN",
    "HUGGINGFACEHUB_API_TOKEN",
    "HF_API_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HOME",
    "XDG_CACHE_HOME",
];

/// Runs `body` in a process of its own without these variables, in an empty home directory.
fn at_home(name: &str, body: impl FnOnce(&Path)) {
    let home = temp();
    let mut variables: Vec<_> = VARIABLES.into_iter().map(|name| (name, None)).collect();
    variables.push(("HOME", home.path().to_str()));
    in_environment(name, &variables, || body(&std::env::home_dir().unwrap()));
}

/// A token file below this directory.
fn token_file(directory: &Path, contents: &str) {
    fs::create_dir_all(directory).unwrap();
    write(&directory.join("token"), contents);
}

fn hub_cache(home: &Path) -> std::path::PathBuf {
    home.join(".cache/huggingface")
}

fn refreshed(secrets: &Manager) -> Option<String> {
    let options = GetOptions { refresh: true, ..GetOptions::default() };
    let found = secrets.get_with("HF_TOKEN", &options).ok()?;
    Some(String::from_utf8(found.value().to_vec()).unwrap())
}

/// What `describe` or `check` reports of the provider.
fn provider(report: &str) -> Value {
    let report: Value = serde_json::from_str(report).unwrap();
    let providers = report["providers"].as_array().unwrap();
    providers.iter().find(|provider| provider["name"] == "huggingface").unwrap().clone()
}

#[test]
fn aliases_have_an_order_and_come_after_every_other_provider() {
    at_home("aliases_have_an_order_and_come_after_every_other_provider", |home| {
        let secrets = open(&[("cache_ttl", "0")]).unwrap();
        let error = secrets.get("HF_TOKEN").unwrap_err();
        assert_eq!(error.status(), Status::NotFound);
        let path = hub_cache(home).join("token");
        for words in ["variable HF_TOKEN is not set", "HUGGING_FACE_HUB_TOKEN", &format!("{} does not", path.display())]
        {
            assert!(error.message().contains(words), "{error}");
        }
        token_file(&hub_cache(home), "hf_file");
        assert_eq!(refreshed(&secrets).as_deref(), Some("hf_file"));
        // From the last to the first: each takes precedence over those before.
        for variable in VARIABLES[1..5].iter().rev() {
            set_variables([(*variable, format!(" {variable}\n"))]);
            let secret = secrets.get("hf-token").unwrap();
            assert_eq!(&**secret.value(), variable.as_bytes());
            assert_eq!((secret.provider(), secret.source()), ("huggingface", Source::HuggingFace));
            assert!(!secret.is_cached() && !secret.is_degraded());
            let (described, checked) = (provider(&secrets.describe()), provider(&secrets.check()));
            assert_eq!((&described["variable"], &described["exists"]), (&Value::from(*variable), &Value::from(true)));
            assert_eq!(checked["state"], "ok");
            assert!(checked["detail"].as_str().unwrap().ends_with(&format!("variable {variable}")), "{checked}");
        }
        // The name itself in any other provider comes first.
        let value = |_: &str, _: Duration| {
            Ok(Some(st_secrets::Secret::new(st_secrets::SecretBytes::copy_from(b"hf_custom").unwrap())))
        };
        secrets.add_provider("mine", None, value).unwrap();
        assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("hf_custom"));
        secrets.set("HF_TOKEN", b"hf_secrets_file").unwrap();
        assert_eq!(secrets.get("HF_TOKEN").unwrap().provider(), "file");
        set_variables([("HF_TOKEN", "hf_itself")]);
        assert_eq!(secrets.get("HF_TOKEN").unwrap().provider(), "env");
        assert_eq!(text(&open(&[ALONE]).unwrap(), "HF_TOKEN").as_deref(), Some("hf_itself"));
        let order = open(&[("providers", r#"["huggingface", "file"]"#)]).unwrap();
        assert_eq!(order.get("HF_TOKEN").unwrap().provider(), "huggingface");
    });
}

#[test]
fn only_hf_token_has_aliases() {
    at_home("only_hf_token_has_aliases", |home| {
        set_variables([("HUGGING_FACE_HUB_TOKEN", "hf_1"), ("HF_API_TOKEN", "")]);
        token_file(&hub_cache(home), "hf_file");
        let secrets = open(&[ALONE]).unwrap();
        for key in ["HF_TOKEN2", "HF", "token", "REPLICATE_API_TOKEN"] {
            let error = secrets.get(key).unwrap_err();
            assert_eq!((error.status(), error.message().contains("huggingface")), (Status::NotFound, false), "{error}");
        }
        assert_eq!(text(&secrets, "hf.token").as_deref(), Some("hf_1"));
        assert_eq!(secrets.names(None)[0].names.as_deref(), Some(&["HF_TOKEN".to_owned()][..]));
        fs::remove_dir_all(hub_cache(home)).unwrap();
        secrets.clear_cache();
        assert_eq!(secrets.names(None)[0].names.as_deref(), Some(&[][..]), "variables are not listed");
        // A program that chooses its providers has the aliases only if it names them.
        let file = open(&[("providers", r#"["env", "file"]"#)]).unwrap();
        assert_eq!(file.get("HF_TOKEN").unwrap_err().status(), Status::NotFound);
    });
}

#[test]
fn token_file_is_where_huggingface_hub_puts_it() {
    at_home("token_file_is_where_huggingface_hub_puts_it", |home| {
        let secrets = open(&[ALONE]).unwrap();
        let path = || provider(&secrets.describe())["path"].as_str().unwrap().to_owned();
        let at = |path: &str| home.join(path).to_str().unwrap().to_owned();
        assert_eq!(path(), at(".cache/huggingface/token"));
        token_file(&hub_cache(home), "hf_default\n");
        assert_eq!(refreshed(&secrets).as_deref(), Some("hf_default"));
        // Each takes precedence over those before; an empty one counts as not set.
        set_variables([("XDG_CACHE_HOME", at("xdg")), ("HF_HOME", String::new()), ("PART", "part".to_owned())]);
        token_file(&home.join("xdg/huggingface"), "\r\n hf_xdg \r\n");
        assert_eq!((path(), refreshed(&secrets).as_deref()), (at("xdg/huggingface/token"), Some("hf_xdg")));
        set_variables([("HF_HOME", "~/$PART/${PART}")]);
        assert_eq!(path(), at("part/part/token"));
        assert_eq!(refreshed(&secrets), None, "no other file is read in its place");
        token_file(&home.join("part/part"), "hf_home");
        assert_eq!(refreshed(&secrets).as_deref(), Some("hf_home"));
        set_variables([("HF_TOKEN_PATH", at("elsewhere"))]);
        assert_eq!(path(), at("elsewhere"));
        write(Path::new(&at("elsewhere")), "hf_path");
        assert_eq!(refreshed(&secrets).as_deref(), Some("hf_path"));
        assert_eq!(provider(&secrets.check())["detail"], format!("HF_TOKEN is in {}", at("elsewhere")));
    });
}

#[test]
fn change_of_the_token_file_is_seen() {
    at_home("change_of_the_token_file_is_seen", |home| {
        let secrets = open(&[ALONE]).unwrap();
        assert_eq!(text(&secrets, "HF_TOKEN"), None);
        assert_eq!(provider(&secrets.check())["state"], "absent");
        let file = hub_cache(home);
        for contents in ["hf_1", "hf_22", " \n", "hf_333"] {
            token_file(&file, contents);
            let expected = Some(contents.trim()).filter(|token| !token.is_empty());
            soon(|| text(&secrets, "HF_TOKEN").as_deref() == expected);
        }
        secrets.clear_cache();
        fs::remove_file(file.join("token")).unwrap();
        assert_eq!(secrets.get("HF_TOKEN").unwrap_err().status(), Status::NotFound);
    });
}

#[test]
fn token_file_that_cannot_be_used_is_a_failure() {
    at_home("token_file_that_cannot_be_used_is_a_failure", |home| {
        let fails = |secrets: &Manager, status: Status| {
            let error = secrets.get("HF_TOKEN").unwrap_err();
            assert_eq!((error.status(), error.source_provider()), (status, Source::HuggingFace), "{error}");
            assert!(error.message().contains("token") && !error.message().contains("CANARY"), "{error}");
            assert_eq!(provider(&secrets.check())["state"], "failed");
            assert!(provider(&secrets.describe())["error"].is_string());
            assert!(secrets.names(None)[0].error.is_some());
        };
        fs::create_dir_all(hub_cache(home).join("token")).unwrap();
        fails(&open(&[ALONE]).unwrap(), Status::Io);
        fs::remove_dir(hub_cache(home).join("token")).unwrap();
        token_file(&hub_cache(home), &"CANARY".repeat(20_000));
        fails(&open(&[ALONE]).unwrap(), Status::Protocol);
        // A later provider that has it is used, with a mark that an earlier one failed.
        fs::create_dir_all(home.join(".simpletuner")).unwrap();
        write(&home.join(".simpletuner/secrets.json"), r#"{"HF_TOKEN": "hf_file"}"#);
        let both = open(&[("providers", r#"["huggingface", "file"]"#)]).unwrap();
        let secret = both.get("HF_TOKEN").unwrap();
        assert!(secret.provider() == "file" && secret.is_degraded());
        // A home that is a file cannot contain one.
        fs::remove_dir_all(home.join(".cache")).unwrap();
        write(&home.join(".cache"), "");
        assert_eq!(open(&[ALONE]).unwrap().get("HF_TOKEN").unwrap_err().status(), Status::NotFound);
    });
}

#[test]
fn token_file_that_others_can_read_is_a_warning_or_refused() {
    at_home("token_file_that_others_can_read_is_a_warning_or_refused", |home| {
        token_file(&hub_cache(home), "hf_CANARY");
        let path = hub_cache(home).join("token");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        log::set(log::Level::Warn, move |_, _, message| sink.lock().unwrap().push(message.to_owned()));
        let secrets = open(&[ALONE]).unwrap();
        for _ in 0..3 {
            assert_eq!(refreshed(&secrets).as_deref(), Some("hf_CANARY"));
        }
        let remedy = format!("chmod 600 {}", path.display());
        assert_eq!(seen.lock().unwrap().iter().filter(|message| message.contains(&remedy)).count(), 1, "once");
        let checked = provider(&secrets.check());
        assert_eq!((&checked["state"], &checked["advice"]), (&Value::from("warning"), &Value::from(remedy)));
        let strict = open(&[ALONE, ("strict_permissions", "true")]).unwrap();
        assert_eq!(strict.get("HF_TOKEN").unwrap_err().status(), Status::AccessDenied);
        log::clear();
        assert!(!format!("{:?}{}{}", seen.lock(), secrets.describe(), secrets.check()).contains("CANARY"));
    });
}

#[test]
fn no_home_is_not_a_failure() {
    common::without_home("no_home_is_not_a_failure", &VARIABLES.map(|name| (name, None)), || {
        let secrets = open(&[ALONE]).unwrap();
        let error = secrets.get("HF_TOKEN").unwrap_err();
        assert!(error.status() == Status::NotFound && error.message().contains("no home directory"), "{error}");
        assert_eq!(provider(&secrets.check())["state"], "absent");
        assert_eq!(provider(&secrets.describe())["path"], Value::Null);
        set_variables([("HUGGINGFACE_HUB_TOKEN", "hf_1")]);
        assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("hf_1"));
    });
}
