//! Names to addresses, within a point in time.
//!
//! The C library's look-up takes no time-out. So it runs on a thread of its own, which is left behind when the time is
//! up and ends when the C library lets it. It touches nothing of this library but its own channel and one counter, so
//! that a `fork()` finds no lock held by it.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use crate::fork;
use crate::http::wire::{End, time_left};
use crate::sys;

/// How many look-ups may be left behind at a time.
const MOST_STUCK: u64 = 16;
/// The C library reads its configuration and loads plugins on this stack, and puts the thread's share of the program's
/// thread-local variables there.
const STACK: usize = 1 << 20;

/// What debuggers show.
const THREAD: &str = "st-look-up";

/// The number of look-ups that were left behind and have not ended; in the upper half, the process they belong to:
/// threads do not survive a fork.
static STUCK: AtomicU64 = AtomicU64::new(0);

/// The addresses of a host. An error of kind [`io::ErrorKind::TimedOut`] means that the time was up.
pub(super) fn look_up(host: &str, port: u16, end: End) -> io::Result<Vec<SocketAddr>> {
    look_up_with(|name, port| (name, port).to_socket_addrs().map(Vec::from_iter), host, port, end)
}

/// With this way to look up a name that is no address.
fn look_up_with(
    find: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    host: &str,
    port: u16,
    end: End,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if stuck() >= MOST_STUCK {
        return Err(io::Error::other(format!("{MOST_STUCK} look-ups of names are stuck; is the name server well?")));
    }
    let left = time_left(end)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let given_up = Arc::new(AtomicBool::new(false));
    let (name, was_given_up) = (host.to_owned(), given_up.clone());
    let helper = move || {
        let _ = sender.send(find(&name, port));
        if was_given_up.swap(true, SeqCst) {
            count(-1);
        }
    };
    // Signals of the program are none of this thread's business.
    sys::with_signals_blocked(|| thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK).spawn(helper))
        .map_err(|error| io::Error::other(format!("no thread could be started to look up {host}: {error}")))?;
    let answer = match left {
        Some(left) => receiver.recv_timeout(left),
        None => receiver.recv().map_err(RecvTimeoutError::from),
    };
    match answer {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(Ok(_)) => Err(io::Error::other(format!("the name {host} has no address"))),
        Ok(Err(error)) => Err(io::Error::other(format!("the name {host} cannot be looked up: {error}"))),
        Err(_) => {
            // Counted before it is said, so that the helper cannot count itself out first.
            count(1);
            if given_up.swap(true, SeqCst) {
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

/// Adds to the number of those left behind.
fn count(change: i64) {
    let process = u64::from(fork::generation()) << 32;
    let add = |now| Some(process | in_this_process(now).saturating_add_signed(change));
    let _ = STUCK.fetch_update(SeqCst, SeqCst, add);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// The helpers of this process, each by its state as the system tells it.
    fn helpers() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let states = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        states.filter(|state| state.starts_with(&format!("Name:\t{THREAD}\n"))).collect()
    }

    /// How long a test waits for what must happen.
    const PATIENCE: Duration = Duration::from_secs(120);

    fn soon() -> End {
        Some(Instant::now() + Duration::from_millis(50))
    }

    #[test]
    fn an_address_needs_no_look_up() {
        let never = |_: &str, _| -> io::Result<Vec<SocketAddr>> { panic!("looked up") };
        assert_eq!(look_up_with(never, "10.0.0.1", 80, None).unwrap(), ["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(look_up_with(never, "::1", 443, None).unwrap(), ["[::1]:443".parse().unwrap()]);
    }

    #[test]
    fn a_name_has_addresses_and_our_signals_stay_as_they_are() {
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
    fn a_failure_names_the_host() {
        let failing = |_: &str, _| Err(io::Error::other("no such name"));
        let error = look_up_with(failing, "vault.invalid", 80, None).unwrap_err();
        assert_eq!(error.to_string(), "the name vault.invalid cannot be looked up: no such name");
        let error = look_up_with(|_, _| Ok(Vec::new()), "vault.invalid", 80, None).unwrap_err();
        assert_eq!(error.to_string(), "the name vault.invalid has no address");
    }

    #[test]
    fn stuck_look_ups_end_in_time_and_do_not_pile_up() {
        // In a process of its own: other tests look names up too, and would find too many stuck.
        if std::env::var_os("ST_TEST_ALONE").is_none() {
            let name = "http::resolver::tests::stuck_look_ups_end_in_time_and_do_not_pile_up";
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
        for _ in 0..MOST_STUCK {
            let error = look_up_with(hang(), "vault.invalid", 80, soon()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        let error = look_up_with(hang(), "vault.invalid", 80, soon()).unwrap_err();
        assert_eq!(error.to_string(), "16 look-ups of names are stuck; is the name server well?");
        let helpers = helpers();
        assert_eq!(helpers.len(), MOST_STUCK as usize, "{helpers:?}");
        let blocked = helpers[0].lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
        let all_of_the_program =
            (1 << libc::SIGTERM | 1 << libc::SIGINT | 1 << libc::SIGPROF | 1 << libc::SIGUSR1) >> 1;
        assert_eq!(u64::from_str_radix(blocked, 16).unwrap() & all_of_the_program, all_of_the_program);
        drop(open);
        while stuck() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        let end = Some(Instant::now() + PATIENCE);
        look_up_with(|_, _| Ok(vec!["10.0.0.1:80".parse().unwrap()]), "vault.invalid", 80, end).unwrap();
    }
}
