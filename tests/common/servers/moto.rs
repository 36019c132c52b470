//! AWS, as far as moto is it: Secrets Manager, IAM and STS.
//!
//! Set up with [`Moto::secret`], [`Moto::user`], [`Moto::role`]…, or with any operation of boto3 by [`Moto::call`]; ask
//! as a certain user by [`Moto::call_as`], the other side of a comparison. [`moto()`] checks signatures and permissions
//! always, a private one after [`Moto::enforce`].
//!
//! moto is not AWS where statuses are concerned (a missing secret is 404, a bad signature 403 with XML); no test may
//! take that for AWS's behaviour. What it cannot do (throttle, expire, be late), a proxy in front of it does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine;
use serde_json::{Value, json};

use super::process::{self, Process};
use super::{Variables, http, python, root, unique};
use crate::common::time::PATIENCE;

const SHARED: &str = "ST_SECRETS_TEST_MOTO";

/// An access key.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl Key {
    pub fn new(id: &str, secret: &str, token: Option<&str>) -> Key {
        Key { id: id.into(), secret: secret.into(), token: token.map(str::to_owned) }
    }

    fn from_json(made: &Value) -> Key {
        let field = |name: &str| made[name].as_str().map(str::to_owned);
        Key {
            id: field("AccessKeyId").unwrap(),
            secret: field("SecretAccessKey").unwrap(),
            token: field("SessionToken"),
        }
    }

    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where there is one, `AWS_SESSION_TOKEN`.
    pub fn variables(&self) -> Variables {
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), self.id.clone()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), self.secret.clone()),
        ];
        variables.extend(self.token.iter().map(|token| ("AWS_SESSION_TOKEN".to_owned(), token.clone())));
        variables
    }
}

/// An error of AWS: its code, message and HTTP status.
#[derive(Debug)]
pub struct Refused {
    pub code: String,
    pub message: String,
    pub status: u64,
}

/// A moto server, empty and without checks when it starts.
pub struct Moto {
    address: String,
    admin: Mutex<Option<Key>>,
    boto: Mutex<Option<Boto>>,
    server: Option<(Process, tempfile::TempDir)>,
}

/// The moto of all tests of this file, which checks signatures and permissions.
pub fn moto() -> &'static Moto {
    MOTO.get_or_init(|| match std::env::var(SHARED) {
        Ok(known) => {
            let mut words = known.split(' ').map(str::to_owned);
            let mut next = || words.next().unwrap();
            let (address, admin) = (next(), Key { id: next(), secret: next(), token: None });
            Moto { address, admin: Mutex::new(Some(admin)), boto: Mutex::default(), server: None }
        }
        Err(_) => {
            let moto = Moto::start();
            moto.enforce();
            moto
        }
    })
}

static MOTO: OnceLock<Moto> = OnceLock::new();

pub(super) fn shared_variable() -> Option<(String, String)> {
    let moto = MOTO.get()?;
    let admin = moto.admin();
    Some((SHARED.into(), format!("{} {} {}", moto.address, admin.id, admin.secret)))
}

impl Moto {
    pub fn start() -> Moto {
        let directory = crate::common::temp();
        let log = directory.path().join("moto.log");
        for _ in 0..5 {
            let port = process::free_port();
            let address = format!("127.0.0.1:{port}");
            let mut command = python();
            command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
            let mut server = Process::start(command, &log);
            // Its own word, not the port: another program may have taken that in between.
            if server.wait(|log| log.contains("Running on http://")) {
                let server = Some((server, directory));
                return Moto { address, admin: Mutex::default(), boto: Mutex::default(), server };
            }
        }
        panic!("moto does not start:\n{}", std::fs::read_to_string(log).unwrap());
    }

    /// host:port
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The endpoint of every service.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a program needs to ask this server as the owner of `key`, and not to look for other credentials.
    pub fn variables(&self, key: &Key) -> Variables {
        let mut variables = key.variables();
        variables.push(("AWS_DEFAULT_REGION".into(), "us-east-1".into()));
        variables.push(("AWS_ENDPOINT_URL".into(), self.url()));
        variables.push(("AWS_EC2_METADATA_DISABLED".into(), "true".into()));
        variables
    }

    /// From now on signatures and permissions are checked. What tests have set up still works.
    pub fn enforce(&self) {
        self.admin();
        self.control("reset-auth", b"0");
    }

    /// From now on nothing is checked.
    pub fn relax(&self) {
        self.control("reset-auth", b"inf");
    }

    /// Forgets every secret, user and role, and checks nothing.
    pub fn reset(&self) {
        self.relax();
        self.control("reset", b"");
        *lock(&self.admin) = None;
    }

    fn control(&self, what: &str, body: &[u8]) {
        let headers = [("content-type", "text/plain")];
        let path = format!("/moto-api/{what}");
        let answer = http::request(&self.address, "POST", &path, &headers, body, PATIENCE).unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }

    /// Stops the server's process: connections are taken and nothing answers until [`Moto::resume`].
    pub fn pause(&self) {
        self.server().pause();
    }

    pub fn resume(&self) {
        self.server().resume();
    }

    fn server(&self) -> &Process {
        &self.server.as_ref().expect("a server of the test's own").0
    }

