//! A secrets file's contents, whatever its format.

use std::collections::HashMap;
use std::path::Path;

use zeroize::Zeroizing;

use super::{json, yaml};
use crate::bytes::SecretBytes;
use crate::error::{Error, Source, Status};

/// The largest secrets file that is read or written.
pub(super) const MAX_SIZE: usize = 4 << 20;

/// Names and values in the order of the file; `None` is null.
pub(super) type Entries = Vec<(String, Option<SecretBytes>)>;

/// Why a text is not a document. Lines and columns count from 1; 0 is unknown.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

impl Problem {
    /// The problem as an error that names the file.
    pub(super) fn in_file(self, path: &Path) -> Error {
        let Problem { line, column, message } = self;
        let place = if line > 0 { format!(", line {line}, column {column}") } else { String::new() };
        Error::new(Status::Protocol, format!("{}{place}: {message}", path.display())).with_source(Source::File)
    }
}

/// How a file is written down. Its name decides, as it does for SimpleTuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Yaml,
}

impl Format {
    pub(super) fn of(path: &Path) -> Format {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        if extension.is_some_and(|extension| extension == "yaml" || extension == "yml") {
            Format::Yaml
        } else {
            Format::Json
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Yaml => "yaml",
        }
    }

    pub(super) fn parse(self, bytes: &[u8]) -> Result<Entries, Problem> {
        let text = as_text(bytes)?;
        match self {
            Format::Json => json::parse(text),
            Format::Yaml => yaml::parse(text),
        }
    }
}

/// A change of one entry.
pub(super) enum Change<'a> {
    Set(&'a str),
    Delete,
}

impl Change<'_> {
    /// The changed text of a document, `None` if there is nothing to delete. What is returned was parsed again and
    /// holds the old entries with this change and nothing else.
    pub(super) fn apply(&self, format: Format, bytes: &[u8], key: &str) -> Result<Option<Zeroizing<String>>, Problem> {
        let text = as_text(bytes)?;
        let changed = match (self, format) {
            (Change::Set(value), Format::Json) => json::set(text, key, value).map(Some),
            (Change::Set(value), Format::Yaml) => yaml::set(text, key, value).map(Some),
            (Change::Delete, Format::Json) => json::delete(text, key),
            (Change::Delete, Format::Yaml) => yaml::delete(text, key),
        }?;
        if let Some(changed) = &changed {
            let before = if text.is_empty() { Entries::new() } else { format.parse(bytes)? };
            let after = format.parse(changed.as_bytes())?;
            if !self.explains(&by_name(before), &by_name(after), key) {
                let message = "this file's layout cannot be changed safely; edit it by hand".to_owned();
                return Err(Problem { line: 0, column: 0, message });
            }
        }
        Ok(changed)
    }

    fn explains(&self, before: &ByName, after: &ByName, key: &str) -> bool {
        let others = |entries: &ByName| entries.len() - usize::from(entries.contains_key(key));
        let value = after.get(key).map(|value| value.as_deref());
        let wanted = match self {
            Change::Set(value) => Some(Some(value.as_bytes())),
            Change::Delete => None,
        };
        value == wanted
            && others(before) == others(after)
            && before
                .iter()
                .filter(|(name, _)| *name != key)
                .all(|(name, value)| after.get(name).is_some_and(|now| now.as_deref() == value.as_deref()))
    }
}

/// Names with their values. Of a name that stands twice the last counts, as for Python.
pub(super) type ByName = HashMap<String, Option<SecretBytes>>;

pub(super) fn by_name(entries: Entries) -> ByName {
    entries.into_iter().collect()
}

/// Line and column, from 1, of the byte at `offset`.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn as_text(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let (line, column) = position(valid, valid.len());
        Problem { line, column, message: "a byte here is not UTF-8".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_format() {
        for (name, format) in
            [("a.json", Format::Json), ("a.YAML", Format::Yaml), ("a.yml", Format::Yaml), ("secrets", Format::Json)]
        {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_located() {
        let problem = Format::Json.parse(b"{\n \"A\": \"\xff\"}").unwrap_err();
        assert_eq!((problem.line, problem.column), (2, 8));
    }

    #[test]
    fn a_changed_document_must_hold_the_change_and_nothing_else() {
        let named = |text: &str| by_name(json::parse(text).unwrap());
        let (before, set) = (named(r#"{"A": 1, "B": 2}"#), Change::Set("3"));
        assert!(set.explains(&before, &named(r#"{"A": 1, "B": "3"}"#), "B"));
        assert!(!set.explains(&before, &named(r#"{"A": 2, "B": "3"}"#), "B"));
        assert!(!set.explains(&before, &named(r#"{"B": "3"}"#), "B"));
        assert!(!set.explains(&before, &named(r#"{"A": 1, "B": 2}"#), "B"));
        assert!(!set.explains(&before, &named(r#"{"A": 1, "B": "3", "C": 1}"#), "B"));
        assert!(Change::Delete.explains(&before, &named(r#"{"A": 1}"#), "B"));
    }
}
