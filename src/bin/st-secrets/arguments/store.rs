//! The arguments of the commands for encryption and the databases.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, value_parser};

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
    /// Create a new key, and re-encrypt every stored credential with it
    ///
    /// The old key is kept, to decrypt tokens stored elsewhere.
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
    /// Re-encrypt every stored credential with the newest key
    Reencrypt {
        /// Also encrypt those that SimpleTuner stored as plain text
        #[arg(long)]
        plain: bool,
    },
}

/// Which credential.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The ID of the user
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
    /// Remove the configuration of a cloud provider
    Delete {
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
        /// The maximum number of entries
        #[arg(
            long, value_name = "COUNT", default_value_t = 100, value_parser = value_parser!(u32).range(1..),
            allow_negative_numbers = true,
        )]
        limit: u32,
        /// Only entries from this time on, such as 2026-08-22T17:32:24Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only entries of this type, such as credential.used
        #[arg(long, value_name = "TYPE")]
        event: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Write entries, oldest first, as JSON lines or CSV
    Export {
        /// The output format
        #[arg(long, value_enum, default_value_t = AuditFormat::Jsonl)]
        format: AuditFormat,
        /// Only entries from this time on, such as 2026-08-22T17:32:24Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only entries before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only entries of this type, such as credential.used
        #[arg(long, value_name = "TYPE")]
        event: Option<String>,
    },
    /// Verify that no entry was changed or removed
    Verify {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditFormat {
    /// A JSON object on each line
    Jsonl,
    /// A header and a row for each entry, as RFC 4180 describes
    Csv,
}

#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// The directory to write into
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
    /// Replace an earlier backup
    #[arg(long)]
    pub(crate) replace: bool,
}
