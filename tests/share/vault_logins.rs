//! One login at OpenBao for all processes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::proxy::Fault;
use crate::common::servers::{bao, http, unique};
use crate::common::time::PATIENCE;
use crate::common::write;
use crate::worker::{Host, Worker, canary, contains, merged};

const PROCESSES: usize = 8;

/// A role that may read the documents of its processes, each of which has one of its own.
struct Login {
    host: Host,
    role: String,
    settings: Value,
}

impl Login {
    /// `more` are settings of the role.
    fn start(more: Value) -> Login {
        let host = Host::start();
        let policy = bao().policy(&[&format!("secret/data/{}*", host.path)], &["read"]);
        bao().auth("approle", "approle");
        let role = format!("auth/approle/role/{}", unique("role"));
        bao().ask("POST", &role, merged(json!({"token_policies": [policy], "token_ttl": "1h"}), more));
        let id = bao().ask("GET", &format!("{role}/role-id"), Value::Null)["data"]["role_id"].clone();
        let mut settings = host.settings();
        settings.as_object_mut().unwrap().remove("vault_token");
        let mut login = Login { host, role, settings };
        let secret_id = login.secret_id();
        let own = json!({"vault_auth": "approle", "vault_role_id": id, "vault_secret_id": secret_id, "timeout": 120});
        login.settings = merged(login.settings, own);
        login
    }

    fn secret_id(&self) -> String {
        let made = bao().ask("POST", &format!("{}/secret-id", self.role), json!({}));
        made["data"]["secret_id"].as_str().unwrap().to_owned()
    }

    /// A process with a document of its own.
    fn worker(&self, more: Value) -> Worker {
        let path = unique(&self.host.path);
        bao().put("secret", &path, &json!({"A": canary("first")}));
        Worker::start(&merged(merged(self.settings.clone(), json!({"vault_path": path})), more))
    }

    fn workers(&self, more: &Value) -> Vec<Worker> {
        (0..PROCESSES).map(|_| self.worker(more.clone())).collect()
    }

    fn count(&self, end: &str) -> usize {
        self.host.vault.requests().iter().filter(|request| request.path.ends_with(end)).count()
    }

    fn logins(&self) -> usize {
        self.count("/login")
    }

    /// The tokens that were sent, each once.
    fn tokens(&self) -> Vec<String> {
        let requests = self.host.vault.requests();
        let mut tokens: Vec<_> =
            requests.iter().filter_map(|request| request.header("x-vault-token")).map(str::to_owned).collect();
        tokens.sort();
        tokens.dedup();
        tokens
    }

    fn assert_not_locked(&self) {
        let locked = bao().ask("GET", "sys/locked-users", Value::Null).to_string();
        assert!(!locked.contains(self.settings["vault_role_id"].as_str().unwrap()), "{locked}");
    }
}

/// Sends a command to all, and returns their answers.
fn ask_all(workers: &mut [Worker], command: &str) -> Vec<Value> {
    workers.iter_mut().for_each(|worker| worker.send(command));
    workers.iter_mut().map(|worker| worker.answer().unwrap()).collect()
}

#[track_caller]
fn assert_values(answers: &[Value]) {
    assert!(answers.iter().all(|answer| answer["value"] == canary("first")), "{answers:?}");
}

#[test]
fn processes_with_different_documents_log_in_once() {
    let login = Login::start(json!({}));
    login.host.vault.at("POST /v1/auth/approle/login", Fault::Delay(Duration::from_millis(300)));
    let mut workers = login.workers(&json!({}));
    let answers = ask_all(&mut workers, "get A");
    assert_values(&answers);
    assert!(answers.iter().all(|answer| answer["shared"] == false), "{answers:?}");
    assert_eq!((login.logins(), login.tokens().len()), (1, 1));
    assert_values(&ask_all(&mut login.workers(&json!({})), "get A"));
    assert_eq!(login.logins(), 1, "processes that start later use the token");
    let secrets = [login.tokens().remove(0), login.settings["vault_secret_id"].as_str().unwrap().to_owned()];
    for path in login.host.files("") {
        for secret in &secrets {
            assert!(!contains(&path, secret), "{}", path.display());
        }
    }
}

