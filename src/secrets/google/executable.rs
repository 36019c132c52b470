//! Programs that print the token of another provider, for workload identity federation.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::files;
use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::secrets::credential_program;
use crate::secrets::json::SecretObject;

/// The variable without which no program is run.
const ALLOWED: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
const DEFAULT_TIMEOUT: u64 = 30_000;
const MAX_FILE: usize = 64 << 10;

/// A program of a credentials file.
pub(super) struct Executable {
    pub(super) words: Vec<String>,
    timeout: Duration,
    /// The file in which the program keeps its last response.
    output_file: Option<PathBuf>,
}

impl Executable {
    /// Reads the member `executable`; the error says what the file has.
    pub(super) fn of_file(object: &SecretObject) -> Result<Executable, String> {
        let words = object.text("command").and_then(shlex::split).filter(|words| !words.is_empty());
        let timeout = object.number("timeout_millis").unwrap_or(DEFAULT_TIMEOUT);
        if !(5_000..=120_000).contains(&timeout) {
            return Err("has a \"timeout_millis\" that is not between 5000 and 120000".to_owned());
        }
        Ok(Executable {
            words: words.ok_or("has an \"executable\" without a \"command\" that can be split into words")?,
            timeout: Duration::from_millis(timeout),
            output_file: object.text("output_file").map(PathBuf::from),
        })
    }

    /// Returns the token that the program printed last, or prints now. The variables say for what it is.
    pub(super) fn token(&self, what: &str, variables: &[(&str, &str)], deadline: Deadline) -> Result<SecretBytes> {
        if std::env::var_os(ALLOWED).is_none_or(|value| value != "1") {
            let message = format!("{what} is from a program; set {ALLOWED}=1 to run it");
            return Err(Error::new(Status::Config, message));
        }
        if let Some(token) = self.last_token(what) {
            return Ok(token);
        }
        let file = self.output_file.as_ref().and_then(|path| path.to_str());
        let file = file.map(|path| ("OUTPUT_FILE", path));
        let variables =
            [("INTERACTIVE", "0"), ("REVOKE", "0")].into_iter().chain(file).chain(variables.iter().copied());
        let variables: Vec<_> =
            variables.map(|(name, value)| (format!("GOOGLE_EXTERNAL_ACCOUNT_{name}"), value.to_owned())).collect();
        let deadline = deadline.min(Deadline::after(self.timeout));
        let (printed, failure) = credential_program::run(what, &self.words, &variables, deadline)?;
        if let Some(status) = failure {
            let message = format!("{what}: {} failed with {status}; run it to see why", self.words[0]);
            return Err(Error::new(Status::Unavailable, message).with_retryable(true));
        }
        let response = SecretObject::parse(&printed);
        token(response.as_ref())
            .map_err(|(status, why)| Error::new(status, format!("{what}: {}: {why}", self.words[0])))
    }

    /// The token in the file of the last response, until it expires.
    fn last_token(&self, what: &str) -> Option<SecretBytes> {
        let path = self.output_file.as_ref().filter(|path| path.exists())?;
        let contents = fork::unprotected(|| files::read(path, MAX_FILE)).ok()?;
        let response = SecretObject::parse(&contents.bytes)?;
        response.number("expiration_time")?;
        match token(Some(&response)) {
            Ok(token) => Some(token),
            Err((_, why)) => {
                crate::log::emit(crate::log::Level::Debug, "google", || format!("{what}: {}: {why}", path.display()));
                None
            }
        }
    }
}

/// The token in a response, or why it has none.
fn token(response: Option<&SecretObject>) -> Result<SecretBytes, (Status, String)> {
    let protocol = |why: &str| (Status::Protocol, why.to_owned());
    let response = response.ok_or_else(|| protocol("it printed no JSON object"))?;
    if response.number("version") != Some(1) {
        return Err(protocol("its response is not of version 1"));
    }
    if response.text("success") != Some("true") {
        let code = response.text("code").filter(|code| code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let code = code.map_or(String::new(), |code| format!(" with the code {}", code.get(..40).unwrap_or(code)));
        return Err((Status::AccessDenied, format!("it reports a failure{code}; run it to see why")));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if response.number("expiration_time").is_some_and(|end| end < now) {
        return Err((Status::AccessDenied, "its token has expired".to_owned()));
    }
    let name = match response.text("token_type") {
        Some("urn:ietf:params:oauth:token-type:jwt" | "urn:ietf:params:oauth:token-type:id_token") => "id_token",
        Some("urn:ietf:params:oauth:token-type:saml2") => "saml_response",
        _ => return Err(protocol("its response has no \"token_type\" that Google accepts")),
    };
    response.get(name).cloned().ok_or_else(|| protocol("its response has no token"))
}
