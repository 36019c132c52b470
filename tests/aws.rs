//! AWS Secrets Manager on moto, which checks signatures and permissions: values, errors, bad settings.

mod common;

use common::proxy::Proxy;
use common::servers::{Key, Variables, in_clean_environment, moto, peers, set_variables, unique};
use common::{open, text};
use serde_json::json;
use st_secrets::{Error, Manager, Options, Source, Status};

const READ: &[&str] = &["secretsmanager:GetSecretValue"];
const REFRESH: Options = Options { timeout: None, refresh: true, cached_only: false };

/// A user with these permissions, and a secret with this text, whose name is in `SIMPLETUNER_AWS_SECRET_NAME`.
fn user_and_secret(actions: &[&str], text: &str) -> Variables {
    let name = unique("app/prod");
    moto().secret(&name, text);
    let mut variables = moto().variables(&moto().user(actions));
    variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), name));
    variables
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn aws() -> Manager {
    open(&[("providers", r#"["aws"]"#)]).unwrap()
}

fn own_key() -> Key {
    Key::new(&variable("AWS_ACCESS_KEY_ID"), &variable("AWS_SECRET_ACCESS_KEY"), None)
}

fn refused(secrets: &Manager, key: &str, status: Status, words: &[&str]) -> Error {
    let error = secrets.get_with(key, &REFRESH).unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    assert_eq!(error.source_layer(), Source::Aws, "{error}");
    for word in words {
        assert!(error.message().contains(word), "{word:?} in: {error}");
    }
    error
}

#[test]
fn a_secret_answers_every_key_as_boto3_reads_it() {
    let document = r#"{"HF_TOKEN": "hf_1", "pi": 1.50, "big": 12345678901234567890, "on": true, "none": null,
        "escaped": "a\"\\\u00e9\ud83d\ude00\n/\/", "empty": "", "list": [true, "two", {"three": null}], "name with spaces": "x"}"#;
    in_clean_environment(
        "a_secret_answers_every_key_as_boto3_reads_it",
        || {
            let mut variables = user_and_secret(READ, document);
            let binary = unique("binary");
            moto().binary_secret(&binary, document.as_bytes());
            variables.push(("BINARY".into(), binary));
            variables
        },
        || {
            for name in [variable("SIMPLETUNER_AWS_SECRET_NAME"), variable("BINARY")] {
                let key = own_key();
                let asked = json!({"endpoint": moto().url(), "key": {"id": key.id, "secret": key.secret},
                    "secrets": [{"SecretId": name}]});
                let theirs = &peers(&json!({"aws": asked}))["aws"][0];
                let secrets = open(&[("providers", r#"["aws"]"#), ("aws_secret_name", &name)]).unwrap();
                let values = theirs["values"].as_object().unwrap();
                assert_eq!(values.len(), 9);
                for (key, value) in values.iter().filter(|(key, _)| *key != "none") {
                    let secret = secrets.get(key).unwrap();
                    let ours = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &**secret.value());
                    assert_eq!(json!(ours), *value, "{key}");
                    assert_eq!(secret.version(), theirs["version"].as_str());
                    assert_eq!(secret.source(), Source::Aws);
                }
                assert_eq!(secrets.get("none").unwrap_err().status(), Status::NotFound);
            }
        },
    );
}

#[test]
fn several_secrets_come_in_one_call_where_that_is_allowed() {
    in_clean_environment(
        "several_secrets_come_in_one_call_where_that_is_allowed",
        || {
            let names = ["first", "second", "third"].map(unique);
            moto().secret(&names[0], r#"{"A": "first", "B": null}"#);
            moto().binary_secret(&names[1], br#"{"A": "second", "B": "second"}"#);
            let all = json!([names[0], names[2], names[1]]).to_string();
            let both = moto().user(&["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"]);
            let single = moto().user(READ);
            let mut variables = moto().variables(&both);
            variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), all));
            variables.extend([("SINGLE_ID".into(), single.id), ("SINGLE_SECRET".into(), single.secret)]);
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            let actions = || -> Vec<String> {
                let requests = proxy.requests();
                let targets = requests.iter().map(|request| request.header("x-amz-target").unwrap());
                targets.map(|target| target.trim_start_matches("secretsmanager.").to_owned()).collect()
            };
            let settings = [("providers", r#"["aws"]"#), ("aws_endpoint_url", &proxy.url())];
            let check = |secrets: &Manager| {
                assert_eq!(text(secrets, "A").as_deref(), Some("first"), "the first that has it");
                assert_eq!(text(secrets, "B").as_deref(), Some("second"), "null is absent");
            };
            let secrets = open(&settings).unwrap();
            check(&secrets);
            assert_eq!(actions(), ["BatchGetSecretValue"]);
            proxy.forget();
            set_variables([
                ("AWS_ACCESS_KEY_ID", variable("SINGLE_ID")),
                ("AWS_SECRET_ACCESS_KEY", variable("SINGLE_SECRET")),
            ]);
            let secrets = open(&settings).unwrap();
            check(&secrets);
            let one_by_one = ["GetSecretValue"; 3];
            assert_eq!(actions(), [&["BatchGetSecretValue"][..], &one_by_one].concat());
            proxy.forget();
            secrets.refresh(None).unwrap();
            assert_eq!(actions(), one_by_one, "it is not asked for again");
            assert_eq!(proxy.connections(), 3, "requests of one load share a connection");
            proxy.wait_until_closed();
        },
    );
}

#[test]
fn a_version_is_chosen_by_id_or_stage() {
    in_clean_environment(
        "a_version_is_chosen_by_id_or_stage",
        || {
            let mut variables = user_and_secret(READ, r#"{"A": "old"}"#);
            let name = variables.last().unwrap().1.clone();
            let current = moto().secret(&name, r#"{"A": "current"}"#);
            moto().version(&name, r#"{"A": "pending"}"#, &["AWSPENDING"]);
            variables.push(("CURRENT".into(), current));
            variables
        },
        || {
            let get = |settings: &[(&str, &str)]| {
                let settings: Vec<_> = [("providers", r#"["aws"]"#)].iter().chain(settings).copied().collect();
                open(&settings).and_then(|secrets| secrets.get("A"))
            };
            let value = |settings: &[(&str, &str)]| String::from_utf8(get(settings).unwrap().value().to_vec()).unwrap();
            assert_eq!(value(&[]), "current");
            assert_eq!(value(&[("aws_version_stage", "AWSPREVIOUS")]), "old");
            assert_eq!(value(&[("aws_version_stage", "AWSPENDING")]), "pending");
            assert_eq!(value(&[("aws_version_id", &variable("CURRENT"))]), "current");
            let error = get(&[("aws_version_stage", "NOSUCH")]).unwrap_err();
            assert_eq!(error.status(), Status::NotFound, "{error}");
            assert_eq!(get(&[("aws_version_id", "short")]).unwrap_err().status(), Status::Config);
        },
    );
}

#[test]
fn a_missing_and_a_deleted_secret_are_answers_that_say_so() {
    in_clean_environment(
        "a_missing_and_a_deleted_secret_are_answers_that_say_so",
        || {
            let mut variables = user_and_secret(READ, r#"{"A": "1"}"#);
            moto().delete(&variables.last().unwrap().1, Some(7));
            variables.push(("EXISTS".into(), unique("exists")));
            moto().secret(&variables.last().unwrap().1, r#"{"B": "1"}"#);
            variables
        },
        || {
            let deleted = variable("SIMPLETUNER_AWS_SECRET_NAME");
            let error = aws().get("A").unwrap_err();
            assert_eq!(error.status(), Status::NotFound);
            let expected = format!("aws (secret \"{deleted}\" in us-east-1: it is marked for deletion)");
            assert!(error.message().contains(&expected), "{error}");
            moto().restore(&deleted);
            assert_eq!(text(&aws(), "A").as_deref(), Some("1"));
            let missing = open(&[("providers", r#"["aws"]"#), ("aws_secret_name", "no/such")]).unwrap();
            let error = missing.get("A").unwrap_err();
            assert_eq!(error.status(), Status::NotFound);
            assert!(error.message().contains("secret \"no/such\" in us-east-1: it does not exist"), "{error}");
            let list = json!(["no/such", variable("EXISTS")]).to_string();
            let some = open(&[("providers", r#"["aws"]"#), ("aws_secret_name", &list)]).unwrap();
            assert_eq!(text(&some, "B").as_deref(), Some("1"), "the others of a list serve");
        },
    );
}

#[test]
fn a_denial_names_the_action_the_secret_and_whose_credentials_they_are() {
    in_clean_environment(
        "a_denial_names_the_action_the_secret_and_whose_credentials_they_are",
        || user_and_secret(&["secretsmanager:ListSecrets"], r#"{"A": "1"}"#),
        || {
            let name = variable("SIMPLETUNER_AWS_SECRET_NAME");
            let holder = "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            let quoted = format!("secret {name:?} in us-east-1: ");
            let error = refused(&aws(), "A", Status::AccessDenied, &[&quoted, "secretsmanager:GetSecretValue", holder]);
            assert!(error.detail() >= 400 && !error.is_retryable());
            let id = variable("AWS_ACCESS_KEY_ID");
            set_variables([("AWS_SECRET_ACCESS_KEY", "CANARYCANARYCANARY")]);
            let words = ["SignatureDoesNotMatch", "the secret access key of the variables", "clock"];
            let wrong_secret = refused(&aws(), "A", Status::AccessDenied, &words);
            set_variables([("AWS_ACCESS_KEY_ID", "AKIACANARYCANARY")]);
            let unknown = refused(&aws(), "A", Status::AccessDenied, &["AWS does not know them", holder]);
            for error in [error, wrong_secret, unknown] {
                assert!(!error.message().contains("CANARY") && !error.message().contains(&id), "{error}");
            }
        },
    );
}

#[test]
fn a_secret_that_is_no_json_object_is_located_and_not_quoted() {
    const BROKEN: &[(&str, &str)] = &[
        ("CANARY", "line 1, column 1: this must hold a JSON object"),
        ("", "line 1, column 1: this is empty"),
        ("\"CANARY\"", "this must hold a JSON object"),
        ("[\"CANARY\"]", "this must hold a JSON object"),
        ("{\n  \"A\": \"CANARY\",\n}", "line 3, column 1: "),
        ("{\"A\": \"CANARY\"} CANARY", "line 1, column 17"),
        ("{\"A\": CANARY}", "line 1, column 7"),
        ("{\"A\": \"CANARY\\ud800\"}", "line 1, column 7"),
    ];
    in_clean_environment(
        "a_secret_that_is_no_json_object_is_located_and_not_quoted",
        || {
            let mut variables = moto().variables(&moto().user(READ));
            let group = unique("broken");
            for (index, (document, _)) in BROKEN.iter().enumerate().filter(|(_, (document, _))| !document.is_empty()) {
                moto().secret(&format!("{group}/{index}"), document);
            }
            moto().binary_secret(&format!("{group}/1"), b" ");
            moto().binary_secret(&format!("{group}/bytes"), b"{\"A\": \"CANARY\xff\"}");
            variables.push(("GROUP".into(), group));
            variables
        },
        || {
            let group = variable("GROUP");
            let get = |name: &str| {
                let secrets = open(&[("providers", r#"["aws"]"#), ("aws_secret_name", name)]).unwrap();
                let error = secrets.get("A").unwrap_err();
                assert_eq!((error.status(), error.source_layer()), (Status::Protocol, Source::Aws), "{error}");
                assert!(error.message().contains(&format!("secret {name:?} in us-east-1: ")), "{error}");
                assert!(!error.message().contains("CANARY"), "{error}");
                error
            };
            for (index, (document, place)) in BROKEN.iter().enumerate() {
                let error = get(&format!("{group}/{index}"));
                assert!(error.message().contains(place), "{document}: {error}");
            }
            let error = get(&format!("{group}/bytes"));
            assert!(error.message().ends_with("its value is not text in UTF-8"), "{error}");
        },
    );
}

#[test]
fn an_arn_is_asked_for_in_its_own_region() {
    in_clean_environment(
        "an_arn_is_asked_for_in_its_own_region",
        || user_and_secret(READ, "{}"),
        || {
            let proxy = Proxy::to(moto().address());
            let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/prod-a1B2c3";
            let list = json!([variable("SIMPLETUNER_AWS_SECRET_NAME"), arn]).to_string();
            let settings =
                [("providers", r#"["aws"]"#), ("aws_endpoint_url", &proxy.url()), ("aws_secret_name", &list)];
            assert_eq!(open(&settings).unwrap().get("A").unwrap_err().status(), Status::NotFound);
            let scopes: Vec<_> = proxy
                .requests()
                .iter()
                .map(|request| {
                    let signature = request.header("authorization").unwrap().to_owned();
                    signature.split('/').nth(2).unwrap().to_owned()
                })
                .collect();
            assert_eq!(scopes, ["us-east-1", "eu-west-1"]);
        },
    );
}

#[test]
fn what_cannot_be_right_is_refused_before_a_byte_is_sent() {
    in_clean_environment(
        "what_cannot_be_right_is_refused_before_a_byte_is_sent",
        || user_and_secret(READ, r#"{"A": "1"}"#),
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let at_open = |settings: &[(&str, &str)]| open(settings).map(drop).unwrap_err();
            for (key, value, word) in [
                ("aws_secret_name", "my secret", "holds ' '"),
                ("aws_secret_name", "a\r\nX-Evil: 1", "`aws_secret_name` must be text without NUL, CR or LF"),
                ("aws_secret_name", "arn:aws:secretsmanager:eu-west-1:12:secret:x", "12 digits"),
                ("aws_region", "us_west_2", "did you mean \"us-west-2\"?"),
                ("aws_endpoint_url", "localhost:5000", "an endpoint is like https://host:port"),
                ("aws_endpoint_url", "http://user:CANARY@localhost", "a user or a password"),
            ] {
                let error = at_open(&[("providers", r#"["aws"]"#), (key, value)]);
                assert_eq!(error.status(), Status::Config, "{error}");
                assert!(error.message().contains(key) && error.message().contains(word), "{error}");
                assert!(!error.message().contains("CANARY"), "{error}");
            }
            let unknown = open(&[("providers", r#"["aws"]"#), ("aws_profile", "prod")]).unwrap();
            refused(&unknown, "A", Status::Config, &["`aws_profile`: there is no profile \"prod\"", "there are none"]);
            for (name, value, word) in [
                ("AWS_DEFAULT_REGION", "us-east-1/x", "the variable AWS_DEFAULT_REGION: \"us-east-1/x\" is no region"),
                ("AWS_SESSION_TOKEN", "CANARY\r\nX-Evil: 1", "the variable AWS_SESSION_TOKEN holds a line break"),
                ("AWS_ACCESS_KEY_ID", "CANARY\nCANARY", "the variable AWS_ACCESS_KEY_ID holds a line break"),
                ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY is not"),
                ("AWS_CREDENTIAL_EXPIRATION", "soon", "AWS_CREDENTIAL_EXPIRATION must be a time"),
                ("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z", "have expired"),
                (
                    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
                    "http://x\r\ny",
                    "AWS_ENDPOINT_URL_SECRETS_MANAGER holds a line break",
                ),
                ("AWS_USE_FIPS_ENDPOINT", "yes", "AWS_USE_FIPS_ENDPOINT must be true or false"),
                ("AWS_USE_FIPS_ENDPOINT", "true", "goes with neither FIPS nor dual-stack"),
                ("AWS_PROFILE", "prod\r\n", "the variable AWS_PROFILE: there is no profile \"prod\""),
                ("AWS_CA_BUNDLE", "/no/such.pem", ""),
            ] {
                let before = std::env::var(name).unwrap_or_default();
                set_variables([(name, value)]);
                let secrets = aws();
                if !word.is_empty() {
                    let status = if word == "have expired" { Status::AccessDenied } else { Status::Config };
                    let error = refused(&secrets, "A", status, &[word]);
                    assert!(!error.message().contains("CANARY"), "{error}");
                }
                set_variables([(name, before)]);
            }
            assert_eq!(proxy.requests().len(), 0);
            assert_eq!(text(&aws(), "A").as_deref(), Some("1"), "all of it was mended");
        },
    );
}

#[test]
fn without_a_name_nothing_is_asked() {
    in_clean_environment("without_a_name_nothing_is_asked", Vec::new, || {
        // Whatever is sent to any server in the environment would be seen.
        let proxy = Proxy::to("127.0.0.1:1");
        set_variables([
            ("AWS_ENDPOINT_URL", proxy.url()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", proxy.url()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", proxy.url()),
        ]);
        let secrets = open(&[]).unwrap();
        assert_eq!(secrets.get("A").unwrap_err().status(), Status::NotFound);
        assert_eq!(proxy.connections(), 0);
    });
}

#[test]
fn a_check_tells_who_we_are_and_what_to_do() {
    in_clean_environment(
        "a_check_tells_who_we_are_and_what_to_do",
        || {
            let mut variables = user_and_secret(READ, r#"{"A": "CANARY"}"#);
            let nobody = moto().user(&[]);
            variables.extend([("NOBODY_ID".into(), nobody.id), ("NOBODY_SECRET".into(), nobody.secret)]);
            variables
        },
        || {
            let layer = |secrets: &Manager| -> serde_json::Value {
                let told: serde_json::Value = serde_json::from_str(&secrets.check()).unwrap();
                let found = told["layers"].as_array().unwrap().iter().find(|layer| layer["name"] == "aws").cloned();
                found.unwrap()
            };
            let name = variable("SIMPLETUNER_AWS_SECRET_NAME");
            let good = layer(&aws());
            assert_eq!(good["state"], "ok", "{good}");
            let detail = good["detail"].as_str().unwrap();
            assert!(detail.starts_with(&format!("secret {name:?} in us-east-1 can be read (as arn:aws:")), "{detail}");
            let described = aws().describe();
            for word in [&name, "us-east-1", &moto().url(), "the variables AWS_ACCESS_KEY_ID"] {
                assert!(described.contains(word), "{word} in {described}");
            }
            let missing = layer(&open(&[("providers", r#"["aws"]"#), ("aws_secret_name", "no/such")]).unwrap());
            assert_eq!(missing["state"], "warning", "{missing}");
            assert!(missing["advice"].as_str().unwrap().contains("create-secret"), "{missing}");
            set_variables([
                ("AWS_ACCESS_KEY_ID", variable("NOBODY_ID")),
                ("AWS_SECRET_ACCESS_KEY", variable("NOBODY_SECRET")),
            ]);
            let denied = layer(&aws());
            assert_eq!(denied["state"], "failed", "{denied}");
            assert!(denied["detail"].as_str().unwrap().contains("allow secretsmanager:GetSecretValue"), "{denied}");
            set_variables([("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")]);
            let unreached = layer(&aws());
            assert!(unreached["detail"].as_str().unwrap().contains("STS could not be asked"), "{unreached}");
            for told in [good.to_string(), described, denied.to_string()] {
                assert!(!told.contains("CANARY") && !told.contains(&variable("NOBODY_SECRET")), "{told}");
            }
        },
    );
}
