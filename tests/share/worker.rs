//! Processes that use the library on command.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::FromRawFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use st_secrets::{Config, GetOptions, Manager, Scope, Secret};

use crate::common::fork::{fork, said_yes};
use crate::common::proxy::Proxy;
use crate::common::servers::{bao, unique};
use crate::common::time::{PATIENCE, advance};
use crate::common::{temp_in_memory, undisturbed};

const SETTINGS: &str = "ST_SECRETS_TEST_SETTINGS";
/// What precedes an answer, so that lines of the test harness are not taken for one.
const MARK: &str = "answer ";

/// A process with a manager.
pub(crate) struct Worker {
    pub(crate) process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A document in OpenBao, and a directory that is shared.
pub(crate) struct Host {
    pub(crate) vault: Proxy,
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) directory: tempfile::TempDir,
}

impl Host {
    /// A document `{"A": "canary-…"}`.
    pub(crate) fn start() -> Host {
        let path = unique("shared");
        bao().put("secret", &path, &json!({"A": canary("first")}));
        let token = bao().token(&[&bao().policy(&[&format!("secret/data/{path}")], &["read"])], "1h");
        Host { vault: Proxy::to(bao().address()), path, token, directory: temp_in_memory() }
    }

    /// The settings of its processes. A process that has loaded with a token loads again after 5 s, when it has looked
    /// the token up. So where requests are counted, it gets nothing later than that.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "providers": ["vault"], "vault_url": self.vault.url(), "vault_path": self.path, "vault_token": self.token,
            "vault_kv_version": "2", "share": "host", "share_dir": self.directory.path().join("share"), "timeout": 60,
            "cache_ttl": 30_000,
        })
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker::start(&self.settings())
    }

    pub(crate) fn worker_with(&self, more: Value) -> Worker {
        Worker::start(&merged(self.settings(), more))
    }

    pub(crate) fn put(&self, value: &str) {
        bao().put("secret", &self.path, &json!({"A": canary(value)}));
    }

    /// How often the document was requested.
    pub(crate) fn loads(&self) -> usize {
        let is_load = |request: &&crate::common::proxy::Request| request.path.contains(&self.path);
        self.vault.requests().iter().filter(is_load).count()
    }

    /// The files of the shared directory whose names end like this.
    pub(crate) fn files(&self, end: &str) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.directory.path().join("share")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(end)).collect()
    }
}

/// A value that is searched for where it must not be.
pub(crate) fn canary(value: &str) -> String {
    format!("canary-{value}-2b7e151628aed2a6")
}

