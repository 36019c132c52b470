//! Logins with credentials of AWS (`aws`): Vault's own auth method asks moto, which checks the signature.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use st_secrets::{Manager, Status};

use crate::common::proxy::Proxy;
use crate::common::servers::bao::Bao;
use crate::common::servers::{Key, moto, peers, set_variables, unique};
use crate::common::time::advance;
use crate::common::{open, temp, text};
use crate::{alone, check, refreshed};

const SERVER_ID: &str = "vault.example.com";

/// The server, and a secret that its role reads.
struct Server {
    bao: Bao,
    proxy: Proxy,
    path: String,
    role: String,
}

impl Server {
    /// A server with a role for this identity of AWS.
    fn with_role(principal: &str) -> Server {
        let bao = Bao::start_aws();
        let client = json!({
            "sts_endpoint": moto().url(), "sts_region": "us-east-1", "iam_server_id_header_value": SERVER_ID,
        });
        bao.ask("POST", "auth/aws/config/client", client);
        let (path, role) = (unique("app"), unique("training"));
        bao.put("secret", &path, &json!({"A": "value"}));
        let policy = bao.policy(&[&format!("secret/data/{path}")], &["read"]);
        let settings = json!({
            "auth_type": "iam", "bound_iam_principal_arn": [principal], "resolve_aws_unique_ids": false,
            "token_policies": [policy], "token_ttl": "1h",
        });
        bao.ask("POST", &format!("auth/aws/role/{role}"), settings);
        let proxy = Proxy::to(bao.address());
        Server { bao, proxy, path, role }
    }

