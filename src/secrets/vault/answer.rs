//! What the server answers: JSON, read without copying its values out of the body.
//!
//! Only an answer in Vault's own form is the server's word. What a gateway, a captive portal or another program on that
//! port answers may be JSON too; it is an outage, whatever its status.

use std::collections::HashMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::fork;
use crate::secret_memory::SecretBytes;

/// The longest text of the server's own that a message quotes.
const MAX_QUOTE: usize = 300;
/// The shortest word that may be a secret.
const SECRET: usize = 20;

/// An answer that no further attempt would change.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: SecretBytes,
}

impl Answer {
    /// The body as an object, `None` if it is something else. Parsed outside the fork gate: it may be long.
    pub(super) fn object(&self) -> Option<Object<'_>> {
        fork::unprotected(|| Object::parse(std::str::from_utf8(&self.body).ok()?))
    }

    /// The server's errors and warnings.
    pub(super) fn told(&self) -> Told {
        let object = self.object();
        let texts = |name| object.as_ref().and_then(|object| object.texts(name));
        let (errors, warnings) = (texts("errors"), texts("warnings"));
        Told { is_error: errors.is_some(), errors: errors.unwrap_or_default(), warnings: warnings.unwrap_or_default() }
    }
}

/// What the server says about a request.
#[derive(Default)]
pub(super) struct Told {
    /// Whether the answer has the form of Vault's errors: `errors` is a list of texts, which may be empty.
    pub(super) is_error: bool,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Told {
    /// Whether this is how Vault answers that nothing is there: an error without a text.
    pub(super) fn is_nothing(&self) -> bool {
        self.is_error && self.errors.is_empty()
    }

    pub(super) fn says(&self, part: &str) -> bool {
        self.errors.iter().chain(&self.warnings).any(|text| text.contains(part))
    }

    /// The errors as a part of one sentence, ` (it says: permission denied)`; empty if there are none. What looks like a
    /// token is left out: a server, or what stands before it, might show what it was sent.
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
        if quote.is_empty() { quote } else { format!(" (it says: {quote})") }
    }
}

/// Whether a word has as many letters and digits in a row as a token, a secret id or a JWT, which all have digits.
fn looks_secret(word: &str) -> bool {
    let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric() && !"._-+=".contains(c));
    parts.any(|part| part.len() >= SECRET && part.contains(|c: char| c.is_ascii_digit()))
}

/// The members of a JSON object as they stand in the text. `null` counts as absent.
pub(super) struct Object<'a>(HashMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    fn parse(text: &'a str) -> Option<Object<'a>> {
        serde_json::from_str(text).ok().map(Object)
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null")
    }

    pub(super) fn object(&self, name: &str) -> Option<Object<'a>> {
        Object::parse(self.raw(name)?)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A text that is wiped.
    pub(super) fn secret(&self, name: &str) -> Option<Zeroizing<String>> {
        self.text(name).map(Zeroizing::new)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    /// A list of texts; `None` if it is absent or something else.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        serde_json::from_str(self.raw(name)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { status: 403, body: SecretBytes::copy_from(body.as_bytes()).unwrap() }
    }

    #[test]
    fn members_keep_their_text() {
        let answer = answer(r#"{"data": {"a": 1.50}, "auth": null, "n": 7, "on": true, "list": ["x"]}"#);
        let object = answer.object().unwrap();
        assert_eq!(object.raw("data"), Some(r#"{"a": 1.50}"#));
        assert_eq!((object.number("n"), object.flag("on"), object.has("auth")), (Some(7), true, false));
        assert_eq!((object.texts("list"), object.texts("n")), (Some(vec!["x".to_owned()]), None));
        assert!(object.object("data").is_some() && object.object("auth").is_none());
    }

    #[test]
    fn only_a_list_of_texts_is_an_error_of_vault() {
        for (body, is_error, is_nothing) in [
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
            let told = answer(body).told();
            assert_eq!((told.is_error, told.is_nothing()), (is_error, is_nothing), "{body}");
        }
    }

    #[test]
    fn what_the_server_says_is_quoted_on_one_line() {
        let denied = answer("{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}").told();
        assert_eq!(denied.quoted(), " (it says: permission denied)");
        assert!(denied.says("permission denied"));
        assert_eq!(answer(r#"{"errors":[]}"#).told().quoted(), "");
        assert_eq!(answer("<html>").told().quoted(), "");
        let shown =
            answer(r#"{"errors":["token \"hvs.CAESIJ0123456789abcdef\" in request path \"secret/data/a\""]}"#).told();
        assert_eq!(shown.quoted(), " (it says: token … in request path \"secret/data/a\")");
        let long = answer(&format!("{{\"errors\":[\"{}\"]}}", "x ".repeat(5000))).told();
        assert!(long.quoted().len() < 400);
    }
}
