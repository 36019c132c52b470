//! Signals: which ones the caller ignores, and what a signal does when it is not handled; the session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::Outcome;

/// The signals of this list that the caller does not ignore. Those that it ignores, as nohup does, stay ignored.
pub(crate) fn not_ignored(signals: &[i32]) -> Vec<i32> {
    let ignored = status("SigIgn:").and_then(|mask| u64::from_str_radix(&mask, 16).ok()).unwrap_or_default();
    signals.iter().copied().filter(|signal| ignored & (1 << (signal - 1)) == 0).collect()
}

/// Whether this process leads its session. In a container whose session began outside, `getsid` is 0, which `rustix`
/// takes for impossible.
pub(crate) fn is_session_leader() -> bool {
    // One number for each PID namespace, ours last.
    let session = status("NSsid:").and_then(|numbers| numbers.split_whitespace().last()?.parse().ok());
    session == Some(getpid().as_raw_pid())
}

/// A line of the status of this process, without its name.
fn status(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}

/// Lets signals that are handled do again what they do by default.
#[derive(Default)]
pub(crate) struct Restorable {
    restored: Arc<AtomicBool>,
}

impl Restorable {
    pub(crate) fn new(signals: &[i32]) -> std::io::Result<Restorable> {
        let restorable = Restorable::default();
        for signal in signals {
            flag::register_conditional_default(*signal, restorable.restored.clone())?;
        }
        Ok(restorable)
    }

    pub(crate) fn restore(&self) {
        self.restored.store(true, Ordering::SeqCst);
    }
}

/// Stops this process until it is continued. As with the signals of the terminal, it does not stop where no shell could
/// continue it: in an orphaned process group.
pub(crate) fn stop() {
    if !is_orphaned() {
        kill_process(getpid(), Signal::STOP).ok();
    }
}

/// Whether no ancestor outside the process group belongs to the session; `false` if that is unknown.
fn is_orphaned() -> bool {
    let Some([mut parent, group, session]) = ancestry("self") else { return false };
    // One that is outside the PID namespace is 0.
    while parent != 0 {
        match ancestry(&parent.to_string()) {
            Some([next, of_parent, _]) if of_parent == group => parent = next,
            Some([_, _, of_parent]) => return of_parent != session,
            None => return false,
        }
    }
    true
}

/// The parent, the process group and the session of a process.
fn ancestry(process: &str) -> Option<[i32; 3]> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // "PID (NAME) STATE PARENT GROUP SESSION …", where the name may contain anything.
    let mut numbers = stat.rsplit_once(')')?.1.split_whitespace().skip(1).map_while(|number| number.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

/// Ends this process as this signal does; where that is not possible, with the exit code that shells give to it.
pub(crate) fn die_of(signal: i32) -> Outcome {
    // The kernel keeps the first process of a container from most signals of its own.
    if !getpid().is_init() {
        emulate_default_handler(signal).ok();
    }
    Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX).into())
}