    fn open(&self, settings: &[(&str, &str)]) -> Manager {
        let url = self.proxy.url();
        let common = [("providers", r#"["vault"]"#), ("vault_url", &*url), ("vault_auth", "aws")];
        let own = [("vault_path", &*self.path), ("vault_aws_server_id", SERVER_ID)];
        open(&[&common[..], &own, settings].concat()).unwrap()
    }

    fn logins(&self) -> usize {
        self.proxy.requests().iter().filter(|request| request.path.ends_with("/login")).count()
    }
}

/// The ARN of the owner of a key.
fn arn(key: &Key) -> String {
    let identity = moto().call_as(key, "sts", "get_caller_identity", json!({})).unwrap();
    identity["Arn"].as_str().unwrap().to_owned()
}

#[test]
fn credentials_of_aws_log_in() {
    moto();
    alone!(|| {
        let key = moto().user(&[]);
        let server = Server::with_role(&arn(&key));
        set_variables(key.variables());
        let role = ("vault_role", &*server.role);
        let secrets = server.open(&[role]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        let report = check(&secrets);
        assert_eq!(report["state"], "ok", "{report:#}");
        // The next login, after the token has expired.
        advance(Duration::from_secs(3601));
        assert!(refreshed(&secrets, "A").is_ok());
        assert_eq!(server.logins(), 2);
        // Where another region is set, the host of the call is that of the region.
        let secrets = server.open(&[role, ("vault_aws_region", "eu-west-1")]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
        // The server takes the call of Vault's client in Python too.
        let login = json!({"role": server.role, "key": key.id, "secret": key.secret, "server_id": SERVER_ID});
        let read = json!([{"mount": "secret", "path": server.path, "kv": 2}]);
        let asked = json!({"vault": {"url": server.bao.url(), "aws_login": login, "reads": read}});
        let theirs = peers(&asked);
        assert!(theirs["vault"][0]["values"]["A"].is_string(), "{theirs:#}");
        let shown = [secrets.describe(), check(&secrets).to_string()].concat();
        assert!(!shown.contains(&key.secret), "{shown}");
    });
}

#[test]
fn role_that_is_assumed_logs_in() {
    moto();
    alone!(|| {
        let key = moto().user(&["sts:AssumeRole"]);
        let role_arn = moto().role(&["sts:GetCallerIdentity"]);
        let server = Server::with_role(&role_arn);
        set_variables(key.variables());
        set_variables([("AWS_ENDPOINT_URL_STS", moto().url())]);
        let secrets = server.open(&[("vault_role", &*server.role), ("aws_role_arn", &role_arn)]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
    });
}

#[test]
fn rejected_login_is_not_repeated_until_the_credentials_change() {
    moto();
    alone!(|| {
        let (key, stranger) = (moto().user(&[]), moto().user(&[]));
        let server = Server::with_role(&arn(&key));
        let directory = temp();
        let file = directory.path().join("credentials");
        let store = |key: &Key, secret: &str| {
            let text = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {secret}\n", key.id);
            fs::write(&file, text).unwrap();
        };
        set_variables([("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())]);
        store(&stranger, &stranger.secret);
        let secrets = server.open(&[("vault_role", &*server.role), ("max_backoff", "0.01")]);
        for _ in 0..5 {
            let error = refreshed(&secrets, "A").unwrap_err();
            assert_eq!(error.status(), Status::AccessDenied, "{error}");
            for part in ["the aws login at auth/aws was rejected", "vault_role", "aws sts get-caller-identity"] {
                assert!(error.message().contains(part), "{part}: {error}");
            }
            assert!(!error.message().contains(&stranger.secret), "{error}");
        }
        // Another call with the same key is not sent either.
        let other = server.open(&[("vault_role", &*server.role), ("vault_aws_region", "eu-west-1")]);
        assert_eq!(other.get("A").unwrap_err().status(), Status::AccessDenied);
        assert_eq!(server.logins(), 1);
        // AWS rejects the signature, and the server says so.
        let wrong = moto().user(&[]);
        store(&wrong, "CANARYCANARYCANARYCANARYCANARYCANARYCANA");
        let error = refreshed(&secrets, "A").unwrap_err();
        assert!(error.status() == Status::AccessDenied && !error.message().contains("CANARY"), "{error}");
        store(&key, &key.secret);
        assert_eq!(**refreshed(&secrets, "A").unwrap().value(), *b"value");
        assert_eq!(server.logins(), 3);
        // A call that is signed for another server is not accepted.
        let other = server.open(&[("vault_role", &*server.role), ("vault_aws_server_id", "other.example.com")]);
        let error = other.get("A").unwrap_err();
        assert!(error.status() == Status::AccessDenied && error.message().contains("vault_aws_server_id"), "{error}");
    });
}

#[test]
fn login_without_credentials_of_aws_says_so() {
    alone!(|| {
        let proxy = Proxy::alone();
        let url = proxy.url();
        set_variables([("AWS_EC2_METADATA_DISABLED", "true")]);
        let settings = [("providers", r#"["vault"]"#), ("vault_url", &*url), ("vault_auth", "aws")];
        let error = open(&settings).unwrap().get("A").unwrap_err();
        assert_eq!(error.status(), Status::Config, "{error}");
        for part in ["the aws login at auth/aws", "there are no AWS credentials"] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert!(proxy.requests().is_empty());
        for (setting, words) in [
            (("vault_aws_region", "Europe"), "is not a region"),
            (("vault_aws_server_id", "CANARY CANARY"), "`vault_aws_server_id`"),
        ] {
            let error = open(&[&settings[..], &[setting]].concat()).err().unwrap();
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{error}");
        }
        let error = open(&[settings[0], settings[1], ("vault_aws_region", "us-east-1")]).err().unwrap();
        assert!(error.message().contains("vault_auth, the login method, is not"), "{error}");
    });
}

/// A server that does not reach AWS rejects the login, which is an outage.
#[test]
fn server_that_does_not_reach_aws_is_an_outage() {
    moto();
    alone!(|| {
        let key = moto().user(&[]);
        let server = Server::with_role(&arn(&key));
        set_variables(key.variables());
        let client = |endpoint: &str| json!({"sts_endpoint": endpoint, "iam_server_id_header_value": SERVER_ID});
        server.bao.ask("POST", "auth/aws/config/client", client("http://127.0.0.1:1"));
        let secrets = server.open(&[("vault_role", &*server.role), ("max_backoff", "0.01")]);
        let error = refreshed(&secrets, "A").unwrap_err();
        assert_eq!((error.status(), error.is_retryable()), (Status::Unavailable, true), "{error}");
        assert!(error.message().contains("cannot verify the caller with AWS"), "{error}");
        server.bao.ask("POST", "auth/aws/config/client", client(&moto().url()));
        assert_eq!(**refreshed(&secrets, "A").unwrap().value(), *b"value");
        let described: Value = serde_json::from_str(&secrets.describe()).unwrap();
        assert_eq!(described["providers"][0]["auth"], "aws");
    });
}
