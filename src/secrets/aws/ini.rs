//! The syntax of the files that the AWS tools share: sections, properties, and properties of a property.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bytes::SecretBytes;
use crate::error::{Error, Result, Status};
use crate::files;

const MAX_SIZE: usize = 1 << 20;

/// One file. Values are secrets, so they stay in the file's own bytes and are kept as places in them.
pub(super) struct Ini {
    pub(super) path: PathBuf,
    bytes: SecretBytes,
    pub(super) sections: Vec<Section>,
}

/// What stands under one `[header]`.
pub(super) struct Section {
    /// As written between the brackets, white space made one space.
    pub(super) header: String,
    properties: Vec<Property>,
}

struct Property {
    /// In lower case.
    name: String,
    value: Range<usize>,
    line: usize,
    /// Those of the indented lines below it.
    nested: Vec<Property>,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) text: &'a str,
    pub(super) path: &'a Path,
    pub(super) line: usize,
}

impl Ini {
    /// `None` where there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Ini>> {
        if let Ok(false) = path.try_exists() {
            return Ok(None);
        }
        let bytes = files::read(path, MAX_SIZE)?.bytes.freeze();
        let sections = parse(&bytes)
            .map_err(|(line, what)| Error::new(Status::Config, format!("{}, line {line}: {what}", path.display())))?;
        Ok(Some(Ini { path: path.to_owned(), bytes, sections }))
    }

    /// The last value of this name in these sections; an empty one counts as not given.
    pub(super) fn value<'a>(&'a self, sections: &[&'a Section], name: &str) -> Option<Value<'a>> {
        let properties = sections.iter().rev().flat_map(|section| section.properties.iter().rev());
        properties.filter(|property| property.name == name).find_map(|property| self.shown(property))
    }

    /// The value of this name in the lines below the property `parent`.
    pub(super) fn nested<'a>(&'a self, sections: &[&'a Section], parent: &str, name: &str) -> Option<Value<'a>> {
        let properties = sections.iter().rev().flat_map(|section| section.properties.iter().rev());
        let nested =
            properties.filter(|property| property.name == parent).flat_map(|parent| parent.nested.iter().rev());
        nested.filter(|property| property.name == name).find_map(|property| self.shown(property))
    }

    fn shown(&self, property: &Property) -> Option<Value<'_>> {
        let text = self.bytes.get(property.value.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok())?;
        (!text.is_empty()).then_some(Value { text, path: &self.path, line: property.line })
    }
}

const BLANK: [char; 2] = [' ', '\t'];

/// The sections, or the line that is wrong and what is wrong with it, without what stands there.
fn parse(bytes: &[u8]) -> std::result::Result<Vec<Section>, (usize, &'static str)> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        (line, "this is not UTF-8")
    })?;
    let mut sections: Vec<Section> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let number = index + 1;
        let line = raw.trim_start_matches('\u{feff}').trim_end_matches(BLANK);
        let content = line.trim_start_matches(BLANK);
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if content.contains(['\0', '\r']) {
            return Err((number, "this holds a control character"));
        }
        if let Some(header) = line.strip_prefix('[') {
            let (header, rest) = header.split_once(']').ok_or((number, "the section's name has no closing `]`"))?;
            if !rest.trim_start_matches(BLANK).is_empty() && !rest.trim_start_matches(BLANK).starts_with(['#', ';']) {
                return Err((number, "there is something behind the section's name"));
            }
            let header: Vec<&str> = header.split(BLANK).filter(|word| !word.is_empty()).collect();
            sections.push(Section { header: header.join(" "), properties: Vec::new() });
            continue;
        }
        let section = sections.last_mut().ok_or((number, "this stands before the first [section]"))?;
        let property = property(text, content, number);
        if content.len() == line.len() {
            section.properties.push(property.ok_or((number, "this is not of the form `name = value`"))?);
        } else if let Some(parent) = section.properties.last_mut() {
            // An indented line without `=` continues a value; none that is read here has several lines.
            parent.nested.extend(property);
        } else {
            return Err((number, "this is indented, and there is no property above that it could belong to"));
        }
    }
    Ok(sections)
}

/// `name = value`; ` #` and ` ;` begin a comment.
fn property(text: &str, content: &str, line: usize) -> Option<Property> {
    let (name, value) = content.split_once('=')?;
    let name = name.trim_matches(BLANK);
    let mut end = value.len();
    for (at, _) in value.match_indices(['#', ';']) {
        if value[..at].ends_with(BLANK) {
            end = at;
            break;
        }
    }
    let value = value[..end].trim_matches(BLANK);
    let start = value.as_ptr().addr() - text.as_ptr().addr();
    let range = start..start + value.len();
    (!name.is_empty()).then(|| Property { name: name.to_ascii_lowercase(), value: range, line, nested: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Ini> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, text).unwrap();
        Ini::read(&path).map(Option::unwrap)
    }

    #[test]
    fn values_comments_and_white_space() {
        for (line, value) in [
            ("key = value", Some("value")),
            ("key=value", Some("value")),
            ("KEY\t=\t value \t", Some("value")),
            ("key = a b  c", Some("a b  c")),
            ("key = a#b;c", Some("a#b;c")),
            ("key = a # comment", Some("a")),
            ("key = a\t; comment", Some("a")),
            ("key = a=b==", Some("a=b==")),
            ("key =", None),
            ("key = # comment", None),
            ("# key = value", None),
            ("; key = value", None),
            ("key = old\nkey = new", Some("new")),
            ("key = value\r", Some("value")),
            ("key = \u{a0}value", Some("\u{a0}value")),
        ] {
            let ini = file(&format!("[s]\n{line}\n")).unwrap();
            let sections: Vec<&Section> = ini.sections.iter().collect();
            assert_eq!(ini.value(&sections, "key").map(|value| value.text), value, "{line:?}");
        }
    }

    #[test]
    fn indented_lines_belong_to_the_property_above() {
        let ini = file(
            "[services  x]  # comment\ns3 =\n  endpoint_url = https://s3\nsecrets_manager =\n\tendpoint_url = https://sm ; c\n  # c\n",
        )
        .unwrap();
        assert_eq!(ini.sections[0].header, "services x");
        let sections: Vec<&Section> = ini.sections.iter().collect();
        let nested = |parent| ini.nested(&sections, parent, "endpoint_url").map(|value| (value.text, value.line));
        assert_eq!(nested("secrets_manager"), Some(("https://sm", 5)));
        assert_eq!(nested("s3"), Some(("https://s3", 3)));
        assert_eq!(nested("sts"), None);
        assert!(ini.value(&sections, "endpoint_url").is_none());
    }

    #[test]
    fn a_broken_file_is_located_and_not_quoted() {
        for (text, line) in [
            ("key = CANARY\n", 1),
            ("[s\nkey = CANARY\n", 1),
            ("[s] CANARY\n", 1),
            ("[s]\nCANARY\n", 2),
            ("[s]\n\n= CANARY\n", 3),
            ("[s]\n  key = CANARY\n", 2),
            ("[s]\nkey = CAN\rARY\n", 2),
        ] {
            let error = file(text).map(drop).unwrap_err();
            assert!(error.message().contains(&format!("config, line {line}: ")), "{text:?}: {error}");
            assert!(!error.message().contains("CAN"), "{error}");
        }
        assert!(file("").unwrap().sections.is_empty());
    }
}
