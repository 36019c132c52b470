//! Secrets that are one value: a password, a PEM file, bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::{Proxy, Reply};
use crate::common::servers::{Key, moto, set_variables, unique};
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, variable};

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n";

/// The names of the secrets that [`secrets`] creates.
const NAMES: [&str; 5] = ["PEM_SECRET", "BYTES_SECRET", "JSON_SECRET", "EMPTY_LINE_SECRET", "DOCUMENT_SECRET"];

/// Creates secrets with one value each, and a document. Returns variables with their names.
fn secrets() -> Vec<(String, String)> {
    let mut variables = moto().variables(&moto().user(READ));
    for name in NAMES {
        let secret = unique("one/value");
        match name {
            "PEM_SECRET" => moto().secret(&secret, PEM),
            "BYTES_SECRET" => moto().binary_secret(&secret, &[0, 159, 146, 150, 0, 10]),
            "JSON_SECRET" => moto().secret(&secret, r#"{ "A": 1.50 }"#),
            "EMPTY_LINE_SECRET" => moto().secret(&secret, " \n"),
            _ => moto().secret(&secret, r#"{"A": "of the document"}"#),
        };
        variables.push((name.to_owned(), secret));
    }
    variables
}

fn open_with(providers: &Value) -> Manager {
    open(&[("providers", &providers.to_string()), ("timeout", "120")]).unwrap()
}

/// What boto3 reads.
fn theirs(name: &str) -> (Vec<u8>, Value) {
    let key = Key::new(&variable("AWS_ACCESS_KEY_ID"), &variable("AWS_SECRET_ACCESS_KEY"), None);
    let got = moto().call_as(&key, "secretsmanager", "get_secret_value", json!({"SecretId": name})).unwrap();
    let bytes = match got["SecretString"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD.decode(got["SecretBinary"]["$bytes"].as_str().unwrap()).unwrap(),
    };
    (bytes, got)
}

#[test]
fn one_value_is_what_boto3_reads() {
    alone!(secrets, || {
        for name in &NAMES[..4] {
            let secret = variable(name);
            let (bytes, got) = theirs(&secret);
            let arn = got["ARN"].as_str().unwrap();
            for (table, key) in [
                (json!({"aws_secret": secret, "as": "THE_KEY"}), "THE_KEY"),
                (json!({"aws_secret": arn, "as": "THE_KEY"}), "THE_KEY"),
                (json!({"aws_secret": secret}), &secret),
                (json!({"aws_secret": arn}), &secret),
            ] {
                let found = open_with(&json!([table])).get(key).unwrap();
                assert_eq!(&**found.value(), bytes, "{table}");
                assert_eq!(found.version(), got["VersionId"].as_str());
            }
        }
    });
}

#[test]
fn one_value_is_loaded_for_its_own_key_alone() {
    alone!(secrets, || {
        let proxy = Proxy::to(moto().address());
        set_variables([
            ("AWS_ENDPOINT_URL", proxy.url()),
            ("SIMPLETUNER_AWS_SECRET_NAME", variable("DOCUMENT_SECRET")),
        ]);
        let secrets = open_with(&json!([
            {"aws_secret": variable("PEM_SECRET"), "as": "TLS_KEY"},
            {"aws_secret": variable("BYTES_SECRET"), "name": "bytes"},
            "aws",
        ]));
        let asked = || -> Vec<String> {
            let requests = proxy.requests();
            let id =
                |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["SecretId"].as_str().unwrap().to_owned();
            requests.iter().map(|request| id(&request.body)).collect()
        };
        assert_eq!(text(&secrets, "A").as_deref(), Some("of the document"));
        assert_eq!(asked(), [variable("DOCUMENT_SECRET")], "the others cannot have this key");
        let found = secrets.get("TLS_KEY").unwrap();
        assert_eq!((&**found.value(), found.provider()), (PEM.as_bytes(), "aws:TLS_KEY"));
        assert_eq!(secrets.get(&variable("BYTES_SECRET")).unwrap().provider(), "bytes");
        assert_eq!(asked()[1..], [variable("PEM_SECRET"), variable("BYTES_SECRET")]);
        proxy.forget();
        assert_eq!(text(&secrets, "TLS_KEY").as_deref(), Some(PEM));
        let error = secrets.get("B").unwrap_err();
        assert_eq!(error.status(), Status::NotFound);
        assert!(!error.message().contains("TLS_KEY"), "{error}");
        assert!(asked().is_empty(), "everything is cached");
        let names: Vec<_> = secrets.names(None).into_iter().map(|listed| listed.names.unwrap()).collect();
        assert_eq!(names, [vec!["TLS_KEY".to_owned()], vec![variable("BYTES_SECRET")], vec!["A".to_owned()]]);
    });
}

#[test]
fn failure_of_one_value_is_that_of_its_key() {
    alone!(
        || {
            let mut variables = secrets();
            let nobody = moto().user(&[]);
            variables.extend([("NOBODY_ID".into(), nobody.id), ("NOBODY_SECRET".into(), nobody.secret)]);
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
            let pem = variable("PEM_SECRET");
            let secrets = open_with(&json!([{"aws_secret": "no/such", "as": "NO"}, {"aws_secret": pem, "as": "YES"}]));
            let error = secrets.get("NO").unwrap_err();
            assert_eq!(error.status(), Status::NotFound);
            assert!(error.message().contains("secret \"no/such\" in us-east-1: it does not exist"), "{error}");
            assert_eq!(text(&secrets, "YES").as_deref(), Some(PEM));
            proxy.next(9, Reply::new(503));
            let limited = st_secrets::GetOptions { timeout: Some(std::time::Duration::from_secs(2)), ..REFRESH };
            let stale = secrets.get_with("YES", &limited).unwrap();
            assert_eq!((&**stale.value(), stale.is_stale()), (PEM.as_bytes(), true));
            set_variables([
                ("AWS_ENDPOINT_URL", moto().url()),
                ("AWS_ACCESS_KEY_ID", variable("NOBODY_ID")),
                ("AWS_SECRET_ACCESS_KEY", variable("NOBODY_SECRET")),
            ]);
            let error = open_with(&json!([{"aws_secret": pem, "as": "YES"}])).get("YES").unwrap_err();
            assert_eq!(error.status(), Status::AccessDenied, "{error}");
            assert!(error.message().contains("secretsmanager:GetSecretValue"), "{error}");
            assert!(!error.message().contains("PRIVATE KEY"), "{error}");
        },
    );
}

#[test]
fn one_value_as_a_document_says_what_to_set() {
    alone!(secrets, || {
        for name in ["PEM_SECRET", "BYTES_SECRET"] {
            let secrets = open(&[("providers", r#"["aws"]"#), ("aws_secret_name", &variable(name))]).unwrap();
            let error = secrets.get("A").unwrap_err();
            assert_eq!(error.status(), Status::Protocol);
            assert!(error.message().contains("{\"aws_secret\": \"its name\", \"as\": \"KEY\"}"), "{error}");
            assert!(!error.message().contains("PRIVATE KEY"), "{error}");
        }
        let names = |tables: Value| open(&[("providers", &tables.to_string())]).map(drop).unwrap_err();
        let error = names(json!([{"aws_secret": "a", "as": "A"}, {"aws_secret": "b", "as": "A"}]));
        assert!(error.message().contains("lists \"aws:A\" twice; give each \"aws_secret\" a \"name\""), "{error}");
        let error = names(json!([{"aws_secret": "a", "name": "vault"}]));
        assert!(error.message().contains("the \"name\" of a provider is \"vault\""), "{error}");
        let error = names(json!([{"aws_secrt": "a"}]));
        assert!(error.message().contains("did you mean \"aws_secret\"?"), "{error}");
    });
}
