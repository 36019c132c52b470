//! The environment provider.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use common::servers::set_variables;
use common::{in_environment, open, text};
use st_secrets::{Source, Status};

const ENV_ONLY: (&str, &str) = ("providers", r#"["env"]"#);

#[test]
fn get_reads_the_variable_of_a_key() {
    in_environment(
        "get_reads_the_variable_of_a_key",
        &[("MY_HF_TOKEN", Some("hf_1")), ("APP_MY_HF_TOKEN", Some("hf_2"))],
        || {
            let secrets = open(&[ENV_ONLY]).unwrap();
            for key in ["MY_HF_TOKEN", "my-hf-token", "my.hf.token", "My_Hf-Token"] {
                let secret = secrets.get(key).unwrap();
                assert_eq!(&**secret.value(), b"hf_1", "{key}");
                assert_eq!((secret.provider(), secret.source()), ("env", Source::Env));
            }
            let secrets = open(&[ENV_ONLY, ("env_prefix", "APP")]).unwrap();
            assert_eq!(text(&secrets, "my-hf-token").as_deref(), Some("hf_2"));
        },
    );
}

#[test]
fn empty_variable_counts_as_not_set() {
    in_environment("empty_variable_counts_as_not_set", &[("EMPTY_TOKEN", Some(""))], || {
        let error = open(&[ENV_ONLY]).unwrap().get("empty-token").unwrap_err();
        assert_eq!(error.status(), Status::NotFound);
        assert_eq!(
            error.message(),
            "secret \"empty-token\" was not found; tried: env (variable EMPTY_TOKEN is not set)"
        );
    });
}

#[test]
fn variable_may_name_a_file_with_the_value() {
    let place = common::temp();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    common::write(&place.path().join("hf"), "hf_1\n");
    common::write(&place.path().join("two"), "two\n\n");
    common::write(&place.path().join("empty"), "");
    let (hf, two, empty, missing) = (path("hf"), path("two"), path("empty"), path("missing"));
    let long = "L".repeat(200);
    let long_file = format!("{long}_FILE");
    let variables = [
        ("MY_HF_TOKEN_FILE", Some(&*hf)),
        ("APP_MY_HF_TOKEN_FILE", Some(&*two)),
        ("BOTH", Some("the variable")),
        ("BOTH_FILE", Some(&*missing)),
        ("UNSET", Some("")),
        ("UNSET_FILE", Some(&*two)),
        ("EMPTY_FILE", Some(&*empty)),
        ("NONE_FILE", Some("")),
        ("GONE_FILE", Some(&*missing)),
        ("DIRECTORY_FILE", place.path().to_str()),
        (&*long_file, Some(&*hf)),
    ];
    in_environment("variable_may_name_a_file_with_the_value", &variables, || {
        let secrets = open(&[ENV_ONLY]).unwrap();
        for key in ["MY_HF_TOKEN", "my-hf-token", &long.to_lowercase()] {
            // Also from memory.
            for _ in 0..2 {
                let secret = secrets.get(key).unwrap();
                assert_eq!(&**secret.value(), b"hf_1", "{key}");
                assert_eq!((secret.provider(), secret.source()), ("env", Source::Env));
            }
        }
        let prefixed = open(&[ENV_ONLY, ("env_prefix", "APP")]).unwrap();
        assert_eq!(text(&prefixed, "my-hf-token").as_deref(), Some("two\n"));
        assert_eq!(text(&secrets, "both").as_deref(), Some("the variable"));
        assert_eq!(text(&secrets, "unset").as_deref(), Some("two\n"));
        for (key, reason) in [("empty", "/empty, which is empty"), ("none", "NONE is not set")] {
            let error = secrets.get(key).unwrap_err();
            assert_eq!(error.status(), Status::NotFound, "{key}");
            assert!(error.message().contains(reason), "{error}");
        }
        for (key, what) in [("gone", "missing; create it, or unset"), ("directory", "there is no file")] {
            let error = secrets.get(key).unwrap_err();
            assert_eq!((error.status(), error.source_provider()), (Status::Io, Source::Env), "{error}");
            let variable = format!("the variable {}_FILE names a file", key.to_uppercase());
            assert!(error.message().contains(&variable) && error.message().contains(what), "{error}");
        }
        set_variables([("OTHER_FILE", OsStr::from_bytes(b"/tmp/t\xf6ken"))]);
        let error = secrets.get("other").unwrap_err();
        assert!(
            error.message().contains("OTHER_FILE names a file that cannot be used: its path is not UTF-8"),
            "{error}"
        );
        // A change of the file is seen, at once after a refresh.
        let hf = std::env::var("MY_HF_TOKEN_FILE").unwrap();
        common::write(std::path::Path::new(&hf), "hf_2 is longer\n");
        secrets.refresh(None).unwrap();
        assert_eq!(text(&secrets, "my-hf-token").as_deref(), Some("hf_2 is longer"));
        let strict = open(&[ENV_ONLY, ("strict_permissions", "true")]).unwrap();
        assert_eq!(text(&strict, "my-hf-token").as_deref(), Some("hf_2 is longer"));
        std::fs::set_permissions(&hf, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        strict.refresh(None).unwrap();
        assert_eq!(strict.get("my-hf-token").unwrap_err().status(), Status::AccessDenied);
    });
}

#[test]
fn default_files_are_in_the_home_directory() {
    let home = common::temp();
    let directory = home.path().join(".simpletuner");
    let home_variable = [("HOME", home.path().to_str()), ("A_TOKEN", None)];
    std::fs::create_dir(&directory).unwrap();
    common::write(&directory.join("secrets.yml"), "A_TOKEN: yml\n");
    common::write(&directory.join("secrets.yaml"), "A_TOKEN: yaml\n");
    in_environment("default_files_are_in_the_home_directory", &home_variable, || {
        let secrets = open(&[]).unwrap();
        let directory = std::env::home_dir().unwrap().join(".simpletuner");
        assert_eq!(text(&secrets, "A_TOKEN").as_deref(), Some("yaml"));
        assert_eq!(secrets.file_path().unwrap(), directory.join("secrets.yaml"));
        secrets.set("B_TOKEN", b"b").unwrap();
        assert!(!directory.join("secrets.json").exists());
        let tilde = open(&[("file_path", "~/.simpletuner/secrets.yml")]).unwrap();
        assert_eq!(text(&tilde, "A_TOKEN").as_deref(), Some("yml"));
    });
}

#[test]
fn get_reads_the_environment_without_a_home() {
    common::without_home(
        "get_reads_the_environment_without_a_home",
        &[("A_TOKEN", Some("a")), ("B_TOKEN", None)],
        || {
            let secrets = open(&[]).unwrap();
            assert_eq!(text(&secrets, "A_TOKEN").as_deref(), Some("a"));
            assert_eq!(secrets.get("B_TOKEN").unwrap_err().status(), Status::NotFound);
            let error = secrets.set("B_TOKEN", b"b").unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().contains("set HOME, or file_path"), "{error}");
        },
    );
}

#[test]
fn set_creates_the_default_file() {
    let home = common::temp();
    in_environment("set_creates_the_default_file", &[("HOME", home.path().to_str())], || {
        let secrets = open(&[]).unwrap();
        secrets.set_replicate_token(b"r8_new").unwrap();
        let path = std::env::home_dir().unwrap().join(".simpletuner/secrets.json");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\n  \"REPLICATE_API_TOKEN\": \"r8_new\"\n}\n");
        assert_eq!(common::mode(&path), 0o600);
        assert_eq!(common::mode(path.parent().unwrap()), 0o700);
        assert_eq!(&**secrets.replicate_token().unwrap().value(), b"r8_new");
    });
}

