//! `run`: gets the secrets, then becomes the command.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::arguments::{Common, Run};
use crate::failure::{CANNOT_RUN, Failure, NO_COMMAND, Outcome};
use crate::secrets::Secrets;
use crate::selection::{self, Variable};
use crate::{env_file, names, terminal};

/// What programs need to work at all.
const BASIC: [&str; 12] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "LANG", "LC_*", "TZ", "TMPDIR", "PWD"];

pub(crate) fn run(common: &Common, run: &Run) -> Outcome {
    let Some((program, arguments)) = run.command.split_first() else {
        return Err(Failure::usage("no command is given; write: st-secrets run NAME... -- COMMAND"));
    };
    let mut variables = Vec::new();
    for path in &run.env_file {
        variables.extend(env_file::read(path)?);
    }
    let secrets = match run.selection.is_empty() && !run.env_file.is_empty() {
        true => Vec::new(),
        false => selection::get(&run.selection, &Secrets::open(common)?)?,
    };
    check(&secrets)?;
    let mut command = Command::new(program);
    command.args(arguments);
    if run.clean {
        command.env_clear().envs(kept(&run.keep));
    }
    command.envs(variables);
    command.envs(secrets.iter().map(|secret| (&secret.name, OsStr::from_bytes(&secret.value))));
    drop(secrets);
    match become_command(command, program) {
        Err(failure) => Err(failure),
    }
}

/// The variables of this environment that a clean one keeps.
fn kept(patterns: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    let is_kept = |name: &str| {
        BASIC.into_iter().chain(patterns.iter().map(String::as_str)).any(|pattern| names::matches(pattern, name))
    };
    std::env::vars_os().filter(move |(name, _)| name.to_str().is_some_and(is_kept))
}

/// The longest `NAME=value` that Linux gives to a program, with the NUL at its end.
const LONGEST: usize = 128 * 1024;

/// No variable can hold a NUL or be longer than [`LONGEST`].
fn check(secrets: &[Variable]) -> Result<(), Failure> {
    let refused = secrets.iter().filter_map(|Variable { name, value }| match () {
        () if value.contains(&0) => Some(format!("{name} holds a NUL byte, which no environment variable can")),
        () if name.len() + value.len() + 2 > LONGEST => {
            Some(format!("{name} has {} bytes; an environment variable holds at most 128 KiB", value.len()))
        }
        () => None,
    });
    Failure::of_all(refused.map(Failure::failed).collect())
}

/// Replaces this program by the command.
fn become_command(mut command: Command, program: &OsStr) -> Result<Infallible, Failure> {
    terminal::flush_warnings(None);
    let error = command.exec();
    let code = if error.kind() == io::ErrorKind::NotFound { NO_COMMAND } else { CANNOT_RUN };
    Err(Failure::new(code, format!("cannot run {}: {error}", program.display())))
}