pub(crate) fn merged(mut settings: Value, more: Value) -> Value {
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

impl Worker {
    pub(crate) fn start(settings: &Value) -> Worker {
        Worker::start_under(&[], settings)
    }

    /// Starts a process with this program and its arguments before it.
    pub(crate) fn start_under(wrapper: &[&str], settings: &Value) -> Worker {
        Worker::start_test("worker::worker", wrapper, settings)
    }

    /// Does the same with a process whose body is this test.
    pub(crate) fn start_test(test: &str, wrapper: &[&str], settings: &Value) -> Worker {
        let own = std::env::current_exe().unwrap();
        let mut words = wrapper.iter().map(|word| (*word).to_owned()).chain([own.to_str().unwrap().to_owned()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env(SETTINGS, settings.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = undisturbed(&mut command).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut worker = Worker { process, input, output };
        assert_eq!(worker.answer(), Some(json!("ready")));
        worker
    }

    pub(crate) fn id(&self) -> libc::pid_t {
        self.process.id() as libc::pid_t
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process is a child that was not waited for yet.
        unsafe { libc::kill(self.id(), signal) };
    }

    /// Sends a command without waiting for its answer.
    pub(crate) fn send(&mut self, command: &str) {
        assert!(self.try_send(command), "the process has ended");
    }

    /// Does the same; false if the process has ended.
    pub(crate) fn try_send(&mut self, command: &str) -> bool {
        writeln!(self.input, "{command}").is_ok()
    }

    /// The next answer; `None` if the process has ended.
    pub(crate) fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, answer)) = line.split_once(MARK) {
                return Some(serde_json::from_str(answer).unwrap());
            }
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> Value {
        self.send(command);
        self.answer().unwrap_or_else(|| panic!("the process ended during {command:?}"))
    }

    /// The value of a key; the answer of a get must have one.
    #[track_caller]
    pub(crate) fn get(&mut self, key: &str) -> String {
        let answer = self.ask(&format!("get {key}"));
        answer["value"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The body of a worker. As a test it does nothing.
#[test]
fn worker() {
    if std::env::var_os(SETTINGS).is_some() {
        let secrets = open();
        serve(|command, argument| run(&secrets, command, argument));
    }
}

/// The configuration of this process; `None` if it is none of ours.
pub(crate) fn configuration() -> Option<Config> {
    let mut config = Config::new();
    config.parse(&std::env::var(SETTINGS).ok()?).unwrap();
    Some(config)
}

/// Runs commands until the input ends.
pub(crate) fn serve(mut run: impl FnMut(&str, &str) -> Value) {
    // The standard output of the test harness has a lock and a buffer, which a forked child would inherit.
    // SAFETY: the descriptor is open until the process ends.
    let mut output = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(1) });
    let mut answer = |value: Value| output.write_all(format!("\n{MARK}{value}\n").as_bytes()).unwrap();
    answer(json!("ready"));
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        answer(run(command, argument));
    }
}

fn open() -> Manager {
    Manager::open(&configuration().unwrap()).unwrap()
}

fn run(secrets: &Manager, command: &str, argument: &str) -> Value {
    let refresh = GetOptions { refresh: true, ..GetOptions::default() };
    match command {
        "get" => shown(secrets.get(argument)),
        "refresh" => shown(secrets.get_with(argument, &refresh)),
        "prefetch" => secrets.prefetch(None).map_or_else(|error| json!({"error": error.message()}), |()| json!({})),
        "clear" => {
            secrets.clear_cache();
            json!({})
        }
        "share" => serde_json::from_str(&secrets.share()).unwrap(),
        "check" => serde_json::from_str(&secrets.check()).unwrap(),
        "advance" => {
            advance(Duration::from_secs(argument.parse().unwrap()));
            json!({})
        }
        // Gets a value in many children at once.
        "forks" => {
            let is_right = || secrets.get("A").is_ok_and(|secret| secret.value().starts_with(b"canary-"));
            let children: Vec<_> = (0..argument.parse().unwrap()).map(|_| fork(is_right)).collect();
            json!(children.into_iter().filter(|child| said_yes(*child)).count())
        }
        // Gets values until the next line, while other threads load, and forks meanwhile.
        "forks-under-load" => forks_under_load(secrets, argument.parse().unwrap()),
        "get-marked" => {
            mark();
            let secret = secrets.get(argument);
            mark();
            shown(secret)
        }
        "thread" => json!(crate::common::time::thread_number()),
        "cached" => shown(secrets.get_with(argument, &GetOptions { cached_only: true, ..GetOptions::default() })),
        // What is open besides the standard streams.
        "files" => {
            let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten().map(|entry| entry.path());
            json!(links.filter_map(|link| std::fs::read_link(link).ok()).collect::<Vec<_>>())
        }
        // Gets a value in many processes, each with a manager of its own, at once.
        "processes" => {
            let is_right = || open().get("A").is_ok_and(|secret| secret.value().starts_with(b"canary-"));
            let children: Vec<_> = (0..argument.parse().unwrap()).map(|_| fork(is_right)).collect();
            json!(children.into_iter().filter(|child| said_yes(*child)).count())
        }
        // Another manager with the same settings.
        "get-again" => shown(open().get(argument)),
        // Fills a file system.
        "fill" => {
            let mut file = File::create(argument).unwrap();
            while file.write(&[0; 4096]).is_ok_and(|count| count > 0) {}
            json!({})
        }
        // Gets a value this often. The lowest number in what it got.
        "least" => json!((0..argument.parse().unwrap()).map(|_: u64| numbered(secrets)).min()),
        "generation" => json!(secrets.generation()),
        "listen" => json!(secrets.listen(argument.parse().unwrap(), PATIENCE).unwrap()),
        "listen-briefly" => json!(secrets.listen(argument.parse().unwrap(), Duration::from_millis(1)).unwrap()),
        "listen-for-a-second" => json!(secrets.listen(secrets.generation(), Duration::from_secs(1)).unwrap()),
        "watch" => {
            let key = Some(argument).filter(|key| !key.is_empty());
            let called = |key: Option<&str>, generation| CALLED.lock().unwrap().push(json!([key, generation]));
            json!(secrets.watch(key, called).unwrap())
        }
        "unwatch" => json!(secrets.unwatch(argument.parse().unwrap())),
        "called" => json!(*CALLED.lock().unwrap()),
        "set" => secrets.set(argument, b"own").map_or_else(|error| json!({"error": error.message()}), |()| json!({})),
        "invalidate" => invalidate(secrets, Scope::Host, Duration::from_millis(300)),
        "invalidate-patiently" => invalidate(secrets, Scope::Host, PATIENCE),
        "invalidate-cluster-briefly" => invalidate(secrets, Scope::Cluster, Duration::from_secs(3)),
        "invalidate-cluster" => invalidate(secrets, Scope::Cluster, PATIENCE),
        "fork-readers" => fork_readers(secrets, argument.parse().unwrap()),
        "exit" => std::process::exit(0),
        _ => panic!("unknown command {command}"),
    }
}

/// What watches were called with.
static CALLED: std::sync::Mutex<Vec<Value>> = std::sync::Mutex::new(Vec::new());

fn invalidate(secrets: &Manager, scope: Scope, timeout: Duration) -> Value {
    match secrets.invalidate(Some("A"), scope, timeout) {
        Ok(report) => serde_json::from_str(&report).unwrap(),
        Err(error) => json!({"error": error.message()}),
    }
}

/// The number in the value of `A`.
fn numbered(secrets: &Manager) -> u64 {
    let secret = secrets.get("A").unwrap();
    let value = std::str::from_utf8(secret.value()).unwrap();
    value.split('-').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Children that get values until the file `floor` says so. How many got nothing older than the number in it.
fn fork_readers(secrets: &Manager, count: usize) -> Value {
    let settings: Value = serde_json::from_str(&std::env::var(SETTINGS).unwrap()).unwrap();
    let floor = Path::new(settings["share_dir"].as_str().unwrap()).with_file_name("floor");
    let read = || loop {
        let floor = std::fs::read_to_string(&floor).unwrap_or_default();
        if floor == "end" {
            return true;
        }
        let Ok(secret) = secrets.get("A") else { return false };
        let value = String::from_utf8_lossy(secret.value()).into_owned();
        let number = value.split('-').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        if floor.parse().is_ok_and(|floor: u64| number < floor) {
            return false;
        }
    };
    let children: Vec<_> = (0..count).map(|_| fork(read)).collect();
    json!(children.into_iter().filter(|child| said_yes(*child)).count())
}

/// A system call that a trace shows.
fn mark() {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::getppid() };
}

fn forks_under_load(secrets: &Manager, count: usize) -> Value {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = secrets.get_with("A", &GetOptions { refresh: true, ..GetOptions::default() });
                }
            });
        }
        let is_right = || secrets.get("A").is_ok_and(|secret| secret.value().starts_with(b"canary-"));
        let right = (0..count).filter(|_| said_yes(fork(is_right))).count();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        json!(right)
    })
}

fn shown(secret: st_secrets::Result<Secret>) -> Value {
    match secret {
        Ok(secret) => json!({
            "value": String::from_utf8_lossy(secret.value()), "shared": secret.is_shared(),
            "cached": secret.is_cached(), "stale": secret.is_stale(), "version": secret.version(),
            "age": secret.age().as_secs_f64(), "expires_in": secret.expires_in().as_secs_f64(),
        }),
        Err(error) => json!({"error": error.message(), "status": error.status().name()}),
    }
}

/// Whether a file contains this text, or its bytes in base64 or hex.
pub(crate) fn contains(path: &Path, text: &str) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let hex = text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    [text.as_bytes(), hex.as_bytes()].iter().any(|form| bytes.windows(form.len()).any(|window| window == *form))
}
