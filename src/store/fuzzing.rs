//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::json::{self, ConfigObject};
use crate::fuzz_input::two_texts;

/// Parses two JSON objects, and merges the second into the first. The result has the members of both, verbatim.
pub fn stored_json(data: &[u8]) {
    let Some((text, changes)) = two_texts(data) else { return };
    let (object, changes) = (ConfigObject::parse(text), ConfigObject::parse(changes));
    assert!(object.is_err() || json::check(text).is_ok());
    let (Ok(object), Ok(changes)) = (object, changes) else { return };
    let merged = object.merged(&changes);
    let Ok(merged) = ConfigObject::parse(&merged) else {
        assert!(merged.len() > json::MAX_SIZE, "the merged text is valid");
        return;
    };
    for member in object.members() {
        assert_eq!(merged.get(&member.name), Some(changes.get(&member.name).unwrap_or(member.value)));
    }
    for member in changes.members() {
        assert_eq!(merged.get(&member.name), Some(member.value));
    }
}
