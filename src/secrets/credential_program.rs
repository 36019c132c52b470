//! Programs that print a credential: `az`, the executable sources of Google, the exec plugins of Kubernetes.

use std::process::ExitStatus;

use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::process::{self, Limits, RunFailure};
use crate::secret_memory::SecretBytes;

/// The limits of its output. Its standard error may contain a credential, so it is dropped.
const LIMITS: Limits = Limits { stdout: 256 << 10, stderr: 0 };

/// Runs a program with these variables besides those of this process, and returns what it printed. At the deadline it
/// is killed. The status is absent if it succeeded. `what` is what fails, for messages: `the login of the Azure CLI`.
pub(super) fn run(
    what: &str,
    words: &[String],
    variables: &[(String, String)],
    deadline: Deadline,
) -> Result<(SecretBytes, Option<ExitStatus>)> {
    let program = words.first().map_or("", String::as_str);
    let failed = |status, why: String| Error::new(status, format!("{what}: {why}"));
    let output = process::run_with(words, variables, &LIMITS, deadline).map_err(|failure| match failure {
        RunFailure::Start(cause) => failed(Status::Config, format!("{program} cannot be started: {cause}")),
        RunFailure::TimedOut(what) => {
            let why = format!("{program} {what}; raise \"timeout\"");
            failed(Status::Timeout, why).with_retryable(true)
        }
        RunFailure::OutOfMemory(error) => error,
        RunFailure::Read(_) | RunFailure::TooMuch => {
            failed(Status::Protocol, format!("the output of {program} cannot be read"))
        }
    })?;
    Ok((output.stdout, output.status.filter(|status| !status.success())))
}