#[test]
fn killed_login_is_repeated_by_one_process() {
    let login = Login::start(json!({}));
    login.host.vault.next(1, Fault::Hang);
    let mut killed = login.worker(json!({}));
    killed.send("get A");
    login.host.vault.wait_for_requests(1);
    let mut workers = login.workers(&json!({}));
    workers.iter_mut().for_each(|worker| worker.send("get A"));
    killed.signal(libc::SIGKILL);
    assert_values(&workers.iter_mut().map(|worker| worker.answer().unwrap()).collect::<Vec<_>>());
    assert_eq!(login.logins(), 2);
}

#[test]
fn stopped_login_does_not_stop_the_others() {
    let login = Login::start(json!({}));
    login.host.vault.next(1, Fault::Hang);
    let mut stopped = login.worker(json!({}));
    stopped.send("get A");
    login.host.vault.wait_for_requests(1);
    stopped.signal(libc::SIGSTOP);
    let mut workers: Vec<Worker> = (0..3).map(|_| login.worker(json!({"timeout": 16}))).collect();
    assert_values(&ask_all(&mut workers, "get A"));
    assert!(login.logins() <= 4, "one login more for each");
    stopped.signal(libc::SIGCONT);
}

#[test]
fn token_is_renewed_by_one_process_for_all() {
    let login = Login::start(json!({"token_ttl": "1h", "token_max_ttl": "24h"}));
    let mut workers = login.workers(&json!({}));
    assert_values(&ask_all(&mut workers, "get A"));
    for round in 1..=3 {
        // It is due after at most two thirds of its TTL.
        ask_all(&mut workers, "advance 2500");
        for _ in 0..2 {
            let answers = ask_all(&mut workers, "refresh A");
            assert_values(&answers);
            assert!(answers.iter().all(|answer| answer["stale"] == false), "{answers:?}");
            assert_eq!(login.count("/renew-self"), round);
        }
    }
    assert_eq!((login.logins(), login.tokens().len()), (1, 1));
}

#[test]
fn login_that_fails_does_not_end_the_use_of_the_last_token() {
    let login = Login::start(json!({"token_type": "batch", "secret_id_num_uses": 1}));
    let mut worker = login.worker(json!({}));
    assert_values(&[worker.ask("get A")]);
    worker.ask("advance 2500");
    // The token, which cannot be renewed, is due, and the secret ID is used up.
    assert_values(&[worker.ask("refresh A")]);
    assert_eq!(login.logins(), 2);
    let mut late = login.worker(json!({}));
    late.ask("advance 2500");
    let answer = late.ask("get A");
    assert_values(&[answer]);
    assert_eq!((login.logins(), login.tokens().len()), (2, 1));
}

#[test]
fn token_at_its_maximum_ttl_is_replaced_by_one_login() {
    let login = Login::start(json!({"token_ttl": "9s", "token_max_ttl": "9s"}));
    let mut workers = login.workers(&json!({"cache_ttl": 0.5}));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        assert_values(&ask_all(&mut workers, "get A"));
        std::thread::sleep(Duration::from_millis(200));
    }
    let logins = login.logins();
    assert!((3..=1 + begin.elapsed().as_secs() as usize / 5).contains(&logins), "{logins} logins");
    assert!(login.count("/renew-self") <= logins, "one attempt to renew each token");
}

#[test]
fn revoked_token_is_replaced_by_one_login() {
    let login = Login::start(json!({}));
    let mut workers = login.workers(&json!({}));
    assert_values(&ask_all(&mut workers, "get A"));
    let token = login.tokens().remove(0);
    bao().revoke(&token);
    login.host.vault.forget();
    assert_values(&ask_all(&mut workers, "refresh A"));
    assert_eq!(login.logins(), 1);
    // A process that starts now does not try the revoked one.
    login.host.vault.forget();
    assert_values(&[login.worker(json!({})).ask("get A")]);
    assert!(login.logins() == 0 && !login.tokens().contains(&token));
}

#[test]
fn login_of_a_role_without_a_policy_is_not_repeated_by_each_process() {
    let login = Login::start(json!({"token_policies": ["default"]}));
    let mut workers = login.workers(&json!({}));
    for command in ["get A", "refresh A"] {
        let answers = ask_all(&mut workers, command);
        assert!(answers.iter().all(|answer| answer["status"] == "ST_ACCESS_DENIED"), "{answers:?}");
    }
    // The first token, and one that is obtained because the first is denied.
    assert!(login.logins() <= 2, "{} logins", login.logins());
}

