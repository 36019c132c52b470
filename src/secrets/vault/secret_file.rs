//! Secrets that are alone in a file: a token, a secret ID, a JWT, a password, a private key.

use std::path::Path;

use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::files::{self, Fingerprint};
use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::settings::SettingOrigin;

const MAX_SIZE: usize = 64 << 10;

/// The text without the white space around it, if it can be sent in a header. The error is `is …`, `contains …`.
pub(super) fn printable(text: &[u8]) -> Result<&[u8], &'static str> {
    let text = text.trim_ascii();
    match text {
        [] => Err("is empty"),
        text if text.iter().all(u8::is_ascii_graphic) => Ok(text),
        _ => Err("contains spaces, line breaks or other characters that are not allowed"),
    }
}

/// The text without a line break at its end, if it is one line. The error is `is …`, `contains …`.
fn line(text: &[u8]) -> Result<&[u8], &'static str> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    match std::str::from_utf8(text) {
        Ok("") => Err("is empty"),
        Ok(line) if !line.contains(char::is_control) => Ok(text),
        Ok(_) => Err("contains more than one line, or a control character"),
        Err(_) => Err("is not UTF-8 text"),
    }
}

/// Reads a secret that is sent in a header, and the fingerprint of its file. `what` names the secret in the error.
pub(super) fn read(path: &Path, what: &str) -> Result<(SecretBytes, Fingerprint)> {
    read_as(path, what, printable)
}

/// As [`read`], for one line of any text.
pub(super) fn read_line(path: &Path, what: &str) -> Result<(SecretBytes, Fingerprint)> {
    read_as(path, what, line)
}

/// As [`read`], for certificates and keys, whose form is not checked.
pub(super) fn read_pem(path: &Path, what: &str) -> Result<(SecretBytes, Fingerprint)> {
    read_as(path, what, |text| if text.is_empty() { Err("is empty") } else { Ok(text) })
}

fn read_as(
    path: &Path,
    what: &str,
    text: impl Fn(&[u8]) -> Result<&[u8], &'static str>,
) -> Result<(SecretBytes, Fingerprint)> {
    let cannot_read = |message: &str| format!("cannot read the {what} for Vault: {message}");
    let named = |error: Error| error.with_source(Source::Vault).map_message(cannot_read);
    let contents = fork::unprotected(|| files::read(path, MAX_SIZE)).map_err(named)?;
    let text = text(&contents.bytes)
        .map_err(|problem| named(SettingOrigin::Named(path.display().to_string()).invalid(problem).into()))?;
    Ok((SecretBytes::copy_from(text)?, Fingerprint::of(&contents.metadata)))
}

/// Calls `read` for a file, again if that was changed just now until its contents stay the same, so that a part of a
/// secret is not taken for the whole.
pub(super) fn read_settled(
    path: &Path,
    deadline: Deadline,
    read: impl Fn(&Path) -> Result<(SecretBytes, Fingerprint)>,
) -> Result<(SecretBytes, Fingerprint)> {
    let mut previous: Option<SecretBytes> = None;
    let is_same = |read: &Result<(SecretBytes, Fingerprint)>| {
        let secret = read.as_ref().ok().map(|(secret, _)| secret.clone());
        let is_same = secret.is_some() && secret.as_deref() == previous.as_deref();
        previous = secret;
        is_same
    };
    files::read_settled(|| files::is_new(path), deadline, || read(path), is_same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn secret_in_a_file_loses_the_white_space_around_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, " s.token\r\n").unwrap();
        assert_eq!(&*read(&path, "token").unwrap().0, b"s.token");
        for text in ["", " \n", "CANARY one", "CANARY\nX-Other: 1", "CANARY\u{7f}", "CANARYé"] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path, "token").unwrap_err();
            assert_eq!((error.status(), error.source_provider()), (Status::Config, Source::Vault));
            assert!(error.message().contains("token") && !error.message().contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn password_in_a_file_is_one_line_with_its_white_space() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        for (text, password) in [(" a b é \n", " a b é "), ("x\r\n", "x"), ("x", "x")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(&*read_line(&path, "password").unwrap().0, password.as_bytes());
        }
        for text in [&b""[..], b"\n", b"CANARY\n\n", b"CANARY\nb", b"CANARY\xff"] {
            std::fs::write(&path, text).unwrap();
            let error = read_line(&path, "password").unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().contains("password") && !error.message().contains("CANARY"), "{error}");
        }
    }
}
