//! AWS credentials that one process fetches for all.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{Key, moto, unique};
use crate::common::{temp_in_memory, write};
use crate::worker::{Worker, canary, contains, merged};

const PROCESSES: usize = 8;
const READ: &[&str] = &["secretsmanager:GetSecretValue"];
const ASSUME: &[&str] = &["sts:AssumeRole"];

/// Secrets Manager, and what credentials are fetched from. Each process has a secret of its own.
struct Cloud {
    secrets: Proxy,
    /// STS, or an endpoint that answers as the test says.
    logins: Proxy,
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Cloud {
    fn start(logins: &str, variables: &[(&str, &str)]) -> Cloud {
        let (secrets, logins, directory) = (Proxy::to(moto().address()), Proxy::to(logins), temp_in_memory());
        let mut all: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.extend([
            ("HOME".to_owned(), directory.path().to_str().unwrap().to_owned()),
            ("AWS_ENDPOINT_URL_STS".to_owned(), logins.url()),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ]);
        Cloud { secrets, logins, directory, variables: all }
    }

    /// With a profile that assumes a role.
    fn assuming(source: &Key, role: &str) -> Cloud {
        let cloud = Cloud::start(moto().address(), &[]);
        cloud.profile(source, role, "");
        cloud
    }

    fn profile(&self, source: &Key, role: &str, more: &str) {
        let source =
            format!("[profile base]\naws_access_key_id = {}\naws_secret_access_key = {}\n", source.id, source.secret);
        self.config(&format!("[default]\nrole_arn = {role}\nsource_profile = base\n{more}\n{source}"));
    }

    /// With the endpoint of a container, which returns these keys.
    fn container(fetched: &Fault) -> Cloud {
        let mut cloud = Cloud::start("127.0.0.1:1", &[("AWS_CONTAINER_AUTHORIZATION_TOKEN", "CANARY-authorization")]);
        cloud.logins.always(fetched.clone());
        cloud.variables.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), format!("{}/keys", cloud.logins.url())));
        cloud
    }

    fn config(&self, text: &str) {
        std::fs::create_dir_all(self.directory.path().join(".aws")).unwrap();
        write(&self.directory.path().join(".aws/config"), text);
    }

    fn worker_with(&self, variables: &[(&str, &str)], more: Value) -> Worker {
        let name = unique("shared");
        moto().secret(&name, &json!({"A": canary("aws")}).to_string());
        let settings = json!({
            "providers": ["aws"], "aws_secret_name": name, "aws_region": "us-east-1",
            "aws_endpoint_url": self.secrets.url(), "share": "host",
            "share_dir": self.directory.path().join("share"), "timeout": 120,
        });
        let all = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let words: Vec<String> =
            all.chain(variables.iter().copied()).map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<&str> = ["env"].into_iter().chain(words.iter().map(String::as_str)).collect();
        Worker::start_under(&words, &merged(settings, more))
    }

    fn worker(&self) -> Worker {
        self.worker_with(&[], json!({}))
    }

    fn workers(&self) -> Vec<Worker> {
        (0..PROCESSES).map(|_| self.worker()).collect()
    }

    fn fetches(&self) -> usize {
        self.logins.requests().len()
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        std::fs::read_dir(self.directory.path().join("share")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// The response of a container endpoint.
fn container_response(key: &Key, lifetime: Duration) -> Fault {
    let expires = SystemTime::now() + lifetime;
    let seconds = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let expires = time::OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap();
    let expires = expires.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({"AccessKeyId": key.id, "SecretAccessKey": key.secret, "Token": key.token, "Expiration": expires});
    Reply::new(200).body(body.to_string()).into()
}

fn ask_all(workers: &mut [Worker], command: &str) -> Vec<Value> {
    workers.iter_mut().for_each(|worker| worker.send(command));
    workers.iter_mut().map(|worker| worker.answer().unwrap()).collect()
}

#[track_caller]
fn assert_values(answers: &[Value]) {
    assert!(answers.iter().all(|answer| answer["value"] == canary("aws")), "{answers:?}");
}

#[test]
fn processes_with_different_secrets_assume_a_role_once() {
    let source = moto().user(ASSUME);
    let cloud = Cloud::assuming(&source, &moto().role(READ));
    cloud.logins.always(Fault::Delay(Duration::from_millis(300)));
    assert_values(&ask_all(&mut cloud.workers(), "get A"));
    assert_eq!((cloud.fetches(), cloud.secrets.requests().len()), (1, PROCESSES));
    assert_values(&ask_all(&mut cloud.workers(), "get A"));
    assert_eq!(cloud.fetches(), 1, "processes that start later use the credentials");
    let requests = cloud.secrets.requests();
    let token = requests[0].header("x-amz-security-token").unwrap();
    assert!(requests.iter().all(|request| request.header("x-amz-security-token") == Some(token)));
    for path in cloud.files() {
        for secret in [token, &source.secret] {
            assert!(!contains(&path, secret), "{}", path.display());
        }
    }
}

#[test]
fn killed_fetch_is_repeated_by_one_process() {
    let cloud = Cloud::assuming(&moto().user(ASSUME), &moto().role(READ));
    cloud.logins.next(1, Fault::Hang);
    let mut killed = cloud.worker();
    killed.send("get A");
    cloud.logins.wait_for_requests(1);
    let mut workers = cloud.workers();
    workers.iter_mut().for_each(|worker| worker.send("get A"));
    killed.signal(libc::SIGKILL);
    assert_values(&workers.iter_mut().map(|worker| worker.answer().unwrap()).collect::<Vec<_>>());
    assert_eq!(cloud.fetches(), 2);
}

#[test]
fn credentials_are_refreshed_by_one_process_before_they_expire() {
    let hour = Duration::from_secs(3600);
    let session = moto().assume(&moto().role(READ));
    let cloud = Cloud::container(&container_response(&session, hour));
    let mut workers = cloud.workers();
    assert_values(&ask_all(&mut workers, "get A"));
    assert_values(&ask_all(&mut workers, "refresh A"));
    assert_eq!(cloud.fetches(), 1);
    // In the last quarter of an hour a refresh is tried. If it fails, the credentials are still used, also by a process
    // that starts then.
    ask_all(&mut workers, "advance 2800");
    cloud.logins.always(Fault::status(400));
    assert_values(&ask_all(&mut workers, "refresh A"));
    let mut late = cloud.worker();
    late.ask("advance 2800");
    assert_values(&[late.ask("get A")]);
    assert!(cloud.fetches() > 1);
    cloud.logins.forget();
    cloud.logins.always(container_response(&session, hour));
    assert_values(&ask_all(&mut workers, "refresh A"));
    assert_values(&ask_all(&mut workers, "refresh A"));
    assert_eq!(cloud.fetches(), 1);
    // Shortly before they expire, a refresh is necessary.
    ask_all(&mut workers, "advance 3500");
    assert_values(&ask_all(&mut workers, "refresh A"));
    assert_eq!(cloud.fetches(), 2);
    ask_all(&mut workers, "advance 3500");
    cloud.logins.always(Fault::status(400));
    for answer in ask_all(&mut workers, "refresh A") {
        assert_eq!(answer["stale"], true, "{answer}");
    }
}

#[test]
fn rejected_credentials_are_replaced_by_one_process() {
    let role = moto().role(READ);
    let (first, second) = (moto().assume(&role), moto().assume(&role));
    let hour = Duration::from_secs(3600);
    let cloud = Cloud::container(&container_response(&first, hour));
    let mut workers = cloud.workers();
    assert_values(&ask_all(&mut workers, "get A"));
    assert_eq!(cloud.fetches(), 1);
    cloud.logins.always(container_response(&second, hour));
    cloud.logins.forget();
    for worker in &mut workers {
        cloud.secrets.next(1, Fault::aws(400, "ExpiredTokenException"));
        assert_values(&[worker.ask("refresh A")]);
    }
    assert_eq!(cloud.fetches(), 1, "the first process fetches others, which the next ones take");
    // A process that starts now never sends the rejected ones.
    cloud.secrets.forget();
    assert_values(&[cloud.worker().ask("get A")]);
    let tokens: Vec<_> =
        cloud.secrets.requests().iter().map(|one| one.header("x-amz-security-token").map(str::to_owned)).collect();
    assert_eq!(tokens, vec![second.token]);
}

#[test]
fn failed_fetch_of_one_process_is_that_of_all() {
    let cloud = Cloud::container(&Fault::status(400));
    let mut workers = cloud.workers();
    let begin = Instant::now();
    for answer in ask_all(&mut workers, "get A") {
        assert!(answer["error"].as_str().unwrap().contains("the container endpoint"), "{answer}");
    }
    // The shortest pause takes a second.
    assert!(cloud.fetches() <= 1 + begin.elapsed().as_secs() as usize, "{} fetches", cloud.fetches());
    cloud.logins.forget();
    cloud.logins.always(container_response(&moto().assume(&moto().role(READ)), Duration::from_secs(3600)));
    assert_values(&ask_all(&mut workers, "refresh A"));
    assert_eq!(cloud.fetches(), 1);
}

#[test]
fn role_is_not_shared_with_who_could_assume_another() {
    let (source, other) = (moto().user(ASSUME), moto().user(ASSUME));
    let (role, other_role) = (moto().role(READ), moto().role(READ));
    let cloud = Cloud::assuming(&source, &role);
    let tries = |what: &str, variables: &[(&str, &str)], more: Value| {
        cloud.logins.forget();
        let mut workers: Vec<Worker> = (0..2).map(|_| cloud.worker_with(variables, more.clone())).collect();
        assert_values(&ask_all(&mut workers, "get A"));
        assert_eq!(cloud.fetches(), 1, "{what}");
    };
    tries("the first", &[], json!({}));
    for (what, source, role, more) in [
        ("another role", &source, &other_role, ""),
        ("another source", &other, &role, ""),
        ("an external id", &source, &role, "external_id = outside"),
        ("a session name", &source, &role, "role_session_name = rank"),
        ("a duration", &source, &role, "duration_seconds = 900"),
    ] {
        cloud.profile(source, role, more);
        tries(what, &[], json!({}));
    }
    // The role of the settings, on top of what the profile has.
    cloud.config(&format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", source.id, source.secret));
    let settings = json!({"aws_role_arn": role, "aws_role_session_name": "settings"});
    tries("a role in the settings", &[], settings.clone());
    tries("another role in the settings", &[], merged(settings.clone(), json!({"aws_role_arn": other_role})));
    tries("an external id in the settings", &[], merged(settings, json!({"aws_external_id": "outside"})));
    cloud.profile(&source, &role, "");
    let key = format!("{}=", "0".repeat(43));
    tries("another key", &[], json!({"share_key": key}));
}

#[test]
fn credentials_of_a_container_are_not_shared_with_another_task() {
    let session = moto().assume(&moto().role(READ));
    let cloud = Cloud::container(&container_response(&session, Duration::from_secs(3600)));
    assert_values(&[cloud.worker().ask("get A"), cloud.worker().ask("get A")]);
    assert_eq!(cloud.fetches(), 1);
    let url = format!("{}/other", cloud.logins.url());
    for (name, value) in
        [("AWS_CONTAINER_AUTHORIZATION_TOKEN", "another"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str())]
    {
        let before = cloud.fetches();
        assert_values(&[cloud.worker_with(&[(name, value)], json!({})).ask("get A")]);
        assert_eq!(cloud.fetches(), before + 1, "another {name}");
    }
    for path in cloud.files() {
        assert!(!contains(&path, "CANARY-authorization"), "{}", path.display());
    }
}

/// Writes a program that prints these keys and counts how often it ran.
fn program(directory: &Path, key: &Key) -> (String, std::path::PathBuf) {
    let (path, runs) = (directory.join("program"), directory.join("runs"));
    let output = json!({"Version": 1, "AccessKeyId": key.id, "SecretAccessKey": key.secret, "SessionToken": key.token});
    write(&path, &format!("#!/bin/sh\necho run >> {}\ncat <<'END'\n{output}\nEND\n", runs.display()));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    (path.to_str().unwrap().to_owned(), runs)
}

#[test]
fn credential_process_runs_once_for_the_host() {
    let cloud = Cloud::start("127.0.0.1:1", &[]);
    let (program, runs) = program(cloud.directory.path(), &moto().assume(&moto().role(READ)));
    cloud.config(&format!(
        "[default]\ncredential_process = {program}\n[profile other]\ncredential_process = {program} --other\n"
    ));
    let runs = || std::fs::read_to_string(&runs).unwrap_or_default().lines().count();
    assert_values(&ask_all(&mut cloud.workers(), "get A"));
    assert_eq!(runs(), 1);
    let with_rank = cloud.worker_with(&[("RANK", "7")], json!({})).ask("get A");
    assert_values(&[with_rank]);
    assert_eq!(runs(), 1);
    for (count, variables, more) in
        [(2, ("RANK", "7"), json!({"aws_profile": "other"})), (3, ("AWS_LOGIN_OF_THE_PROGRAM", "other"), json!({}))]
    {
        assert_values(&[cloud.worker_with(&[variables], more).ask("get A")]);
        assert_eq!(runs(), count);
    }
}

#[test]
fn keys_that_need_no_request_are_not_shared() {
    let key = moto().user(READ);
    let variables = [("AWS_ACCESS_KEY_ID", key.id.as_str()), ("AWS_SECRET_ACCESS_KEY", &key.secret)];
    let cloud = Cloud::start("127.0.0.1:1", &variables);
    assert_values(&[cloud.worker().ask("get A")]);
    let pages = cloud.files().iter().filter(|path| path.extension().is_some_and(|end| end == "page")).count();
    assert_eq!(pages, 1, "that of the document");
}