#[test]
fn rejected_login_is_not_repeated_by_another_process() {
    let login = Login::start(json!({}));
    let bad = |secret_id: &str| json!({"vault_secret_id": secret_id, "max_backoff": 0.01});
    let mut workers = login.workers(&bad("CANARY-of-a-secret-id"));
    for command in ["get A", "refresh A", "get A"] {
        for answer in ask_all(&mut workers, command) {
            assert_eq!(answer["status"], "ST_ACCESS_DENIED", "{answer}");
            let message = answer["error"].as_str().unwrap();
            assert!(message.contains("the approle login at auth/approle was rejected"), "{message}");
            assert!(!message.contains("CANARY"), "{message}");
        }
    }
    assert_eq!(login.logins(), 1);
    assert_eq!(login.worker(bad("CANARY-of-a-secret-id")).ask("get A")["status"], "ST_ACCESS_DENIED");
    assert_eq!(login.logins(), 1, "a process that starts later does not repeat it either");
    // Four rejections of a role, whatever the processes, are the most that do not lock it.
    for number in 0..6 {
        let answer = login.worker(bad(&format!("bad-{number}"))).ask("refresh A");
        assert_eq!(answer["status"], "ST_ACCESS_DENIED", "{answer}");
    }
    assert_eq!(login.logins(), 4);
    login.assert_not_locked();
    for path in login.host.files("") {
        assert!(!contains(&path, "CANARY-of-a-secret-id"), "{}", path.display());
    }
}

#[test]
fn success_of_one_process_ends_the_record_of_rejections() {
    let login = Login::start(json!({}));
    for round in 0..3 {
        for number in 0..2 {
            let bad = json!({"vault_secret_id": format!("bad-{round}-{number}")});
            assert_eq!(login.worker(bad).ask("get A")["status"], "ST_ACCESS_DENIED");
        }
        let good = json!({"vault_secret_id": login.secret_id()});
        assert_values(&[login.worker(good).ask("get A")]);
    }
    assert_eq!(login.logins(), 9);
    login.assert_not_locked();
}

#[test]
fn outage_during_a_login_is_that_of_all_processes() {
    let login = Login::start(json!({}));
    login.host.vault.always(Fault::status(503));
    let mut workers = login.workers(&json!({"max_attempts": 1}));
    let begin = Instant::now();
    for answer in ask_all(&mut workers, "get A") {
        assert_eq!(answer["status"], "ST_UNAVAILABLE", "{answer}");
    }
    // The shortest pause takes a second.
    assert!(login.logins() <= 1 + begin.elapsed().as_secs() as usize, "{} logins", login.logins());
    login.host.vault.heal();
    login.host.vault.forget();
    assert_values(&ask_all(&mut workers, "refresh A"));
    assert_eq!(login.logins(), 1);
}

#[test]
fn secret_id_for_one_login_suffices_for_the_host() {
    let login = Login::start(json!({"secret_id_num_uses": 1}));
    assert_values(&ask_all(&mut login.workers(&json!({})), "get A"));
    assert_values(&ask_all(&mut login.workers(&json!({})), "get A"));
    assert_eq!(login.logins(), 1);
}

#[test]
fn wrapping_token_is_unwrapped_once_for_the_host() {
    let login = Login::start(json!({}));
    let headers = [("x-vault-token", bao().root()), ("x-vault-wrap-ttl", "1h")];
    let path = format!("/v1/{}/secret-id", login.role);
    let file = login.host.directory.path().join("wrapped");
    let wrap = || {
        let wrapped = http::request(bao().address(), "POST", &path, &headers, b"{}", PATIENCE).unwrap();
        let wrapped: Value = serde_json::from_slice(&wrapped.body).unwrap();
        let token = wrapped["wrap_info"]["token"].as_str().unwrap().to_owned();
        write(&file, &token);
        token
    };
    let mut settings = login.settings.clone();
    settings.as_object_mut().unwrap().remove("vault_secret_id");
    let login = Login { settings, ..login };
    // The key is not derived from the wrapping token.
    let share_key = "c2hhcmVfa2V5c2hhcmVfa2V5c2hhcmVfa2V5c2hhcmU=";
    let more = json!({"vault_secret_id_file": file, "vault_secret_id_wrapped": true, "share_key": share_key});
    let ask = || assert_values(&ask_all(&mut login.workers(&more), "get A"));
    let counts = || (login.count("/unwrap"), login.logins());
    let revoke = |wrapping_token: &str| {
        login.tokens().iter().filter(|token| *token != wrapping_token).for_each(|token| bao().revoke(token));
        login.host.vault.forget();
    };
    let first = wrap();
    ask();
    assert_eq!(counts(), (1, 1));
    revoke(&first);
    ask();
    assert_eq!(counts(), (0, 1), "a process that has not unwrapped the secret ID logs in with it");
    revoke(&first);
    wrap();
    ask();
    assert_eq!(counts(), (1, 1), "another wrapping token has another secret ID");
}

