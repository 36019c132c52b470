//! The contents of an entry. It never contains a value, only the names of what changed.

use crate::raw_json::python::push_quoted;
use crate::store::json::ConfigObject;

/// The maximum number of names in a list of an entry, and the maximum length of each in bytes.
const MAX_NAMES: usize = 100;
const MAX_NAME: usize = 64;

/// An entry to be appended. The actor and the time are added then.
pub(in crate::store) struct Entry<'a> {
    pub(in crate::store) event_type: &'a str,
    pub(in crate::store) action: &'a str,
    pub(in crate::store) target_type: Option<&'a str>,
    pub(in crate::store) target_id: Option<String>,
    /// A JSON object in Python's format.
    pub(in crate::store) details: String,
}

impl Entry<'_> {
    /// The entry that revokes this one: the announced change failed.
    pub(in crate::store) fn failed(&self, id: i64) -> Entry<'static> {
        Entry {
            event_type: match self.event_type {
                "provider.configured" => "provider.configured",
                "credential.created" => "credential.created",
                "credential.deleted" => "credential.deleted",
                "credential.used" => "credential.used",
                _ => "config.changed",
            },
            action: "failed",
            target_type: Some("audit_entry"),
            target_id: Some(id.to_string()),
            details: format!("{{\"entry\": {id}}}"),
        }
    }
}

/// Builds the details of an entry.
pub(in crate::store) struct Details(String);

impl Details {
    pub(in crate::store) fn new() -> Details {
        Details("{".to_owned())
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push_str(", ");
        }
        push_quoted(&mut self.0, name);
        self.0.push_str(": ");
    }

    pub(in crate::store) fn text(mut self, name: &str, text: &str) -> Details {
        self.name(name);
        push_quoted(&mut self.0, text);
        self
    }

    pub(in crate::store) fn number(mut self, name: &str, number: i64) -> Details {
        self.name(name);
        self.0.push_str(&number.to_string());
        self
    }

    pub(in crate::store) fn flag(mut self, name: &str, flag: bool) -> Details {
        self.name(name);
        self.0.push_str(if flag { "true" } else { "false" });
        self
    }

    pub(super) fn names(mut self, name: &str, names: &[&str]) -> Details {
        self.name(name);
        self.0.push('[');
        for (index, listed) in names.iter().take(MAX_NAMES).enumerate() {
            if index > 0 {
                self.0.push_str(", ");
            }
            push_quoted(&mut self.0, &listed[..listed.floor_char_boundary(MAX_NAME)]);
        }
        if names.len() > MAX_NAMES {
            self.0.push_str(", \"...\"");
        }
        self.0.push(']');
        self
    }

    /// Adds the difference between two states of an object: the names of members that were added, changed or removed.
    /// Names that look like those of secrets are always listed as changed.
    pub(in crate::store) fn difference(self, before: &ConfigObject<'_>, after: &ConfigObject<'_>) -> Details {
        let (mut added, mut changed, mut removed): (Vec<&str>, Vec<&str>, Vec<&str>) = Default::default();
        for member in after.members() {
            let name: &str = &member.name;
            match before.get(name) {
                Some(value) if value == member.value => {}
                None if !is_secret(name) => added.push(name),
                _ => changed.push(name),
            }
        }
        for member in before.members().iter().filter(|member| after.get(&member.name).is_none()) {
            let list = if is_secret(&member.name) { &mut changed } else { &mut removed };
            list.push(&member.name);
        }
        self.names("added", &added).names("changed", &changed).names("removed", &removed)
    }

    pub(in crate::store) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Whether a member of this name probably holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "token", "key", "password", "passwd", "credential"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_lists_names_and_no_values() {
        let before =
            r#"{"webhook_url": "a", "gone": 1, "api_token": "CANARY", "same": [1], "webhook_secret": "CANARY"}"#;
        let after =
            r#"{"webhook_url": "b", "new": NaN, "same": [1], "webhook_secret": "CANARY2", "x_password": "CANARY"}"#;
        let details = Details::new()
            .difference(&ConfigObject::parse(before).unwrap(), &ConfigObject::parse(after).unwrap())
            .finish();
        assert_eq!(
            details,
            r#"{"added": ["new"], "changed": ["webhook_url", "webhook_secret", "x_password", "api_token"], "removed": ["gone"]}"#
        );
    }

    #[test]
    fn difference_truncates_names_and_lists() {
        let many: Vec<String> = (0..300).map(|n| format!("\"{n}{}\": 1", "ä".repeat(50))).collect();
        let many = format!("{{{}}}", many.join(","));
        let details = Details::new()
            .difference(&ConfigObject::parse("{}").unwrap(), &ConfigObject::parse(&many).unwrap())
            .finish();
        assert!(details.len() < 30_000 && details.contains("\"...\""), "{details}");
        assert!(serde_json::from_str::<serde_json::Value>(&details).is_ok());
    }
}
