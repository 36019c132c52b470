//! Redaction: the filter `redact`, and the parent of a command of `run --redact`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::event::PollFd;
use rustix::io::Errno;
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use st_secrets::Error;
use st_secrets::redact::Redactor;

use crate::arguments::{Common, Redact, Selection};
use crate::failure::{Failure, MISSING, Outcome};
use crate::secrets::{SecretBytes, Secrets};
use crate::{child, config, selection, terminal};
use pump::Pump;

mod channel;
mod parent;
mod pump;

pub(crate) use parent::Parent;

/// Copies stdin to stdout.
pub(crate) fn redact(common: &Common, redact: &Redact) -> Outcome {
    let mut selection = Selection {
        names: redact.names.clone(),
        all: false,
        only: redact.only.clone(),
        optional: redact.optional.clone(),
        rename: Vec::new(),
    };
    selection.all = selection.is_empty();
    let values = selection::values(&selection, &Secrets::open(common)?)?;
    if selection.all && values.is_empty() {
        let message = "no provider lists a secret, so there is nothing to replace; name the secrets to replace";
        return Err(Failure::new(MISSING, message));
    }
    let redactor = redactor(common, values.iter().map(|(name, value)| (name.as_str(), value)))?;
    drop(values);
    terminal::flush_warnings(None);
    // Ctrl-C ends the program that writes the input. What that writes as it ends is copied too.
    flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    redactor.copy(io::stdin().as_fd(), io::stdout().as_fd()).map_err(failed_copy)?;
    Ok(ExitCode::SUCCESS)
}

/// A reader of the output that has read enough is not a failure.
fn failed_copy(error: Error) -> Failure {
    match Errno::from_raw_os_error(error.detail()) {
        Errno::PIPE => Failure::from(io::Error::from(Errno::PIPE)),
        errno => Failure::failed(format!("cannot copy stdin to stdout: {}", io::Error::from(errno))),
    }
}

/// A redactor for these secrets. Names those that are too short for it in a warning.
pub(crate) fn redactor<'a>(
    common: &Common,
    secrets: impl Iterator<Item = (&'a str, &'a SecretBytes)>,
) -> Result<Redactor, Failure> {
    let redactor = Redactor::open(&config::load(common)?)?;
    for (name, value) in secrets {
        if !redactor.add_named(name, value)? {
            terminal::warn(&format!(
                "{name} is not replaced in the output: it has {} bytes, and such a short value matches other text; the \
                 setting redact_min is the length from which values are replaced",
                value.len()
            ));
        }
    }
    Ok(redactor)
}

/// The file of a standard stream, past the buffer of the standard library.
fn own(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// Waits until one of the pumps can advance, or one of `others` is ready.
fn wait_for<'a>(pumps: &[&'a Pump<'_>], others: impl Iterator<Item = PollFd<'a>>) -> io::Result<()> {
    let mut awaited: Vec<PollFd<'_>> = pumps.iter().filter_map(|pump| pump.awaits()).chain(others).collect();
    let until = pumps.iter().filter_map(|pump| pump.release_at()).min();
    child::wait_for(&mut awaited, until)
}
