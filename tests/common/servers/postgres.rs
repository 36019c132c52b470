//! A PostgreSQL server in a temporary directory, in which OpenBao creates users.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{self, Process};

pub const PASSWORD: &str = "the-password-of-the-administrator";

/// Ends when it is dropped.
pub struct Postgres {
    port: u16,
    _server: Process,
    _directory: tempfile::TempDir,
}

impl Postgres {
    pub fn start() -> Postgres {
        let directory = crate::common::temp();
        let (data, log) = (directory.path().join("data"), directory.path().join("log"));
        let password = directory.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        fs::write(&log, "").unwrap();
        if is_root() {
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(directory.path()).status().unwrap();
            assert!(owned.success(), "there is no user postgres; run: make tools");
        }
        let mut made = program("initdb");
        made.args(["-U", "admin", "-A", "scram-sha-256", "--no-sync", "--pwfile"]).arg(&password).arg(&data);
        let made = made.output().expect("run: make tools");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for _ in 0..5 {
            let port = process::free_port();
            let mut command = program("postgres");
            command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
            command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
            fs::write(&log, "").unwrap();
            // A killed server would leave its shared memory in the system.
            let mut server = Process::start(command, &log).ended_by(libc::SIGQUIT);
            // It ends where another program took the port in between.
            if server.wait(|log| log.contains("database system is ready to accept connections")) {
                return Postgres { port, _server: server, _directory: directory };
            }
        }
        panic!("PostgreSQL does not start");
    }

    /// The address for OpenBao, with places for the name and the password.
    pub fn url(&self) -> String {
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Whether this user can log in now.
    pub fn lets_in(&self, user: &str, password: &str) -> bool {
        let to = format!("host=127.0.0.1 port={} dbname=postgres user={user} connect_timeout=30", self.port);
        let output =
            Command::new("psql").args([&to, "-tAc", "select current_user"]).env("PGPASSWORD", password).output();
        let output = output.expect("run: make tools");
        output.status.success() && String::from_utf8_lossy(&output.stdout).trim() == user
    }
}

fn is_root() -> bool {
    // SAFETY: a system call without arguments.
    unsafe { libc::geteuid() == 0 }
}

/// A program of the server, which refuses to run as root.
fn program(name: &str) -> Command {
    let path = directory().map_or_else(|| PathBuf::from(name), |directory| directory.join(name));
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path).current_dir("/");
    command
}

/// Debian's directory for the programs of the newest version.
fn directory() -> Option<PathBuf> {
    let versions = fs::read_dir(Path::new("/usr/lib/postgresql")).ok()?;
    versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).max()
}
