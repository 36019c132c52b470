//! The values of secrets, and the errors for missing and broken ones.

use serde_json::{Value, json};
use st_secrets::{Manager, Source, Status};

use crate::common::proxy::{Proxy, Reply};
use crate::common::servers::{Key, moto, peers, set_variables, unique};
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, aws, refused_by, user_and_secret, variable};

/// Names of secrets, more than are read one by one.
const SIX: &str = r#"["one", "two", "3", "4", "5", "6"]"#;

fn own_key() -> Key {
    Key::new(&variable("AWS_ACCESS_KEY_ID"), &variable("AWS_SECRET_ACCESS_KEY"), None)
}

#[test]
fn secret_has_the_values_that_boto3_reads() {
    let document = r#"{"HF_TOKEN": "hf_1", "pi": 1.50, "big": 12345678901234567890, "on": true, "none": null,
        "escaped": "a\"\\\u00e9\ud83d\ude00\n/\/", "empty": "", "list": [true, "two", {"three": null}], "name with spaces": "x"}"#;
    alone!(
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
fn several_secrets_are_read_in_one_call_if_allowed() {
    alone!(
        || {
            let names: Vec<String> = (0..6).map(|_| unique("several")).collect();
            moto().secret(&names[0], r#"{"A": "first", "B": null}"#);
            moto().binary_secret(&names[5], br#"{"A": "second", "B": "second"}"#);
            let all = json!(names).to_string();
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
            let one_by_one = ["GetSecretValue"; 6];
            assert_eq!(actions(), [&["BatchGetSecretValue"][..], &one_by_one].concat());
            proxy.forget();
            secrets.refresh(None).unwrap();
            assert_eq!(actions(), one_by_one, "it is not tried again");
            assert_eq!(proxy.connections(), 3, "requests of one load share a connection");
            proxy.wait_until_closed();
        },
    );
}

#[test]
fn one_call_reads_twenty_secrets_in_pages() {
    alone!(
        || {
            let names: Vec<String> = (0..25).map(|_| unique("many")).collect();
            for (index, name) in names.iter().enumerate() {
                moto().secret(name, &format!("{{\"KEY_{index}\": \"{index}\"}}"));
            }
            let user = moto().user(&["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"]);
            let mut variables = moto().variables(&user);
            variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), json!(names).to_string()));
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let secrets = aws();
            for index in 0..25 {
                assert_eq!(text(&secrets, &format!("KEY_{index}")), Some(index.to_string()));
            }
            assert_eq!(proxy.requests().len(), 2);
            let two = open(&[("providers", r#"["aws"]"#), ("aws_secret_name", SIX)]).unwrap();
            let value =
                |name: &str| json!({"ARN": "arn", "Name": name, "SecretString": format!(r#"{{"A": "{name}"}}"#)});
            let error = |code: &str| json!({"SecretId": "one", "ErrorCode": code, "Message": "denied by policy"});
            let pages = |pages: &[Value]| {
                proxy.forget();
                pages.iter().for_each(|page| proxy.next(1, Reply::new(200).body(page.to_string())));
            };
            pages(&[
                json!({"SecretValues": [value("two")], "Errors": [], "NextToken": "first"}),
                json!({"SecretValues": [], "NextToken": "second"}),
                json!({"SecretValues": [value("one")], "Errors": [], "NextToken": null}),
            ]);
            assert_eq!(&**two.get_with("A", &REFRESH).unwrap().value(), b"one");
            let asked: Value = serde_json::from_slice(&proxy.requests()[2].body).unwrap();
            assert_eq!(asked, json!({"SecretIdList": ["one", "two", "3", "4", "5", "6"], "NextToken": "second"}));
            pages(&[json!({"SecretValues": [value("two")], "Errors": [error("ResourceNotFoundException")]})]);
            assert_eq!(&**two.get_with("A", &REFRESH).unwrap().value(), b"two", "a missing secret is skipped");
            pages(&[json!({"SecretValues": [value("two")], "Errors": [error("AccessDeniedException")]})]);
            let words = [
                "secret \"one\" in us-east-1: AccessDeniedException: denied by policy",
                "secretsmanager:GetSecretValue",
            ];
            refused_by(&two, Status::AccessDenied, &words);
        },
    );
}

#[test]
fn version_is_selected_by_id_or_stage() {
    alone!(
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
fn missing_and_deleted_secret_are_not_found() {
    alone!(
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
            assert_eq!(text(&some, "B").as_deref(), Some("1"), "the other secrets of a list are used");
        },
    );
}

#[test]
fn denial_names_the_action_the_secret_and_the_credentials() {
    alone!(|| user_and_secret(&["secretsmanager:ListSecrets"], r#"{"A": "1"}"#), || {
        let name = variable("SIMPLETUNER_AWS_SECRET_NAME");
        let holder = "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        let quoted = format!("secret {name:?} in us-east-1: ");
        let error = refused_by(&aws(), Status::AccessDenied, &[&quoted, "secretsmanager:GetSecretValue", holder]);
        assert!(error.detail() >= 400 && !error.is_retryable());
        let id = variable("AWS_ACCESS_KEY_ID");
        set_variables([("AWS_SECRET_ACCESS_KEY", "CANARYCANARYCANARY")]);
        let words = ["SignatureDoesNotMatch", "the secret access key of the variables", "clock"];
        let wrong_secret = refused_by(&aws(), Status::AccessDenied, &words);
        set_variables([("AWS_ACCESS_KEY_ID", "AKIACANARYCANARY")]);
        let unknown = refused_by(&aws(), Status::AccessDenied, &["AWS does not know them", holder]);
        for error in [error, wrong_secret, unknown] {
            assert!(!error.message().contains("CANARY") && !error.message().contains(&id), "{error}");
        }
    });
}

#[test]
fn secret_that_is_not_a_json_object_is_located_and_not_quoted() {
    const BROKEN: &[(&str, &str)] = &[
        ("CANARY", "line 1, column 1: the document must be a JSON object"),
        ("", "line 1, column 1: the document is empty"),
        ("\"CANARY\"", "the document must be a JSON object"),
        ("[\"CANARY\"]", "the document must be a JSON object"),
        ("{\n  \"A\": \"CANARY\",\n}", "line 3, column 1: "),
        ("{\"A\": \"CANARY\"} CANARY", "line 1, column 17"),
        ("{\"A\": CANARY}", "line 1, column 7"),
        ("{\"A\": \"CANARY\\ud800\"}", "line 1, column 7"),
    ];
    alone!(
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
                assert_eq!((error.status(), error.source_provider()), (Status::Protocol, Source::Aws), "{error}");
                assert!(error.message().contains(&format!("secret {name:?} in us-east-1: ")), "{error}");
                assert!(!error.message().contains("CANARY"), "{error}");
                error
            };
            for (index, (document, place)) in BROKEN.iter().enumerate() {
                let error = get(&format!("{group}/{index}"));
                assert!(error.message().contains(place), "{document}: {error}");
            }
            let error = get(&format!("{group}/bytes"));
            assert!(error.message().contains("its value is not text in UTF-8; "), "{error}");
        },
    );
}

#[test]
fn broken_secret_of_several_fails_only_the_keys_that_may_be_in_it() {
    alone!(
        || {
            let names = ["good", "broken", "last", "4", "5", "6"].map(unique);
            moto().secret(&names[0], r#"{"A": "1", "B": null}"#);
            moto().secret(&names[1], "CANARY");
            moto().secret(&names[2], r#"{"B": "2", "C": "3"}"#);
            let both = moto().user(&["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"]);
            let single = moto().user(READ);
            let mut variables = moto().variables(&both);
            variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), json!(names).to_string()));
            variables.push(("BROKEN".into(), names[1].clone()));
            variables.push(("REVERSED".into(), json!([&names[1..], &names[..1]].concat()).to_string()));
            variables.extend([("SINGLE_ID".into(), single.id), ("SINGLE_SECRET".into(), single.secret)]);
            variables
        },
        || {
            let broken = variable("BROKEN");
            for _ in 0..2 {
                let secrets = aws();
                assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
                for key in ["B", "C", "D"] {
                    let error = secrets.get(key).unwrap_err();
                    assert_eq!((error.status(), error.source_provider()), (Status::Protocol, Source::Aws), "{error}");
                    assert!(error.message().contains(&format!("secret {broken:?} in us-east-1: ")), "{error}");
                    assert!(!error.message().contains("CANARY"), "{error}");
                }
                assert!(secrets.check().contains("some keys cannot be read"), "{}", secrets.check());
                let reversed = variable("REVERSED");
                let first = open(&[("providers", r#"["aws"]"#), ("aws_secret_name", &reversed)]).unwrap();
                refused_by(&first, Status::Protocol, &[&broken]);
                // The same, reading them one by one.
                set_variables([
                    ("AWS_ACCESS_KEY_ID", variable("SINGLE_ID")),
                    ("AWS_SECRET_ACCESS_KEY", variable("SINGLE_SECRET")),
                ]);
            }
            let proxy = Proxy::to(moto().address());
            let settings = [("aws_endpoint_url", &*proxy.url()), ("aws_secret_name", SIX)];
            let two = open(&[&[("providers", r#"["aws"]"#)], &settings[..]].concat()).unwrap();
            let one = json!({"ARN": "arn", "Name": "one", "SecretString": r#"{"A": "1"}"#});
            let denied =
                json!({"SecretId": "two", "ErrorCode": "AccessDeniedException", "Message": "denied by policy"});
            proxy.always(Reply::new(200).body(json!({"SecretValues": [one], "Errors": [denied]}).to_string()));
            assert_eq!(text(&two, "A").as_deref(), Some("1"));
            let error = two.get("B").unwrap_err();
            assert_eq!(error.status(), Status::AccessDenied, "{error}");
        },
    );
}

#[test]
fn invalid_entry_fails_alone() {
    let document = r#"{"A": "1", "SURROGATE": "\ud800", "NUMBER": NaN, "LIST": [1, Infinity],
        "\udc00": 1, "B": "2"}"#;
    alone!(|| user_and_secret(READ, document), || {
        let secrets = aws();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        assert_eq!(text(&secrets, "B").as_deref(), Some("2"));
        for (key, place) in [
            ("SURROGATE", "line 1, column 25: "),
            ("NUMBER", "line 1, column 45: NaN and Infinity are not JSON"),
            ("LIST", "line 1, column 62: NaN and Infinity are not JSON"),
        ] {
            let error = secrets.get(key).unwrap_err();
            assert_eq!((error.status(), error.source_provider()), (Status::Protocol, Source::Aws), "{error}");
            assert!(error.message().contains(place), "{key}: {error}");
        }
        assert_eq!(secrets.get("C").unwrap_err().status(), Status::NotFound);
    });
}
