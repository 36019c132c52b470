//! IAM Identity Center: the logins of `aws sso login`.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};
use st_secrets::{GetOptions, Status};

use crate::common::proxy::{Proxy, Reply};
use crate::common::servers::{moto, set_variables};
use crate::common::{text, write};
use crate::{READ, alone, aws, aws_file, in_seconds, iso, key, logged, reads, refused, secret_and, variable};

#[test]
fn login_is_exchanged_for_the_keys_of_a_role() {
    alone!(|| secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]), || {
        aws_file(
            "config",
            "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Reader Role\n\
                [sso-session corp]\nsso_start_url = https://portal.example/start\nsso_region = us-east-1\n",
        );
        let session = key("SESSION");
        let portal = Proxy::to("127.0.0.1:1");
        let milliseconds = in_seconds(3600).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let keys = json!({"roleCredentials": {"accessKeyId": session.id, "secretAccessKey": session.secret,
                "sessionToken": session.token, "expiration": milliseconds}});
        portal.always(Reply::new(200).body(keys.to_string()));
        let oidc = Proxy::to("127.0.0.1:1");
        set_variables([("AWS_ENDPOINT_URL_SSO", portal.url()), ("AWS_ENDPOINT_URL_SSO_OIDC", oidc.url())]);
        let remedy = "aws sso login --profile default";
        refused(Status::AccessDenied, &["there is no login; run: ", remedy]);
        // The file name is the SHA-1 of the session name, `corp`.
        let directory = Path::new(&variable("HOME")).join(".aws/sso/cache");
        fs::create_dir_all(&directory).unwrap();
        let sum = std::process::Command::new("sh").args(["-c", "printf corp | sha1sum | cut -c-40"]).output().unwrap();
        let cache = directory.join(String::from_utf8(sum.stdout).unwrap().trim().to_owned() + ".json");
        write(&cache, &json!({"accessToken": "CANARYTOKEN", "expiresAt": iso(in_seconds(3600))}).to_string());
        reads();
        let request = &portal.requests()[0];
        assert_eq!(request.path, "/federation/credentials?role_name=Reader%20Role&account_id=123456789012");
        assert_eq!(request.header("x-amz-sso_bearer_token"), Some("CANARYTOKEN"));
        assert_eq!(request.header("authorization"), None);
        portal.next(1, Reply::new(401).body(r#"{"__type":"UnauthorizedException","message":"CANARYTOKEN"}"#));
        let error = refused(Status::AccessDenied, &["profile `default` in ", "the login has expired; run: ", remedy]);
        assert!(!error.message().contains("CANARY"), "{error}");
        write(&cache, &json!({"accessToken": "CANARYTOKEN", "expiresAt": iso(in_seconds(-5))}).to_string());
        refused(Status::AccessDenied, &["the login has expired; run: ", remedy]);
        assert_eq!(oidc.requests().len(), 0);
        // A login with a refresh token is refreshed, and stored for the AWS tools.
        write(
            &cache,
            &json!({"startUrl": "kept", "accessToken": "CANARYTOKEN", "expiresAt": iso(in_seconds(-5)),
                "clientId": "id", "clientSecret": "CANARYCLIENT", "refreshToken": "CANARYREFRESH"})
            .to_string(),
        );
        let renewed = json!({"accessToken": "CANARYSECOND", "expiresIn": 3600, "refreshToken": "CANARYNEXT"});
        oidc.next(1, Reply::new(200).body(renewed.to_string()));
        let lines = logged();
        reads();
        let asked: Value = serde_json::from_slice(&oidc.requests()[0].body).unwrap();
        assert_eq!(
            asked,
            json!({"clientId": "id", "clientSecret": "CANARYCLIENT", "grantType": "refresh_token",
                "refreshToken": "CANARYREFRESH"})
        );
        let stored: Value = serde_json::from_str(&fs::read_to_string(&cache).unwrap()).unwrap();
        assert_eq!((&stored["accessToken"], &stored["refreshToken"]), (&json!("CANARYSECOND"), &json!("CANARYNEXT")));
        assert_eq!(stored["startUrl"], "kept");
        assert!(stored["expiresAt"].as_str().unwrap() > iso(in_seconds(3000)).as_str());
        assert!(!lines.lock().unwrap().contains("CANARY"), "{lines:?}");
        write(&cache, "CANARY");
        let error = refused(Status::Protocol, &["contains no login"]);
        assert!(!error.message().contains("CANARY"), "{error}");
    });
}

#[test]
fn login_revoked_by_aws_ends_the_use_of_a_value() {
    alone!(|| secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]), || {
        // Another role requires new keys.
        let use_role = |name: &str| {
            let profile = format!("sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = {name}\n");
            let session = "[sso-session corp]\nsso_start_url = https://portal.example/start\nsso_region = us-east-1\n";
            aws_file("config", &format!("[default]\n{profile}{session}"));
        };
        let (portal, oidc) = (Proxy::to("127.0.0.1:1"), Proxy::to("127.0.0.1:1"));
        set_variables([("AWS_ENDPOINT_URL_SSO", portal.url()), ("AWS_ENDPOINT_URL_SSO_OIDC", oidc.url())]);
        let session = key("SESSION");
        let ends = in_seconds(3600).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let keys = json!({"roleCredentials": {"accessKeyId": session.id, "secretAccessKey": session.secret,
                "sessionToken": session.token, "expiration": ends}});
        portal.always(Reply::new(200).body(keys.to_string()));
        let directory = Path::new(&variable("HOME")).join(".aws/sso/cache");
        fs::create_dir_all(&directory).unwrap();
        let cache = directory.join("ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
        let login = |ends: &str| {
            let renewable = json!({"accessToken": "t", "expiresAt": ends, "clientId": "id", "clientSecret": "secret",
                "refreshToken": "refresh"});
            write(&cache, &renewable.to_string());
        };
        login(&iso(in_seconds(3600)));
        use_role("first");
        let secrets = aws();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"), "{:?}", secrets.get("A"));
        login(&iso(in_seconds(-5)));
        let refused = Reply::new(400).header("x-amzn-errortype", "InvalidGrantException");
        let refused = refused.body(r#"{"error":"invalid_grant","error_description":"Invalid refresh token provided"}"#);
        let from_gateway = Reply::new(400).body(r#"{"error":"invalid_grant"}"#);
        for (role, answer, is_denied) in [("second", from_gateway, false), ("third", refused, true)] {
            oidc.always(answer);
            use_role(role);
            let got = secrets.get_with("A", &GetOptions { refresh: true, ..GetOptions::default() });
            assert_eq!(got.is_err(), is_denied, "{role}: {got:?}");
        }
    });
}
