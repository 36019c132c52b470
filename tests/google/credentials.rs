//! Every kind of credentials, and how long a token is used.

use serde_json::{Value, json};
use st_secrets::Status;

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::remote::{alone, check};
use crate::common::servers::set_variables;
use crate::common::time::advance;
use crate::common::{open, text, write};
use crate::{Google, at, read, refused};

const ONE: &str = r#"[{"google_secret": "db-password", "as": "K"}]"#;
/// The caller at AWS that the server accepts.
const AWS: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "AKIDGOOGLE"),
    ("AWS_SECRET_ACCESS_KEY", "CANARY-aws-secret-key"),
    ("AWS_SESSION_TOKEN", "CANARY-aws-session-token"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];
const ALLOWED: (&str, &str) = ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
const ASKED: &str = "projects/train-1/secrets/db-password/versions/latest";

#[test]
fn every_kind_of_file_reads_what_googles_client_reads_with_it() {
    alone!(|| {
        let google = Google::start();
        let variables = [&AWS[..], &[ALLOWED]].concat();
        set_variables(variables.iter().copied());
        let external = ["external_file", "external_url", "external_executable", "external_output_file", "external_aws"];
        for kind in ["service_account", "pkcs1", "user", "impersonated"].into_iter().chain(external) {
            let file = google.file(kind);
            let theirs = google.peer_with(&variables, &file, &json!([ASKED]));
            assert_eq!(theirs, json!([["Q0FOQVJZLXNlY29uZC12YWx1ZQ==", "2"]]), "{kind}");
            let secrets = at(&google.url(), ONE, &file, &[]);
            let got = read(&secrets, "K");
            assert_eq!(got.unwrap_or_else(|error| panic!("{kind}: {error}")).0, b"CANARY-second-value", "{kind}");
        }
    });
}

#[test]
fn credentials_that_google_rejects_are_a_denial() {
    alone!(|| {
        let google = Google::start();
        for (kind, theirs, words) in [
            ("stranger", "Forbidden", &["PERMISSION_DENIED", "grant roles/secretmanager.secretAccessor"][..]),
            ("foreign", "RefreshError", &["HTTP status 401", "does not accept the token"]),
            ("revoked", "RefreshError", &["invalid_grant", "gcloud auth application-default login"]),
            ("external_bad", "OAuthError", &["invalid_grant", "check the pool"]),
        ] {
            let file = google.file(kind);
            assert_eq!(google.peer(&file, &json!([ASKED])), json!([theirs]), "{kind}");
            let secrets = at(&google.url(), ONE, &file, &[]);
            refused(&secrets, "K", Status::AccessDenied, &[words, &[file.as_str()]].concat());
            assert_eq!(check(&secrets)["state"], "failed");
        }
    });
}

#[test]
fn program_of_a_file_is_run_only_if_that_is_allowed() {
    alone!(|| {
        let google = Google::start();
        let file = google.file("external_executable");
        let manager = || at(&google.url(), ONE, &file, &[]);
        for value in ["", "0", "true"] {
            set_variables([(ALLOWED.0, value)]);
            refused(&manager(), "K", Status::Config, &["set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1", &file]);
            let theirs = google.peer_with(&[(ALLOWED.0, value)], &file, &json!([ASKED]));
            assert_eq!(theirs, json!(["MalformedError"]));
        }
        let runs = || std::fs::read_to_string(google.path("runs")).unwrap_or_default();
        assert_eq!(runs(), "");
        set_variables([ALLOWED]);
        let secrets = manager();
        read(&secrets, "K").unwrap();
        read(&secrets, "K").unwrap();
        // Once for a login, with one argument.
        assert_eq!(runs(), "1 for reader@train-1.iam.gserviceaccount.com\n");
    });
}

#[test]
fn response_that_a_program_keeps_in_a_file_is_used_until_it_expires() {
    alone!(|| {
        let google = Google::start();
        set_variables([ALLOWED]);
        let manager = || at(&google.url(), ONE, &google.file("external_output_file"), &[]);
        let runs = || std::fs::read_to_string(google.path("runs")).unwrap_or_default().len();
        let response: Value = serde_json::from_str(&std::fs::read_to_string(google.path("response")).unwrap()).unwrap();
        let output = |change: Value| {
            let mut response = response.clone();
            response.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            std::fs::write(google.path("output"), response.to_string()).unwrap();
        };
        output(json!({}));
        read(&manager(), "K").unwrap();
        assert_eq!(runs(), 0);
        for change in [json!({"expiration_time": 1}), json!({"expiration_time": null}), json!({"success": false})] {
            output(change.clone());
            let before = runs();
            read(&manager(), "K").unwrap();
            assert!(runs() > before, "{change}");
        }
    });
}

