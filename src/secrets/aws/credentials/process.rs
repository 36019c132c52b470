//! Runs a `credential_process`, a program that prints credentials.

use std::time::{Duration, SystemTime};

use super::context::{FetchedCredentials, failed};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};
use crate::process::{self, Limits, RunFailure};
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::ini::IniValue;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::times;
use crate::secrets::json::SecretObject;
use crate::share::Identity;

/// The limits of its output. Its standard error may contain keys, so it is dropped.
const LIMITS: Limits = Limits { stdout: 64 << 10, stderr: 0 };

/// A program with its arguments.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct CredentialProcess {
    /// At least one.
    words: Vec<String>,
    pub(super) origin: String,
}

impl CredentialProcess {
    /// Splits the command line as a shell does. It is run without a shell.
    pub(super) fn from_profile(profile: &Profile<'_>, command: IniValue<'_>) -> Result<CredentialProcess> {
        let origin = format!("{}: `credential_process`", profile.location(command));
        match shlex::split(&command.lines()) {
            Some(words) if !words.is_empty() => Ok(CredentialProcess { words, origin }),
            _ => Err(config_error(format!("{origin}: a quotation mark is not closed"))),
        }
    }

    /// Adds the command, and what its result may depend on, to the identity of a process: the directory, and the
    /// variables that select the program, its files and its profile. Other variables may differ.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity
            .add_program(&self.words, |name| name.starts_with(b"AWS_"))
            .map_err(|error| self.error(Status::Io, format!("cannot find the current directory: {error}")))
    }

    /// Runs the program. At the deadline it is killed, with the processes that it started.
    pub(super) fn fetch(&self, deadline: Deadline) -> Result<FetchedCredentials> {
        let program = &self.words[0];
        let output = process::run(&self.words, &LIMITS, deadline).map_err(|failure| match failure {
            RunFailure::Start(error) => self.error(Status::Config, format!("cannot start {program}: {error}")),
            RunFailure::Read(error) => self.error(Status::Io, format!("cannot read its output: {error}")),
            RunFailure::TooMuch => self.error(Status::Protocol, format!("it prints more than {} bytes", LIMITS.stdout)),
            RunFailure::TimedOut(what) => self.error(Status::Timeout, format!("it {what}")),
            RunFailure::OutOfMemory(error) => error,
        })?;
        if output.stderr_len > 0 {
            log::emit(Level::Debug, "aws", || {
                let size = output.stderr_len;
                format!("{} writes {size} bytes to its standard error, which may contain keys", self.origin)
            });
        }
        match output.status {
            Some(status) if !status.success() => {
                Err(self.error(Status::Unavailable, format!("{program} failed with {status}; run it to see why")))
            }
            _ => self.parse(&output.stdout),
        }
    }

    fn parse(&self, output: &[u8]) -> Result<FetchedCredentials> {
        let invalid = |why: &str| Err(self.error(Status::Protocol, why));
        let Some(fields) = SecretObject::parse(output) else { return invalid("its output is not a JSON object") };
        if fields.text("Version") != Some("1") {
            return invalid("its output has no `\"Version\": 1`");
        }
        let (Some(id), Some(secret)) = (fields.text("AccessKeyId"), fields.text("SecretAccessKey")) else {
            return invalid("its output lacks AccessKeyId or SecretAccessKey");
        };
        let expires = match fields.text("Expiration") {
            Some(_) if times::time(&fields, "Expiration").is_none() => {
                return invalid("its Expiration must be a time like 2026-11-21T02:49:45Z");
            }
            _ => times::time(&fields, "Expiration"),
        };
        let fetched = FetchedCredentials::new(
            AwsCredentials::new(id, secret, fields.text("SessionToken"), expires, &self.origin)?,
            SystemTime::now(),
        );
        match fetched.lifetime {
            Some(Duration::ZERO) => Err(self.error(Status::AccessDenied, "the credentials in its output have expired")),
            _ => Ok(fetched),
        }
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.origin, what)
    }
}
