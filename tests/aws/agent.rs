//! AWS's agent, which is a small responder here: it answers with what Secrets Manager answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use st_secrets::{Manager, Source, Status};

use crate::common::proxy::{Proxy, Reply};
use crate::common::servers::{moto, set_variables, unique};
use crate::common::{open, text, write};
use crate::{READ, REFRESH, alone, user_and_secret, variable};

fn from_agent(agent: &Proxy, settings: &[(&str, &str)]) -> Manager {
    let common = [("providers", r#"["aws"]"#), ("aws_agent_url", &agent.url()), ("timeout", "120")];
    open(&[&common[..], settings].concat()).unwrap()
}

/// What Secrets Manager answers, as the agent passes it on.
fn answer(name: &str) -> Reply {
    let mut got = moto().call("secretsmanager", "get_secret_value", json!({"SecretId": name}));
    if let Some(bytes) = got["SecretBinary"]["$bytes"].as_str().map(str::to_owned) {
        got["SecretBinary"] = bytes.into();
    }
    Reply::new(200).body(got.to_string())
}

#[test]
fn secrets_of_the_agent_are_those_of_aws_without_credentials_and_region() {
    alone!(
        || {
            let name = user_and_secret(READ, r#"{"A": "1"}"#).pop().unwrap().1;
            let binary = unique("binary");
            moto().binary_secret(&binary, &[0, 255, 10]);
            vec![("SIMPLETUNER_AWS_SECRET_NAME".into(), name), ("BINARY".into(), binary)]
        },
        || {
            let agent = Proxy::alone();
            let (name, binary) = (variable("SIMPLETUNER_AWS_SECRET_NAME"), variable("BINARY"));
            set_variables([("AWS_SESSION_TOKEN", "of-lambda"), ("HTTP_PROXY", "http://127.0.0.1:1")]);
            let secrets = from_agent(&agent, &[]);
            agent.next(1, answer(&name));
            let found = secrets.get("A").unwrap();
            assert_eq!((&**found.value(), found.source()), (&b"1"[..], Source::Aws));
            let version = moto().call("secretsmanager", "get_secret_value", json!({"SecretId": name}));
            assert_eq!(found.version(), version["VersionId"].as_str());
            let request = &agent.requests()[0];
            assert_eq!((request.method.as_str(), request.header("authorization")), ("GET", None));
            assert_eq!(request.path, format!("/secretsmanager/get?secretId={}", name.replace('/', "%2F")));
            assert_eq!(request.header("x-aws-parameters-secrets-token"), Some("of-lambda"));
            agent.forget();
            let file = write(&std::path::Path::new(&variable("HOME")).join("token"), "of-the-file\n");
            let table = json!([{"aws_secret": binary, "as": "BYTES"}]).to_string();
            let settings = [("providers", &*table), ("aws_agent_token_file", file.to_str().unwrap())];
            let one = from_agent(&agent, &settings);
            agent.next(1, answer(&binary));
            assert_eq!(&**one.get("BYTES").unwrap().value(), [0, 255, 10]);
            assert_eq!(agent.requests()[0].header("x-aws-parameters-secrets-token"), Some("of-the-file"));
            agent.forget();
            let previous = from_agent(&agent, &[("aws_version_stage", "AWSPREVIOUS")]);
            agent.next(1, answer(&name));
            assert_eq!(text(&previous, "A").as_deref(), Some("1"));
            assert!(agent.requests()[0].path.ends_with("&versionStage=AWSPREVIOUS"));
            agent.next(1, answer(&name));
            let checked: Value = serde_json::from_str(&from_agent(&agent, &[]).check()).unwrap();
            assert_eq!(checked["providers"][0]["state"], "ok", "{checked}");
            let described: Value = serde_json::from_str(&secrets.describe()).unwrap();
            assert_eq!(described["providers"][0]["agent"], format!("{}/", agent.url()));
        },
    );
}

#[test]
fn failure_of_the_agent_says_what_to_do_and_not_the_token() {
    alone!(Vec::new, || {
        let agent = Proxy::alone();
        set_variables([("AWS_TOKEN", "CANARY-CANARY")]);
        let secrets = from_agent(&agent, &[("aws_secret_name", "app/prod")]);
        let refused = |reply: Reply, status: Status, words: &str| {
            agent.next(1, reply);
            let error = secrets.get_with("A", &REFRESH).unwrap_err();
            let source = if status == Status::NotFound { Source::None } else { Source::Aws };
            assert_eq!((error.status(), error.source_provider()), (status, source), "{error}");
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{words}: {error}");
        };
        let coded = |status: u16, code: &str| {
            Reply::new(status).body(json!({"__type": code, "message": "no, CANARY-CANARY"}).to_string())
        };
        refused(
            Reply::new(403).body("Bad Token"),
            Status::AccessDenied,
            "; check the token, which is that of the variable AWS_TOKEN",
        );
        refused(coded(400, "AccessDeniedException"), Status::AccessDenied, "allow secretsmanager:GetSecretValue on it");
        refused(coded(404, "ResourceNotFoundException"), Status::NotFound, "it does not exist");
        refused(Reply::new(200).body("CANARY"), Status::Protocol, "the response is not a JSON object");
        let name = format!("secret \"app/prod\" in the agent at {}/", agent.url());
        refused(Reply::new(200).body("{}"), Status::Protocol, &name);
        let value = json!({"Name": "app/prod", "VersionId": "1", "SecretString": STANDARD.encode("CANARY")});
        refused(
            Reply::new(200).body(value.to_string()),
            Status::Protocol,
            "{\"aws_secret\": \"its name\", \"as\": \"KEY\"}",
        );
        set_variables([("AWS_TOKEN", "")]);
        let secrets = from_agent(&agent, &[("aws_secret_name", "app/prod")]);
        agent.forget();
        if !std::path::Path::new("/var/run/awssmatoken").exists() {
            let error = secrets.get("A").unwrap_err();
            assert_eq!(error.status(), Status::Config, "{error}");
            assert!(error.message().contains("set `aws_agent_token_file`") && agent.requests().is_empty(), "{error}");
        }
    });
}
