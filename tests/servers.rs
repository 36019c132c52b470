//! What the servers and the proxy of the tests do, and how they are used.

mod common;

use common::servers::{Bao, Key, Moto, bao, in_clean_environment, moto, peers, unique};
use serde_json::{Value, json};

const GET: &str = "secretsmanager:GetSecretValue";

#[test]
fn moto_checks_signatures_and_permissions() {
    let name = unique("training");
    let version = moto().secret(&name, "one");
    let get = |key: &Key| {
        let asked = moto().call_as(key, "secretsmanager", "get_secret_value", json!({"SecretId": name}));
        asked.map_err(|refused| refused.status)
    };
    let reader = moto().user(&[GET]);
    let got = get(&reader).unwrap();
    assert_eq!((&got["SecretString"], &got["VersionId"]), (&json!("one"), &json!(version)));

    let wrong_secret = Key { secret: "wrong".into(), ..reader.clone() };
    assert_eq!(get(&wrong_secret).unwrap_err(), 403);
    assert_eq!(get(&Key::new("AKIAUNKNOWN", "x", None)).unwrap_err(), 403);
    assert_eq!(get(&moto().user(&["sts:GetCallerIdentity"])).unwrap_err(), 403);
    let session = moto().assume(&moto().role(&[GET]));
    assert_eq!(get(&session).unwrap()["SecretString"], "one");
    assert_eq!(get(&Key { token: None, ..session }).unwrap_err(), 403);
}

