//! A copy of the database files without their write-ahead logs is complete once the store is closed or its process has
//! ended.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::store::{cipher, jobs, open};
use common::temp;

const DIRECTORY: &str = "ST_SECRETS_TEST_DIRECTORY";

const COUNT: &str = "import sqlite3, sys
for path, table in [('jobs.db', 'provider_config'), ('jobs.db', 'provider_credentials'), ('audit.db', 'audit_log')]:
    connection = sqlite3.connect(sys.argv[1] + '/' + path)
    assert connection.execute('PRAGMA integrity_check').fetchone() == ('ok',)
    print(connection.execute('SELECT count(*) FROM ' + table).fetchone()[0])
";

/// The numbers of provider configurations, credentials and audit entries that Python finds in copies of the database
/// files.
fn counted(directory: &Path) -> Vec<usize> {
    let copy = temp();
    fs::copy(jobs(directory), copy.path().join("jobs.db")).unwrap();
    fs::copy(directory.join("audit.db"), copy.path().join("audit.db")).unwrap();
    let output = Command::new("python3").args(["-c", COUNT]).arg(copy.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

fn write(directory: &Path, count: usize) {
    let (store, keys) = (open(directory), cipher("a secret", &[]));
    for n in 0..count {
        store.provider_save(&format!("provider-{n}"), "{\"a\": 1}").unwrap();
        store.credential_set(&keys, n as i64, "replicate", "token", b"r8_token").unwrap();
    }
    if std::env::var_os(DIRECTORY).is_some() {
        // As the store of the whole process, which most programs never close.
        std::mem::forget(store);
    }
}

#[test]
fn copy_is_complete_after_closing() {
    for count in [1, 150] {
        let directory = temp();
        write(directory.path(), count);
        assert_eq!(counted(directory.path()), [count, count, 2 * count]);
    }
}

#[test]
fn log_left_by_another_process_is_checkpointed() {
    let directory = temp();
    write(directory.path(), 1);
    let store = open(directory.path());
    let other = rusqlite::Connection::open(jobs(directory.path())).unwrap();
    other.execute_batch("INSERT INTO provider_config VALUES ('other', '{}', '')").unwrap();
    assert_eq!(counted(directory.path())[0], 1, "it is in the log");
    store.provider_list().unwrap();
    drop(store);
    assert_eq!(counted(directory.path())[0], 2);
}

#[test]
fn copy_is_complete_after_each_of_the_first_writes() {
    let directory = temp();
    let (store, keys) = (open(directory.path()), cipher("a secret", &[]));
    for n in 1..=3 {
        store.provider_save(&format!("provider-{n}"), "{}").unwrap();
        store.credential_set(&keys, n as i64, "replicate", "token", b"r8_token").unwrap();
        assert_eq!(counted(directory.path()), [n, n, 2 * n]);
    }
}

/// Runs `body` in a process of its own, which does not close its store and ends with `end`. Returns the directory.
fn by_another_process(name: &str, body: impl FnOnce(&Path), end: fn()) -> Option<tempfile::TempDir> {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        body(Path::new(&directory));
        end();
        return None;
    }
    let directory = temp();
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(["--exact", name]).env(DIRECTORY, directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Some(directory)
}

#[test]
fn copy_is_complete_after_a_few_writes() {
    let name = "copy_is_complete_after_a_few_writes";
    // SAFETY: this runs nothing of the library, nor of the test harness, which has nothing to finish.
    let end = || unsafe { libc::_exit(0) };
    if let Some(directory) = by_another_process(name, |directory| write(directory, 5), end) {
        assert_eq!(counted(directory.path()), [5, 5, 10]);
    }
}

const READ: &str = "import sqlite3, sys
connections = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
for connection in connections:
    connection.execute('BEGIN')
    connection.execute('SELECT count(*) FROM sqlite_schema').fetchone()
print('reading', flush=True)
sys.stdin.read()";

/// Writes while another process reads, which the checkpoints after the writes cannot pass.
fn write_beside_a_reader(directory: &Path) {
    write(directory, 1);
    let mut command = Command::new("python3");
    command.args(["-c", READ]).args([jobs(directory), directory.join("audit.db")]);
    let mut reader = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(reader.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "reading\n");
    write(directory, 5);
    assert_eq!(counted(directory), [1, 1, 2], "the rest is in the log");
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
}

#[test]
fn copy_is_complete_after_returning_from_main() {
    let name = "copy_is_complete_after_returning_from_main";
    if let Some(directory) = by_another_process(name, write_beside_a_reader, || ()) {
        assert_eq!(counted(directory.path()), [5, 5, 12]);
    }
}

#[test]
fn copy_is_complete_after_exit() {
    let name = "copy_is_complete_after_exit";
    if let Some(directory) = by_another_process(name, write_beside_a_reader, || std::process::exit(0)) {
        assert_eq!(counted(directory.path()), [5, 5, 12]);
    }
}
