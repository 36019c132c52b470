//! Parts of error messages.

use crate::error::{Error, Status};

/// An error in the settings.
pub(super) fn config_error(message: impl Into<String>) -> Error {
    Error::new(Status::Config, message)
}

/// Returns the first line of a server's message, at most 300 characters; nothing if it contains one of `secrets`.
pub(super) fn sanitize(message: &str, secrets: &[&[u8]]) -> String {
    let contains =
        |secret: &&[u8]| secret.len() >= 8 && message.as_bytes().windows(secret.len()).any(|part| part == *secret);
    if secrets.iter().any(contains) {
        return String::new();
    }
    message
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .chars()
        .filter(|character| !character.is_control())
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanitized_message_is_one_line_without_secrets() {
        assert_eq!(sanitize("first\r\nsecond", &[]), "first");
        assert_eq!(sanitize(&"x".repeat(1000), &[]).len(), 300);
        assert_eq!(sanitize("your token CANARYCANARY is bad", &[b"CANARYCANARY"]), "");
        assert_eq!(sanitize("a\u{1b}[31m", &[]), "a[31m");
    }
}
