//! What an entry says. It never holds a value: names of what changed, and nothing else.

use crate::store::json::{Object, push_quoted};

/// How many names of one kind an entry lists, and how much of each.
const MAX_NAMES: usize = 100;
const MAX_NAME: usize = 64;

/// An entry to be appended. Who did it, and when, is added then.
pub(in crate::store) struct Entry<'a> {
    pub(in crate::store) event_type: &'a str,
    pub(in crate::store) action: &'a str,
    pub(in crate::store) target_type: Option<&'a str>,
    pub(in crate::store) target_id: Option<String>,
    /// A JSON object as Python writes it.
    pub(in crate::store) details: String,
}

impl Entry<'_> {
    /// The entry that takes this one back, as what it announced did not happen.
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

/// The details of an entry, put together.
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

    fn names(mut self, name: &str, names: &[&str]) -> Details {
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

    /// How two states of an object differ: names of members that were added, changed or removed. Of those that look
    /// like secrets it is told only that they changed.
    pub(in crate::store) fn difference(self, before: &Object<'_>, after: &Object<'_>) -> Details {
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

    pub(in crate::store) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Whether a member of this name looks like one that holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "token", "key", "password", "passwd", "credential"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_changed_and_shows_no_value() {
        let before =
            r#"{"webhook_url": "a", "gone": 1, "api_token": "CANARY", "same": [1], "webhook_secret": "CANARY"}"#;
        let after =
            r#"{"webhook_url": "b", "new": NaN, "same": [1], "webhook_secret": "CANARY2", "x_password": "CANARY"}"#;
        let details = Details::new().difference(&Object::parse(before).unwrap(), &Object::parse(after).unwrap()).end();
        assert_eq!(
            details,
            r#"{"added": ["new"], "changed": ["webhook_url", "webhook_secret", "x_password", "api_token"], "removed": ["gone"]}"#
        );
    }

    #[test]
    fn long_and_many_names_are_cut() {
        let many: Vec<String> = (0..300).map(|n| format!("\"{n}{}\": 1", "ä".repeat(50))).collect();
        let many = format!("{{{}}}", many.join(","));
        let details = Details::new().difference(&Object::parse("{}").unwrap(), &Object::parse(&many).unwrap()).end();
        assert!(details.len() < 30_000 && details.contains("\"...\""), "{details}");
        assert!(serde_json::from_str::<serde_json::Value>(&details).is_ok());
    }
}
