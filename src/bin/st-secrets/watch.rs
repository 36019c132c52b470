//! `run --watch`: a thread follows the secrets, and the parent of the command acts when a value changed.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::arguments::{OnChange, Run};
use crate::child::{self, Child};
use crate::failure::{Failure, Outcome};
use crate::secrets::Secrets;
use crate::selection::Variable;
use crate::terminal;

/// How long one call waits for changes, and the pause before secrets that could not be read are read again.
const LISTEN: Duration = Duration::from_secs(10);

/// The secrets of the command after a change.
struct Change {
    secrets: Vec<Variable>,
    /// The variables that are new, changed or gone.
    names: Vec<String>,
}

/// What the thread reports.
pub(crate) struct Changes {
    changes: Receiver<Change>,
    /// Readable when there is a change.
    wake_reader: UnixStream,
    /// Keeps the connection open when the thread has ended.
    _wake_writer: UnixStream,
}

/// Starts the thread, which lives as long as this process. `known`: what the command has.
pub(crate) fn follow(
    secrets: Secrets,
    generation: u64,
    known: Vec<Variable>,
    get: impl Fn(&mut Secrets) -> Result<Vec<Variable>, Failure> + Send + 'static,
) -> Result<Changes, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("cannot follow the secrets: {error}"));
    let (sender, changes) = channel();
    let (wake_reader, wake_writer) = UnixStream::pair().map_err(failed)?;
    wake_reader.set_nonblocking(true).map_err(failed)?;
    wake_writer.set_nonblocking(true).map_err(failed)?;
    let kept = wake_writer.try_clone().map_err(failed)?;
    let work = move || {
        if let Err(failure) = report_changes(secrets, generation, known, get, (&sender, &wake_writer)) {
            warn(&failure);
            terminal::warn("the secrets are no longer followed; the command keeps its values");
            terminal::flush_warnings(None);
        }
    };
    thread::Builder::new().name("watch".to_owned()).spawn(work).map_err(failed)?;
    Ok(Changes { changes, wake_reader, _wake_writer: kept })
}

fn report_changes(
    mut secrets: Secrets,
    mut generation: u64,
    mut known: Vec<Variable>,
    get: impl Fn(&mut Secrets) -> Result<Vec<Variable>, Failure>,
    (sender, wake_writer): (&Sender<Change>, &UnixStream),
) -> Result<(), Failure> {
    // The last failure, which is reported once. Until it has passed, the secrets are read again.
    let mut failure: Option<Failure> = None;
    loop {
        let now = secrets.listen(generation, LISTEN)?;
        if now != generation || failure.is_some() {
            generation = now;
            match get(&mut secrets) {
                Ok(found) => {
                    failure = None;
                    let names = differing(&known, &found);
                    known.clone_from(&found);
                    if !names.is_empty() && sender.send(Change { secrets: found, names }).is_ok() {
                        // If it is full, the parent has not yet read the last one.
                        let _ = { wake_writer }.write(&[0]);
                    }
                }
                Err(new) => {
                    if failure.as_ref().is_none_or(|last| last.lines != new.lines) {
                        warn(&new);
                    }
                    failure = Some(new);
                }
            }
        }
        terminal::flush_warnings(None);
    }
}

fn warn(failure: &Failure) {
    failure.lines.iter().for_each(|line| terminal::warn(line));
}

/// Returns the names of the variables that only one of two environments has, or that have different values in them.
fn differing(one: &[Variable], other: &[Variable]) -> Vec<String> {
    let has = |all: &[Variable], wanted: &Variable| {
        all.iter().any(|variable| variable.name == wanted.name && *variable.value == *wanted.value)
    };
    let mut names: Vec<String> = Vec::new();
    for (these, those) in [(one, other), (other, one)] {
        let missing = these.iter().filter(|variable| !has(those, variable));
        names.extend(missing.map(|variable| variable.name.clone()));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// A command that is ending so that it can be started again.
struct Restart {
    secrets: Vec<Variable>,
    kill_at: Option<Instant>,
}

/// Passes on signals to the command, acts when a value changed, and ends as the command does.
pub(crate) fn supervise(
    mut child: Child,
    changes: &Changes,
    run: &Run,
    mut start: impl FnMut(&mut Child, Vec<Variable>) -> Result<(), Failure>,
    at_end: impl FnOnce(),
) -> Outcome {
    let mut restart: Option<Restart> = None;
    // Whether the command was asked to end for good.
    let mut is_ending = false;
    loop {
        let mut signals = child.pass_on();
        let state = child.changed_state();
        if state.is_some_and(|state| state.stopped()) {
            signals.extend(child.stop());
        }
        is_ending |= signals.iter().any(|signal| [SIGINT, SIGQUIT, SIGTERM].contains(signal));
        if is_ending || signals.contains(&SIGHUP) {
            restart = None;
        }
        match state.filter(|state| !state.stopped()) {
            Some(ended) => match restart.take() {
                Some(Restart { secrets, .. }) => start(&mut child, secrets)?,
                None => {
                    at_end();
                    child.restore_signals();
                    return child::end_like(ended);
                }
            },
            None => {
                // A command that is to end for good is not started again.
                let is_followed = !is_ending || run.on_change != OnChange::Restart;
                if let Some(change) = changes.last().filter(|_| is_followed) {
                    note(&change.names, run.on_change);
                    match run.on_change {
                        OnChange::Hup => child.send(Signal::HUP),
                        OnChange::Term => child.send(Signal::TERM),
                        OnChange::Restart => restart = Some(restarting(&child, restart, change.secrets, run)),
                    }
                }
                let kill_at = restart.as_ref().and_then(|restart| restart.kill_at);
                if kill_at.is_some_and(|kill_at| kill_at <= Instant::now()) {
                    child.send(Signal::KILL);
                }
                // Once it is killed, its end is a signal.
                let until = kill_at.filter(|kill_at| *kill_at > Instant::now());
                let wake = PollFd::new(&changes.wake_reader, PollFlags::IN);
                let mut awaited: Vec<PollFd<'_>> = child.events().chain([wake]).collect();
                child::wait_for(&mut awaited, until)?;
            }
        }
    }
}

/// Asks the command to end. A restart that has begun continues, with newer values.
fn restarting(child: &Child, begun: Option<Restart>, secrets: Vec<Variable>, run: &Run) -> Restart {
    let kill_at = match begun {
        Some(begun) => begun.kill_at,
        None => {
            child.send(Signal::TERM);
            Instant::now().checked_add(run.grace)
        }
    };
    Restart { secrets, kill_at }
}

impl Changes {
    /// Returns the latest unread change, with the names of the variables of all unread changes.
    fn last(&self) -> Option<Change> {
        let mut bytes = [0; 64];
        while { &self.wake_reader }.read(&mut bytes).is_ok_and(|count| count > 0) {}
        let mut last: Option<Change> = None;
        for mut change in self.changes.try_iter() {
            change.names.extend(last.map(|last| last.names).unwrap_or_default());
            last = Some(change);
        }
        last
    }
}

fn note(names: &[String], action: OnChange) {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let does = match action {
        OnChange::Hup => "the command gets SIGHUP",
        OnChange::Term => "the command gets SIGTERM",
        OnChange::Restart => "the command is restarted",
    };
    terminal::note(&format!("{} changed; {does}", names.join(", ")));
}
