//! DNS lookups with a deadline.
//!
//! `getaddrinfo` has no timeout. It runs on a thread of its own, which is abandoned when the deadline passes and ends
//! when `getaddrinfo` returns. The thread uses only its own channel and one counter, so it holds no lock of this
//! library when the program forks.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use crate::fork;
use crate::http::transport::stream::time_left;
use crate::sys;

/// The limit of abandoned lookups that are still running.
const MAX_STUCK: u64 = 16;
/// On this stack the C library reads its configuration, loads plugins, and stores the thread-local variables of the
/// program.
const STACK: usize = 1 << 20;

/// The name of the thread, which debuggers show.
const THREAD: &str = "st-dns";

/// The number of abandoned lookups that are still running. The upper half is the fork generation of the process they
/// belong to: threads do not survive a fork.
static STUCK: AtomicU64 = AtomicU64::new(0);

/// Returns the addresses of a host. If the deadline passes, the error is of kind [`io::ErrorKind::TimedOut`].
pub(in crate::http) fn look_up(host: &str, port: u16, deadline: Option<Instant>) -> io::Result<Vec<SocketAddr>> {
    look_up_with(|name, port| (name, port).to_socket_addrs().map(Vec::from_iter), host, port, deadline)
}

/// As [`look_up`], with the function that resolves a name.
fn look_up_with(
    resolve: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    host: &str,
    port: u16,
    deadline: Option<Instant>,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if stuck() >= MAX_STUCK {
        return Err(io::Error::other(format!("{MAX_STUCK} DNS lookups are stuck; check the name server")));
    }
    let left = time_left(deadline)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let abandoned = Arc::new(AtomicBool::new(false));
    let (name, is_abandoned) = (host.to_owned(), abandoned.clone());
    let lookup = move || {
        let _ = sender.send(resolve(&name, port));
        if is_abandoned.swap(true, SeqCst) {
            count(-1);
        }
    };
    // The thread must not run the program's signal handlers.
    sys::with_signals_blocked(|| thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK).spawn(lookup))
        .map_err(|error| io::Error::other(format!("cannot start a thread to resolve {host}: {error}")))?;
    let result = match left {
        Some(left) => receiver.recv_timeout(left),
        None => receiver.recv().map_err(RecvTimeoutError::from),
    };
    match result {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(Ok(_)) => Err(io::Error::other(format!("{host} has no address"))),
        Ok(Err(error)) => Err(io::Error::other(format!("cannot resolve {host}: {error}"))),
        Err(_) => {
            // Counted first, so that the thread cannot decrement the counter before it is incremented.
            count(1);
            if abandoned.swap(true, SeqCst) {
                count(-1);
            }
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

fn stuck() -> u64 {
    in_this_process(STUCK.load(SeqCst))
}

fn in_this_process(count: u64) -> u64 {
    if count >> 32 == u64::from(fork::generation()) { count & 0xffff_ffff } else { 0 }
}

/// Adds to the number of abandoned lookups.
fn count(change: i64) {
    let process = u64::from(fork::generation()) << 32;
    let add = |now| Some(process | in_this_process(now).saturating_add_signed(change));
    let _ = STUCK.fetch_update(SeqCst, SeqCst, add);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The lookup threads of this process, each with its status file.
    fn lookup_threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let states = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        states.filter(|state| state.starts_with(&format!("Name:\t{THREAD}\n"))).collect()
    }

    /// How long a test waits for something that must happen.
    const PATIENCE: Duration = Duration::from_secs(120);

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(50))
    }

    #[test]
    fn address_needs_no_lookup() {
        let never = |_: &str, _| -> io::Result<Vec<SocketAddr>> { panic!("looked up") };
        assert_eq!(look_up_with(never, "10.0.0.1", 80, None).unwrap(), ["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(look_up_with(never, "::1", 443, None).unwrap(), ["[::1]:443".parse().unwrap()]);
    }

    #[test]
    fn lookup_returns_addresses_and_keeps_the_signal_mask() {
        let mask = || {
            let state = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            state.lines().find(|line| line.starts_with("SigBlk:")).unwrap().to_owned()
        };
        let before = mask();
        let found = look_up("localhost", 80, Some(Instant::now() + PATIENCE)).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
        assert_eq!(mask(), before);
    }

    #[test]
    fn failure_names_the_host() {
        let failing = |_: &str, _| Err(io::Error::other("no such name"));
        let error = look_up_with(failing, "vault.invalid", 80, None).unwrap_err();
        assert_eq!(error.to_string(), "cannot resolve vault.invalid: no such name");
        let error = look_up_with(|_, _| Ok(Vec::new()), "vault.invalid", 80, None).unwrap_err();
        assert_eq!(error.to_string(), "vault.invalid has no address");
    }

    #[test]
    fn stuck_lookups_time_out_and_are_limited() {
        // In a process of its own: lookups of other tests would fail because too many are stuck.
        if std::env::var_os("ST_TEST_ALONE").is_none() {
            let name = "http::transport::dns::tests::stuck_lookups_time_out_and_are_limited";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let done = alone.args(["--exact", name]).env("ST_TEST_ALONE", "1").output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
            return;
        }
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let hang = || {
            let gate = gate.clone();
            move |_: &str, _: u16| {
                let _ = gate.lock().unwrap().recv();
                Ok(Vec::new())
            }
        };
        for _ in 0..MAX_STUCK {
            let error = look_up_with(hang(), "vault.invalid", 80, soon()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        let error = look_up_with(hang(), "vault.invalid", 80, soon()).unwrap_err();
        assert_eq!(error.to_string(), "16 DNS lookups are stuck; check the name server");
        let threads = lookup_threads();
        assert_eq!(threads.len(), MAX_STUCK as usize, "{threads:?}");
        let blocked = threads[0].lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
        let all_of_the_program =
            (1 << libc::SIGTERM | 1 << libc::SIGINT | 1 << libc::SIGPROF | 1 << libc::SIGUSR1) >> 1;
        assert_eq!(u64::from_str_radix(blocked, 16).unwrap() & all_of_the_program, all_of_the_program);
        drop(open);
        while stuck() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        let deadline = Some(Instant::now() + PATIENCE);
        look_up_with(|_, _| Ok(vec!["10.0.0.1:80".parse().unwrap()]), "vault.invalid", 80, deadline).unwrap();
    }
}
