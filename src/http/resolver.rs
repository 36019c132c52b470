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
/// The C library reads its configuration and loads plugins on this stack.
const STACK: usize = 256 * 1024;

/// The number of look-ups that were left behind and have not ended; in the upper half, the process they belong to:
/// threads do not survive a fork.
static STUCK: AtomicU64 = AtomicU64::new(0);

/// The addresses of a host. An error of kind [`io::ErrorKind::TimedOut`] means that the time was up.
pub(super) fn look_up(host: &str, port: u16, end: End) -> io::Result<Vec<SocketAddr>> {
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
        let _ = sender.send((name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
        if was_given_up.swap(true, SeqCst) {
            count(-1);
        }
    };
    // Signals of the program are none of this thread's business.
    sys::with_signals_blocked(|| thread::Builder::new().stack_size(STACK).spawn(helper))
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
