//! The contents of a secrets file in each format.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use foldhash::fast::RandomState;
use zeroize::Zeroizing;

use super::{toml, yaml};
use crate::clock::Deadline;
use crate::dotenv::{self, Variable};
use crate::secret_memory::SecretBytes;
use crate::secrets::entries::{Entries, Position, Problem};
use crate::secrets::json;

/// The maximum size of a secrets file.
pub(super) const MAX_SIZE: usize = 4 << 20;

/// The size up to which a text is parsed within milliseconds.
const SMALL: usize = 1 << 16;

/// The format of a file, which its name determines: JSON and YAML as in SimpleTuner, which has no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFormat {
    Json,
    Yaml,
    /// It is never changed here, as TOML is not.
    Dotenv,
    Toml,
}

/// Returns the name of a format that is never changed here.
pub(super) fn read_only_format(path: &Path) -> Option<&'static str> {
    Some(FileFormat::of(path))
        .filter(|format| matches!(format, FileFormat::Dotenv | FileFormat::Toml))
        .map(FileFormat::name)
}

impl FileFormat {
    pub(super) fn of(path: &Path) -> FileFormat {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        // `.env` and `.env.production` too.
        match name.rsplit_once('.') {
            Some((_, "yaml" | "yml")) => FileFormat::Yaml,
            Some((_, "env")) => FileFormat::Dotenv,
            Some((_, "toml")) => FileFormat::Toml,
            Some((_, extension)) if extension != "json" && name.starts_with(".env.") => FileFormat::Dotenv,
            _ => FileFormat::Json,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            FileFormat::Json => "json",
            FileFormat::Yaml => "yaml",
            FileFormat::Dotenv => "dotenv",
            FileFormat::Toml => "toml",
        }
    }

    pub(super) fn parse(self, bytes: &[u8], deadline: Deadline) -> Result<Entries, Problem> {
        let text = as_text(bytes)?;
        // A small text is parsed even after the deadline.
        let deadline = if text.len() > SMALL { deadline } else { Deadline::after(Duration::MAX) };
        Problem::check_deadline(deadline)?;
        match self {
            FileFormat::Json => json::parse(text),
            FileFormat::Yaml => yaml::parse(text, deadline),
            // SimpleTuner reads a file of any other name as JSON.
            FileFormat::Dotenv | FileFormat::Toml if text.trim_start().starts_with('{') => json::parse(text),
            FileFormat::Dotenv => parse_dotenv(text),
            FileFormat::Toml => toml::parse(text),
        }
    }
}

fn parse_dotenv(text: &str) -> Result<Entries, Problem> {
    let variables = dotenv::parse(text)
        .map_err(|(line, what)| Problem::at(Position { line, column: 1 }, format!("not a dotenv file: {what}")))?;
    let entries = variables.into_iter().map(|Variable { name, value, .. }| {
        let value = SecretBytes::copy_from(value.as_bytes()).map_err(Problem::OutOfMemory)?;
        Ok((name, Some(value)))
    });
    entries.collect()
}

/// A change of one entry.
pub(super) enum EntryChange<'a> {
    Set(&'a str),
    Delete,
}

impl EntryChange<'_> {
    /// Returns the changed text of a document; `None` if there is nothing to delete. The result has been parsed again:
    /// it contains the old entries with this change and nothing else.
    pub(super) fn apply(
        &self,
        format: FileFormat,
        bytes: &[u8],
        key: &str,
        deadline: Deadline,
    ) -> Result<Option<Zeroizing<String>>, Problem> {
        let text = as_text(bytes)?;
        let changed = match (self, format) {
            (EntryChange::Set(value), FileFormat::Json) => json::set(text, key, value).map(Some),
            (EntryChange::Set(value), FileFormat::Yaml) => yaml::set(text, key, value, deadline).map(Some),
            (EntryChange::Delete, FileFormat::Json) => json::delete(text, key),
            (EntryChange::Delete, FileFormat::Yaml) => yaml::delete(text, key, deadline),
            (_, FileFormat::Dotenv | FileFormat::Toml) => Err(Problem::layout(key)),
        }?;
        if let Some(changed) = &changed {
            let before = if text.is_empty() { Entries::new() } else { format.parse(bytes, deadline)? };
            Problem::check_deadline(deadline)?;
            let after = match format.parse(changed.as_bytes(), deadline) {
                Ok(after) => after,
                Err(_) => return Problem::check_deadline(deadline).and(Err(Problem::layout(key))),
            };
            if !self.accounts_for(&before, &after, key) {
                return Err(Problem::layout(key));
            }
        }
        Ok(changed)
    }

    /// Whether `after` is `before` with this change. Of several entries of one key the last is set, and all are
    /// deleted.
    fn accounts_for(&self, before: &Entries, after: &Entries, key: &str) -> bool {
        let mut expected: Vec<(&str, Option<&[u8]>)> =
            before.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        match self {
            EntryChange::Delete => expected.retain(|(name, _)| *name != key),
            EntryChange::Set(value) => match expected.iter_mut().rfind(|(name, _)| *name == key) {
                Some(entry) => entry.1 = Some(value.as_bytes()),
                None => expected.push((key, Some(value.as_bytes()))),
            },
        }
        after.iter().map(|(name, value)| (name.as_str(), value.as_deref())).eq(expected)
    }
}

