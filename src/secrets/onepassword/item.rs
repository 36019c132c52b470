//! The fields of an item.

use std::sync::Arc;

use crate::secret_memory::SecretBytes;
use crate::secrets::cloud::StoreLookup;
use crate::secrets::json::SecretObject;

/// An item as the Connect server returns it.
pub(super) struct ConnectItem {
    object: SecretObject,
    version: Option<Arc<str>>,
}

/// A field that has a value.
struct ItemField {
    id: String,
    /// May be empty.
    label: String,
    section: Option<String>,
    value: SecretBytes,
}

impl ConnectItem {
    /// Parses the response to a request for an item; `None` if it is not one.
    pub(super) fn parse(body: &[u8]) -> Option<ConnectItem> {
        let object = SecretObject::parse(body)?;
        object.text("id")?;
        let version = object.text("version").map(Arc::from);
        Some(ConnectItem { object, version })
    }

    /// The value of one field, or all fields.
    pub(super) fn lookup(&self, field: Option<&str>) -> StoreLookup {
        if let Some("ARCHIVED" | "DELETED") = self.object.text("state") {
            return StoreLookup::Missing("it is archived or deleted".to_owned());
        }
        if self.object.text("trashed") == Some("true") {
            return StoreLookup::Missing("it is deleted".to_owned());
        }
        let fields = self.fields();
        let Some(wanted) = field else {
            let entry = |field: ItemField| {
                let key = if field.label.is_empty() { field.id } else { field.label };
                (key, Ok((field.value, self.version.clone())))
            };
            return StoreLookup::Several(fields.into_iter().map(entry).collect());
        };
        match self.find(fields, wanted) {
            Some(field) => StoreLookup::Found(field.value, self.version.clone()),
            None => StoreLookup::Missing(format!("it has no field {wanted:?} with a value")),
        }
    }

    fn fields(&self) -> Vec<ItemField> {
        let field = |object: &SecretObject| {
            Some(ItemField {
                id: object.text("id").unwrap_or_default().to_owned(),
                label: object.text("label").unwrap_or_default().to_owned(),
                section: object.object("section").and_then(|section| section.text("id").map(str::to_owned)),
                value: object.get("value")?.clone(),
            })
        };
        self.object.objects("fields").unwrap_or_default().iter().filter_map(field).collect()
    }

    /// Finds a field by its label, by its identifier, or by `SECTION/FIELD`.
    fn find(&self, fields: Vec<ItemField>, wanted: &str) -> Option<ItemField> {
        let found = |name: &str, section: Option<&[String]>| {
            let is_there = |field: &ItemField| {
                section.is_none_or(|ids| field.section.as_ref().is_some_and(|section| ids.contains(section)))
            };
            let by = |name_of: fn(&ItemField) -> &str| {
                fields.iter().position(|field| name_of(field) == name && is_there(field))
            };
            by(|field| &field.label).or_else(|| by(|field| &field.id))
        };
        let at = found(wanted, None).or_else(|| {
            let (section, name) = wanted.split_once('/')?;
            found(name, Some(&self.sections(section)))
        })?;
        fields.into_iter().nth(at)
    }

    /// The identifiers of the sections with this label or identifier.
    fn sections(&self, wanted: &str) -> Vec<String> {
        let sections = self.object.objects("sections").unwrap_or_default();
        let is_wanted = |section: &&SecretObject| [section.text("label"), section.text("id")].contains(&Some(wanted));
        sections.iter().filter(is_wanted).filter_map(|section| section.text("id").map(str::to_owned)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &[u8] = br#"{"id": "i", "version": 3, "sections": [{"id": "s1", "label": "Admin"}, {"id": "s2"}],
        "fields": [
            {"id": "password", "label": "password", "value": "one"},
            {"id": "f2", "label": "password", "value": "two", "section": {"id": "s1"}},
            {"id": "f3", "label": "a/b", "value": "three", "section": {"id": "s2"}},
            {"id": "f4", "value": "four"},
            {"id": "f5", "label": "empty", "value": ""},
            {"id": "f6", "label": "none"}
        ]}"#;

    #[test]
    fn field_is_found_by_label_identifier_and_section() {
        let item = ConnectItem::parse(ITEM).unwrap();
        for (field, value) in [
            ("password", Some("one")),
            ("Admin/password", Some("two")),
            ("s1/f2", Some("two")),
            ("a/b", Some("three")),
            ("f4", Some("four")),
            ("empty", Some("")),
            ("none", None),
            ("Other/password", None),
            ("s2/password", None),
        ] {
            let found = match item.lookup(Some(field)) {
                StoreLookup::Found(found, version) => {
                    assert_eq!(version.as_deref(), Some("3"));
                    Some(found)
                }
                _ => None,
            };
            assert_eq!(found.as_deref(), value.map(str::as_bytes), "{field}");
        }
    }

    #[test]
    fn item_without_an_identifier_or_in_the_archive_is_not_read() {
        assert!(ConnectItem::parse(b"{}").is_none() && ConnectItem::parse(b"[]").is_none());
        for state in [r#""state": "ARCHIVED""#, r#""trashed": true"#] {
            let item = format!(r#"{{"id": "i", {state}, "fields": [{{"label": "a", "value": "b"}}]}}"#);
            assert!(
                matches!(ConnectItem::parse(item.as_bytes()).unwrap().lookup(None), StoreLookup::Missing(_)),
                "{state}"
            );
        }
    }
}
