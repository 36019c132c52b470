//! `run`: gets the secrets, then becomes the command, or starts it and redacts what it writes.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::arguments::{Common, Run, StartWithFiles, Streams};
use crate::failure::{CANNOT_RUN, Failure, NO_COMMAND, Outcome};
use crate::memory_file::{Link, MemoryFile, OpenFile, make_links};
use crate::redact::{self, Parent};
use crate::secrets::Secrets;
use crate::selection::{self, Variable};
use crate::{env_file, names, terminal};

/// What programs need to work at all.
const BASIC: [&str; 12] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "LANG", "LC_*", "TZ", "TMPDIR", "PWD"];

/// What the command gets.
struct Given {
    secrets: Vec<Variable>,
    files: Vec<OpenFile>,
    /// Those of the files of variables.
    variables: Vec<(String, String)>,
}

pub(crate) fn run(common: &Common, run: &Run) -> Outcome {
    let Some((program, _)) = run.command.split_first() else {
        return Err(Failure::usage("no command is given; write: st-secrets run NAME... -- COMMAND"));
    };
    let given = get(common, run)?;
    match run.redact {
        Some(streams) => start_redacted(common, run, given, streams, program),
        None => {
            let files = given.files.iter().map(OpenFile::link).collect::<Vec<_>>();
            let mut command = command(&run.command, run);
            give(&mut command, &given)?;
            make_links(&files)?;
            match become_command(command, program) {
                Err(failure) => {
                    files.iter().for_each(Link::remove);
                    Err(failure)
                }
            }
        }
    }
}

fn get(common: &Common, run: &Run) -> Result<Given, Failure> {
    let mut variables = Vec::new();
    for path in &run.env_file {
        variables.extend(env_file::read(path, common.deadline)?);
    }
    let files: Vec<MemoryFile<'_>> = run.tmpfs.iter().map(|file| MemoryFile::parse(file)).collect::<Result<_, _>>()?;
    // A selection of nothing is an error where nothing else is given.
    let has_selection = !run.selection.is_empty() || (files.is_empty() && run.env_file.is_empty());
    if !has_selection && files.is_empty() {
        return Ok(Given { secrets: Vec::new(), files: Vec::new(), variables });
    }
    let secrets = Secrets::open(common)?;
    let (mut failures, mut given) = (Vec::new(), Given { secrets: Vec::new(), files: Vec::new(), variables });
    if has_selection {
        match selection::get(&run.selection, &secrets) {
            Ok(found) => given.secrets = found,
            Err(failure) => failures.push(failure),
        }
    }
    for file in &files {
        match file.open(&secrets) {
            Ok(file) => given.files.push(file),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::of_all(failures)?;
    check(&given.secrets)?;
    Ok(given)
}

/// The command, with its environment but for what it is given.
fn command(words: &[OsString], run: &Run) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    if run.clean {
        command.env_clear().envs(kept(&run.keep));
    }
    command
}

fn give(command: &mut Command, given: &Given) -> Result<(), Failure> {
    command.envs(given.variables.iter().map(|(name, value)| (name, value)));
    command.envs(given.secrets.iter().map(|secret| (&secret.name, OsStr::from_bytes(&secret.value))));
    given.files.iter().try_for_each(OpenFile::inherit)
}

fn start_redacted(common: &Common, run: &Run, given: Given, streams: Streams, program: &OsStr) -> Outcome {
    let secrets = given.secrets.iter().map(|secret| (secret.name.as_str(), &secret.value));
    let files = given.files.iter().map(|file| (file.name.as_str(), &file.value));
    let redactor = redact::redactor(common, secrets.chain(files))?;
    // A file is found by the process id of the command, which only the command itself has in time.
    let mut words = run.command.clone();
    if !given.files.is_empty() {
        let this = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("cannot find the program st-secrets itself: {error}")))?;
        let mut first = vec![this.into_os_string(), "start-with-files".into()];
        first.extend(given.files.iter().map(|file| file.link().argument().into()));
        first.push("--".into());
        words.splice(0..0, first);
    }
    let mut command = command(&words, run);
    give(&mut command, &given)?;
    terminal::flush_warnings(None);
    let parent = Parent::start(&redactor, command, streams).map_err(|error| cannot_run(program, &error))?;
    parent.wait(|| given.files.iter().for_each(|file| file.link().remove()))
}

/// The first half of a command that gets files and is redacted.
pub(crate) fn start_with_files(start: &StartWithFiles) -> Outcome {
    let links: Option<Vec<Link<'_>>> = start.link.iter().map(|link| Link::parse(link)).collect();
    let links = links.filter(|links| !links.is_empty());
    let (Some(links), Some((program, arguments))) = (links, start.command.split_first()) else {
        return Err(Failure::usage("this command is for st-secrets itself; write: st-secrets run --help"));
    };
    make_links(&links)?;
    let mut command = Command::new(program);
    command.args(arguments);
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
        () if value.contains(&0) => {
            Some(format!("{name} holds a NUL byte, which no environment variable can; use: --tmpfs"))
        }
        () if name.len() + value.len() + 2 > LONGEST => Some(format!(
            "{name} has {} bytes; an environment variable holds at most 128 KiB; use: --tmpfs",
            value.len()
        )),
        () => None,
    });
    Failure::of_all(refused.map(Failure::failed).collect())
}

/// Replaces this program by the command.
fn become_command(mut command: Command, program: &OsStr) -> Result<Infallible, Failure> {
    terminal::flush_warnings(None);
    Err(cannot_run(program, &command.exec()))
}

fn cannot_run(program: &OsStr, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound { NO_COMMAND } else { CANNOT_RUN };
    Failure::new(code, format!("cannot run {}: {error}", program.display()))
}
