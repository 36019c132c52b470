//! The command line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::failure::{BAD_USE, CANNOT_RUN, FAILED, INTERRUPTED, MISSING, NO_COMMAND};

mod secrets;
mod store;

pub(crate) use secrets::{
    Check, Delete, Export, Format, Get, Invalidate, List, OnChange, Redact, Run, Selection, Set, Share, StartWithFiles,
    Streams, Where,
};
pub(crate) use store::{
    Audit, AuditCommand, AuditFormat, Backup, Credentials, CredentialsCommand, Decrypt, Encrypt, Hardware, Key,
    KeyCommand, Provider, ProviderCommand,
};

const EXAMPLES: &str = "\
Examples:
  st-secrets run HF_TOKEN WANDB_API_KEY -- torchrun train.py   start a command with two secrets
  st-secrets set HF_TOKEN                                      prompt for a value, without echo
  pass hf/token | st-secrets set HF_TOKEN                      or read it from another program
  st-secrets where HF_TOKEN                                    which provider a secret comes from
  st-secrets check                                             whether every provider works

The spellings HF_TOKEN, hf_token and hf-token name the same secret.
Providers are queried in order: environment, file, AWS Secrets Manager, Vault.";

/// Secrets for commands, shells and users.
///
/// Gets secrets from the environment, a secrets file, AWS Secrets Manager and Vault, and gives them to a command. It
/// prints a value only on request.
#[derive(Debug, Parser)]
#[command(name = "st-secrets", bin_name = "st-secrets", version, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn long_help() -> String {
    format!(
        "{EXAMPLES}

Exit codes:
  {BAD_USE}    the command line or a setting is wrong
  {MISSING}    a secret is not in any provider
  {FAILED}    a provider, the store or the output failed
  {CANNOT_RUN}  the command of `run` cannot be started
  {NO_COMMAND}  the command of `run` does not exist
  {INTERRUPTED}  Ctrl-C while a value was typed  other: the exit code of the command of `run`"
    )
}

/// What every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Read settings from a TOML or JSON file, with the keys of the library's configuration
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Use this secrets file, or directory of secrets such as /run/secrets
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Give up after this many seconds
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
    /// When that is over; set once the command line is read.
    #[arg(skip)]
    pub(crate) deadline: Option<Instant>,
    /// Log to stderr what is done; repeat to log where each value is looked up
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Whether to color the output
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

/// What `--timeout` takes.
pub(crate) const SECONDS: &str = "write a number of seconds above 0, such as 30 or 0.5";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| SECONDS.to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a command with secrets in its environment
    ///
    /// The program becomes the command: same process id, terminal, signals and exit code. With --redact or --watch it
    /// stays as the parent of the command, and passes on signals and the exit code. If a secret is missing, the command
    /// is not started.
    Run(Run),
    /// Write the value of a secret to stdout
    Get(Get),
    /// Store a secret in the secrets file
    ///
    /// The value is read from stdin, without a final line break. On a terminal it is typed and not shown. It is never
    /// an argument, because other users and the shell's history would see it.
    Set(Set),
    /// Remove a secret from the secrets file
    Delete(Delete),
    /// List the names of all secrets, with their providers
    List(List),
    /// Show which provider each secret comes from
    Where(Where),
    /// Check every provider
    ///
    /// Reports whether each provider works, the identity at AWS and Vault, and whether the memory for secrets is
    /// locked. The exit code is 4 if a provider fails.
    Check(Check),
    /// Show what the processes on this host share
    ///
    /// Lists the AWS and Vault documents that these settings name, without querying a server. The exit code is 4 if the
    /// directory of the share cannot be used. The setting `share` need not be on.
    Share(Share),
    /// Load the AWS and Vault documents, for the processes on this host that share them
    ///
    /// Documents that are shared and fresh are not loaded again. The setting `share` need not be on.
    Prefetch,
    /// Drop what the processes that share, on this host or in the cluster, have cached
    ///
    /// Returns when all have confirmed that: no get that begins afterwards returns an older value. The exit code is 4
    /// if one has not confirmed within --timeout, by default 10 seconds. Processes whose setting `share` is off are not
    /// affected.
    Invalidate(Invalidate),
    /// Write secrets as shell, JSON, dotenv, Docker or Kubernetes text
    Export(Export),
    /// Copy stdin to stdout, with secrets replaced by ***
    ///
    /// Replaces values of at least 8 bytes, including escaped and encoded forms such as JSON, URLs and base64. Without
    /// names, replaces every secret that a provider can list. Copies nothing if a secret cannot be found.
    Redact(Redact),
    /// Encrypt stdin, or text typed at a prompt, with the credential key
    Encrypt(Encrypt),
    /// Decrypt a token from stdin
    Decrypt(Decrypt),
    /// Manage the key that credentials are encrypted with
    Key(Key),
    /// Manage the stored credentials of users
    Credentials(Credentials),
    /// Show and change the configuration of cloud providers
    Provider(Provider),
    /// List the prices of hardware
    Hardware(Hardware),
    /// Read, verify and export the audit trail
    Audit(Audit),
    /// Copy the databases into a directory, while programs use them
    ///
    /// Writes jobs.db and audit.db, and credentials.db if the credentials have a database of their own. The keys are
    /// not copied: without them, credentials cannot be decrypted and the audit trail cannot be verified.
    Backup(Backup),
    /// Write a completion script for a shell
    #[command(hide = true)]
    Completions(Completions),
    /// Write the man pages
    #[command(hide = true)]
    Man(Man),
    /// Make the links to the files of `run --tmpfs --redact`, and become the command
    #[command(hide = true)]
    StartWithFiles(StartWithFiles),
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write a page for each command into this directory
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: Option<PathBuf>,
}
