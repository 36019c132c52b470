//! Signals: which ones the caller ignores, and what a signal does when it is not handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::Outcome;

/// The signals of this list that the caller does not ignore. Those that it ignores, as nohup does, stay ignored.
pub(crate) fn not_ignored(signals: &[i32]) -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    signals.iter().copied().filter(|signal| ignored & (1 << (signal - 1)) == 0).collect()
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

/// Stops this process until it is continued.
pub(crate) fn stop() {
    kill_process(getpid(), Signal::STOP).ok();
}

/// Ends this process as this signal does; where that is not possible, with the exit code that shells give to it.
pub(crate) fn die_of(signal: i32) -> Outcome {
    // The kernel keeps the first process of a container from most signals of its own.
    if !getpid().is_init() {
        emulate_default_handler(signal).ok();
    }
    Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX).into())
}
