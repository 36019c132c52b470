//! Secrets files in TOML, which are read and never changed. Numbers, times and flags are read as written.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};
use zeroize::Zeroizing;

use super::yaml::{self, Node, Pair, YamlKey};
use crate::secrets::entries::{Entries, Position, Problem};

/// Parses a document: its keys and values, and its tables as JSON.
pub(super) fn parse(text: &str) -> Result<Entries, Problem> {
    let table = DeTable::parse(text).map_err(|error| problem(text, &error))?;
    yaml::entries(&pairs(text, table.get_ref()))
}

/// The entries of a table in the order of the text.
fn pairs(text: &str, table: &DeTable<'_>) -> Vec<Pair> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let pair = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Pair {
        key: YamlKey { text: String::from(std::borrow::Cow::clone(key.get_ref())), merge: false },
        value: node(text, value),
    };
    entries.into_iter().map(pair).collect()
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let written = |span: Range<usize>| Zeroizing::new(text.get(span).unwrap_or_default().to_owned());
    match value.get_ref() {
        DeValue::String(content) => Node::Text(Zeroizing::new(content.to_string())),
        DeValue::Integer(_) | DeValue::Float(_) => Node::Number(written(value.span())),
        DeValue::Boolean(_) => Node::Bool(written(value.span())),
        DeValue::Datetime(_) => Node::Text(written(value.span())),
        DeValue::Array(values) => Node::List(values.iter().map(|value| node(text, value)).collect()),
        DeValue::Table(table) => Node::Map(pairs(text, table)),
    }
}

/// The message of the parser says what it expected, and quotes nothing of the text.
fn problem(text: &str, error: &Error) -> Problem {
    let message = format!("not valid TOML: {}", error.message());
    match error.span().filter(|span| text.is_char_boundary(span.start)) {
        Some(span) => Problem::at(Position::of(text, span.start), message),
        None => Problem::new(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let value =
            |value: Option<crate::secret_memory::SecretBytes>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        parse(text).unwrap().into_iter().map(|(key, text)| (key, value(text))).collect()
    }

    #[test]
    fn values_are_read_as_written() {
        let text = r#"
Z = "a\n\u00e9"
A = 'b\n' # c
N = 1_000
X = 0x1F
F = 1.50
T = 2026-11-21T02:49:45Z
B = true
M = """
two
lines"""
L = [1, "x", 0x1F]
"a.b" = ''
d.e = 1
[table]
k = {a = "\""}
"#;
        let expected = [
            ("Z", "a\né"),
            ("A", "b\\n"),
            ("N", "1_000"),
            ("X", "0x1F"),
            ("F", "1.50"),
            ("T", "2026-11-21T02:49:45Z"),
            ("B", "true"),
            ("M", "two\nlines"),
            ("L", "[1,\"x\",\"0x1F\"]"),
            ("a.b", ""),
            ("d", "{\"e\":1}"),
            ("table", "{\"k\":{\"a\":\"\\\"\"}}"),
        ];
        assert_eq!(read(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(read("").is_empty());
    }

    #[test]
    fn invalid_text_is_located_and_not_quoted() {
        for (text, place) in [
            ("A = 1\nB = CANARY\n", "line 2, column 5"),
            ("A = \"CANARY\n", "line 1, column"),
            ("A = 1\nA = \"CANARY\"\n", "line 2, column 1"),
            ("CANARY\n", "line 1, column"),
            ("[CANARY\n", "line 1, column"),
            ("A = 1CANARY\n", "line 1, column"),
        ] {
            let error = parse(text).unwrap_err().in_file(std::path::Path::new("s.toml"));
            assert!(error.message().contains(place), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        let deep = format!("A = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_err());
    }
}
