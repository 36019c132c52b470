//! All secrets with a prefix or with tags.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::{Proxy, Reply};
use crate::common::servers::{Key, Variables, moto, set_variables, unique};
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, variable};

const LIST: &[&str] = &["secretsmanager:GetSecretValue", "secretsmanager:ListSecrets"];
const BATCH: &[&str] =
    &["secretsmanager:GetSecretValue", "secretsmanager:ListSecrets", "secretsmanager:BatchGetSecretValue"];

fn create(name: &str, value: &str, tags: Value) {
    moto().call("secretsmanager", "create_secret", json!({"Name": name, "SecretString": value, "Tags": tags}));
}

/// Returns variables with the keys of a user with these permissions, and a prefix that no secret has yet.
fn user_and_prefix(actions: &[&str]) -> Variables {
    let mut variables = moto().variables(&moto().user(actions));
    variables.push(("THE_PREFIX".into(), format!("{}/", unique("listed"))));
    variables
}

fn open_with(table: Value) -> Manager {
    open(&[("providers", &json!([table]).to_string()), ("timeout", "120")]).unwrap()
}

/// What boto3 reads of the secrets with this prefix: the names below it, with their values.
fn theirs(prefix: &str) -> BTreeMap<String, String> {
    let key = Key::new(&variable("AWS_ACCESS_KEY_ID"), &variable("AWS_SECRET_ACCESS_KEY"), None);
    let ask = |operation: &str, arguments: Value| moto().call_as(&key, "secretsmanager", operation, arguments).unwrap();
    let (mut found, mut arguments) = (BTreeMap::new(), json!({"Filters": [{"Key": "name", "Values": [prefix]}]}));
    loop {
        let page = ask("list_secrets", arguments.clone());
        for one in page["SecretList"].as_array().unwrap() {
            let name = one["Name"].as_str().unwrap();
            let value = ask("get_secret_value", json!({"SecretId": name}));
            let key = name.strip_prefix(prefix).unwrap().to_owned();
            found.insert(key, value["SecretString"].as_str().unwrap().to_owned());
        }
        match page["NextToken"].as_str() {
            Some(token) => arguments["NextToken"] = token.into(),
            None => return found,
        }
    }
}