#[test]
fn jwt_logs_in_once_for_the_host() {
    let login = Login::start(json!({}));
    let mount = unique("jwt");
    let policy = bao().policy(&[&format!("secret/data/{}*", login.host.path)], &["read"]);
    let (role, issuer) = bao().jwt(&mount, &[&policy], "1h");
    let file = write(&login.host.directory.path().join("jwt"), &issuer.token(3600));
    let mut settings = login.settings.clone();
    ["vault_secret_id", "vault_role_id"].iter().for_each(|key| drop(settings.as_object_mut().unwrap().remove(*key)));
    let login = Login { settings, ..login };
    let more = json!({"vault_auth": "jwt", "vault_auth_mount": mount, "vault_role": role, "vault_jwt_file": file});
    assert_values(&ask_all(&mut login.workers(&more), "get A"));
    assert_eq!(login.logins(), 1);
    write(&file, &issuer.token(3500));
    assert_values(&ask_all(&mut login.workers(&more), "get A"));
    assert_eq!(login.logins(), 2, "another JWT logs in itself");
}

#[test]
fn login_is_not_shared_with_who_could_get_another_token() {
    let login = Login::start(json!({}));
    assert_values(&[login.worker(json!({})).ask("get A")]);
    assert_eq!(login.logins(), 1);
    let text = |key: &str| login.settings[key].as_str().unwrap().to_owned();
    let (role_id, secret_id) = (text("vault_role_id"), text("vault_secret_id"));
    // The same credentials at another mount, and in a namespace, each with the right to read the same path there.
    let policy = bao().policy(&[&format!("secret/data/{}*", login.host.path)], &["read"]);
    let define = |start: &str, mount: &str, policy: &str| {
        bao().ask("POST", &format!("{start}sys/auth/{mount}"), json!({"type": "approle"}));
        let role = format!("{start}auth/{mount}/role/{}", unique("role"));
        bao().ask("POST", &role, json!({"token_policies": [policy], "token_ttl": "1h"}));
        bao().ask("POST", &format!("{role}/role-id"), json!({"role_id": role_id}));
        bao().ask("POST", &format!("{role}/custom-secret-id"), json!({"secret_id": secret_id}));
    };
    let (mount, namespace) = (unique("approle"), bao().namespace());
    define("", &mount, &policy);
    bao().mount_in(&namespace, "secret", 2);
    let rules = format!("path \"secret/data/{}*\" {{ capabilities = [\"read\"] }}", login.host.path);
    bao().ask("PUT", &format!("{namespace}/sys/policies/acl/reader"), json!({"policy": rules}));
    define(&format!("{namespace}/"), "approle", "reader");
    bao().put(&format!("{namespace}/secret"), &login.host.path, &json!({"A": canary("first")}));
    let other = Login::start(json!({"token_policies": [policy]}));
    let other_role = json!({
        "vault_role_id": other.settings["vault_role_id"], "vault_secret_id": other.settings["vault_secret_id"],
    });
    let key = "00000000000000000000000000000000000000000000";
    let key = format!("{}=", &key[..43]);
    let path = &login.host.path;
    let mut tokens = login.tokens();
    for (what, more) in [
        ("secret ID", json!({"vault_secret_id": login.secret_id()})),
        ("role", other_role),
        ("mount", json!({"vault_auth_mount": mount})),
        ("namespace", json!({"vault_namespace": namespace})),
        ("address", json!({"vault_url": login.host.vault.url().replace("127.0.0.1", "localhost")})),
        ("key", json!({"share_key": key})),
    ] {
        login.host.vault.forget();
        let settings = merged(merged(login.settings.clone(), json!({"vault_path": path})), more);
        assert_values(&[Worker::start(&settings).ask("get A")]);
        assert_eq!(login.logins(), 1, "another {what}");
        tokens.extend(login.tokens());
        let count = tokens.len();
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), count, "another {what} has a token of its own");
    }
}
