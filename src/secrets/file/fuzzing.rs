//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::document::{EntryChange, FileFormat};
use crate::fuzz_input::{deadline, two_texts};

/// Parses and edits a JSON file. The data is a key, a byte 0, and the file.
pub fn json_file(data: &[u8]) {
    edit(FileFormat::Json, data);
}

/// Parses and edits a YAML file. The data is a key, a byte 0, and the file.
pub fn yaml_file(data: &[u8]) {
    edit(FileFormat::Yaml, data);
}

/// Sets and deletes the key. [`EntryChange::apply`] compares the entries; a second edit finds what the first has
/// written.
fn edit(format: FileFormat, data: &[u8]) {
    let Some((key, text)) = two_texts(data) else { return };
    let text = text.as_bytes();
    let apply = |change: EntryChange<'_>, text: &[u8]| change.apply(format, text, key, deadline());
    let is_valid = format.parse(text, deadline()).is_ok();
    if let Ok(changed) = apply(EntryChange::Set("a value"), text) {
        assert!(is_valid || text.is_empty());
        let changed = changed.expect("a set always returns a text");
        let entries = format.parse(changed.as_bytes(), deadline()).expect("the edited text is valid");
        let value = entries.iter().rfind(|(name, _)| name == key).and_then(|(_, value)| value.as_deref());
        assert_eq!(value, Some(&b"a value"[..]));
    } else if format == FileFormat::Json {
        assert!(!is_valid, "a valid JSON file can always be edited");
    }
    if let Ok(Some(changed)) = apply(EntryChange::Delete, text) {
        let entries = format.parse(changed.as_bytes(), deadline()).expect("the edited text is valid");
        assert!(entries.iter().all(|(name, _)| name != key));
    }
}
