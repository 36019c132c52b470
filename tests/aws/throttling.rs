//! Throttling: how AWS serves many processes at once.

use std::thread;

use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{Variables, moto, set_variables, unique};
use crate::common::{open, text};
use crate::{
    READ, REFRESH, alone, aws_file, container_response, in_seconds, key, secret_and, user_and_secret, variable,
};

/// More than the attempts after other failures.
const THROTTLED: usize = 4;

fn actions(proxy: &Proxy) -> Vec<String> {
    let requests = proxy.requests();
    proxy.forget();
    let targets = requests.iter().map(|request| request.header("x-amz-target").unwrap());
    targets.map(|target| target.trim_start_matches("secretsmanager.").to_owned()).collect()
}

fn reads(settings: &[(&str, &str)]) {
    let settings = [&[("providers", r#"["aws"]"#), ("timeout", "120")], settings].concat();
    let got = open(&settings).unwrap().get("A");
    assert!(got.is_ok(), "{}", got.unwrap_err());
}

#[test]
fn first_load_that_is_throttled_waits_for_its_turn() {
    alone!(
        || {
            let user = moto().user(&["sts:AssumeRole", "secretsmanager:GetSecretValue"]);
            let mut variables = secret_and(&[("USER", user)]);
            variables.push(("READER".into(), moto().role(READ)));
            variables
        },
        || {
            let user = key("USER");
            let keys = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", user.id, user.secret);
            aws_file("config", &format!("[profile keys]\n{keys}"));
            let [manager, sts] = [(); 2].map(|()| Proxy::to(moto().address()));
            let container = Proxy::to("127.0.0.1:1");
            container.always(container_response(&user, in_seconds(3600)));
            manager.next(THROTTLED, Fault::aws(400, "ThrottlingException"));
            sts.next(THROTTLED, Fault::aws_xml(400, "Throttling"));
            container.next(THROTTLED, Fault::retry_after(429, "0"));
            set_variables([
                ("AWS_ENDPOINT_URL_STS", sts.url()),
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url()),
            ]);
            thread::scope(|scope| {
                scope.spawn(|| reads(&[("aws_profile", "keys"), ("aws_endpoint_url", &manager.url())]));
                scope.spawn(|| reads(&[("aws_profile", "keys"), ("aws_role_arn", &variable("READER"))]));
                scope.spawn(|| reads(&[]));
            });
            for proxy in [manager, sts, container] {
                assert_eq!(proxy.requests().len(), THROTTLED + 1);
            }
        },
    );
}

#[test]
fn limit_of_attempts_counts_throttled_ones() {
    alone!(|| user_and_secret(READ, r#"{"A": "1"}"#), || {
        let proxy = Proxy::to(moto().address());
        proxy.always(Fault::aws(400, "ThrottlingException"));
        let behind = |settings: &[(&str, &str)]| {
            let settings = [&[("providers", r#"["aws"]"#), ("timeout", "120")], settings].concat();
            open(&[&settings[..], &[("aws_endpoint_url", &*proxy.url())]].concat()).unwrap()
        };
        set_variables([("AWS_MAX_ATTEMPTS", "2")]);
        for (settings, attempts) in [(&[][..], 2), (&[("max_attempts", "1")][..], 1)] {
            let error = behind(settings).get("A").unwrap_err();
            assert_eq!(error.status(), Status::Unavailable, "{error}");
            assert_eq!(actions(&proxy).len(), attempts, "{error}");
        }
        // A call with a cached value does not wait as long as one without.
        set_variables([("AWS_MAX_ATTEMPTS", "")]);
        proxy.heal();
        let secrets = behind(&[]);
        secrets.get("A").unwrap();
        actions(&proxy);
        proxy.always(Fault::aws(400, "ThrottlingException"));
        assert!(secrets.get_with("A", &REFRESH).unwrap().is_stale());
        assert_eq!(actions(&proxy).len(), 3);
    },);
}

fn six_secrets() -> Variables {
    let names: Vec<String> = (0..6).map(|_| unique("crowd")).collect();
    for (index, name) in names.iter().enumerate() {
        moto().secret(name, &json!({"A": index, format!("KEY_{index}"): index}).to_string());
    }
    let user = moto().user(&["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"]);
    let mut variables = moto().variables(&user);
    variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), json!(names).to_string()));
    variables
}

fn has_all(secrets: &Manager) {
    assert_eq!(text(secrets, "A").as_deref(), Some("0"), "the first that has it");
    for index in 0..6 {
        assert_eq!(text(secrets, &format!("KEY_{index}")), Some(index.to_string()));
    }
}

#[test]
fn secrets_are_read_one_by_one_after_a_throttled_batch() {
    alone!(six_secrets, || {
        let proxy = Proxy::to(moto().address());
        let settings = [("providers", r#"["aws"]"#), ("timeout", "120"), ("aws_endpoint_url", &*proxy.url())];
        let secrets = open(&settings).unwrap();
        let (batch, single) = (["BatchGetSecretValue"], ["GetSecretValue"; 6]);
        for fault in [Fault::aws(400, "ThrottlingException"), Fault::status(429)] {
            let is_from_aws = matches!(&fault, Fault::Answer(reply) if !reply.body.is_empty());
            let secrets = open(&settings).unwrap();
            proxy.next(1, fault);
            has_all(&secrets);
            assert_eq!(actions(&proxy), [&batch[..], &single].concat(), "it is not repeated");
            secrets.refresh(None).unwrap();
            // Only AWS limits batch calls more than single ones.
            assert_eq!(actions(&proxy), if is_from_aws { &single[..] } else { &batch });
        }
        has_all(&secrets);
        assert_eq!(actions(&proxy), batch, "another manager starts with a batch");
        let five: Vec<String> = serde_json::from_str(&variable("SIMPLETUNER_AWS_SECRET_NAME")).unwrap();
        let few = open(&[&settings[..], &[("aws_secret_name", &*json!(five[..5]).to_string())]].concat()).unwrap();
        few.get("KEY_4").unwrap();
        assert_eq!(actions(&proxy), &single[..5], "few secrets");
    });
}

#[test]
fn secret_that_is_throttled_in_a_batch_is_read_singly() {
    alone!(six_secrets, || {
        let proxy = Proxy::to(moto().address());
        let names: Vec<String> = serde_json::from_str(&variable("SIMPLETUNER_AWS_SECRET_NAME")).unwrap();
        let value = |index: usize| {
            let text = json!({"A": index, format!("KEY_{index}"): index}).to_string();
            json!({"ARN": "arn", "Name": names[index], "SecretString": text})
        };
        for code in ["ThrottlingException", "InternalServiceError"] {
            let failed = json!({"SecretId": names[0], "ErrorCode": code, "Message": "made by the proxy"});
            let values: Vec<Value> = (1..6).map(value).collect();
            proxy.next(1, Reply::new(200).body(json!({"SecretValues": values, "Errors": [failed]}).to_string()));
            let settings = [("providers", r#"["aws"]"#), ("timeout", "120"), ("aws_endpoint_url", &*proxy.url())];
            has_all(&open(&settings).unwrap());
            assert_eq!(actions(&proxy), ["BatchGetSecretValue", "GetSecretValue"], "{code}");
        }
    });
}
