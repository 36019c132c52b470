//! Credentials that are not in files: a web identity, a container, an instance.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use st_secrets::Status;

use crate::common::proxy::{BlackHole, Fault, Proxy, Reply};
use crate::common::servers::{Moto, moto, set_variables};
use crate::common::time::{PATIENCE, advance};
use crate::common::{open, temp, text, write};
use crate::{
    READ, REFRESH, alone, aws, container_response, in_seconds, iso, key, logged, reads, refused, secret_alone,
    secret_and,
};

/// Sets the variables of a web identity, as EKS does. Requests to STS go through `proxy`.
fn set_web_identity(moto: &Moto, proxy: &Proxy, token_file: &Path, role: &str) {
    set_variables([
        ("SIMPLETUNER_AWS_SECRET_NAME", "training"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &moto.url()),
        ("AWS_ENDPOINT_URL_STS", &proxy.url()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.to_str().unwrap()),
        ("AWS_ROLE_ARN", role),
    ]);
}

#[test]
fn role_of_the_profile_takes_precedence_over_a_web_identity() {
    alone!(Vec::new, || {
        let moto = Moto::start();
        moto.secret("training", r#"{"A": "1"}"#);
        let (pod, other) = (moto.role(READ), moto.role(READ));
        let directory = temp();
        let token_file = write(&directory.path().join("token"), "first.CANARY.token\n");
        let config = |text: String| write(&directory.path().join("config"), &text);
        let keys = "[profile base]\naws_access_key_id = ID\naws_secret_access_key = x\n";
        let path = config(format!("[default]\nrole_arn = {other}\nsource_profile = base\n{keys}"));
        let proxy = Proxy::to(moto.address());
        set_web_identity(&moto, &proxy, &token_file, &pod);
        set_variables([("AWS_CONFIG_FILE", path.to_str().unwrap())]);
        // The actions, without the version that follows.
        let actions = || {
            let bodies = proxy.requests().into_iter().map(|request| String::from_utf8(request.body).unwrap());
            bodies.map(|body| body.split(['=', '&']).nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        };
        reads();
        assert_eq!(actions(), ["AssumeRole"]);
        proxy.forget();
        // Anything else in a profile comes after the variables.
        config(keys.replace("profile base", "default"));
        reads();
        assert_eq!(actions(), ["AssumeRoleWithWebIdentity"]);
    });
}

#[test]
fn web_identity_assumes_a_role() {
    alone!(Vec::new, || {
        // moto cannot check a web identity, so this server checks nothing.
        let moto = Moto::start();
        moto.secret("training", r#"{"A": "1"}"#);
        let role = moto.role(READ);
        let token = temp();
        let token_file = write(&token.path().join("token"), "first.CANARY.token\n");
        let proxy = Proxy::to(moto.address());
        set_web_identity(&moto, &proxy, &token_file, &role);
        reads();
        let request = &proxy.requests()[0];
        assert_eq!(request.header("authorization"), None, "the request is not signed");
        let form = String::from_utf8(request.body.clone()).unwrap();
        assert!(form.contains("&WebIdentityToken=first.CANARY.token"), "{form}");
        // AWS may repeat the token in its message.
        let body = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>first.CANARY.token is bad</Message></Error></ErrorResponse>";
        proxy.always(Reply::new(400).body(body));
        let lines = logged();
        let error = refused(Status::AccessDenied, &["web identity", &role, "InvalidIdentityToken"]);
        assert!(!error.message().contains("CANARY"), "{error}");
        assert!(!lines.lock().unwrap().contains("CANARY"));
        proxy.heal();
        proxy.forget();
        proxy.next(1, Fault::aws_xml(400, "IDPCommunicationError"));
        write(&token_file, "second");
        reads();
        assert_eq!(proxy.requests().len(), 2, "it is retried");
        assert!(proxy.requests()[1].body.ends_with(b"&WebIdentityToken=second"), "the file is read again");
        for (token, words) in [("", "contains no token"), ("a\r\nX-Evil: 1", "contains no token")] {
            write(&token_file, token);
            refused(Status::Config, &[words]);
        }
        set_variables([("AWS_ROLE_SESSION_NAME", "a b")]);
        refused(Status::Config, &["AWS_ROLE_SESSION_NAME: \"a b\" is not a valid session name"]);
        set_variables([("AWS_ROLE_SESSION_NAME", ""), ("AWS_ROLE_ARN", "")]);
        refused(Status::Config, &["AWS_ROLE_ARN is not"]);
    });
}

#[test]
fn container_endpoint_requires_a_token() {
    alone!(|| secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]), || {
        let container = Proxy::to("127.0.0.1:1");
        container.always(container_response(&key("SESSION"), in_seconds(3600)));
        let directory = temp();
        let file = write(&directory.path().join("token"), "CANARY/one\n");
        set_variables([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*format!("{}/v2/CANARY", container.url())),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
            // The proxy is not used for the endpoint.
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("NO_PROXY", moto().address().split(':').next().unwrap()),
        ]);
        let lines = logged();
        reads();
        let request = &container.requests()[0];
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/v2/CANARY"));
        assert_eq!(request.header("authorization"), Some("CANARY/one"), "without the line break");
        write(&file, "CANARY/two");
        reads();
        assert_eq!(container.requests()[1].header("authorization"), Some("CANARY/two"), "the file is read again");
        container.forget();
        container.next(1, Fault::status(503));
        reads();
        assert_eq!(container.requests().len(), 2, "it is retried");
        let body = r#"{"code": "AccessDenied", "message": "CANARY/two is bad"}"#;
        for (fault, status, words) in [
            (
                Reply::new(401).body(body).into(),
                Status::AccessDenied,
                "without an AWS error (AccessDenied); check its token",
            ),
            (Fault::redirect(302, &moto().url()), Status::AccessDenied, "redirects are not followed"),
            (Reply::new(200).body("{}").into(), Status::Protocol, "has no AccessKeyId"),
            (Reply::new(200).body("CANARY").into(), Status::Protocol, "has no AccessKeyId"),
            (Fault::Endless, Status::Protocol, "longer than 65536 bytes"),
            (Fault::Refuse, Status::Unavailable, "no AWS credentials from the container endpoint 127.0.0.1"),
        ] {
            container.always(fault);
            let error = refused(status, &[words]);
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        let lines = lines.lock().unwrap().clone();
        assert!(lines.contains(&format!("GET {}: 200", container.url())), "{lines}");
        assert!(!lines.contains("CANARY"), "{lines}");
        write(&file, "CANARY\r\nX-Evil: 1");
        refused(Status::Config, &["contains no token"]);
        container.forget();
        for (url, status, words) in [
            ("http://10.0.0.1/x", Status::Config, "http:// is allowed only for loopback"),
            ("http://169.254.169.254/x", Status::Config, "http:// is allowed only for loopback"),
            ("http://example.invalid/x", Status::Unavailable, "cannot resolve example.invalid"),
        ] {
            set_variables([("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
            refused(status, &[words]);
        }
        assert!(container.requests().is_empty());
    });
}

#[test]
fn instance_provides_the_keys_of_its_role_and_its_region() {
    alone!(Vec::new, || {
        let moto = Moto::start();
        moto.secret("training", r#"{"A": "1"}"#);
        let metadata = Proxy::to(moto.address());
        set_variables([
            ("SIMPLETUNER_AWS_SECRET_NAME", "training"),
            ("AWS_ENDPOINT_URL", &moto.url()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url()),
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("NO_PROXY", moto.address()),
        ]);
        metadata.next(1, Reply::new(200).body("token"));
        metadata.next(1, Reply::new(200).body("us-east-1"));
        let secrets = aws();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        let requests = metadata.requests();
        let asked: Vec<_> = requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect();
        let role = asked.last().unwrap().strip_prefix("GET /latest/meta-data/iam/security-credentials/").unwrap();
        assert!(!role.is_empty(), "{asked:?}");
        assert_eq!(
            asked[..3],
            [
                "PUT /latest/api/token",
                "GET /latest/meta-data/placement/region",
                "GET /latest/meta-data/iam/security-credentials/",
            ]
        );
        assert_eq!(requests[0].header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
        assert_eq!(requests[1].header("x-aws-ec2-metadata-token"), Some("token"));
        set_variables([("AWS_REGION", "us-east-1")]);
        let token = || Reply::new(200).body("token").into();
        let list = || Reply::new(200).body("a-role\nanother").into();
        let denied = r#"{"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"}"#;
        for (answers, status, words) in [
            (vec![Fault::status(403)], Status::Config, "it is disabled"),
            (vec![Fault::status(400)], Status::AccessDenied, "HTTP status 400"),
            (vec![token(), Fault::status(404)], Status::Config, "the instance has no role"),
            (
                vec![token(), list(), Reply::new(200).body(denied).into()],
                Status::AccessDenied,
                "AssumeRoleUnauthorizedAccess",
            ),
            (vec![token(), list(), Reply::new(200).body("[]").into()], Status::Protocol, "not a JSON object"),
            (vec![token(), list(), Fault::status(500), Fault::status(500)], Status::Unavailable, "HTTP status 500"),
            (vec![Fault::redirect(302, &moto.url())], Status::AccessDenied, "HTTP status 302"),
        ] {
            answers.into_iter().for_each(|answer| metadata.next(1, answer));
            refused(status, &[words, "the instance metadata at http://127.0.0.1:"]);
        }
        for slow in [Fault::status(503), Fault::Hang] {
            metadata.next(1, slow);
            reads();
        }
        metadata.next(1, token());
        metadata.next(1, Fault::Hang);
        reads();
    });
}

#[test]
fn expired_instance_keys_are_used_until_there_are_new_ones() {
    alone!(|| secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]), || {
        let metadata = Proxy::to("127.0.0.1:1");
        let session = key("SESSION");
        let answer = |expires| {
            let keys = json!({"Code": "Success", "AccessKeyId": session.id, "SecretAccessKey": session.secret,
                    "Token": session.token, "Expiration": iso(expires)});
            metadata.next(2, Reply::new(200).body("one-line"));
            metadata.next(1, Reply::new(200).body(keys.to_string()));
        };
        set_variables([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata.url()), ("AWS_EC2_METADATA_DISABLED", "")]);
        // An instance whose service cannot get new keys provides expired ones.
        answer(in_seconds(-60));
        let secrets = aws();
        secrets.refresh(None).unwrap();
        secrets.refresh(None).unwrap();
        assert_eq!(metadata.requests().len(), 3, "they are used for some minutes");
        // They expire, and there are no new ones.
        answer(in_seconds(600));
        let secrets = aws();
        secrets.refresh(None).unwrap();
        advance(Duration::from_secs(601));
        metadata.always(Fault::status(500));
        secrets.refresh(None).unwrap();
    });
}

#[test]
fn absent_instance_is_tried_twice_and_again_by_the_next_load() {
    alone!(secret_alone, || {
        let unreachable = BlackHole::open();
        set_variables([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*unreachable.url()), ("AWS_EC2_METADATA_DISABLED", "")]);
        let secrets = open(&[("providers", r#"["aws"]"#), ("timeout", "3600")]).unwrap();
        let start = Instant::now();
        let error = secrets.get("A").unwrap_err();
        // The timeout of the system is two minutes.
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
        assert_eq!(error.status(), Status::Config, "{error}");
        assert!(error.is_retryable(), "{error}");
        let words = [
            "there are no AWS credentials",
            "AWS_ACCESS_KEY_ID",
            &unreachable.url(),
            "does not respond (2 attempts of 1s",
        ];
        for word in words {
            assert!(error.message().contains(word), "{error}");
        }
        let metadata = Proxy::to("127.0.0.1:1");
        metadata.always(Fault::status(403));
        set_variables([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata.url())]);
        let error = secrets.get_with("A", &REFRESH).unwrap_err();
        assert!(error.message().contains("it is disabled"), "{error}");
        assert_eq!(metadata.requests().len(), 1);
        // A proxy is not used for it: the proxy would reach another instance.
        let proxy = Proxy::forward();
        set_variables([("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://10.255.255.1"), ("HTTP_PROXY", &proxy.url())]);
        assert!(aws().get("A").is_err());
        assert_eq!(proxy.connections(), 0);
        set_variables([("AWS_EC2_METADATA_DISABLED", "true")]);
        refused(Status::Config, &["AWS_EC2_METADATA_DISABLED disables the instance metadata"]);
    });
}
