//! The logins of `aws login`, which a profile names with `login_session`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use st_secrets::Status;

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{moto, python_script_with, set_variables};
use crate::common::write;
use crate::{READ, alone, aws, aws_file, in_seconds, iso, key, logged, reads, refused, secret_and, variable};

const SESSION: &str = "arn:aws:iam::123456789012:user/ada";

/// The file of the login, which is named by the SHA-256 of the session.
fn cache_file() -> PathBuf {
    let directory = Path::new(&variable("HOME")).join(".aws/login/cache");
    fs::create_dir_all(&directory).unwrap();
    let sum =
        Command::new("sh").args(["-c", &format!("printf %s {SESSION} | sha256sum | cut -c-64")]).output().unwrap();
    directory.join(String::from_utf8(sum.stdout).unwrap().trim().to_owned() + ".json")
}

fn access(name: &str) -> Value {
    let key = key(name);
    json!({"accessKeyId": key.id, "secretAccessKey": key.secret, "sessionToken": key.token})
}

/// The login with the key `FIRST`, which expires in this many seconds.
fn login(seconds: i64, pem: &Value) -> Value {
    let mut first = access("FIRST");
    (first["accountId"], first["expiresAt"]) = ("123456789012".into(), iso(in_seconds(seconds)).into());
    json!({"accessToken": first, "tokenType": "aws_sigv4", "refreshToken": "CANARY-REFRESH", "idToken": "kept",
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": pem, "signInRegion": "eu-west-1"})
}

#[test]
fn login_is_used_and_renewed_with_a_signed_proof() {
    let sessions = || {
        let role = moto().role(READ);
        secret_and(&[("FIRST", moto().assume(&role)), ("SECOND", moto().assume(&role))])
    };
    alone!(sessions, || {
        aws_file("config", &format!("[default]\nlogin_session = {SESSION}\n"));
        let signin = Proxy::alone();
        set_variables([("AWS_ENDPOINT_URL_SIGNIN", signin.url())]);
        let remedy = "run: aws login --profile default";
        refused(Status::AccessDenied, &["profile `default` in ", "there is no login; ", remedy]);
        let pem = python_script_with("dpop.py", &[], &json!({"new": true}))["key"].clone();
        let cache = cache_file();
        write(&cache, &login(3600, &pem).to_string());
        reads();
        assert!(signin.requests().is_empty());
        let first = access("FIRST");
        let described: Value = serde_json::from_str(&aws().describe()).unwrap();
        let origin = described["providers"][0]["credentials"].as_str().unwrap();
        assert!(origin.starts_with("profile `default` in "), "{origin}");
        // It expires within five minutes, so it is renewed and stored for the AWS tools.
        write(&cache, &login(200, &pem).to_string());
        let output = json!({"accessToken": access("SECOND"), "tokenType": "aws_sigv4", "expiresIn": 900,
            "refreshToken": "CANARY-NEXT"});
        signin.next(1, Reply::new(200).body(output.to_string()));
        let lines = logged();
        reads();
        let request = &signin.requests()[0];
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/token"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let client = "arn:aws:signin:::devtools/same-device";
        assert_eq!(body, json!({"clientId": client, "grantType": "refresh_token", "refreshToken": "CANARY-REFRESH"}));
        let asked = json!({"key": pem, "proof": request.header("dpop").unwrap()});
        let proof = python_script_with("dpop.py", &[], &asked);
        assert_eq!((&proof["header"]["typ"], &proof["header"]["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
        assert_eq!(
            (&proof["claims"]["htm"], &proof["claims"]["htu"]),
            (&json!("POST"), &json!(signin.url() + "/v1/token"))
        );
        assert!(proof["claims"]["iat"].is_u64() && proof["claims"]["jti"].is_string());
        let stored: Value = serde_json::from_str(&fs::read_to_string(&cache).unwrap()).unwrap();
        assert_eq!((&stored["refreshToken"], &stored["idToken"]), (&json!("CANARY-NEXT"), &json!("kept")));
        assert_eq!(stored["accessToken"]["accountId"], "123456789012");
        assert_eq!(stored["accessToken"]["accessKeyId"], access("SECOND")["accessKeyId"]);
        assert_ne!(stored["accessToken"]["secretAccessKey"], first["secretAccessKey"]);
        signin.forget();
        reads();
        assert!(signin.requests().is_empty(), "the stored login is fresh");
        assert!(!lines.lock().unwrap().contains("CANARY"));
    });
}

#[test]
fn login_that_cannot_be_renewed_is_used_until_it_expires() {
    alone!(|| secret_and(&[("FIRST", moto().assume(&moto().role(READ)))]), || {
        aws_file("config", &format!("[default]\nlogin_session = {SESSION}\n"));
        let signin = Proxy::alone();
        set_variables([("AWS_ENDPOINT_URL_SIGNIN", signin.url())]);
        let pem = python_script_with("dpop.py", &[], &json!({"new": true}))["key"].clone();
        let cache = cache_file();
        let denied = || {
            let body = json!({"error": "TOKEN_EXPIRED", "message": "the token CANARY-REFRESH has expired"});
            Reply::new(400).header("x-amzn-errortype", "AccessDeniedException").body(body.to_string())
        };
        write(&cache, &login(200, &pem).to_string());
        signin.next(1, denied());
        reads();
        write(&cache, &login(-5, &pem).to_string());
        signin.next(1, denied());
        let remedy = "run: aws login --profile default";
        let error = refused(Status::AccessDenied, &["the login has expired or is no longer permitted; ", remedy]);
        assert!(!error.message().contains("CANARY"), "{error}");
        signin.next(1, Reply::new(200).body(json!({"accessToken": "CANARY"}).to_string()));
        refused(Status::Protocol, &["the response to the renewal has no accessToken"]);
        signin.next(9, Fault::Refuse);
        refused(Status::Unavailable, &["no AWS credentials from profile `default` in "]);
        write(&cache, &login(-5, &json!("CANARY")).to_string());
        let error = refused(Status::Config, &["has no usable dpopKey"]);
        assert!(!error.message().contains("CANARY"), "{error}");
        write(&cache, &json!({"accessToken": {"accessKeyId": "CANARY"}}).to_string());
        refused(Status::Protocol, &["contains no login; ", remedy]);
    });
}