#[test]
fn credentials_of_a_service_are_found() {
    let place = common::temp();
    common::write(&place.path().join("HF_TOKEN"), "hf_1\n");
    common::write(&place.path().join("BOTH"), "the credential");
    let (path, home) = (place.path().to_str(), common::temp());
    let variables = [
        ("CREDENTIALS_DIRECTORY", path),
        ("BOTH", Some("the variable")),
        ("HOME", home.path().to_str()),
        ("HF_TOKEN", None),
    ];
    in_environment("credentials_of_a_service_are_found", &variables, || {
        let secrets = open(&[]).unwrap();
        for _ in 0..2 {
            let secret = secrets.get("HF_TOKEN").unwrap();
            assert_eq!(&**secret.value(), b"hf_1");
            assert_eq!((secret.provider(), secret.source()), ("credentials", Source::Credentials));
        }
        assert_eq!(text(&secrets, "BOTH").as_deref(), Some("the variable"));
        let only = open(&[("providers", r#"["credentials"]"#)]).unwrap();
        assert_eq!(text(&only, "BOTH").as_deref(), Some("the credential"));
        assert!(only.get("OTHER").unwrap_err().message().contains("/OTHER does not exist"));
        assert!(only.get("../HF_TOKEN").unwrap_err().message().contains("not a valid name of a file"));
        let names = only.names(None).remove(0);
        assert_eq!((&*names.provider, names.names.unwrap().len()), ("credentials", 2));
        assert!(only.check().contains("(2 credentials)"));
        // Only what `providers` lists is used.
        assert_eq!(open(&[ENV_ONLY]).unwrap().get("HF_TOKEN").unwrap_err().status(), Status::NotFound);
        let path = std::env::var("CREDENTIALS_DIRECTORY").unwrap();
        std::fs::remove_dir_all(path).unwrap();
        only.refresh(None).unwrap();
        assert_eq!(only.get("BOTH").unwrap_err().status(), Status::NotFound);
        assert!(only.check().contains("failed"));
    });
}

#[test]
fn without_credentials_the_provider_has_none() {
    in_environment("without_credentials_the_provider_has_none", &[("CREDENTIALS_DIRECTORY", Some(""))], || {
        assert!(!open(&[]).unwrap().describe().contains("credentials"));
        let only = open(&[("providers", r#"["credentials"]"#)]).unwrap();
        assert!(only.get("A").unwrap_err().message().contains("CREDENTIALS_DIRECTORY is not set"));
        assert_eq!(only.names(None)[0].names.as_deref(), Some(&[][..]));
    });
}
