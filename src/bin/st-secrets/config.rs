//! Settings of the library: those of a file, then those of the command line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use st_secrets::Config;
use zeroize::Zeroizing;

use crate::arguments::Common;
use crate::failure::Failure;
use crate::{export, terminal};

/// Settings that are secrets themselves.
const SECRET_KEYS: [&str; 11] = [
    "infisical_client_secret",
    "infisical_token",
    "key",
    "onepassword_token",
    "previous_keys",
    "share_key",
    "share_url",
    "tier",
    "vault_password",
    "vault_secret_id",
    "vault_token",
];

/// The largest file of settings or variables.
const LARGEST: usize = 16 * 1024 * 1024;

/// What is said of a pipe.
const TIMED_OUT: &str = "timed out waiting for the other end of the pipe; check the program that writes it, or raise \
                         --timeout";

/// The settings of a call.
pub(crate) fn load(common: &Common) -> Result<Config, Failure> {
    let mut config = Config::new();
    if let Some(path) = &common.config {
        read(path, common.deadline, &mut config)?;
    }
    if let Some(file) = &common.file {
        let text = file.to_str().ok_or_else(|| Failure::usage("the path after --file is not UTF-8"))?;
        config.set("file_path", text)?;
    }
    if let Some(timeout) = common.timeout {
        config.set("timeout", &timeout.as_secs_f64().to_string())?;
    }
    Ok(config)
}

fn read(path: &Path, deadline: Option<Instant>, config: &mut Config) -> Result<(), Failure> {
    let shown = path.display();
    let wrong = |what: String| Failure::usage(format!("{shown}: {what}"));
    let text = read_text(path, deadline).map_err(|error| wrong(format!("cannot read it: {error}")))?;
    let is_json = path.extension().is_some_and(|extension| extension == "json") || text.trim_start().starts_with('{');
    let json = if is_json { text } else { from_toml(&text).map_err(wrong)? };
    config.parse(&json).map_err(|error| wrong(error.message().to_owned()))?;
    warn_if_exposed(path, &json);
    Ok(())
}

/// The text of a file of at most [`LARGEST`] bytes. It may also be a pipe, which is waited for until the deadline.
pub(crate) fn read_text(path: &Path, deadline: Option<Instant>) -> io::Result<String> {
    // Without this flag, the kernel waits until another program opens the pipe too.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let (mut text, mut piece) = (Zeroizing::new(Vec::new()), Zeroizing::new(vec![0; 64 * 1024]));
    loop {
        wait_for_input(&file, deadline)?;
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&piece[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if text.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 16 MiB"));
        }
    }
    match str::from_utf8(&text) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")),
    }
}

fn wait_for_input(file: &File, deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let remaining = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = remaining.and_then(|remaining| Timespec::try_from(remaining).ok());
        match poll(&mut [PollFd::new(file, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, TIMED_OUT)),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The same settings as JSON. What is wrong never quotes a line, which may hold a secret.
fn from_toml(text: &str) -> Result<String, String> {
    match toml::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(settings) => Ok(serde_json::Value::Object(settings).to_string()),
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
            let what = match error.message() {
                message if message.contains(['`', '"']) => "this is not TOML",
                message => message,
            };
            Err(format!("line {line}: {what}; write lines such as file_path = \"~/secrets.json\""))
        }
    }
}

fn warn_if_exposed(path: &Path, json: &str) {
    let settings: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let holds_secrets = SECRET_KEYS.iter().any(|key| settings.contains_key(*key));
    warn_of_mode(path, holds_secrets);
}

/// Warns of a file that other users can change, or read if it holds secrets.
pub(crate) fn warn_of_mode(path: &Path, holds_secrets: bool) {
    let metadata = std::fs::metadata(path).ok().filter(|metadata| metadata.is_file());
    let mode = metadata.map_or(0, |metadata| metadata.permissions().mode());
    let action = match mode {
        _ if mode & 0o022 != 0 => "changed",
        _ if mode & 0o044 != 0 && holds_secrets => "read",
        _ => return,
    };
    let shown = path.display().to_string();
    let is_plain = shown.chars().all(|character| character.is_alphanumeric() || "/._-".contains(character));
    let argument = if is_plain { shown.clone() } else { export::in_shell(&shown) };
    terminal::warn(&format!("{shown} can be {action} by other users: run: chmod 600 {argument}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_give_the_same_settings() {
        let json = from_toml("providers = [\"env\", \"file\"]\ntimeout = 2.5\nstrict_permissions = true\n").unwrap();
        assert_eq!(json, r#"{"providers":["env","file"],"strict_permissions":true,"timeout":2.5}"#);
        Config::new().parse(&json).unwrap();
    }

    #[test]
    fn an_error_names_the_line_and_not_its_text() {
        for text in ["timeout = 1\nvault_token = \"CANARY", "timeout = 1\nCANARY CANARY", "timeout = 1\nkey = CANARY"] {
            let error = from_toml(text).unwrap_err();
            assert!(error.starts_with("line 2: ") && !error.contains("CANARY"), "{error}");
        }
    }
}
