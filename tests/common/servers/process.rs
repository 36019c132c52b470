//! Programs that run beside the tests and never outlive them.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::time::PATIENCE;

/// A started program with its log. Killed on drop with all that it started; the system kills it when the test process
/// ends.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// The signal that ends it.
    end: i32,
}

impl Process {
    /// Starts `command`, with what it prints going to `log`.
    pub fn start(mut command: Command, log: &Path) -> Process {
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Process { child: spawn(command), log: log.to_owned(), end: libc::SIGKILL }
    }

    /// Makes this signal end the program on drop, for one that cleans up.
    pub fn ended_by(mut self, signal: i32) -> Process {
        self.end = signal;
        self
    }

    /// Waits until `is_ready`, which is given the log; false if the program has ended.
    pub fn wait(&mut self, is_ready: impl Fn(&str) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while !is_ready(&self.log()) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < end, "a server does not start:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// What the program has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the program and what it started; returns when every thread of the program is stopped.
    pub fn pause(&self) {
        kill_group(&self.child, libc::SIGSTOP);
        // The signal only asks for the stop: until the wait returns, a thread on another processor can still answer.
        let mut status = 0;
        // SAFETY: a system call that writes `status` only. A stop is reported once and reaps nothing.
        let stopped = unsafe { libc::waitpid(self.child.id() as i32, &mut status, libc::WUNTRACED) };
        assert!(stopped == self.child.id() as i32 && libc::WIFSTOPPED(status), "not stopped: {status:#x}");
    }

    pub fn resume(&self) {
        kill_group(&self.child, libc::SIGCONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end_with(&mut self.child, self.end);
    }
}

/// Kills a program that [`spawn`] started, with all that it started.
pub fn end(child: &mut Child) {
    end_with(child, libc::SIGKILL);
}

fn end_with(child: &mut Child, signal: i32) {
    kill_group(child, signal);
    let _ = child.wait();
}

fn kill_group(child: &Child, signal: i32) {
    // SAFETY: a system call without memory. The child leads a group of its own, and was not waited for before: its
    // number names no other.
    unsafe { libc::kill(-(child.id() as i32), signal) };
}

/// Starts a program that leads a process group and is killed when this process ends.
pub fn spawn(mut command: Command) -> Child {
    type Order = (Command, Sender<std::io::Result<Child>>);
    // The system kills the child when the *thread* that started it ends, so that one is kept, not that of a test.
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, received) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let tie = || {
        // SAFETY: a system call without memory, allowed between fork and exec.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: `tie` allocates nothing and takes no lock.
    unsafe { command.process_group(0).pre_exec(tie) };
    let program = command.get_program().to_owned();
    let (sender, answer) = channel();
    spawner.send((command, sender)).unwrap();
    answer.recv().unwrap().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// A port that no program listens at. It is below those that the system gives to connections, which could otherwise
/// take it before the server does; the first one is random, for test processes that run at the same time.
pub fn free_port() -> u16 {
    const PORTS: RangeInclusive<u64> = 10_000..=32_000;
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(()) >> 1));
    let count = PORTS.end() - PORTS.start() + 1;
    let ports = (0..count).map(|_| (PORTS.start() + NEXT.fetch_add(1, Relaxed) % count) as u16);
    ports.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
