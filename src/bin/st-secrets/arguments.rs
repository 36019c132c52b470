//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, value_parser};

use crate::failure::{BAD_USE, CANNOT_RUN, FAILED, INTERRUPTED, MISSING, NO_COMMAND};

const EXAMPLES: &str = "\
Examples:
  st-secrets run HF_TOKEN WANDB_API_KEY -- torchrun train.py   start a command with two secrets
  st-secrets set HF_TOKEN                                      ask for a value, without showing it
  pass hf/token | st-secrets set HF_TOKEN                      or take it from another program
  st-secrets where HF_TOKEN                                    which provider a secret comes from
  st-secrets check                                             whether every provider works

Names are found as people write them: HF_TOKEN, hf_token and hf-token are the same secret.
Providers are asked in their order: environment, file, AWS Secrets Manager, Vault.";

/// Secrets for commands, shells and people.
///
/// Gets secrets from the environment, a secrets file, AWS Secrets Manager and Vault, and gives them to a command. It
/// never prints a value unless that is what it is asked for.
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
  {INTERRUPTED}  Ctrl-C while a value was typed
  else that of the command of `run`"
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
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Say on stderr what is done; twice for where each value is looked for
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
    /// The program becomes the command: same process id, terminal, signals and exit code. If a secret is missing, the
    /// command is not started.
    Run(Run),
    /// Write the value of a secret to stdout
    Get(Get),
    /// Store a secret in the secrets file
    ///
    /// The value is read from stdin, without a final line break. On a terminal it is typed and not shown. It is never
    /// an argument, which other users and the shell's history would see.
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
    /// Write secrets as shell, JSON, dotenv, Docker or Kubernetes text
    Export(Export),
    /// Encrypt stdin, or what is typed, under the credential key
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
    /// Read and verify the audit trail
    Audit(Audit),
    /// Write a completion script for a shell
    #[command(hide = true)]
    Completions(Completions),
    /// Write the man pages
    #[command(hide = true)]
    Man(Man),
}

/// Which secrets, and as which variables.
#[derive(Args, Debug)]
pub(crate) struct Selection {
    /// Secrets to get; each becomes the variable of its name: hf-token becomes HF_TOKEN
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Get every secret that a provider can list: file, AWS, Vault
    #[arg(long)]
    pub(crate) all: bool,
    /// Get those of all secrets whose names match; `*` matches any text
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Get this secret if there is one
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) optional: Vec<String>,
    /// Get the secret NAME as this variable
    #[arg(long, value_name = "NAME=VARIABLE", value_delimiter = ',')]
    pub(crate) rename: Vec<String>,
}

#[derive(Args, Debug)]
#[command(
    override_usage = "st-secrets run [OPTIONS] NAME... -- COMMAND [ARGUMENT]...",
    after_help = "\
Examples:
  st-secrets run HF_TOKEN -- python train.py
  st-secrets run --all --clean --keep 'CUDA_*' -- python train.py
  st-secrets run HF_TOKEN --rename HF_TOKEN=HUGGING_FACE_HUB_TOKEN --optional WANDB_API_KEY -- torchrun train.py
  st-secrets run --file /run/secrets --all -- ./serve"
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Pass on, of this environment, only what programs need: PATH, HOME, USER, LANG, TERM and the like
    #[arg(long)]
    pub(crate) clean: bool,
    /// With --clean, also pass on these variables; `*` matches any text
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', requires = "clean")]
    pub(crate) keep: Vec<String>,
    /// Add the variables of a dotenv file; secrets override them
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The secret, under any spelling of its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Write the value to a terminal too
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Set {
    /// The secret, under any spelling of its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Taken so that a value that was given here is not repeated in an error.
    #[arg(hide = true, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) refused: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// The secret, under any spelling of its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Where {
    /// The secrets, under any spelling of their names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(
    override_usage = "st-secrets export [OPTIONS] --format FORMAT NAME...",
    after_help = "\
Examples:
  eval \"$(st-secrets export --format env HF_TOKEN)\"
  st-secrets export --format k8s --secret-name training --all | kubectl apply -f -
  st-secrets export --format docker HF_TOKEN | docker run --env-file /dev/stdin IMAGE"
)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How to write them
    #[arg(long, value_enum)]
    pub(crate) format: Format,
    /// The name of the Kubernetes secret
    #[arg(long, value_name = "NAME", default_value = "st-secrets")]
    pub(crate) secret_name: String,
    /// Write the values to a terminal too
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For `eval` in a POSIX shell
    Env,
    /// A JSON object
    Json,
    /// For python-dotenv, Docker Compose and the like
    Dotenv,
    /// For `docker run --env-file`, which takes values literally
    Docker,
    /// A Kubernetes manifest of kind Secret
    K8s,
}

#[derive(Args, Debug)]
pub(crate) struct Encrypt {
    /// Taken so that a text that was given here is not repeated in an error.
    #[arg(hide = true, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) refused: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Decrypt {
    /// Write the text to a terminal too
    #[arg(long)]
    pub(crate) show: bool,
    /// Taken so that a token that was given here is not repeated in an error.
    #[arg(hide = true, value_name = "TOKEN", allow_hyphen_values = true)]
    pub(crate) refused: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Key {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key, and bring every stored credential under it
    ///
    /// The old key is kept for decryption of what it encrypted elsewhere.
    Rotate,
}

#[derive(Args, Debug)]
pub(crate) struct Credentials {
    #[command(subcommand)]
    pub(crate) command: CredentialsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// List stored credentials, without their values
    List {
        /// Only those of this user
        #[arg(long, value_name = "NUMBER")]
        user: Option<i64>,
        /// Only those of this cloud provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Store a credential of a user; its value is read as by `set`
    Set {
        #[command(flatten)]
        which: Which,
        /// Taken so that a value that was given here is not repeated in an error.
        #[arg(hide = true, value_name = "VALUE", allow_hyphen_values = true)]
        refused: Vec<OsString>,
    },
    /// Remove a credential of a user
    Delete(Which),
    /// Bring every stored credential under the newest key
    Reencrypt {
        /// Encrypt those that SimpleTuner left as plain text too
        #[arg(long)]
        plain: bool,
    },
}

/// Which credential.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The number of the user
    #[arg(value_name = "USER")]
    pub(crate) user: i64,
    /// The cloud provider, such as replicate
    #[arg(value_name = "PROVIDER")]
    pub(crate) provider: String,
    /// The name of the credential, such as api_token
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Provider {
    #[command(subcommand)]
    pub(crate) command: ProviderCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// List the cloud providers that have a configuration
    List {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the configuration of a cloud provider, as JSON
    Show {
        #[arg(value_name = "PROVIDER")]
        provider: String,
        /// Show values on a terminal too
        #[arg(long)]
        show: bool,
    },
    /// Replace the configuration of a cloud provider with the JSON object on stdin
    Save {
        #[arg(value_name = "PROVIDER")]
        provider: String,
    },
    /// Set the members of the JSON object on stdin, and keep the others
    Update {
        #[arg(value_name = "PROVIDER")]
        provider: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Hardware {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List entries, newest first
    List {
        /// At most this many
        #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
        limit: u32,
        /// Only entries of this time and later, such as 2026-08-22T17:32:24Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only entries of this type, such as credential.used
        #[arg(long, value_name = "TYPE")]
        event: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Verify that no entry was changed or removed
    Verify {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
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
