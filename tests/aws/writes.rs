//! Writing a key of a secret, with the setting `set_provider`.

use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use st_secrets::{Manager, Source, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{moto, set_variables, unique};
use crate::common::{open, text};
use crate::{READ, alone, user_and_secret, variable};

const WRITE: &[&str] =
    &["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"];

/// The stage is named, because the version that moto returns without one does not follow the label.
fn writer(settings: &[(&str, &str)]) -> Manager {
    let stage = ("aws_version_stage", "AWSCURRENT");
    let common = [("providers", r#"["aws"]"#), ("set_provider", "aws"), ("timeout", "120"), stage];
    open(&[&common[..], settings].concat()).unwrap()
}

/// What boto3 reads as the administrator: the current version.
fn current(name: &str) -> Value {
    moto().call("secretsmanager", "get_secret_value", json!({"SecretId": name, "VersionStage": "AWSCURRENT"}))
}

fn current_text(name: &str) -> String {
    current(name)["SecretString"].as_str().unwrap().to_owned()
}

#[test]
fn written_key_is_what_boto3_reads_and_the_rest_is_kept() {
    alone!(|| user_and_secret(WRITE, "{\n  \"A\": 1.50,\n  \"B\": \"old\"\n}\n"), || {
        let name = variable("SIMPLETUNER_AWS_SECRET_NAME");
        let secrets = writer(&[]);
        assert_eq!(text(&secrets, "B").as_deref(), Some("old"));
        let first = current(&name)["VersionId"].clone();
        secrets.set("B", "n\u{e9}w \" \\ \n".as_bytes()).unwrap();
        assert_eq!(current_text(&name), "{\n  \"A\": 1.50,\n  \"B\": \"n\u{e9}w \\\" \\\\ \\n\"\n}\n");
        let previous = json!({"SecretId": name, "VersionStage": "AWSPREVIOUS"});
        assert_eq!(moto().call("secretsmanager", "get_secret_value", previous)["VersionId"], first);
        let found = secrets.get("B").unwrap();
        assert_eq!(&**found.value(), "n\u{e9}w \" \\ \n".as_bytes(), "the cached value is replaced");
        assert_eq!(found.version(), current(&name)["VersionId"].as_str());
        secrets.set("C", b"added").unwrap();
        assert!(secrets.delete("A").unwrap() && !secrets.delete("A").unwrap());
        let document: Value = serde_json::from_str(&current_text(&name)).unwrap();
        assert_eq!(document, json!({"B": "n\u{e9}w \" \\ \n", "C": "added"}));
        assert_eq!(text(&secrets, "C").as_deref(), Some("added"));
        assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
        let version = current(&name)["VersionId"].clone();
        secrets.set("C", b"added").unwrap();
        assert_eq!(current(&name)["VersionId"], version, "nothing to change");
    });
}

#[test]
fn writers_lose_no_change_of_each_other() {
    alone!(|| user_and_secret(WRITE, r#"{"A": "1"}"#), || {
        let write = |writer_number: usize| {
            let secrets = writer(&[]);
            for number in 0..4 {
                let key = format!("KEY_{writer_number}_{number}");
                while let Err(error) = secrets.set(&key, b"x") {
                    assert_eq!(error.status(), Status::Busy, "{error}");
                }
            }
        };
        thread::scope(|scope| (0..4).for_each(|number| drop(scope.spawn(move || write(number)))));
        let document: Value = serde_json::from_str(&current_text(&variable("SIMPLETUNER_AWS_SECRET_NAME"))).unwrap();
        assert_eq!(document.as_object().unwrap().len(), 17, "{document}");
    });
}

#[test]
fn change_is_made_in_the_version_that_another_writer_made_current() {
    alone!(|| user_and_secret(WRITE, r#"{"A": "old"}"#), || {
        let name = variable("SIMPLETUNER_AWS_SECRET_NAME");
        let old = current(&name)["VersionId"].clone();
        moto().secret(&name, r#"{"A": "of another writer"}"#);
        let proxy = Proxy::to(moto().address());
        set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
        let secrets = writer(&[]);
        // The first read is from before the other write.
        let stale = json!({"Name": name, "VersionId": old, "SecretString": r#"{"A": "old"}"#});
        proxy.next(1, Reply::new(200).body(stale.to_string()));
        secrets.set("B", b"ours").unwrap();
        let document: Value = serde_json::from_str(&current_text(&name)).unwrap();
        assert_eq!(document, json!({"A": "of another writer", "B": "ours"}));
        // The response to the change of the label is lost, and the request is sent again.
        proxy.next(2, Fault::Pass);
        proxy.next(1, Fault::ResetAfter);
        secrets.set("B", b"again").unwrap();
        assert_eq!(current_text(&name), r#"{"A": "of another writer","B": "again"}"#);
    });
}

#[test]
fn first_secret_that_has_the_key_is_written() {
    alone!(
        || {
            let mut variables = user_and_secret(WRITE, r#"{"A": "1"}"#);
            let other = unique("other");
            moto().binary_secret(&other, br#"{"B": "2"}"#);
            let first = variables.pop().unwrap().1;
            variables.extend([("FIRST".into(), first), ("OTHER".into(), other)]);
            variables
        },
        || {
            let (first, other) = (variable("FIRST"), variable("OTHER"));
            let secrets = writer(&[("aws_secret_name", &json!([first, other]).to_string())]);
            secrets.set("B", b"new").unwrap();
            secrets.set("C", b"3").unwrap();
            let bytes = STANDARD.decode(current(&other)["SecretBinary"]["$bytes"].as_str().unwrap()).unwrap();
            assert_eq!(bytes, br#"{"B": "new"}"#);
            assert_eq!(current_text(&first), r#"{"A": "1","C": "3"}"#);
            assert_eq!(text(&secrets, "B").as_deref(), Some("new"));
        },
    );
}

#[test]
fn refused_write_changes_nothing_and_says_what_to_do() {
    alone!(
        || {
            let mut variables = user_and_secret(WRITE, r#"{"A": "1"}"#);
            for (name, actions) in [("READER", READ), ("PUTTER", &WRITE[..2])] {
                let key = moto().user(actions);
                variables.extend([(format!("{name}_ID"), key.id), (format!("{name}_SECRET"), key.secret)]);
            }
            variables.push(("PLAIN".into(), unique("plain")));
            moto().secret(&variables.last().unwrap().1, "CANARY");
            variables
        },
        || {
            let name = variable("SIMPLETUNER_AWS_SECRET_NAME");
            let refused = |secrets: Manager, status: Status, words: &str| {
                let error = secrets.set("A", b"CANARY-CANARY").unwrap_err();
                assert_eq!(error.status(), status, "{error}");
                assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{words}: {error}");
                error
            };
            let missing = refused(writer(&[("aws_secret_name", "no/such")]), Status::NotFound, "--name no/such");
            assert_eq!(missing.source_provider(), Source::Aws);
            let plain = writer(&[("aws_secret_name", &variable("PLAIN"))]);
            refused(plain, Status::Protocol, "it is left as it is");
            assert_eq!(current_text(&variable("PLAIN")), "CANARY");
            let staged = writer(&[("aws_version_stage", "AWSPREVIOUS")]);
            refused(staged, Status::Config, "unset `aws_version_id` and `aws_version_stage`");
            let long = writer(&[]).set("A", &vec![b'x'; 70_000]).unwrap_err();
            assert_eq!(long.status(), Status::InvalidArgument, "{long}");
            let unlisted = [("providers", r#"["env"]"#), ("set_provider", "aws")];
            refused(open(&unlisted).unwrap(), Status::Config, "which `providers` does not list");
            let unknown = open(&[("set_provider", "env")]).map(drop).unwrap_err();
            assert!(unknown.message().contains("`set_provider` must be \"file\" or"), "{unknown}");
            for (who, action) in [("READER", "PutSecretValue"), ("PUTTER", "UpdateSecretVersionStage")] {
                set_variables([
                    ("AWS_ACCESS_KEY_ID", variable(&format!("{who}_ID"))),
                    ("AWS_SECRET_ACCESS_KEY", variable(&format!("{who}_SECRET"))),
                ]);
                let words = format!("; allow secretsmanager:{action} on it to the owner of the credentials of");
                refused(writer(&[]), Status::AccessDenied, &words);
                assert_eq!(current_text(&name), r#"{"A": "1"}"#);
            }
            set_variables([("SIMPLETUNER_AWS_SECRET_NAME", "")]);
            refused(writer(&[]), Status::Config, "no secret is named");
        },
    );
}
