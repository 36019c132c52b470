//! The program `st-secrets`: secrets for commands, shells and users.
//!
//! | module | does |
//! |---|---|
//! | `arguments` | the command line, as clap reads it |
//! | `usage` | one line for each kind of bad use |
//! | `config` | settings: `--config`, `--file`, `--timeout` |
//! | `secrets` | queries to the provider chain of the library |
//! | `names` | spellings of names, variables, patterns |
//! | `selection` | the secrets of `run` and `export` |
//! | `run`, `redact`, `export`, `value`, `report`, `share`, `cipher`, `store`, `audit`, `pages` | the commands |
//! | `child`, `watch` | the command of `run` if this program stays as its parent; following its secrets |
//! | `dotenv`, `env_file`, `memory_file` | variables from files, secrets as files |
//! | `terminal`, `prompt`, `progress`, `signals`, `failure` | output, typed values, progress bars, signals, exit codes |

use std::process::ExitCode;
use std::time::Instant;

mod arguments;
mod audit;
mod child;
mod cipher;
mod config;
#[path = "../../dotenv.rs"]
mod dotenv;
mod env_file;
mod export;
mod failure;
mod memory_file;
mod names;
mod pages;
mod progress;
mod prompt;
mod redact;
mod report;
mod run;
mod secrets;
mod selection;
mod share;
mod signals;
mod store;
mod terminal;
mod usage;
mod value;
mod watch;

use arguments::{Arguments, Command};
use clap::Parser;
use failure::Outcome;

fn main() -> ExitCode {
    // Values are copied on their way out of the program, so it writes no core file. The setting ends with `exec`.
    // macOS has no such setting, and writes none by default.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).ok();
    let mut arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::answer(&error),
    };
    let common = &mut arguments.common;
    common.deadline = common.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    terminal::set_color(arguments.common.color);
    let outcome = act(&arguments);
    terminal::flush_warnings(outcome.as_ref().err());
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn act(arguments: &Arguments) -> Outcome {
    let common = &arguments.common;
    terminal::log(common.verbose, matches!(arguments.command, Command::Check(_)));
    match &arguments.command {
        Command::Run(run) => run::run(common, run),
        Command::Get(get) => value::get(common, get),
        Command::Set(set) => value::set(common, set),
        Command::Delete(delete) => value::delete(common, delete),
        Command::List(list) => report::list(common, list),
        Command::Where(places) => report::places(common, places),
        Command::Check(check) => report::check(common, check),
        Command::Share(share) => share::share(common, share),
        Command::Prefetch => share::prefetch(common),
        Command::Invalidate(invalidate) => share::invalidate(common, invalidate),
        Command::Export(export) => export::export(common, export),
        Command::Redact(redact) => redact::redact(common, redact),
        Command::Encrypt(text) => cipher::encrypt(common, text),
        Command::Decrypt(token) => cipher::decrypt(common, token),
        Command::Key(key) => cipher::key(common, key),
        Command::Credentials(credentials) => store::credentials(common, credentials),
        Command::Provider(provider) => store::provider(common, provider),
        Command::Hardware(hardware) => store::hardware(common, hardware),
        Command::Audit(audit) => audit::audit(common, audit),
        Command::Backup(backup) => store::backup(common, backup),
        Command::Completions(completions) => pages::completions(completions),
        Command::Man(man) => pages::man(man),
        Command::StartWithFiles(start) => run::start_with_files(start),
    }
}
