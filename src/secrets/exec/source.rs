//! The provider's [`DocumentSource`].

use std::collections::HashSet;
use std::io;
use std::process::ExitStatus;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::output;
use super::quote;
use super::settings::{ExecSettings, OutputFormat};
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Source, Status};
use crate::http::retry::Patience;
use crate::log::{self, Level};
use crate::process::{self, Limits, Output, RunFailure};
use crate::secrets::document::{Document, DocumentSource};
use crate::secrets::entries::counted;
use crate::secrets::provider::{Health, HealthState};
use crate::secrets::secret::ProviderId;
use crate::settings::Environment;
use crate::share::Identity;

/// The limit of its output, and how much of its standard error is kept.
const LIMITS: Limits = Limits { stdout: 4 << 20, stderr: 4 << 10 };
/// The shortest part of a value or an output that is masked in messages.
const SHORTEST_PART: usize = 8;

/// Reads documents from the output of a program.
pub(crate) struct ExecSource {
    id: ProviderId,
    settings: ExecSettings,
}

impl ExecSource {
    /// The source that an element of `providers` describes. Nothing is run yet.
    pub(crate) fn open(table: &Map<String, Value>) -> Result<ExecSource> {
        let settings = ExecSettings::read(table)?;
        Ok(ExecSource { id: ProviderId::named(&settings.name, Source::Exec), settings })
    }

    fn program(&self) -> &str {
        &self.settings.words[0]
    }

    fn read(&self, deadline: Deadline) -> Result<Document> {
        let output = process::run(&self.settings.words, &LIMITS, deadline).map_err(|failure| self.not_run(failure))?;
        let parsed = output::parse(&output.stdout, &self.settings.format, self.program(), deadline);
        match output.status {
            Some(status) if !status.success() => Err(self.failed(status, &output, parsed.ok().as_ref())),
            _ => {
                self.log_stderr(&output);
                parsed
            }
        }
    }

    fn not_run(&self, failure: RunFailure) -> Error {
        let program = self.program();
        let error = |status, what: String| Error::new(status, format!("{program}: {what}"));
        match failure {
            RunFailure::Start(cause) => {
                // The search in `PATH` reports a directory that may not be read as a refused permission.
                let cause = match cause.kind() {
                    io::ErrorKind::PermissionDenied if !process::is_found(program) => {
                        io::Error::from_raw_os_error(libc::ENOENT)
                    }
                    _ => cause,
                };
                let (status, remedy) = match cause.kind() {
                    io::ErrorKind::NotFound => (Status::Config, "; install it, or name its path"),
                    io::ErrorKind::PermissionDenied => (Status::AccessDenied, "; make it executable"),
                    _ => (Status::Unavailable, ""),
                };
                error(status, format!("it cannot be started: {cause}{remedy}"))
                    .with_detail(cause.raw_os_error().unwrap_or(0))
            }
            RunFailure::Read(cause) => error(Status::Io, format!("its output cannot be read: {cause}"))
                .with_detail(cause.raw_os_error().unwrap_or(0)),
            RunFailure::TooMuch => {
                error(Status::Protocol, format!("it prints more than {} MiB, and was killed", LIMITS.stdout >> 20))
            }
            RunFailure::TimedOut(what) => {
                let what = format!("it {what}; check whether it waits for input, or raise \"timeout\"");
                error(Status::Timeout, what).with_retryable(true)
            }
            RunFailure::OutOfMemory(cause) => cause.map_message(|message| format!("{program}: {message}")),
        }
    }

    /// The error of a program that ended with this status. Its standard error is quoted without the values that it
    /// printed, and without the words of what else it printed but for keys.
    fn failed(&self, status: ExitStatus, output: &Output, document: Option<&Document>) -> Error {
        let is_cut = output.stderr_len > output.stderr.len();
        let keys: HashSet<&[u8]> =
            document.into_iter().flat_map(Document::entries).map(|(key, _)| key.as_bytes()).collect();
        let other = parts(&output.stdout).filter(|part| !keys.contains(part));
        let line = quote::first_line(&output.stderr, is_cut, document.into_iter().flat_map(values).chain(other));
        let message = format!("{} failed with {status}{line}", self.program());
        Error::new(Status::Unavailable, message).with_retryable(true)
    }

    fn log_stderr(&self, output: &Output) {
        if output.stderr_len > 0 {
            log::emit(Level::Debug, "exec", || {
                let size = output.stderr_len;
                format!("{}: {} writes {size} bytes to its standard error", self.settings.name, self.program())
            });
        }
    }
}

impl DocumentSource for ExecSource {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn place(&self) -> String {
        format!("the output of {}", self.program())
    }

    fn redact(&self, message: String, earlier: &Document) -> String {
        quote::without(message, values(earlier))
    }

    fn identity(&self) -> Option<Identity> {
        let variables = self.settings.depends_on.as_ref()?;
        let mut identity = Identity::new("exec");
        identity.add("format", format!("{:?}", self.settings.format));
        let is_listed = |name: &[u8]| variables.iter().any(|variable| variable.as_bytes() == name);
        identity.add_program(&self.settings.words, is_listed).ok()?;
        // A variable may be what the program logs in with, so a process without it cannot read the output.
        for name in variables {
            let value = Zeroizing::new(Environment::Process.raw(name).unwrap_or_default().into_encoded_bytes());
            identity.add_secret(&value).ok()?;
        }
        Some(identity)
    }

    fn load(&self, deadline: Deadline, _: Patience) -> Result<Document> {
        self.read(deadline).map_err(|error| error.with_source(Source::Exec))
    }

    fn describe(&self) -> Map<String, Value> {
        let (format, key) = match &self.settings.format {
            OutputFormat::Detected => (None, None),
            OutputFormat::Json => (Some("json"), None),
            OutputFormat::Dotenv => (Some("dotenv"), None),
            OutputFormat::Value(key) => (Some("value"), Some(key)),
        };
        // Arguments may be more than others should see.
        Map::from_iter([
            ("program".to_owned(), json!(self.program())),
            ("format".to_owned(), json!(format)),
            ("as".to_owned(), json!(key)),
            ("depends_on".to_owned(), json!(self.settings.depends_on)),
        ])
    }

    fn check(&self, deadline: Deadline) -> Health {
        let start = Instant::now();
        match self.read(deadline) {
            Ok(document) => {
                let keys = counted(document.len(), "key", "keys");
                let detail = format!("{} prints {keys}, in {:.1} s", self.program(), start.elapsed().as_secs_f64());
                Health::new(HealthState::Ok, detail)
            }
            Err(error) => Health::new(HealthState::Failed, error.message())
                .with_advice("run the command by hand, in the same directory and environment"),
        }
    }
}

/// The values, and what they are made of.
fn values(document: &Document) -> impl Iterator<Item = &[u8]> {
    document.entries().flat_map(|(_, (value, _))| parts(value))
}

/// The text, and its words and quoted texts: it may be JSON, as an object in a document is.
fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_between = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`=,{}[]".contains(byte);
    let within = text.split(is_between).chain(text.split(|byte| *byte == b'"'));
    within.filter(move |part| (SHORTEST_PART..text.len()).contains(&part.len())).chain([text])
}
