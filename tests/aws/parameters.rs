//! Parameters of Systems Manager, read by path.

use std::time::Duration;

use serde_json::{Value, json};
use st_secrets::{GetOptions, Manager, Source, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{Key, Variables, moto, set_variables, unique};
use crate::common::{open, text};
use crate::{REFRESH, alone, logged, variable};

const READ_PARAMETERS: &[&str] = &["ssm:GetParametersByPath"];

fn put(name: &str, value: &str, kind: &str) {
    moto().call("ssm", "put_parameter", json!({"Name": name, "Value": value, "Type": kind, "Overwrite": true}));
}

/// Returns variables with the keys of a user with these permissions, and a path below which nothing is yet.
fn user_and_path(actions: &[&str]) -> Variables {
    let mut variables = moto().variables(&moto().user(actions));
    variables.push(("PATH_OF_PARAMETERS".into(), format!("/{}/prod", unique("app"))));
    variables
}

fn parameters(path: &str) -> Manager {
    let settings = [("providers", r#"["aws_parameters"]"#), ("aws_parameters_path", path), ("timeout", "120")];
    open(&settings).unwrap()
}

/// What boto3 reads below a path: names, values and versions.
fn theirs(path: &str) -> Vec<(String, String, String)> {
    let key = Key::new(&variable("AWS_ACCESS_KEY_ID"), &variable("AWS_SECRET_ACCESS_KEY"), None);
    let (mut found, mut arguments) = (Vec::new(), json!({"Path": path, "Recursive": true, "WithDecryption": true}));
    loop {
        let page = moto().call_as(&key, "ssm", "get_parameters_by_path", arguments.clone()).unwrap();
        for one in page["Parameters"].as_array().unwrap() {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            found.push((text("Name"), text("Value"), one["Version"].to_string()));
        }
        match page["NextToken"].as_str() {
            Some(token) => arguments["NextToken"] = token.into(),
            None => return found,
        }
    }
}

#[test]
fn parameters_have_the_values_that_boto3_reads() {
    alone!(
        || {
            let variables = user_and_path(READ_PARAMETERS);
            let path = &variables.last().unwrap().1;
            for number in 0..23 {
                put(&format!("{path}/many/{number}"), &format!("value {number}"), "String");
            }
            put(&format!("{path}/password"), "old", "SecureString");
            put(&format!("{path}/password"), "pässword \" \\ {\n}", "SecureString");
            put(&format!("{path}/list"), "a,b,c", "StringList");
            put(&format!("{path}/db/main/json"), r#"{"A": "1"}"#, "SecureString");
            put(&format!("{path}2/other"), "not below it", "String");
            variables
        },
        || {
            let path = variable("PATH_OF_PARAMETERS");
            let (theirs, secrets) = (theirs(&path), parameters(&path));
            assert_eq!(theirs.len(), 26);
            for (name, value, version) in &theirs {
                let found = secrets.get(name.strip_prefix(&format!("{path}/")).unwrap()).unwrap();
                assert_eq!(&**found.value(), value.as_bytes(), "{name}");
                assert_eq!(found.version(), Some(version.as_str()), "{name}");
                assert_eq!((found.provider(), found.source()), ("aws_parameters", Source::AwsParameters));
            }
            assert_eq!(text(&secrets, "password").as_deref(), Some("pässword \" \\ {\n}"));
            assert_eq!(secrets.get("other").unwrap_err().status(), Status::NotFound);
            assert_eq!(secrets.names(None)[0].names.as_ref().unwrap().len(), 26);
            let all = parameters("/");
            assert_eq!(text(&all, &format!("{}/list", &path[1..])).as_deref(), Some("a,b,c"));
        },
    );
}

#[test]
fn parameters_are_read_in_pages_as_one_document() {
    alone!(
        || {
            let variables = user_and_path(READ_PARAMETERS);
            for number in 0..12 {
                put(&format!("{}/{number}", variables.last().unwrap().1), "x", "SecureString");
            }
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([
                ("AWS_ENDPOINT_URL_SSM", proxy.url()),
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()),
            ]);
            let secrets = parameters(&variable("PATH_OF_PARAMETERS"));
            assert_eq!(text(&secrets, "11").as_deref(), Some("x"));
            let requests = proxy.requests();
            assert_eq!(requests.len(), 2);
            assert!(requests.iter().all(|one| one.header("x-amz-target") == Some("AmazonSSM.GetParametersByPath")));
            let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
            let path = variable("PATH_OF_PARAMETERS");
            assert_eq!(body, json!({"Path": path, "Recursive": true, "WithDecryption": true}));
            proxy.forget();
            assert!(text(&secrets, "0").is_some() && secrets.get("12").is_err());
            assert!(proxy.requests().is_empty(), "the document is cached");
        },
    );
}

#[test]
fn first_path_that_has_a_key_supplies_it() {
    alone!(
        || {
            let variables = user_and_path(READ_PARAMETERS);
            let path = &variables.last().unwrap().1;
            put(&format!("{path}/first/A"), "first", "String");
            put(&format!("{path}/second/A"), "second", "String");
            put(&format!("{path}/second/B"), "second", "SecureString");
            variables
        },
        || {
            let path = variable("PATH_OF_PARAMETERS");
            let none = format!("{path}/none");
            let secrets = parameters(&json!([none, format!("{path}/first/"), format!("{path}/second")]).to_string());
            assert_eq!(text(&secrets, "A").as_deref(), Some("first"));
            assert_eq!(text(&secrets, "B").as_deref(), Some("second"));
            let error = parameters(&none).get("A").unwrap_err();
            assert_eq!(error.status(), Status::NotFound);
            assert!(error.message().contains(&format!("there is no parameter below \"{none}/\"")), "{error}");
        },
    );
}

#[test]
fn failures_of_parameters_are_those_of_aws() {
    alone!(
        || {
            let mut variables = user_and_path(READ_PARAMETERS);
            put(&format!("{}/A", variables.last().unwrap().1), "CANARY", "SecureString");
            let nobody = moto().user(&["secretsmanager:GetSecretValue"]);
            variables.extend([("NOBODY_ID".into(), nobody.id), ("NOBODY_SECRET".into(), nobody.secret)]);
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let path = variable("PATH_OF_PARAMETERS");
            let secrets = parameters(&path);
            let refused = |status: Status, words: &str| {
                let error = parameters(&path).get_with("A", &REFRESH).unwrap_err();
                assert_eq!((error.status(), error.source_provider()), (status, Source::AwsParameters), "{error}");
                assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{error}");
            };
            assert_eq!(text(&secrets, "A").as_deref(), Some("CANARY"));
            let answer = |body: Value| Reply::new(200).body(body.to_string());
            proxy.next(1, answer(json!({"SecretString": "CANARY"})));
            refused(Status::Protocol, "check that the endpoint is Systems Manager");
            proxy.next(1, answer(json!({"Parameters": [{"Name": "/other/A", "Value": "CANARY"}]})));
            refused(Status::Protocol, "a parameter that is not below it");
            proxy.next(1, Fault::Half);
            assert_eq!(text(&parameters(&path), "A").as_deref(), Some("CANARY"), "it is retried");
            let throttled = json!({"__type": "ThrottlingException", "message": "Rate exceeded"});
            proxy.next(2, Reply::new(400).body(throttled.to_string()));
            assert_eq!(text(&parameters(&path), "A").as_deref(), Some("CANARY"), "it is repeated");
            set_variables([
                ("AWS_ACCESS_KEY_ID", variable("NOBODY_ID")),
                ("AWS_SECRET_ACCESS_KEY", variable("NOBODY_SECRET")),
            ]);
            refused(Status::AccessDenied, "; allow ssm:GetParametersByPath on it to the owner of the credentials of");
            let error = secrets.get_with("A", &REFRESH).unwrap_err();
            assert_eq!(error.status(), Status::AccessDenied, "a denial ends the use of the last value");
        },
    );
}

#[test]
fn request_for_parameters_ends_in_time_and_values_are_in_no_report() {
    alone!(
        || {
            let variables = user_and_path(READ_PARAMETERS);
            put(&format!("{}/A", variables.last().unwrap().1), "CANARY-CANARY", "SecureString");
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let lines = logged();
            let secrets = parameters(&variable("PATH_OF_PARAMETERS"));
            let brief = GetOptions { timeout: Some(Duration::from_secs(1)), ..REFRESH };
            for fault in [Fault::Hang, Fault::Slow, Fault::SlowBody] {
                proxy.next(1, fault.clone());
                let error = secrets.get_with("A", &brief).unwrap_err();
                assert_eq!(error.status(), Status::Timeout, "{fault:?}: {error}");
                assert!(error.is_retryable() && error.message().contains("parameters below"), "{fault:?}: {error}");
            }
            secrets.refresh(None).unwrap();
            assert_eq!(text(&secrets, "A").as_deref(), Some("CANARY-CANARY"));
            proxy.next(1, Fault::Hang);
            assert!(secrets.get_with("A", &brief).unwrap().is_stale(), "the last value is used during an outage");
            for report in [secrets.describe(), secrets.check(), lines.lock().unwrap().clone()] {
                assert!(report.contains("aws") && !report.contains("CANARY"), "{report}");
            }
        },
    );
}

#[test]
fn parameters_without_a_path_are_not_queried() {
    alone!(Vec::new, || {
        let secrets = open(&[("providers", r#"["aws_parameters"]"#)]).unwrap();
        let described: Value = serde_json::from_str(&secrets.check()).unwrap();
        let detail = described["providers"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("set `aws_parameters_path`"), "{detail}");
        let invalid = open(&[("providers", r#"["aws_parameters"]"#), ("aws_parameters_path", "app")]);
        let error = invalid.map(drop).unwrap_err();
        assert_eq!((error.status(), error.source_provider()), (Status::Config, Source::AwsParameters));
    });
}