    /// Creates a secret, or gives it a new version that is AWSCURRENT at once. The version's id.
    pub fn secret(&self, name: &str, text: &str) -> String {
        self.store(name, json!(text), "SecretString")
    }

    /// The same with bytes.
    pub fn binary_secret(&self, name: &str, bytes: &[u8]) -> String {
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        self.store(name, json!({"$bytes": encoded}), "SecretBinary")
    }

    fn store(&self, name: &str, value: Value, field: &str) -> String {
        let created = self.ask("secretsmanager", "create_secret", json!({"Name": name, field: value}));
        let stored = created.unwrap_or_else(|_| {
            self.call("secretsmanager", "put_secret_value", json!({"SecretId": name, field: value}))
        });
        stored["VersionId"].as_str().unwrap().to_owned()
    }

    /// A new version under `stages` alone (say `AWSPENDING`). Its id.
    pub fn version(&self, name: &str, text: &str, stages: &[&str]) -> String {
        let arguments = json!({"SecretId": name, "SecretString": text, "VersionStages": stages});
        let put = self.call("secretsmanager", "put_secret_value", arguments);
        put["VersionId"].as_str().unwrap().to_owned()
    }

    /// Deletes a secret at once; with `days`, so that it can be restored for as long.
    pub fn delete(&self, name: &str, days: Option<u32>) {
        let arguments = match days {
            Some(days) => json!({"SecretId": name, "RecoveryWindowInDays": days}),
            None => json!({"SecretId": name, "ForceDeleteWithoutRecovery": true}),
        };
        self.call("secretsmanager", "delete_secret", arguments);
    }

    pub fn restore(&self, name: &str) {
        self.call("secretsmanager", "restore_secret", json!({"SecretId": name}));
    }

    /// A new user who may do `actions` (say `secretsmanager:GetSecretValue`) and nothing else.
    pub fn user(&self, actions: &[&str]) -> Key {
        let name = unique("user");
        self.call("iam", "create_user", json!({"UserName": name}));
        if !actions.is_empty() {
            let arguments = json!({"UserName": name, "PolicyName": "tests", "PolicyDocument": policy(actions)});
            self.call("iam", "put_user_policy", arguments);
        }
        let made = self.call("iam", "create_access_key", json!({"UserName": name}));
        Key::from_json(&made["AccessKey"])
    }

    /// A new role that any caller may assume and that may do `actions`. Its ARN.
    pub fn role(&self, actions: &[&str]) -> String {
        let name = unique("role");
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        ]});
        let arguments = json!({"RoleName": name, "AssumeRolePolicyDocument": trust.to_string()});
        let made = self.call("iam", "create_role", arguments);
        let arguments = json!({"RoleName": name, "PolicyName": "tests", "PolicyDocument": policy(actions)});
        self.call("iam", "put_role_policy", arguments);
        made["Role"]["Arn"].as_str().unwrap().to_owned()
    }

    /// The key of a session of `role`.
    pub fn assume(&self, role: &str) -> Key {
        let arguments = json!({"RoleArn": role, "RoleSessionName": unique("session")});
        Key::from_json(&self.call("sts", "assume_role", arguments)["Credentials"])
    }

    /// Any operation of boto3, as the administrator: `call("iam", "create_user", json!({"UserName": "ada"}))`.
    pub fn call(&self, service: &str, operation: &str, arguments: Value) -> Value {
        self.ask(service, operation, arguments).unwrap_or_else(|refused| panic!("{operation}: {refused:?}"))
    }

    /// The same, with the error that AWS answers.
    pub fn ask(&self, service: &str, operation: &str, arguments: Value) -> Result<Value, Refused> {
        let admin = lock(&self.admin).clone();
        self.call_as(&admin.unwrap_or_else(|| Key::new("test", "test", None)), service, operation, arguments)
    }

    /// The same as the owner of `key`.
    pub fn call_as(&self, key: &Key, service: &str, operation: &str, arguments: Value) -> Result<Value, Refused> {
        let key = json!({"id": key.id, "secret": key.secret, "token": key.token});
        let request = json!({"service": service, "operation": operation, "arguments": arguments, "key": key});
        let mut boto = lock(&self.boto);
        let mut answer = boto.get_or_insert_with(|| Boto::start(&self.url())).ask(&request);
        match answer["error"].as_str() {
            None => Ok(answer["ok"].take()),
            Some(code) => Err(Refused {
                code: code.to_owned(),
                message: answer["message"].as_str().unwrap_or_default().to_owned(),
                status: answer["status"].as_u64().unwrap_or_default(),
            }),
        }
    }

    /// The user that sets the server up: created before policies are enforced.
    fn admin(&self) -> Key {
        let known = lock(&self.admin).clone();
        known.unwrap_or_else(|| {
            let admin = self.user(&["*"]);
            *lock(&self.admin) = Some(admin.clone());
            admin
        })
    }
}

fn policy(actions: &[&str]) -> String {
    let statement = json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `tests/python/aws.py`.
struct Boto {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Boto {
    fn start(url: &str) -> Boto {
        let mut command = python();
        command.arg(root().join("tests/python/aws.py")).arg(url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn(command);
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Boto { child, to, from }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.to, "{request}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Boto {
    fn drop(&mut self) {
        process::end(&mut self.child);
    }
}
