//! `run`: gets the secrets, then becomes the command, or starts it and redacts what it writes or follows the secrets.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::arguments::{Common, OnChange, Run, StartWithFiles, Streams};
use crate::child::Child;
use crate::failure::{CANNOT_RUN, Failure, NO_COMMAND, Outcome};
use crate::memory_file::{Link, MemoryFile, OpenFile, make_links};
use crate::redact::{self, Parent};
use crate::secrets::Secrets;
use crate::selection::{self, Variable};
use crate::{env_file, names, share, terminal, watch};

/// What programs need to work at all.
const BASIC: [&str; 12] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "LANG", "LC_*", "TZ", "TMPDIR", "PWD"];

/// Where the share of this host may be: what a clean environment keeps with `--share`.
const OF_SHARE: &str = "XDG_RUNTIME_DIR";

/// What the command gets.
#[derive(Default)]
struct Given {
    secrets: Vec<Variable>,
    files: Vec<OpenFile>,
    /// Those of the files of variables.
    variables: Vec<(String, String)>,
    /// Those of the share.
    share: Vec<Variable>,
    /// Where the secrets are from, and the generation before they were got.
    source: Option<(Secrets, u64)>,
}

pub(crate) fn run(common: &Common, run: &Run) -> Outcome {
    let Some((program, _)) = run.command.split_first() else {
        return Err(Failure::usage("no command is given; write: st-secrets run NAME... -- COMMAND"));
    };
    if run.watch && run.selection.is_empty() && run.tmpfs.is_empty() {
        return Err(Failure::usage("--watch has nothing to follow; write: st-secrets run NAME... --watch -- COMMAND"));
    }
    if run.watch && run.on_change == OnChange::Hup && !run.tmpfs.is_empty() {
        let what = "a file of --tmpfs keeps its contents while the command runs; use --on-change restart, or TERM";
        return Err(Failure::usage(what));
    }
    let given = get(common, run)?;
    if run.watch {
        return start_watched(common, run, given, program);
    }
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
    let files = memory_files(&run.tmpfs)?;
    // A selection of nothing is an error where nothing else is given.
    let is_enough = !files.is_empty() || !run.env_file.is_empty() || run.share;
    let has_selection = !run.selection.is_empty() || !is_enough;
    let (mut failures, mut given) = (Vec::new(), Given { variables, ..Given::default() });
    if !has_selection && files.is_empty() && !run.share {
        return Ok(given);
    }
    let secrets = open(common, run.share)?;
    let generation = secrets.generation();
    if run.share {
        given.share = share::variables(&secrets)?;
    }
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
    given.source = Some((secrets, generation));
    Ok(given)
}

fn memory_files(arguments: &[String]) -> Result<Vec<MemoryFile<'_>>, Failure> {
    arguments.iter().map(|argument| MemoryFile::parse(argument)).collect()
}

/// Opens the providers. Those that share load their documents now.
fn open(common: &Common, is_shared: bool) -> Result<Secrets, Failure> {
    if !is_shared {
        return Secrets::open(common);
    }
    let secrets = Secrets::open_shared(common)?;
    // A secret that is missing for this reason is an error. Else the command can try for itself.
    if let Err(failure) = secrets.prefetch() {
        failure.lines.iter().for_each(|line| terminal::warn(line));
    }
    Ok(secrets)
}

/// The command, with its environment but for what it is given.
fn command(words: &[OsString], run: &Run) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    if run.clean {
        command.env_clear().envs(kept(&run.keep, run.share));
    }
    command
}

fn give(command: &mut Command, given: &Given) -> Result<(), Failure> {
    command.envs(given.variables.iter().map(|(name, value)| (name, value)));
    let secrets = given.share.iter().chain(&given.secrets);
    command.envs(secrets.map(|secret| (&secret.name, OsStr::from_bytes(&secret.value))));
    given.files.iter().try_for_each(OpenFile::inherit)
}

fn start_redacted(common: &Common, run: &Run, given: Given, streams: Streams, program: &OsStr) -> Outcome {
    let key = given.share.iter().filter(|variable| [share::KEY, share::URL].contains(&variable.name.as_str()));
    let secrets = given.secrets.iter().chain(key).map(|secret| (secret.name.as_str(), &secret.value));
    let files = given.files.iter().map(|file| (file.name.as_str(), &file.value));
    let redactor = redact::redactor(common, secrets.chain(files))?;
    let parent = start_child(run, &given, program, |command| Parent::start(&redactor, command, streams))?;
    parent.wait(|| given.files.iter().for_each(|file| file.link().remove()))
}