#[test]
fn secrets_with_a_prefix_are_those_that_boto3_lists() {
    alone!(
        || {
            let variables = user_and_prefix(BATCH);
            let prefix = &variables.last().unwrap().1;
            for number in 0..30 {
                create(&format!("{prefix}many/{number}"), &format!("value {number}"), json!([]));
            }
            create(&format!("{prefix}object"), r#"{"A": "1"}"#, json!([]));
            create(&format!("other-{prefix}x"), "of another prefix", json!([]));
            create(&format!("{prefix}gone"), "deleted", json!([]));
            moto().delete(&format!("{prefix}gone"), Some(7));
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let prefix = variable("THE_PREFIX");
            let (secrets, theirs) = (open_with(json!({"aws_secrets": {"prefix": prefix}})), theirs(&prefix));
            assert_eq!(theirs.len(), 31);
            for (key, value) in &theirs {
                assert_eq!(text(&secrets, key).as_ref(), Some(value), "{key}");
            }
            let mut names = secrets.names(None)[0].names.clone().unwrap();
            names.sort();
            assert_eq!(names, theirs.into_keys().collect::<Vec<_>>());
            let requests = proxy.requests();
            let actions: Vec<_> = requests.iter().map(|one| one.header("x-amz-target").unwrap()).collect();
            let (list, batch) = ("secretsmanager.ListSecrets", "secretsmanager.BatchGetSecretValue");
            assert_eq!(actions, [list, batch, batch], "twenty secrets in each call");
            assert_eq!(secrets.get("gone").unwrap_err().status(), Status::NotFound);
            let none = open_with(json!({"aws_secrets": {"prefix": "no/such/"}})).get("A").unwrap_err();
            assert_eq!(none.status(), Status::NotFound);
            assert!(none.message().contains("secrets \"no/such/*\" in us-east-1: there is none"), "{none}");
        },
    );
}

#[test]
fn secrets_with_tags_have_all_of_them_exactly() {
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    alone!(
        || {
            let variables = user_and_prefix(LIST);
            let prefix = &variables.last().unwrap().1;
            create(&format!("{prefix}both"), "both", json!([tag("app", prefix), tag("tier", "prod")]));
            create(&format!("{prefix}one"), "one", json!([tag("app", prefix)]));
            create(&format!("{prefix}other"), "other", json!([tag("app", prefix), tag("tier", "production")]));
            create(&format!("{prefix}near"), "near", json!([tag("application", prefix), tag("tier", "prod")]));
            variables
        },
        || {
            let prefix = variable("THE_PREFIX");
            let keys = |conditions: Value| {
                let secrets = open_with(json!({"aws_secrets": conditions}));
                let mut names = secrets.names(None)[0].names.clone().unwrap();
                names.sort();
                names
            };
            let name = |key: &str| format!("{prefix}{key}");
            assert_eq!(keys(json!({"tags": {"app": prefix, "tier": "prod"}})), [name("both")]);
            assert_eq!(keys(json!({"tags": {"app": prefix}})), [name("both"), name("one"), name("other")]);
            assert_eq!(keys(json!({"prefix": name("o"), "tags": {"app": prefix}})), ["ne", "ther"]);
        },
    );
}

#[test]
fn objects_with_a_prefix_are_merged_in_the_order_of_their_names() {
    alone!(
        || {
            let variables = user_and_prefix(LIST);
            let prefix = &variables.last().unwrap().1;
            create(&format!("{prefix}b"), r#"{"A": "of b", "B": "of b"}"#, json!([]));
            create(&format!("{prefix}a"), r#"{"A": "of a"}"#, json!([]));
            variables
        },
        || {
            let table = json!({"aws_secrets": {"prefix": variable("THE_PREFIX")}, "format": "json", "name": "all"});
            let secrets = open_with(table.clone());
            assert_eq!(text(&secrets, "A").as_deref(), Some("of a"));
            assert_eq!(secrets.get("B").unwrap().provider(), "all");
            moto().secret(&format!("{}b", variable("THE_PREFIX")), "CANARY");
            let broken = open_with(table);
            assert_eq!(text(&broken, "A").as_deref(), Some("of a"));
            let error = broken.get("B").unwrap_err();
            assert_eq!(error.status(), Status::Protocol);
            assert!(!error.message().contains("CANARY"), "{error}");
        },
    );
}

#[test]
fn secret_that_is_denied_fails_alone() {
    alone!(
        || {
            let mut variables = user_and_prefix(BATCH);
            let prefix = &variables.last().unwrap().1;
            (0..7).for_each(|number| create(&format!("{prefix}{number}"), "x", json!([])));
            let blind = moto().user(READ);
            variables.extend([("BLIND_ID".into(), blind.id), ("BLIND_SECRET".into(), blind.secret)]);
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let prefix = variable("THE_PREFIX");
            let secrets = open_with(json!({"aws_secrets": {"prefix": prefix}}));
            assert_eq!(text(&secrets, "0").as_deref(), Some("x"));
            let listed: Vec<Value> = (0..7).map(|number| json!({"Name": format!("{prefix}{number}")})).collect();
            let value = |number: u32| json!({"ARN": "arn", "Name": format!("{prefix}{number}"), "SecretString": "new"});
            let failed = |number: u32, code: &str| json!({"SecretId": format!("{prefix}{number}"), "ErrorCode": code, "Message": "no"});
            let reply = |body: Value| Reply::new(200).body(body.to_string());
            proxy.next(1, reply(json!({"SecretList": listed[..3], "NextToken": "next"})));
            proxy.next(1, reply(json!({"SecretList": listed[3..]})));
            let errors = [failed(0, "AccessDeniedException"), failed(1, "ResourceNotFoundException")];
            let values: Vec<Value> = (2..7).map(value).collect();
            proxy.next(1, reply(json!({"SecretValues": values, "Errors": errors})));
            secrets.refresh(None).unwrap();
            assert_eq!(text(&secrets, "2").as_deref(), Some("new"));
            assert_eq!(text(&secrets, "6").as_deref(), Some("new"));
            let denied = secrets.get("0").unwrap_err();
            assert_eq!(denied.status(), Status::AccessDenied, "{denied}");
            assert!(denied.message().contains(&format!("secret \"{prefix}0\" in us-east-1: ")), "{denied}");
            assert_eq!(secrets.get("1").unwrap_err().status(), Status::NotFound);
            set_variables([
                ("AWS_ACCESS_KEY_ID", variable("BLIND_ID")),
                ("AWS_SECRET_ACCESS_KEY", variable("BLIND_SECRET")),
            ]);
            let error = secrets.get_with("2", &REFRESH).unwrap_err();
            assert_eq!(error.status(), Status::AccessDenied);
            assert!(error.message().contains("; allow secretsmanager:ListSecrets on it to"), "{error}");
        },
    );
}