/// Values by name. The last of several entries of one name counts, as in Python.
pub(super) type EntryMap = HashMap<String, Option<SecretBytes>, RandomState>;

pub(super) fn entry_map(entries: Entries) -> EntryMap {
    entries.into_iter().collect()
}

fn as_text(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        Problem::at(Position::of(valid, valid.len()), "this byte is not valid UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_name_determines_the_format() {
        for (name, format) in [
            ("a.json", FileFormat::Json),
            ("a.YAML", FileFormat::Yaml),
            ("a.yml", FileFormat::Yaml),
            ("secrets", FileFormat::Json),
            (".env", FileFormat::Dotenv),
            ("app.env", FileFormat::Dotenv),
            (".env.production", FileFormat::Dotenv),
            (".env.json", FileFormat::Json),
            ("env", FileFormat::Json),
            ("secrets.TOML", FileFormat::Toml),
            ("", FileFormat::Json),
        ] {
            assert_eq!(FileFormat::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn invalid_utf_8_is_located() {
        let problem = FileFormat::Json.parse(b"{\n \"A\": \"\xff\"}", Deadline::after(Duration::MAX)).unwrap_err();
        let expected = Position { line: 2, column: 8 };
        assert!(matches!(problem, Problem::Text { position: Some(at), .. } if at == expected), "{problem:?}");
    }

    #[test]
    fn changed_document_contains_the_change_and_nothing_else() {
        let named = |text: &str| json::parse(text).unwrap();
        let (before, set) = (named(r#"{"A": 1, "B": 2}"#), EntryChange::Set("3"));
        assert!(set.accounts_for(&before, &named(r#"{"A": 1, "B": "3"}"#), "B"));
        assert!(!set.accounts_for(&before, &named(r#"{"A": 2, "B": "3"}"#), "B"));
        assert!(!set.accounts_for(&before, &named(r#"{"B": "3"}"#), "B"));
        assert!(!set.accounts_for(&before, &named(r#"{"A": 1, "B": 2}"#), "B"));
        assert!(!set.accounts_for(&before, &named(r#"{"A": 1, "B": "3", "C": 1}"#), "B"));
        assert!(EntryChange::Delete.accounts_for(&before, &named(r#"{"A": 1}"#), "B"));
    }

    /// Random JSON documents with random changes: the change is made, and nothing else.
    #[test]
    fn random_documents_take_random_changes() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let names = ["A", "B", "a b", "\\u0041", "\\\"", "é", ""];
        let values = ["1.50", "null", "\"x\"", "\"a \\\" ] } ,\"", "{\"B\" : [ ]}", "[1 , 2]", "true"];
        let spaces = ["", " ", "\n", "\n    ", "\r\n\t"];
        for _ in 0..2000 {
            let mut text = String::from(spaces[random(5) as usize]);
            let entry = |random: &mut dyn FnMut(u64) -> u64| {
                let mut pick = |from: &[&'static str]| from[random(from.len() as u64) as usize];
                let (before, name, colon) = (pick(&spaces), pick(&names), pick(&spaces));
                format!("{before}\"{name}\"{colon}:{}{}{}", pick(&spaces), pick(&values), pick(&spaces))
            };
            let entries: Vec<String> = (0..random(5)).map(|_| entry(&mut random)).collect();
            text += &format!("{{{}}}{}", entries.join(","), spaces[random(5) as usize]);
            let key = ["A", "B", "a b", "\"", "new"][random(5) as usize];
            let change = if random(2) == 0 { EntryChange::Set("new \"value\"\n") } else { EntryChange::Delete };
            let known = entry_map(json::parse(&text).unwrap()).contains_key(key);
            let changed = change
                .apply(FileFormat::Json, text.as_bytes(), key, Deadline::after(Duration::MAX))
                .unwrap_or_else(|problem| {
                    panic!("{text:?} with {key:?}: {problem:?}");
                });
            assert_eq!(changed.is_some(), known || matches!(change, EntryChange::Set(_)), "{text:?} with {key:?}");
        }
    }
}