/// Starts the command as a child of this program.
fn start_child<T>(
    run: &Run,
    given: &Given,
    program: &OsStr,
    mut start: impl FnMut(Command) -> io::Result<T>,
) -> Result<T, Failure> {
    let started = match start(child_command(run.command.clone(), run, given)?) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOEXEC) => {
            // As `exec` does with a script without `#!`.
            let script = match program.as_bytes().contains(&b'/') {
                true => PathBuf::from(program),
                false => files_in_path(program).find(|file| is_executable(file)).unwrap_or_default(),
            };
            let mut words = vec![OsString::from("/bin/sh"), script.into_os_string()];
            words.extend_from_slice(&run.command[1..]);
            start(child_command(words, run, given)?)
        }
        started => started,
    };
    started.map_err(|error| cannot_run(program, &error))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

fn child_command(mut words: Vec<OsString>, run: &Run, given: &Given) -> Result<Command, Failure> {
    // A file is found by the process id of the command, which only the command itself has in time.
    if !given.files.is_empty() {
        let this = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("cannot find the program st-secrets itself: {error}")))?;
        let mut first = vec![this.into_os_string(), "start-with-files".into()];
        first.extend(given.files.iter().map(|file| file.link().argument().into()));
        first.push("--".into());
        words.splice(0..0, first);
    }
    let mut command = command(&words, run);
    give(&mut command, given)?;
    terminal::flush_warnings(None);
    Ok(command)
}

/// Starts the command, and acts when a value changed.
fn start_watched(common: &Common, run: &Run, mut given: Given, program: &OsStr) -> Outcome {
    let child = start_child(run, &given, program, Child::start)?;
    // Programs of providers may be started from now on.
    given.files.iter().try_for_each(OpenFile::keep)?;
    let Some((secrets, generation)) = given.source.take() else {
        return Err(Failure::failed("there is nothing to follow"));
    };
    let get = {
        let (selection, files, timeout) = (run.selection.clone(), run.tmpfs.clone(), common.timeout);
        move |secrets: &mut Secrets| {
            secrets.limit(timeout);
            let mut found = if selection.is_empty() { Vec::new() } else { selection::get(&selection, secrets)? };
            check(&found)?;
            for file in memory_files(&files)? {
                found.push(file.get(secrets)?);
            }
            Ok(found)
        }
    };
    let files = memory_files(&run.tmpfs)?;
    // Those of files last.
    let of_files = given.files.iter().map(|file| Variable { name: file.name.clone(), value: file.value.clone() });
    let known = given.secrets.iter().cloned().chain(of_files).collect();
    let changes = watch::follow(secrets, generation, known, get)?;
    let restart = |child: &mut Child, mut found: Vec<Variable>| {
        let values = found.split_off(found.len() - files.len());
        given.secrets = found;
        let opened = files.iter().zip(values).map(|(file, variable)| file.with(variable.value));
        given.files = opened.collect::<Result<_, _>>()?;
        start_child(run, &given, program, |command| child.replace(command))?;
        given.files.iter().try_for_each(OpenFile::keep)
    };
    watch::supervise(child, &changes, run, restart, || files.iter().for_each(MemoryFile::remove_link))
}

/// Makes the links to the files of `--tmpfs`, then becomes the command. `--redact` and `--watch` start it as a child.
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
fn kept(patterns: &[String], is_shared: bool) -> impl Iterator<Item = (OsString, OsString)> {
    let of_share = is_shared.then_some(OF_SHARE);
    let is_kept = move |name: &str| {
        let all = BASIC.into_iter().chain(of_share).chain(patterns.iter().map(String::as_str));
        all.into_iter().any(|pattern| names::matches(pattern, name))
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
    let missing = io::Error::from(Errno::NOENT);
    // The search in `PATH` reports "permission denied" for a directory that cannot be searched.
    let is_missing = error.kind() == io::ErrorKind::PermissionDenied
        && !program.as_bytes().contains(&b'/')
        && !files_in_path(program).any(|file| file.exists());
    let error = if is_missing { &missing } else { error };
    let code = if error.kind() == io::ErrorKind::NotFound { NO_COMMAND } else { CANNOT_RUN };
    Failure::new(code, format!("cannot run {}: {error}", program.display()))
}

/// The candidates for this program name in the directories of `PATH`, in order.
fn files_in_path(program: &OsStr) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.into_iter().map(move |directory| directory.join(program))
}
