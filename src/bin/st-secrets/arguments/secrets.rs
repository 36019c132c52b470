//! The arguments of the commands for secrets.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// Which secrets, and as which variables.
#[derive(Args, Clone, Debug)]
pub(crate) struct Selection {
    /// Secrets to get; each becomes the variable of its name: hf-token becomes HF_TOKEN
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Get every secret that a provider can list: file, AWS, Vault
    #[arg(long)]
    pub(crate) all: bool,
    /// Get all secrets whose names match; `*` matches any text
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Get this secret if it exists
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
  st-secrets run HF_TOKEN --redact -- python train.py
  st-secrets run HF_TOKEN --watch --on-change restart -- ./serve
  st-secrets run --share -- torchrun --nproc_per_node=8 train.py
  GOOGLE_APPLICATION_CREDENTIALS=/tmp/key.json st-secrets run --tmpfs gcp-key=/tmp/key.json -- python train.py
  st-secrets run --file /run/secrets --all -- ./serve"
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Pass on only the variables that most programs need: PATH, HOME, USER, LANG, TERM and the like
    #[arg(long)]
    pub(crate) clean: bool,
    /// With --clean, also pass on these variables; `*` matches any text
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', requires = "clean")]
    pub(crate) keep: Vec<String>,
    /// Add the variables of a dotenv file; secrets override them
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Replace the secrets with *** in the output of the command to stdout and stderr, or to stderr alone
    #[arg(
        long, value_name = "STREAMS", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "all"
    )]
    pub(crate) redact: Option<Streams>,
    /// Pass the secret NAME as a file in memory, with PATH as a link to it, instead of a variable
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) tmpfs: Vec<String>,
    /// Load the AWS and Vault documents once for this host, and share them with the programs of the command
    #[arg(long)]
    pub(crate) share: bool,
    /// Follow the secrets while the command runs, and act when a value changes
    #[arg(long, conflicts_with = "redact")]
    pub(crate) watch: bool,
    /// With --watch: what to do with the command when a value changes
    #[arg(
        long, value_name = "ACTION", value_enum, ignore_case = true, default_value_t = OnChange::Restart,
        requires = "watch"
    )]
    pub(crate) on_change: OnChange,
    /// With --watch: the number of seconds that a restarted command may take to end before it is killed
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds, default_value = "30", requires = "watch")]
    pub(crate) grace: Duration,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnChange {
    /// Send it SIGHUP; it reads the values itself
    #[value(name = "HUP")]
    Hup,
    /// Send it SIGTERM; the service manager that started st-secrets restarts it
    #[value(name = "TERM")]
    Term,
    /// Send it SIGTERM, and start it again with the new values when it has ended
    #[value(name = "restart")]
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Streams {
    /// Stdout and stderr
    All,
    Stderr,
}

#[derive(Args, Debug)]
pub(crate) struct StartWithFiles {
    /// The number of an open file, and the path of the link to it
    #[arg(long, value_name = "NUMBER=PATH")]
    pub(crate) link: Vec<String>,
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  python train.py 2>&1 | st-secrets redact HF_TOKEN WANDB_API_KEY
  st-secrets redact < build.log > build.public.log")]
pub(crate) struct Redact {
    /// Secrets to replace
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Replace all secrets whose names match; `*` matches any text
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Replace this secret if it exists
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) optional: Vec<String>,
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
#[command(after_help = "\
Examples:
  st-secrets share           which documents are shared, how old they are, and which process loads
  st-secrets share --json    the same for programs")]
pub(crate) struct Share {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  st-secrets invalidate                         after a rotation, on this host
  st-secrets invalidate --cluster --timeout 30  on all hosts that share a tier (share_url)")]
pub(crate) struct Invalidate {
    /// On all hosts that share through the server of `share_url`
    #[arg(long)]
    pub(crate) cluster: bool,
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
    /// The output format
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