#[test]
fn program_that_fails_is_reported_without_what_it_prints() {
    alone!(|| {
        let google = Google::start();
        set_variables([ALLOWED]);
        let file = google.file("external_executable");
        let program = google.path("program");
        let good = std::fs::read_to_string(google.path("response")).unwrap();
        for (script, status, words) in [
            ("echo CANARY; exit 7", Status::Unavailable, "failed with exit status: 7"),
            ("echo CANARY", Status::Protocol, "it printed no JSON object"),
            (r#"echo '{"version": 2, "success": true}'"#, Status::Protocol, "not of version 1"),
            (
                r#"echo '{"version": 1, "success": false, "code": "401", "message": "CANARY"}'"#,
                Status::AccessDenied,
                "it reports a failure with the code 401",
            ),
            (r#"echo '{"version": 1, "success": true, "token_type": "CANARY"}'"#, Status::Protocol, "\"token_type\""),
            (
                &format!("echo '{}'", good.replace("expiration_time\": ", "expiration_time\": 1, \"was\": ")),
                Status::AccessDenied,
                "has expired",
            ),
            ("exec sleep 1000", Status::Timeout, "did not end in time, and was killed"),
        ] {
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            let timeout = if status == Status::Timeout { "1.5" } else { "60" };
            let more = [("timeout", timeout), ("max_attempts", "1")];
            refused(&at(&google.url(), ONE, &file, &more), "K", status, &[words, &program, &file]);
        }
        std::fs::remove_file(&program).unwrap();
        refused(&at(&google.url(), ONE, &file, &[]), "K", Status::Config, &["cannot be started", &program]);
    });
}

#[test]
fn identity_at_aws_is_that_of_the_provider_for_aws() {
    alone!(|| {
        let google = Google::start();
        let file = google.file("external_aws");
        let manager = |more: &[(&str, &str)]| at(&google.url(), ONE, &file, more);
        set_variables([AWS[4]]);
        let [id, secret, token] = [AWS[0].1, AWS[1].1, AWS[2].1];
        let home = std::path::PathBuf::from(std::env::var("HOME").unwrap()).join(".aws");
        std::fs::create_dir_all(&home).unwrap();
        let profile = format!(
            "[train]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
        );
        write(&home.join("credentials"), &profile);
        let settings = [("aws_profile", "train"), ("aws_region", "ap-south-1")];
        refused(&manager(&settings[..1]), "K", Status::Config, &["there is no AWS region: set AWS_REGION"]);
        assert_eq!(read(&manager(&settings), "K").unwrap().0, b"CANARY-second-value");
        write(&home.join("credentials"), &profile.replace("CANARY-aws-secret", "CANARY-aws-wrong"));
        refused(&manager(&settings), "K", Status::AccessDenied, &["invalid_grant", "check the pool", &file]);
    });
}

#[test]
fn metadata_server_has_the_identity_and_the_project() {
    alone!(|| {
        let google = Google::start();
        let theirs = google.peer("metadata", &json!([ASKED]));
        assert_eq!(theirs, json!([["Q0FOQVJZLXNlY29uZC12YWx1ZQ==", "2"]]));
        let proxy = Proxy::to(&google.address());
        set_variables([("GCE_METADATA_HOST", proxy.address())]);
        let secrets = open(&[("providers", ONE), ("google_endpoint_url", &google.url())]).unwrap();
        assert_eq!(text(&secrets, "K").as_deref(), Some("CANARY-second-value"));
        let paths: Vec<String> = proxy.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(
            paths,
            ["/computeMetadata/v1/project/project-id", "/computeMetadata/v1/instance/service-accounts/default/token"]
        );
        assert!(proxy.requests().iter().all(|request| request.header("Metadata-Flavor") == Some("Google")));
        // Another program at that address is not believed.
        proxy.always(Reply::new(200).body(r#"{"access_token": "x", "expires_in": 3600}"#));
        let secrets = open(&[("providers", ONE), ("google_endpoint_url", &google.url())]).unwrap();
        refused(&secrets, "K", Status::Protocol, &["not from Google's metadata server"]);
        proxy.always(Reply::new(404).header("Metadata-Flavor", "Google"));
        refused(&secrets, "K", Status::Config, &["this machine has no service account"]);
    });
}

#[test]
fn credentials_are_found_in_the_order_of_googles_clients() {
    alone!(|| {
        let google = Google::start();
        let manager = || {
            let more = [("google_project", "train-1"), ("google_endpoint_url", &google.url())];
            open(&[&[("providers", ONE)][..], &more].concat()).unwrap()
        };
        let origin = || {
            let described: Value = serde_json::from_str(&manager().describe()).unwrap();
            described["providers"][0]["credentials"].clone()
        };
        set_variables([("NO_GCE_CHECK", "true")]);
        refused(&manager(), "K", Status::Config, &["no credentials for Google", "GOOGLE_APPLICATION_CREDENTIALS"]);
        set_variables([("GCE_METADATA_HOST", google.address())]);
        assert_eq!(origin(), json!(format!("the metadata server {}", google.address())));
        let home = std::path::PathBuf::from(std::env::var("HOME").unwrap());
        let gcloud = home.join(".config/gcloud");
        std::fs::create_dir_all(&gcloud).unwrap();
        let user = std::fs::read_to_string(google.file("user")).unwrap();
        let user = write(&gcloud.join("application_default_credentials.json"), &user);
        assert_eq!(origin(), json!(user.to_str()));
        set_variables([("GOOGLE_APPLICATION_CREDENTIALS", google.file("external_file"))]);
        assert_eq!(origin(), json!(google.file("external_file")));
        assert_eq!(text(&manager(), "K").as_deref(), Some("CANARY-second-value"));
        // A file that a variable names is not skipped.
        set_variables([("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")]);
        refused(&manager(), "K", Status::Io, &["/nowhere/key.json"]);
    });
}

#[test]
fn token_is_used_until_shortly_before_its_end() {
    alone!(|| {
        let google = Google::start();
        let tokens = Proxy::to(&google.address());
        let user = std::fs::read_to_string(google.file("user")).unwrap();
        let directory = crate::common::temp();
        let user = write(&directory.path().join("user.json"), &user.replace(&google.address(), tokens.address()));
        let api = Proxy::to(&google.address());
        let secrets = at(&api.url(), ONE, user.to_str().unwrap(), &[("cache_ttl", "0")]);
        for _ in 0..3 {
            read(&secrets, "K").unwrap();
        }
        assert_eq!((tokens.requests().len(), api.requests().len()), (1, 3));
        assert_eq!(api.requests()[0].header("X-Goog-User-Project"), Some("train-1"));
        advance(std::time::Duration::from_secs(3400));
        read(&secrets, "K").unwrap();
        assert_eq!(tokens.requests().len(), 2, "less than five minutes were left");
        // A token that Google no longer accepts is replaced once.
        let rejected = r#"{"error": {"code": 401, "message": "bad", "status": "UNAUTHENTICATED"}}"#;
        api.next(1, Reply::new(401).body(rejected));
        read(&secrets, "K").unwrap();
        assert_eq!(tokens.requests().len(), 3);
        api.always(Reply::new(401).body(rejected));
        refused(&secrets, "K", Status::AccessDenied, &["does not accept the token"]);
        assert_eq!(tokens.requests().len(), 4);
    });
}

#[test]
fn many_callers_log_in_once() {
    alone!(|| {
        let google = Google::start();
        let tokens = Proxy::to(&google.address());
        tokens.always(Fault::Delay(std::time::Duration::from_millis(300)));
        let user = std::fs::read_to_string(google.file("user")).unwrap();
        let directory = crate::common::temp();
        let user = write(&directory.path().join("user.json"), &user.replace(&google.address(), tokens.address()));
        let providers: Vec<Value> = (0..5).map(|number| json!({"google_secret": format!("train-{number}")})).collect();
        let secrets = at(&google.url(), &json!(providers).to_string(), user.to_str().unwrap(), &[]);
        std::thread::scope(|scope| {
            for number in 0..5 {
                let secrets = &secrets;
                scope.spawn(move || {
                    let value = text(secrets, &format!("train-{number}"));
                    assert_eq!(value, Some(format!("CANARY-train-{number}")));
                });
            }
        });
        assert_eq!(tokens.requests().len(), 1);
    });
}

#[test]
fn unusable_file_is_named() {
    alone!(|| {
        let google = Google::start();
        let directory = crate::common::temp();
        for (contents, words) in [
            ("CANARY", "is not a JSON object"),
            (
                r#"{"type": "service_account", "client_email": "a@b", "private_key": "CANARY"}"#,
                "has no private key in PEM",
            ),
            (
                r#"{"type": "external_account", "credential_source": {"environment_id": "aws1", "url": "x"}}"#,
                "has no \"regional_cred_verification_url\"",
            ),
        ] {
            let file = write(&directory.path().join("file.json"), contents);
            let secrets = at(&google.url(), ONE, file.to_str().unwrap(), &[]);
            refused(&secrets, "K", Status::Config, &[words, file.to_str().unwrap()]);
        }
    });
}
