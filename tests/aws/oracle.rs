//! Compares the keys found in files with those that botocore finds in the same files.

use serde_json::{Value, json};
use st_secrets::Status;

use crate::common::proxy::Proxy;
use crate::common::servers::{python_script_with, set_variables};
use crate::common::temp;
use crate::{alone, aws};

const PAIR: &str = "aws_access_key_id = ID\naws_secret_access_key = x\n";

/// The cases: a description, and the config file, the credentials file and variables.
fn cases() -> Vec<(&'static str, Value)> {
    let files = |config: &str, credentials: &str| json!({"config": config, "credentials": credentials});
    let of_config = |text: &str| files(&format!("[default]\n{text}"), "");
    let of_credentials = |text: &str| files("[default]\naws_session_token = OTHER\n", &format!("[default]\n{text}"));
    let own_keys = |variables: &[(&str, &str)]| {
        let keys = [("AWS_ACCESS_KEY_ID", "ID"), ("AWS_SECRET_ACCESS_KEY", "x")];
        let variables: Vec<_> = variables.iter().chain(&keys).map(|(name, value)| (*name, json!(value))).collect();
        json!({"config": "[default]\n", "env": Value::from_iter(variables)})
    };
    let session = "sso_session = s\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x\n";
    vec![
        ("keys", of_config(PAIR)),
        ("a token in the other file", of_credentials(PAIR)),
        ("a secret in the other file", files(&format!("[default]\n{PAIR}"), "[default]\naws_secret_access_key = y\n")),
        ("half a pair in each file", of_credentials("aws_access_key_id = ID\n")),
        ("the older name of the token", of_credentials(&format!("{PAIR}aws_security_token = OLD\n"))),
        ("a colon in place of the sign", of_credentials("aws_access_key_id: ID\naws_secret_access_key :x\n")),
        ("indented properties", of_credentials("    aws_access_key_id = ID\n    aws_secret_access_key = x\n")),
        (
            "an indented header",
            files(" [a]\n  x = y\n  [default]\n  aws_access_key_id = ID\n  aws_secret_access_key = x\n", ""),
        ),
        ("`;` in quotation marks", of_config("credential_process = sh -c 'true ; cat HOME/keys'\n")),
        ("`#` in quotation marks", of_config("credential_process = sh -c 'cat HOME/keys # c'\n")),
        ("a continued command", of_config("credential_process = sh\n  -c\n  'cat HOME/keys'\nregion = x\n")),
        ("a lone session beside keys", of_config(&format!("{PAIR}{session}"))),
        ("a lone session beside a program", of_config(&format!("credential_process = cat HOME/keys\n{session}"))),
        ("a web identity without its role", of_config(&format!("{PAIR}web_identity_token_file = HOME/token\n"))),
        (
            "paths that are not files",
            own_keys(&[("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "HOME")]),
        ),
        ("a file below a file", own_keys(&[("AWS_SHARED_CREDENTIALS_FILE", "HOME/config/x")])),
        (
            "a variable in the name of a file",
            json!({"credentials": format!("[default]\n{PAIR}"),
                "env": {"PLACE": "HOME", "AWS_SHARED_CREDENTIALS_FILE": "$PLACE/credentials"}}),
        ),
        ("no credentials", files("", "")),
    ]
}

#[test]
fn keys_in_files_are_those_that_botocore_uses() {
    alone!(Vec::new, || {
        let directory = temp();
        let root = directory.path().to_str().unwrap();
        let cases = cases();
        let asked: Vec<&Value> = cases.iter().map(|(_, case)| case).collect();
        let theirs = python_script_with("credentials.py", &[root], &json!(asked));
        for (number, ((what, case), theirs)) in cases.iter().zip(theirs.as_array().unwrap()).enumerate() {
            let home = format!("{root}/{number}");
            let proxy = Proxy::alone();
            set_variables([
                ("AWS_ENDPOINT_URL", proxy.url()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
                ("SIMPLETUNER_AWS_SECRET_NAME", "secret".to_owned()),
                ("AWS_CONFIG_FILE", format!("{home}/config")),
                ("AWS_SHARED_CREDENTIALS_FILE", format!("{home}/credentials")),
                ("AWS_ACCESS_KEY_ID", String::new()),
                ("AWS_SECRET_ACCESS_KEY", String::new()),
            ]);
            let variables = case["env"].as_object().into_iter().flatten();
            set_variables(variables.map(|(name, value)| (name, value.as_str().unwrap().replace("HOME", &home))));
            let error = aws().get("A").unwrap_err();
            let Some(request) = proxy.requests().into_iter().next() else {
                assert_eq!(error.status(), Status::Config, "{what}: {error}");
                assert!(theirs.is_null() || theirs["error"].is_string(), "{what}: {error}, and theirs are {theirs}");
                continue;
            };
            let signature = request.header("authorization").unwrap();
            let id = signature.split(['=', '/']).nth(1).unwrap();
            assert_eq!(theirs["id"], id, "{what}: {theirs}");
            assert_eq!(theirs["token"], json!(request.header("x-amz-security-token")), "{what}: {theirs}");
        }
    });
}
