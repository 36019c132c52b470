//! Replicas in other regions.

use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{moto, set_variables, unique};
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, variable};

/// Creates a secret with a replica in another region. Returns variables with its name.
fn replicated() -> Vec<(String, String)> {
    let name = unique("replicated");
    moto().secret(&name, r#"{"A": "1"}"#);
    let regions = json!([{"Region": "eu-west-1"}]);
    moto().call(
        "secretsmanager",
        "replicate_secret_to_regions",
        json!({"SecretId": name, "AddReplicaRegions": regions}),
    );
    let mut variables = moto().variables(&moto().user(READ));
    variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), name));
    variables
}

fn in_regions(regions: &Value, settings: &[(&str, &str)]) -> Manager {
    let regions = regions.to_string();
    let common = [("providers", r#"["aws"]"#), ("aws_region", &regions), ("timeout", "120"), ("max_attempts", "1")];
    open(&[&common[..], settings].concat()).unwrap()
}

/// The regions that requests were signed for.
fn asked(proxy: &Proxy) -> Vec<String> {
    let region = |signature: &str| signature.split('/').nth(2).unwrap().to_owned();
    proxy.requests().iter().map(|request| region(request.header("authorization").unwrap())).collect()
}

#[test]
fn replica_is_read_while_its_region_is_unavailable() {
    alone!(replicated, || {
        let proxy = Proxy::to(moto().address());
        set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
        let secrets = in_regions(&json!(["us-east-1", "eu-west-1"]), &[]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        assert_eq!(asked(&proxy), ["us-east-1"]);
        proxy.forget();
        proxy.next(1, Reply::new(503));
        let found = secrets.get_with("A", &REFRESH).unwrap();
        assert!(!found.is_stale() && &**found.value() == b"1");
        assert_eq!(asked(&proxy), ["us-east-1", "eu-west-1"]);
        proxy.forget();
        assert_eq!(&**secrets.get_with("A", &REFRESH).unwrap().value(), b"1");
        assert_eq!(asked(&proxy), ["us-east-1"], "the first region is the first one again");
        proxy.next(2, Reply::new(503));
        let error = in_regions(&json!(["us-east-1", "eu-west-1"]), &[]).get("A").unwrap_err();
        assert_eq!(error.status(), Status::Unavailable);
        for words in ["in us-east-1: HTTP status 503", "; and in eu-west-1: secret"] {
            assert!(error.message().contains(words), "{error}");
        }
    });
}

#[test]
fn replica_is_read_if_its_region_does_not_answer() {
    alone!(replicated, || {
        let proxy = Proxy::to(moto().address());
        set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
        let secrets = in_regions(&json!(["us-east-1", "eu-west-1"]), &[("timeout", "16")]);
        proxy.next(1, Fault::Hang);
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"), "the first region has half of the time");
        assert_eq!(asked(&proxy), ["us-east-1", "eu-west-1"]);
    });
}

#[test]
fn answer_of_a_region_is_final_and_a_replica_without_the_secret_is_not() {
    alone!(
        || {
            let mut variables = replicated();
            let nobody = moto().user(&[]);
            variables.extend([("NOBODY_ID".into(), nobody.id), ("NOBODY_SECRET".into(), nobody.secret)]);
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let both = json!(["us-east-1", "eu-west-1"]);
            let missing = in_regions(&both, &[("aws_secret_name", "no/such")]).get("A").unwrap_err();
            assert_eq!((missing.status(), asked(&proxy)), (Status::NotFound, vec!["us-east-1".to_owned()]));
            proxy.forget();
            proxy.next(1, Reply::new(503));
            let none = in_regions(&json!(["us-east-1", "ap-south-1"]), &[]).get("A").unwrap_err();
            assert_eq!(none.status(), Status::Unavailable, "{none}");
            assert!(none.message().contains("; and in ap-south-1: it does not exist"), "{none}");
            assert_eq!(asked(&proxy), ["us-east-1", "ap-south-1"]);
            proxy.forget();
            proxy.next(1, Reply::new(503));
            let arn = format!(
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:{}",
                variable("SIMPLETUNER_AWS_SECRET_NAME")
            );
            assert_eq!(
                in_regions(&both, &[("aws_secret_name", &arn)]).get("A").unwrap_err().status(),
                Status::Unavailable
            );
            assert_eq!(asked(&proxy), ["us-east-1"], "an ARN has its own region");
            proxy.forget();
            set_variables([
                ("AWS_ACCESS_KEY_ID", variable("NOBODY_ID")),
                ("AWS_SECRET_ACCESS_KEY", variable("NOBODY_SECRET")),
            ]);
            let denied = in_regions(&both, &[]).get("A").unwrap_err();
            assert_eq!((denied.status(), asked(&proxy)), (Status::AccessDenied, vec!["us-east-1".to_owned()]));
            let invalid = open(&[("aws_secret_name", "x"), ("aws_region", r#"["us-east-1", "us_west_2"]"#)]);
            let error = invalid.map(drop).unwrap_err();
            assert!(error.message().contains("`aws_region`: \"us_west_2\" is not a region"), "{error}");
        },
    );
}
