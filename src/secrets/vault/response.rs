//! Responses of the server: JSON, whose values are not copied out of the body.
//!
//! Only a response in Vault's own form is an answer of the server. What a gateway, a captive portal or another program
//! at that address returns may be JSON too, but counts as an outage, whatever its status.

use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::secrets::json::JsonObject;

/// The most characters of the server's own text in a message.
const MAX_QUOTE: usize = 300;
/// The shortest word that could be a secret.
const MIN_SECRET: usize = 20;

/// A final response: another attempt would not change it.
pub(super) struct VaultResponse {
    pub(super) status: u16,
    pub(super) body: SecretBytes,
}

impl VaultResponse {
    /// The body as an object; `None` if it is anything else. Parsed while forks are allowed, as it may be large.
    pub(super) fn object(&self) -> Option<JsonObject<'_>> {
        fork::unprotected(|| JsonObject::parse(&self.body))
    }

    /// The server's errors and warnings.
    pub(super) fn messages(&self) -> ServerMessages {
        let object = self.object();
        let texts = |name| object.as_ref().and_then(|object| object.texts(name));
        let (errors, warnings) = (texts("errors"), texts("warnings"));
        ServerMessages {
            is_vault_error: errors.is_some(),
            errors: errors.unwrap_or_default(),
            warnings: warnings.unwrap_or_default(),
        }
    }
}

/// The errors and warnings in a response.
#[derive(Default)]
pub(super) struct ServerMessages {
    /// Whether the response has the form of Vault's errors: `errors` is a list of strings, which may be empty.
    pub(super) is_vault_error: bool,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl ServerMessages {
    /// Whether this is Vault's response for a path where nothing is: an error without a message.
    pub(super) fn is_empty_error(&self) -> bool {
        self.is_vault_error && self.errors.is_empty()
    }

    /// Whether one of the messages contains `part`.
    pub(super) fn contain(&self, part: &str) -> bool {
        self.errors.iter().chain(&self.warnings).any(|text| text.contains(part))
    }

    /// The errors in a form to append to a sentence, ` (the server says: permission denied)`; empty if there are none.
    /// Words that look like a token are left out: a server, or a proxy in front of it, could echo what it was sent.
    pub(super) fn quoted(&self) -> String {
        let mut words = String::new();
        for error in &self.errors {
            let error = error.replace("1 error occurred:", "");
            let text = error.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
            for word in text.skip_while(|word| *word == "*") {
                words.push_str(if words.is_empty() { "" } else { " " });
                words.push_str(if looks_secret(word) { "…" } else { word });
            }
        }
        let quote: String = words.chars().take(MAX_QUOTE).collect();
        if quote.is_empty() { quote } else { format!(" (the server says: {quote})") }
    }
}

/// Whether a word contains a run of letters and digits as long as a token, a secret ID or a JWT, all of which contain
/// digits.
fn looks_secret(word: &str) -> bool {
    let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric() && !"._-+=".contains(c));
    parts.any(|part| part.len() >= MIN_SECRET && part.contains(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &str) -> VaultResponse {
        VaultResponse { status: 403, body: SecretBytes::copy_from(body.as_bytes()).unwrap() }
    }

    #[test]
    fn object_members_keep_their_text() {
        let response = response(r#"{"data": {"a": 1.50}, "auth": null, "n": 7, "on": true, "list": ["x"]}"#);
        let object = response.object().unwrap();
        assert_eq!(object.raw("data"), Some(r#"{"a": 1.50}"#));
        assert_eq!((object.number("n"), object.flag("on"), object.has("auth")), (Some(7), true, false));
        assert_eq!((object.texts("list"), object.texts("n")), (Some(vec!["x".to_owned()]), None));
        assert!(object.object("data").is_some() && object.object("auth").is_none());
    }

    #[test]
    fn only_a_list_of_strings_is_a_vault_error() {
        for (body, is_vault_error, is_empty_error) in [
            (r#"{"errors":[]}"#, true, true),
            (r#"{"errors":["permission denied"]}"#, true, false),
            (r#"{"errors":null}"#, false, false),
            (r#"{"errors":"permission denied"}"#, false, false),
            (r#"{"errors":[{"code":404}]}"#, false, false),
            (r#"{"errors":[null]}"#, false, false),
            (r#"{"error":"not found"}"#, false, false),
            ("{}", false, false),
            ("[]", false, false),
            ("<html>", false, false),
            ("", false, false),
        ] {
            let messages = response(body).messages();
            assert_eq!(
                (messages.is_vault_error, messages.is_empty_error()),
                (is_vault_error, is_empty_error),
                "{body}"
            );
        }
    }

    #[test]
    fn server_messages_are_quoted_on_one_line() {
        let denied = response("{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}").messages();
        assert_eq!(denied.quoted(), " (the server says: permission denied)");
        assert!(denied.contain("permission denied"));
        assert_eq!(response(r#"{"errors":[]}"#).messages().quoted(), "");
        assert_eq!(response("<html>").messages().quoted(), "");
        let shown =
            response(r#"{"errors":["token \"hvs.CAESIJ0123456789abcdef\" in request path \"secret/data/a\""]}"#)
                .messages();
        assert_eq!(shown.quoted(), " (the server says: token … in request path \"secret/data/a\")");
        let long = response(&format!("{{\"errors\":[\"{}\"]}}", "x ".repeat(5000))).messages();
        assert!(long.quoted().len() < 400);
    }
}
