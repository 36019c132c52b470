//! Documents of AWS.

use serde_json::{Value, json};

use crate::common::proxy::Proxy;
use crate::common::servers::{moto, unique};
use crate::common::temp_in_memory;
use crate::worker::{Worker, canary};

#[test]
fn documents_of_aws_are_shared_by_processes_with_the_same_key() {
    let name = unique("shared");
    moto().secret(&name, &json!({"A": canary("aws")}).to_string());
    let (aws, directory) = (Proxy::to(moto().address()), temp_in_memory());
    let settings: Value = json!({
        "providers": ["aws"], "aws_secret_name": name, "aws_region": "us-east-1", "aws_endpoint_url": aws.url(),
        "share": "host", "share_dir": directory.path().join("share"), "timeout": 60,
    });
    let start = |key: &crate::common::servers::Key, settings: &Value| {
        let variables: Vec<String> =
            key.variables().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<&str> = ["env"].into_iter().chain(variables.iter().map(String::as_str)).collect();
        Worker::start_under(&words, settings)
    };
    let (one, other) = (moto().user(&["secretsmanager:*"]), moto().user(&["secretsmanager:*"]));
    let mut workers: Vec<Worker> = (0..6).map(|_| start(&one, &settings)).collect();
    workers.iter_mut().for_each(|worker| worker.send("get A"));
    for worker in &mut workers {
        assert_eq!(worker.answer().unwrap()["value"], canary("aws"));
    }
    assert_eq!(aws.requests().len(), 1);
    let answer = start(&other, &settings).ask("get A");
    assert_eq!((&answer["shared"], aws.requests().len()), (&json!(false), 2), "another key");
    let elsewhere = crate::worker::merged(settings, json!({"aws_region": "eu-west-1"}));
    let answer = start(&one, &elsewhere).ask("get A");
    assert_eq!((&answer["status"], aws.requests().len()), (&json!("ST_NOT_FOUND"), 3), "another region: {answer}");
}
