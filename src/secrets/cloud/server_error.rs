//! Error responses of the clouds and of their login servers.
//!
//! Only a response in a form of their own is an answer of the server. What a gateway, a captive portal or another
//! program at that address returns counts as an outage or a malformed response.
use crate::http::HttpResponse;
use crate::secrets::json::SecretObject;

/// The most characters of the server's own text in a message.
const MAX_QUOTE: usize = 300;
/// The shortest word that could be a secret.
const MIN_SECRET: usize = 20;
const MAX_CODE: usize = 60;

/// What an error response says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::secrets) struct ServerError {
    /// `PERMISSION_DENIED`, `Forbidden`, `invalid_grant`; empty if the response is not in a form of these servers.
    pub(in crate::secrets) code: String,
    /// The more exact code within: `SERVICE_DISABLED`, `ForbiddenByRbac`; may be empty.
    pub(in crate::secrets) reason: String,
    /// The message without words that look like a token.
    pub(in crate::secrets) message: String,
}

impl ServerError {
    pub(in crate::secrets) fn parse(response: &HttpResponse) -> ServerError {
        ServerError::of_body(&response.body).unwrap_or_default()
    }

    fn of_body(body: &[u8]) -> Option<ServerError> {
        let whole = SecretObject::parse(body)?;
        let Some(error) = whole.object("error") else {
            // The forms of OAuth 2 and of Infisical.
            let message = whole.text("error_description").or(whole.text("message")).unwrap_or_default();
            return ServerError::new(whole.text("error")?, String::new(), message);
        };
        // Google has a number in `code` and a name in `status`, Azure has a name in `code`.
        let code = error.text("status").or(error.text("code"))?;
        let inner = error.object("innererror").and_then(|inner| inner.text("code").map(str::to_owned));
        let reason = inner.or_else(|| {
            let details = error.objects("details")?;
            details.iter().find_map(|detail| detail.text("reason").map(str::to_owned))
        });
        let reason = reason.filter(|reason| is_code(reason)).unwrap_or_default();
        ServerError::new(code, reason, error.text("message").unwrap_or_default())
    }

    fn new(code: &str, reason: String, message: &str) -> Option<ServerError> {
        is_code(code).then(|| ServerError { code: code.to_owned(), reason, message: cleaned(message) })
    }

    /// Whether the server itself answered.
    pub(in crate::secrets) fn is_own(&self) -> bool {
        !self.code.is_empty()
    }

    /// Returns ` (Forbidden, ForbiddenByRbac: the caller has no permission)`; empty if there is nothing to quote.
    pub(in crate::secrets) fn quoted(&self) -> String {
        let ServerError { code, reason, message } = self;
        let comma = if reason.is_empty() { "" } else { ", " };
        let colon = if message.is_empty() { "" } else { ": " };
        if code.is_empty() { String::new() } else { format!(" ({code}{comma}{reason}{colon}{message})") }
    }
}

fn is_code(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (3..=MAX_CODE).contains(&text.len()) && text.bytes().all(is_name) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// One line of the server's text, without words that look like a token: a server, or a proxy in front of it, could echo
/// what it was sent.
pub(in crate::secrets) fn cleaned(message: &str) -> String {
    let words = message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.map(|word| if looks_secret(word) { "…" } else { word }).collect();
    let text = words.join(" ");
    // What follows in an error of Microsoft helps only Microsoft.
    let text = text.split(" Trace ID: ").next().unwrap_or(&text);
    text.trim_end_matches('.').chars().take(MAX_QUOTE).collect()
}

fn looks_secret(word: &str) -> bool {
    let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric() && !"._-+=~".contains(c));
    parts.any(|part| part.len() >= MIN_SECRET && part.contains(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(body: &str) -> String {
        ServerError::of_body(body.as_bytes()).unwrap_or_default().quoted()
    }

    #[test]
    fn errors_of_each_server_are_read() {
        for (body, expected) in [
            (
                r#"{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Permission denied.",
                    "details": [{"@type": "x", "reason": "SERVICE_DISABLED"}]}}"#,
                " (PERMISSION_DENIED, SERVICE_DISABLED: Permission denied)",
            ),
            (
                r#"{"error": {"code": "Forbidden", "message": "No", "innererror": {"code": "ForbiddenByRbac"}}}"#,
                " (Forbidden, ForbiddenByRbac: No)",
            ),
            (
                r#"{"error": "invalid_client", "error_description": "AADSTS7000215: Bad secret. Trace ID: 1 x"}"#,
                " (invalid_client: AADSTS7000215: Bad secret)",
            ),
            (r#"{"error": "invalid_grant"}"#, " (invalid_grant)"),
            (
                r#"{"statusCode": 403, "error": "PermissionDenied", "message": "You are not allowed to read."}"#,
                " (PermissionDenied: You are not allowed to read)",
            ),
            (r#"{"error": {"code": 403, "message": "x"}}"#, ""),
            (r#"{"error": "CANARY with spaces"}"#, ""),
            (r#"{"message": "no"}"#, ""),
            ("<html>", ""),
        ] {
            assert_eq!(quoted(body), expected, "{body}");
        }
    }

    #[test]
    fn words_that_look_like_a_token_are_left_out() {
        let body =
            r#"{"error": {"code": "Bad", "message": "token eyJhbGciOiJSUzI1NiJ9.e30.abc\nin secrets/db-password"}}"#;
        assert_eq!(quoted(body), " (Bad: token … in secrets/db-password)");
        let long = format!(r#"{{"error": {{"code": "Bad", "message": "{}"}}}}"#, "x ".repeat(5000));
        assert!(quoted(&long).len() < 400);
    }
}
