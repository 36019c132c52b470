//! Values, versions and lists, compared with what Google's own client reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use st_secrets::{Manager, Status};

use crate::common::proxy::Proxy;
use crate::common::remote::{Shown, alone, check};
use crate::common::servers::set_variables;
use crate::common::{open, text};
use crate::{Google, at, read, refused};

/// A manager with one element of `providers`.
fn one(google: &Google, element: &str) -> Manager {
    at(&google.url(), &format!("[{element}]"), &google.file("service_account"), &[])
}

#[test]
fn values_are_those_that_googles_client_reads() {
    alone!(|| {
        let google = Google::start();
        let cases = [
            (r#"{"google_secret": "db-password", "as": "K"}"#, "db-password/versions/latest"),
            (r#"{"google_secret": "db-password", "version": "1", "as": "K"}"#, "db-password/versions/1"),
            (r#"{"google_secret": "db-password/versions/stable", "as": "K"}"#, "db-password/versions/stable"),
            (r#"{"google_secret": "projects/train-1/secrets/db-password", "as": "K"}"#, "db-password/versions/latest"),
            (r#"{"google_secret": "binary", "as": "K"}"#, "binary/versions/latest"),
        ];
        let asked: Vec<String> =
            cases.iter().map(|(_, version)| format!("projects/train-1/secrets/{version}")).collect();
        let theirs = google.peer(&google.file("service_account"), &json!(asked));
        for ((element, version), theirs) in cases.iter().zip(theirs.as_array().unwrap()) {
            let (value, number) = read(&one(&google, element), "K").unwrap();
            assert_eq!(json!([STANDARD.encode(value), number]), *theirs, "{version}");
        }
    });
}

#[test]
fn listed_secrets_are_those_that_googles_client_lists() {
    alone!(|| {
        let google = Google::start();
        let theirs = google.peer(&google.file("service_account"), &json!(["labels.app=train AND labels.odd=1"]));
        assert_eq!(theirs, json!([["train-1", "train-3"]]));
        let secrets = one(&google, r#"{"google_secrets": {"labels": {"app": "train", "odd": "1"}}}"#);
        assert_eq!(text(&secrets, "train-1").as_deref(), Some("CANARY-train-1"));
        assert_eq!(text(&secrets, "train-3").as_deref(), Some("CANARY-train-3"));
        refused(&secrets, "train-2", Status::NotFound, &["labelled"]);
        // Three pages, of which the prefix takes some.
        let secrets = one(&google, r#"{"google_secrets": {"prefix": "train-", "labels": {"app": "train"}}}"#);
        for number in 0..5 {
            assert_eq!(text(&secrets, &number.to_string()), Some(format!("CANARY-train-{number}")));
        }
        refused(&secrets, "mixed-1", Status::NotFound, &[]);
        let none = one(&google, r#"{"google_secrets": {"prefix": "nothing-"}}"#);
        refused(&none, "K", Status::NotFound, &["there is none"]);
    });
}

#[test]
fn denied_secret_of_a_list_fails_alone() {
    alone!(|| {
        let google = Google::start();
        let secrets = one(&google, r#"{"google_secrets": {"labels": {"group": "mixed"}}}"#);
        assert_eq!(text(&secrets, "mixed-1").as_deref(), Some("CANARY-mixed"));
        refused(&secrets, "denied", Status::AccessDenied, &["roles/secretmanager.secretAccessor"]);
        refused(&secrets, "other", Status::NotFound, &[]);
        assert_eq!(check(&secrets)["state"], "warning");
    });
}

#[test]
fn objects_are_read_in_order() {
    alone!(|| {
        let google = Google::start();
        let open = |names: &str| {
            let more = [("google_secret_name", names)];
            at(&google.url(), r#"["google"]"#, &google.file("service_account"), &more)
        };
        let secrets = open(r#"["app-prod", "app-more"]"#);
        for (key, value) in [("HF_TOKEN", "CANARY-hf"), ("PORT", "8080"), ("MORE", "CANARY-more")] {
            assert_eq!(text(&secrets, key).as_deref(), Some(value));
        }
        refused(&secrets, "NONE", Status::NotFound, &["app-prod", "project train-1"]);
        let checked = check(&secrets);
        assert_eq!(checked["state"], "ok", "{checked}");
        assert!(checked["detail"].as_str().unwrap().contains("3 keys"), "{checked}");
        refused(&open("db-password"), "K", Status::Protocol, &["db-password", "line 1, column 1", "one value"]);
        let partly = open(r#"["app-prod", "denied"]"#);
        assert_eq!(text(&partly, "PORT").as_deref(), Some("8080"));
        refused(&partly, "MORE", Status::AccessDenied, &["denied"]);
    });
}

#[test]
fn version_that_cannot_be_read_is_absent_for_a_reason() {
    alone!(|| {
        let google = Google::start();
        let theirs = google.peer(
            &google.file("service_account"),
            &json!(
                ["off", "gone", "none", "denied"]
                    .map(|name| format!("projects/train-1/secrets/{name}/versions/latest"))
            ),
        );
        assert_eq!(theirs, json!(["BadRequest", "BadRequest", "NotFound", "Forbidden"]));
        for (element, status, words) in [
            (r#"{"google_secret": "off", "as": "K"}"#, Status::NotFound, "its version latest is disabled"),
            (r#"{"google_secret": "gone", "as": "K"}"#, Status::NotFound, "its version latest is destroyed"),
            (r#"{"google_secret": "none", "as": "K"}"#, Status::NotFound, "it does not exist, or has no version"),
            (
                r#"{"google_secret": "db-password", "version": "9", "as": "K"}"#,
                Status::NotFound,
                "its version 9, does not",
            ),
            (r#"{"google_secret": "denied", "as": "K"}"#, Status::AccessDenied, "roles/secretmanager.secretAccessor"),
            (r#"{"google_secret": "damaged", "as": "K"}"#, Status::Protocol, "its checksum is wrong"),
            (
                r#"{"google_secret": "projects/off/secrets/a", "as": "K"}"#,
                Status::AccessDenied,
                "gcloud services enable",
            ),
        ] {
            refused(&one(&google, element), "K", status, &[words]);
        }
    });
}

#[test]
fn location_has_its_own_secrets() {
    alone!(|| {
        let google = Google::start();
        let element = r#"[{"google_secret": "regional", "as": "K"}]"#;
        let more = [("google_location", "europe-west3")];
        let secrets = at(&google.url(), element, &google.file("service_account"), &more);
        assert_eq!(text(&secrets, "K").as_deref(), Some("CANARY-regional"));
        refused(&at(&google.url(), element, &google.file("service_account"), &[]), "K", Status::NotFound, &[]);
        let full = r#"{"google_secret": "projects/train-1/locations/europe-west3/secrets/regional", "as": "K"}"#;
        assert_eq!(text(&one(&google, full), "K").as_deref(), Some("CANARY-regional"));
    });
}

#[test]
fn one_value_is_asked_for_by_its_key_alone() {
    alone!(|| {
        let google = Google::start();
        let proxy = Proxy::to(&google.address());
        let secrets = at(&proxy.url(), r#"[{"google_secret": "db-password"}]"#, &google.file("service_account"), &[]);
        assert!(secrets.get("OTHER").is_err());
        assert_eq!(proxy.connections(), 0);
        assert_eq!(text(&secrets, "db-password").as_deref(), Some("CANARY-second-value"));
        assert_eq!(text(&secrets, "db-password").as_deref(), Some("CANARY-second-value"));
        assert_eq!(proxy.requests().len(), 1);
    });
}

#[test]
fn nothing_is_sent_without_a_named_secret() {
    alone!(|| {
        let google = Google::start();
        let proxy = Proxy::to(&google.address());
        let secrets = at(&proxy.url(), r#"["google"]"#, &google.file("service_account"), &[]);
        refused(&secrets, "K", Status::NotFound, &["google (not configured)"]);
        let checked = check(&secrets);
        assert_eq!(checked["state"], "absent", "{checked}");
        assert!(checked["detail"].as_str().unwrap().contains("google_secret_name"), "{checked}");
        assert_eq!(proxy.connections(), 0);
    });
}

#[test]
fn no_output_has_a_value_or_a_credential() {
    alone!(|| {
        let google = Google::start();
        let shown = Shown::start();
        set_variables([
            ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1"),
            ("AWS_ACCESS_KEY_ID", "AKIDGOOGLE"),
            ("AWS_SECRET_ACCESS_KEY", "CANARY-aws-secret-key"),
            ("AWS_SESSION_TOKEN", "CANARY-aws-session-token"),
            ("AWS_REGION", "eu-west-1"),
        ]);
        let external = ["external_file", "external_executable", "external_aws"];
        for file in ["service_account", "user", "impersonated", "revoked", "foreign"].into_iter().chain(external) {
            let file = google.file(file);
            let providers = r#"["google", {"google_secrets": {"prefix": "train-"}}, {"google_secret": "db-password"}]"#;
            let secrets = at(&google.url(), providers, &file, &[("google_secret_name", "app-prod")]);
            shown.has_no_secret(&secrets, &["HF_TOKEN", "0", "db-password", "NONE"], &file);
        }
        shown.log_has("db-password/versions/latest:access");
    });
}

#[test]
fn invalid_settings_are_refused_when_the_manager_opens() {
    for (key, value) in [("google_project", "A B"), ("google_location", "x/y"), ("google_endpoint_url", "http://x.com")]
    {
        let error = open(&[("providers", r#"[{"google_secret": "a"}]"#), (key, value)]).err().unwrap();
        assert_eq!(error.status(), Status::Config);
        assert!(error.message().contains(key), "{error}");
    }
}
