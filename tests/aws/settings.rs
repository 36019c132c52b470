//! The endpoint, invalid settings, and the reports about them.

use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::{Tls, moto, python_script, set_variables};
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, aws, refused_by, user_and_secret, variable};

#[test]
fn arn_is_read_in_its_own_region() {
    alone!(|| user_and_secret(READ, "{}"), || {
        let proxy = Proxy::to(moto().address());
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/prod-a1B2c3";
        let list = json!([variable("SIMPLETUNER_AWS_SECRET_NAME"), arn]).to_string();
        let settings = [("providers", r#"["aws"]"#), ("aws_endpoint_url", &proxy.url()), ("aws_secret_name", &list)];
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
    });
}

#[test]
fn endpoint_is_the_one_that_botocore_chooses() {
    alone!(Vec::new, || {
        let of = |service: &str| {
            let theirs = python_script("endpoints.py", &[service]);
            let theirs = theirs.as_object().unwrap().clone();
            assert!(theirs.len() >= 60, "{theirs:?}");
            theirs.into_iter().map(|(asked, url)| (asked, url.as_str().unwrap().to_owned())).collect::<Vec<_>>()
        };
        for ((asked, url), (_, ssm_url)) in of("secretsmanager").into_iter().zip(of("ssm")) {
            let words: Vec<&str> = asked.split(' ').collect();
            set_variables([
                ("AWS_REGION", words[0]),
                ("AWS_USE_FIPS_ENDPOINT", words[1]),
                ("AWS_USE_DUALSTACK_ENDPOINT", words[2]),
            ]);
            let providers = ("providers", r#"["aws", "aws_parameters"]"#);
            let secrets = open(&[providers, ("aws_secret_name", "x"), ("aws_parameters_path", "/x")]).unwrap();
            let described: Value = serde_json::from_str(&secrets.describe()).unwrap();
            assert_eq!(described["providers"][0]["endpoint"], format!("{url}/"), "{asked}");
            assert_eq!(described["providers"][1]["endpoint"], format!("{ssm_url}/"), "{asked}");
        }
    });
}

#[test]
fn aws_endpoint_is_reached_with_tls_through_a_proxy() {
    alone!(
        || {
            let mut variables = user_and_secret(READ, r#"{"A": "1"}"#);
            variables.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
            variables
        },
        || {
            let host = "secretsmanager.us-east-1.amazonaws.com";
            let tls = Tls::to(moto().address(), &[host]);
            let proxy = Proxy::forward();
            proxy.route(&format!("{host}:443"), &tls.address());
            set_variables([("HTTPS_PROXY", proxy.url())]);
            refused_by(&aws(), Status::AccessDenied, &["not trusted here", "AWS_CA_BUNDLE"]);
            set_variables([("AWS_CA_BUNDLE", tls.certificate("ca.pem"))]);
            assert_eq!(text(&aws(), "A").as_deref(), Some("1"));
            let other = Tls::to(moto().address(), &[]);
            proxy.route(&format!("{host}:443"), &other.address());
            set_variables([("AWS_CA_BUNDLE", other.certificate("ca.pem"))]);
            refused_by(&aws(), Status::AccessDenied, &["is for localhost", "AWS_CA_BUNDLE"]);
            // Neither a certificate nor a proxy ends the use of a value.
            set_variables([("AWS_CA_BUNDLE", tls.certificate("ca.pem"))]);
            proxy.route(&format!("{host}:443"), &tls.address());
            let secrets = aws();
            assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
            proxy.route(&format!("{host}:443"), &other.address());
            assert!(secrets.get_with("A", &REFRESH).is_ok());
            for status in [403, 407, 502] {
                proxy.always(Fault::status(status));
                assert!(secrets.get_with("A", &REFRESH).is_ok(), "{status}");
                let error = aws().get("A").unwrap_err();
                assert!(!error.message().contains("AWS_CA_BUNDLE"), "{error}");
            }
        },
    );
}

#[test]
fn invalid_setting_is_refused_before_anything_is_sent() {
    alone!(|| user_and_secret(READ, r#"{"A": "1"}"#), || {
        let proxy = Proxy::to(moto().address());
        set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
        let at_open = |settings: &[(&str, &str)]| open(settings).map(drop).unwrap_err();
        for (key, value, word) in [
            ("aws_secret_name", "my secret", "contains ' '"),
            ("aws_secret_name", "a\r\nX-Evil: 1", "`aws_secret_name` must be text without NUL, CR or LF"),
            ("aws_secret_name", "arn:aws:secretsmanager:eu-west-1:12:secret:x", "12 digits"),
            ("aws_region", "us_west_2", "did you mean \"us-west-2\"?"),
            ("aws_endpoint_url", "localhost:5000", "is not an endpoint such as https://host:port"),
            ("aws_endpoint_url", "http://user:CANARY@localhost", "a user name or password"),
        ] {
            let error = at_open(&[("providers", r#"["aws"]"#), (key, value)]);
            assert_eq!(error.status(), Status::Config, "{error}");
            assert!(error.message().contains(key) && error.message().contains(word), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        let unknown = open(&[("providers", r#"["aws"]"#), ("aws_profile", "prod")]).unwrap();
        refused_by(&unknown, Status::Config, &["`aws_profile`: there is no profile \"prod\"", "there are none"]);
        for (name, value, word) in [
            ("AWS_DEFAULT_REGION", "us-east-1/x", "the variable AWS_DEFAULT_REGION: \"us-east-1/x\" is not a region"),
            ("AWS_SESSION_TOKEN", "CANARY\r\nX-Evil: 1", "the variable AWS_SESSION_TOKEN contains a line break"),
            ("AWS_ACCESS_KEY_ID", "CANARY\nCANARY", "the variable AWS_ACCESS_KEY_ID contains a line break"),
            ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY is not"),
            ("AWS_CREDENTIAL_EXPIRATION", "soon", "AWS_CREDENTIAL_EXPIRATION must be a time"),
            ("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z", "have expired"),
            (
                "AWS_ENDPOINT_URL_SECRETS_MANAGER",
                "http://x\r\ny",
                "AWS_ENDPOINT_URL_SECRETS_MANAGER contains a line break",
            ),
            ("AWS_USE_FIPS_ENDPOINT", "yes", "AWS_USE_FIPS_ENDPOINT must be true or false"),
            ("AWS_USE_FIPS_ENDPOINT", "true", "cannot be combined with FIPS or dual-stack"),
            ("AWS_PROFILE", "prod\r\n", "the variable AWS_PROFILE: there is no profile \"prod\""),
            ("AWS_CA_BUNDLE", "/no/such.pem", ""),
        ] {
            let before = std::env::var(name).unwrap_or_default();
            set_variables([(name, value)]);
            let secrets = aws();
            if !word.is_empty() {
                let status = if word == "have expired" { Status::AccessDenied } else { Status::Config };
                let error = refused_by(&secrets, status, &[word]);
                assert!(!error.message().contains("CANARY"), "{error}");
            }
            set_variables([(name, before)]);
        }
        assert_eq!(proxy.requests().len(), 0);
        assert_eq!(text(&aws(), "A").as_deref(), Some("1"), "the settings are valid again");
    });
}

#[test]
fn invalid_variable_fails_only_this_provider() {
    alone!(|| user_and_secret(READ, r#"{"A": "1"}"#), || {
        for (name, value) in [("SIMPLETUNER_AWS_SECRET_NAME", "a b"), ("AWS_MAX_ATTEMPTS", "none")] {
            let before = std::env::var(name).unwrap_or_default();
            set_variables([(name, value), ("OTHER", "2")]);
            let secrets = open(&[]).unwrap();
            assert_eq!(text(&secrets, "other").as_deref(), Some("2"));
            refused_by(&secrets, Status::Config, &[&format!("the variable {name}")]);
            assert!(secrets.describe().contains(name) && secrets.check().contains(name));
            set_variables([(name, before)]);
        }
    });
}

#[test]
fn provider_without_a_secret_name_sends_nothing() {
    alone!(Vec::new, || {
        // The proxy would see a request to any endpoint in the environment.
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
fn check_reports_the_caller_and_what_to_do() {
    alone!(
        || {
            let mut variables = user_and_secret(READ, r#"{"A": "CANARY"}"#);
            let nobody = moto().user(&[]);
            variables.extend([("NOBODY_ID".into(), nobody.id), ("NOBODY_SECRET".into(), nobody.secret)]);
            variables
        },
        || {
            let provider = |secrets: &Manager| -> Value {
                let report: Value = serde_json::from_str(&secrets.check()).unwrap();
                let found =
                    report["providers"].as_array().unwrap().iter().find(|provider| provider["name"] == "aws").cloned();
                found.unwrap()
            };
            let name = variable("SIMPLETUNER_AWS_SECRET_NAME");
            let good = provider(&aws());
            assert_eq!(good["state"], "ok", "{good}");
            let detail = good["detail"].as_str().unwrap();
            assert!(detail.starts_with(&format!("secret {name:?} in us-east-1 can be read (as arn:aws:")), "{detail}");
            let described = aws().describe();
            for word in [&name, "us-east-1", &moto().url(), "the variables AWS_ACCESS_KEY_ID"] {
                assert!(described.contains(word), "{word} in {described}");
            }
            let missing = provider(&open(&[("providers", r#"["aws"]"#), ("aws_secret_name", "no/such")]).unwrap());
            assert_eq!(missing["state"], "warning", "{missing}");
            assert!(missing["advice"].as_str().unwrap().contains("create-secret"), "{missing}");
            set_variables([
                ("AWS_ACCESS_KEY_ID", variable("NOBODY_ID")),
                ("AWS_SECRET_ACCESS_KEY", variable("NOBODY_SECRET")),
            ]);
            let denied = provider(&aws());
            assert_eq!(denied["state"], "failed", "{denied}");
            assert!(denied["detail"].as_str().unwrap().contains("allow secretsmanager:GetSecretValue"), "{denied}");
            set_variables([("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")]);
            let unreached = provider(&aws());
            assert!(
                unreached["detail"].as_str().unwrap().contains("the call of STS failed: connecting to"),
                "{unreached}"
            );
            for text in [good.to_string(), described, denied.to_string()] {
                assert!(!text.contains("CANARY") && !text.contains(&variable("NOBODY_SECRET")), "{text}");
            }
        },
    );
}