#[test]
fn moto_rotates_stages_and_deletes() {
    let (name, bytes) = (unique("rotated"), unique("bytes"));
    let reader = moto().user(&[GET]);
    let get = |arguments: Value| moto().call_as(&reader, "secretsmanager", "get_secret_value", arguments);
    let first = moto().secret(&name, "one");
    let second = moto().secret(&name, "two");
    moto().version(&name, "three", &["AWSPENDING"]);
    assert_eq!(get(json!({"SecretId": name})).unwrap()["VersionId"], json!(second));
    assert_eq!(get(json!({"SecretId": name, "VersionStage": "AWSPREVIOUS"})).unwrap()["VersionId"], json!(first));
    assert_eq!(get(json!({"SecretId": name, "VersionStage": "AWSPENDING"})).unwrap()["SecretString"], "three");
    moto().delete(&name, Some(7));
    assert_eq!(get(json!({"SecretId": name})).unwrap_err().code, "InvalidRequestException");
    moto().restore(&name);
    assert!(get(json!({"SecretId": name})).is_ok());
    moto().binary_secret(&bytes, b"\0\xff");
    assert_eq!(get(json!({"SecretId": bytes})).unwrap()["SecretBinary"], json!({"$bytes": "AP8="}));
    moto().delete(&bytes, None);
    assert_eq!(get(json!({"SecretId": bytes})).unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn a_moto_of_its_own_can_be_switched() {
    let own = Moto::start();
    own.secret("training", "one");
    let get =
        |key: &Key| own.call_as(key, "secretsmanager", "get_secret_value", json!({"SecretId": "training"})).is_ok();
    let anyone = Key::new("anyone", "x", None);
    assert!(get(&anyone));
    own.enforce();
    assert!(!get(&anyone) && get(&own.user(&[GET])));
    own.relax();
    assert!(get(&anyone));
    own.reset();
    assert!(!get(&anyone));
}

#[test]
fn openbao_has_both_versions_of_kv() {
    let (v1, v2) = (unique("v1"), unique("v2"));
    bao().mount(&v1, 1);
    bao().mount(&v2, 2);
    bao().put_v1(&v1, "app", &json!({"HF_TOKEN": "one"}));
    assert_eq!(bao().ask("GET", &format!("{v1}/app"), Value::Null)["data"]["HF_TOKEN"], "one");
    assert_eq!(bao().put(&v2, "app", &json!({"HF_TOKEN": "one"})), 1);
    assert_eq!(bao().put(&v2, "app", &json!({"HF_TOKEN": "two"})), 2);

    let token = bao().token(&[&bao().policy(&[&format!("{v2}/data/app")], &["read"])], "1m");
    let read = || bao().call("GET", &format!("{v2}/data/app"), &Value::Null, &token);
    let (status, answer) = read();
    assert_eq!((status, &answer["data"]["data"]["HF_TOKEN"]), (200, &json!("two")));
    assert_eq!(bao().call("GET", &format!("{v1}/app"), &Value::Null, &token).0, 403);
    bao().delete(&v2, "app", &[2]);
    assert_eq!((read().0, &read().1["data"]["metadata"]["destroyed"]), (404, &json!(false)));
    bao().undelete(&v2, "app", &[2]);
    assert_eq!(read().0, 200);
    bao().destroy(&v2, "app", &[2]);
    assert_eq!((read().0, &read().1["data"]["metadata"]["destroyed"]), (404, &json!(true)));
    bao().remove(&v2, "app");
    assert_eq!(read(), (404, json!({"errors": []})));
    bao().revoke(&token);
    assert_eq!(read().0, 403);
}

#[test]
fn openbao_has_logins_and_namespaces() {
    let path = unique("app");
    bao().put("secret", &path, &json!({"HF_TOKEN": "one"}));
    let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
    let read = |token: &str| bao().call("GET", &format!("secret/data/{path}"), &Value::Null, token).0;
    let log_in = |auth: &str, body: Value| {
        let (status, answer) = bao().call("POST", &format!("auth/{auth}/login"), &body, "");
        answer["auth"]["client_token"].as_str().map(str::to_owned).ok_or(status)
    };
    let (role_id, secret_id) = bao().approle(&[&policy], "1m");
    assert_eq!(read(&log_in("approle", json!({"role_id": role_id, "secret_id": secret_id})).unwrap()), 200);
    assert_eq!(log_in("approle", json!({"role_id": role_id, "secret_id": "wrong"})), Err(400));
    let jwt = unique("jwt");
    let (role, issuer) = bao().jwt(&jwt, &[&policy], "1m");
    assert_eq!(read(&log_in(&jwt, json!({"role": role, "jwt": issuer.token(60)})).unwrap()), 200);
    assert!(log_in(&jwt, json!({"role": role, "jwt": "x.y.z"})).is_err());

    let namespace = bao().namespace();
    bao().mount_in(&namespace, "kv", 2);
    bao().put(&format!("{namespace}/kv"), "app", &json!({"HF_TOKEN": "one"}));
    let answer = bao().ask("GET", &format!("{namespace}/kv/data/app"), Value::Null);
    assert_eq!(answer["data"]["data"]["HF_TOKEN"], "one");
}

#[test]
fn openbao_is_sealed_killed_and_comes_back() {
    let own = Bao::start_stored();
    own.put("secret", "app", &json!({"HF_TOKEN": "one"}));
    let read = || own.call("GET", "secret/data/app", &Value::Null, own.root());
    own.seal();
    assert_eq!(read().0, 503);
    own.unseal();
    assert_eq!(read().0, 200);
    own.kill();
    assert!(std::net::TcpStream::connect(own.address()).is_err());
    own.restart();
    assert_eq!(read().1["data"]["data"]["HF_TOKEN"], "one");
}

#[test]
fn openbao_speaks_tls() {
    let own = Bao::start_tls();
    own.put("secret", "app", &json!({"HF_TOKEN": "one", "n": 1.5}));
    let read_with = |url: String, ca: &str, shown: Value| {
        let reads = json!([{"mount": "secret", "path": "app", "kv": 2}]);
        let asked = json!({"url": url, "token": own.root(), "ca": own.certificate(ca), "cert": shown, "reads": reads});
        peers(&json!({"vault": asked}))["vault"][0].clone()
    };
    let read = |url: String, ca: &str| read_with(url, ca, Value::Null);
    let answer = json!({"version": 1, "values": {"HF_TOKEN": "b25l", "n": "MS41"}});
    assert_eq!(read(own.tls_url(), "ca.pem"), answer);
    let client = json!([own.certificate("client.pem"), own.certificate("client.key")]);
    assert_eq!(read_with(own.client_tls_url(), "ca.pem", client), answer);
    for (url, ca) in [
        (own.tls_url(), "other-ca.pem"),
        (own.wrong_name_url(), "ca.pem"),
        (own.expired_url(), "ca.pem"),
        (own.client_tls_url(), "ca.pem"),
    ] {
        assert!(read(url.clone(), ca)["error"].is_string(), "{url} {ca}");
    }
}

#[test]
fn a_bao_of_its_own_can_be_sealed_and_limited() {
    let own = Bao::start();
    let read = || own.call("GET", "secret/config", &Value::Null, own.root()).0;
    own.quota("secret", Some(0.001));
    assert_eq!((read(), read()), (200, 429));
    own.quota("secret", None);
    assert_eq!(read(), 200);
    own.seal();
    assert_eq!(read(), 503);
    own.unseal();
    assert_eq!(read(), 200);
}

#[test]
fn a_body_has_a_clean_environment_and_the_same_servers() {
    in_clean_environment(
        "a_body_has_a_clean_environment_and_the_same_servers",
        || {
            moto().secret("of-the-first-process", "one");
            bao().put("secret", "of-the-first-process", &json!({"a": "b"}));
            moto().variables(&moto().user(&[GET]))
        },
        || {
            let names: Vec<String> =
                std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("AWS_")).collect();
            assert_eq!(names.len(), 5, "{names:?}");
            assert_eq!(std::fs::read_dir(std::env::var("HOME").unwrap()).unwrap().count(), 0);
            moto().call("secretsmanager", "describe_secret", json!({"SecretId": "of-the-first-process"}));
            bao().ask("GET", "secret/data/of-the-first-process", Value::Null);
        },
    );
}

#[test]
fn a_server_ends_with_a_process_that_is_killed() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let name = "a_server_ends_with_a_process_that_is_killed";
    if common::is_test_body() {
        let own = Bao::start();
        writeln!(std::io::stderr(), "{}", own.id()).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(600));
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("ST_SECRETS_TEST_BODY", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut server = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut server).unwrap();
    let server = std::path::Path::new("/proc").join(server.trim());
    assert!(server.join("exe").read_link().unwrap().ends_with("bin/bao"));
    child.kill().unwrap();
    child.wait().unwrap();
    let is_gone = || std::fs::read_to_string(server.join("status")).map_or(true, |status| status.contains("State:\tZ"));
    common::time::soon(is_gone);
}
