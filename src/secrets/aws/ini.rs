//! Parses the INI files of the AWS tools: sections, properties, and nested properties.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::files;
use crate::secret_memory::SecretBytes;
use crate::settings::{Setting, SettingOrigin};
use crate::sys;

const MAX_SIZE: usize = 1 << 20;

/// One file. Values may be secrets, so they are kept as ranges of the file's bytes, which are in secret memory.
pub(super) struct Ini {
    pub(super) path: PathBuf,
    bytes: SecretBytes,
    pub(super) sections: Vec<Section>,
}

/// The properties under one `[header]`.
pub(super) struct Section {
    /// The text between the brackets, with single spaces.
    pub(super) header: String,
    properties: Vec<Property>,
}

struct Property {
    /// In lower case.
    name: String,
    value: Range<usize>,
    line: usize,
    /// The indentation of its line.
    indent: usize,
    /// The following lines with a larger indentation, which continue its value.
    continued: Vec<Range<usize>>,
    /// The same lines, if the property has no value of its own: nested properties.
    nested: Vec<Property>,
}

/// A value and its location.
#[derive(Clone, Copy)]
pub(super) struct IniValue<'a> {
    pub(super) text: &'a str,
    pub(super) path: &'a Path,
    pub(super) line: usize,
    continued: &'a [Range<usize>],
    bytes: &'a [u8],
}

impl IniValue<'_> {
    /// Returns `/path/config, line 3`.
    pub(super) fn location(&self) -> String {
        format!("{}, line {}", self.path.display(), self.line)
    }

    /// Returns the value of `key` as a setting. `location` is that of the value, for messages.
    pub(super) fn setting(&self, location: &str, key: &str) -> Setting {
        Setting::new(SettingOrigin::Named(format!("{location}: `{key}`")), self.text)
    }

    /// Returns the value with the lines that continue it.
    pub(super) fn lines(&self) -> Zeroizing<String> {
        let more: Vec<&str> = self.continued.iter().filter_map(|range| text_in(self.bytes, range)).collect();
        let size: usize = more.iter().map(|line| line.len() + 1).sum();
        let mut all = Zeroizing::new(String::with_capacity(self.text.len() + size));
        all.push_str(self.text);
        for line in more {
            all.push('\n');
            all.push_str(line);
        }
        all
    }
}

/// The result of reading a file.
pub(super) enum ReadResult {
    File(Ini),
    Missing,
    /// Not a regular file, or a file without read permission. The AWS tools treat it as empty.
    Unreadable(Error),
}

impl Ini {
    pub(super) fn read(path: &Path) -> Result<ReadResult> {
        let contents = match files::read(path, MAX_SIZE) {
            Ok(contents) => contents,
            Err(error) if error.detail() == libc::ENOENT => return Ok(ReadResult::Missing),
            Err(error) => return if is_not_a_file(&error) { Ok(Ini::unreadable(path, error)) } else { Err(error) },
        };
        let bytes = contents.bytes.freeze();
        let sections = parse(&bytes)
            .map_err(|(line, what)| Error::new(Status::Config, format!("{}, line {line}: {what}", path.display())))?;
        Ok(ReadResult::File(Ini { path: path.to_owned(), bytes, sections }))
    }

    fn unreadable(path: &Path, error: Error) -> ReadResult {
        match fs::metadata(path) {
            Ok(metadata) if metadata.rdev() == sys::NULL_DEVICE => ReadResult::Missing,
            _ => ReadResult::Unreadable(error),
        }
    }

    /// Returns the last value with this name in these sections; `None` if it is empty.
    pub(super) fn value<'a>(&'a self, sections: &[&'a Section], name: &str) -> Option<IniValue<'a>> {
        let properties = sections.iter().rev().flat_map(|section| section.properties.iter().rev());
        properties.filter(|property| property.name == name).find_map(|property| self.to_value(property))
    }

    /// Returns the value with this name that is nested in the property `parent`.
    pub(super) fn nested<'a>(&'a self, sections: &[&'a Section], parent: &str, name: &str) -> Option<IniValue<'a>> {
        let properties = sections.iter().rev().flat_map(|section| section.properties.iter().rev());
        let nested =
            properties.filter(|property| property.name == parent).flat_map(|parent| parent.nested.iter().rev());
        nested.filter(|property| property.name == name).find_map(|property| self.to_value(property))
    }

    fn to_value<'a>(&'a self, property: &'a Property) -> Option<IniValue<'a>> {
        let text = text_in(&self.bytes, &property.value)?;
        let (continued, bytes) = (&*property.continued, &*self.bytes);
        (!text.is_empty()).then_some(IniValue { text, path: &self.path, line: property.line, continued, bytes })
    }
}

/// Whether the path is not a file that this process may read.
fn is_not_a_file(error: &Error) -> bool {
    const NUMBERS: [i32; 5] = [libc::EACCES, libc::EPERM, libc::ENOTDIR, libc::ELOOP, libc::ENXIO];
    // Without an error number it was opened, and is not a regular file.
    NUMBERS.contains(&error.detail()) || (error.status() == Status::Io && error.detail() == 0)
}

fn text_in<'a>(bytes: &'a [u8], range: &Range<usize>) -> Option<&'a str> {
    bytes.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

const BLANK: [char; 2] = [' ', '\t'];

/// Parses the sections. An error is the number of a line and what is wrong with it, without its text.
fn parse(bytes: &[u8]) -> Result<Vec<Section>, (usize, &'static str)> {
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
            return Err((number, "this contains a control character"));
        }
        let indent = line.len() - content.len();
        let above = sections.last_mut().and_then(|section| section.properties.last_mut());
        if let Some(above) = above.filter(|above| above.indent < indent) {
            match above.value.is_empty() {
                true => above.nested.extend(parse_property(text, content, &NESTED, (number, indent))),
                false => above.continued.push(range_of(text, without_comment(&above.name, content))),
            }
            continue;
        }
        if let Some(header) = content.strip_prefix('[') {
            let (header, rest) = header.split_once(']').ok_or((number, "the section name has no closing `]`"))?;
            if !rest.trim_start_matches(BLANK).is_empty() && !rest.trim_start_matches(BLANK).starts_with(['#', ';']) {
                return Err((number, "there is text after the section name"));
            }
            let header: Vec<&str> = header.split(BLANK).filter(|word| !word.is_empty()).collect();
            sections.push(Section { header: header.join(" "), properties: Vec::new() });
            continue;
        }
        let section = sections.last_mut().ok_or((number, "this is before the first [section]"))?;
        let property = parse_property(text, content, &TOP, (number, indent));
        section.properties.push(property.ok_or((number, "this is not of the form `name = value`"))?);
    }
    Ok(sections)
}

/// What separates a name from its value. The AWS tools also accept a colon, but not in nested properties.
const TOP: [char; 2] = ['=', ':'];
const NESTED: [char; 1] = ['='];

/// Parses `name = value`.
fn parse_property(text: &str, content: &str, separators: &[char], (line, indent): (usize, usize)) -> Option<Property> {
    let (name, value) = content.split_once(separators)?;
    let name = name.trim_matches(BLANK).to_ascii_lowercase();
    let value = range_of(text, without_comment(&name, value));
    let (continued, nested) = (Vec::new(), Vec::new());
    (!name.is_empty()).then_some(Property { name, value, line, indent, continued, nested })
}

/// Removes a comment. It starts with ` #` or ` ;`, but not within the quotation marks of a command line.
fn without_comment<'a>(name: &str, value: &'a str) -> &'a str {
    let is_command = name == "credential_process";
    let mut quote = None;
    let mut characters = value.char_indices();
    while let Some((at, character)) = characters.next() {
        match (character, quote) {
            ('#' | ';', None) if value[..at].ends_with(BLANK) => return value[..at].trim_matches(BLANK),
            ('\\', None | Some('"')) if is_command => drop(characters.next()),
            ('"' | '\'', None) if is_command => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            _ => {}
        }
    }
    value.trim_matches(BLANK)
}

/// Returns the range of `part`, a slice of `text`.
fn range_of(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Ini> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        match Ini::read(&path)? {
            ReadResult::File(ini) => Ok(ini),
            _ => panic!("the file exists"),
        }
    }

    #[test]
    fn value_ends_before_comment_and_white_space() {
        for (line, value) in [
            ("key = value", Some("value")),
            ("key=value", Some("value")),
            ("KEY\t=\t value \t", Some("value")),
            ("key = a b  c", Some("a b  c")),
            ("key = a#b;c", Some("a#b;c")),
            ("key = a # comment", Some("a")),
            ("key = a\t; comment", Some("a")),
            ("key = a=b==", Some("a=b==")),
            ("key: a=b", Some("a=b")),
            ("key :a", Some("a")),
            ("key = a:b", Some("a:b")),
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
    fn indented_lines_are_nested_properties() {
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
    fn command_keeps_quoted_text_and_continuation_lines() {
        for (text, command) in [
            ("sh -c 'true ; cat x' # c", "sh -c 'true ; cat x'"),
            ("a \"b # c\" d ; e", "a \"b # c\" d"),
            ("a \"b \\\" # c\" # d", "a \"b \\\" # c\""),
            ("a \\' # b", "a \\'"),
            ("a\n  --b=c ; d\n\n\t# e\n\t'f # g'", "a\n--b=c\n'f # g'"),
        ] {
            let ini = file(&format!("[s]\ncredential_process = {text}\nregion = it's # c\n  ignored\n")).unwrap();
            let sections: Vec<&Section> = ini.sections.iter().collect();
            assert_eq!(*ini.value(&sections, "credential_process").unwrap().lines(), command);
            assert_eq!(ini.value(&sections, "region").unwrap().text, "it's", "{text}");
        }
    }

    #[test]
    fn whole_section_may_be_indented() {
        let ini = file(" [a]\n  x = 1\n  y =\n    z = 2\n  w = 3\n  [b]\n  x = 4\n").unwrap();
        let get = |index: usize, name| ini.value(&[&ini.sections[index]], name).map(|value| value.text.to_owned());
        let found = [get(0, "x"), get(0, "w"), get(0, "z"), get(1, "x")];
        assert_eq!(found.map(Option::unwrap_or_default), ["1", "3", "", "4"]);
        assert_eq!(ini.nested(&[&ini.sections[0]], "y", "z").unwrap().text, "2");
    }

    #[test]
    fn path_without_a_readable_file_is_missing_or_unreadable() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let kind = |path: &Path| match Ini::read(path).unwrap() {
            ReadResult::File(_) => "file",
            ReadResult::Missing => "missing",
            ReadResult::Unreadable(_) => "unreadable",
        };
        assert_eq!(kind(&file), "file");
        assert_eq!(kind(&directory.path().join("missing")), "missing");
        assert_eq!(kind(Path::new("/dev/null")), "missing");
        assert_eq!(kind(Path::new("/dev/zero")), "unreadable");
        assert_eq!(kind(directory.path()), "unreadable");
        assert_eq!(kind(&file.join("config")), "unreadable");
    }

    #[test]
    fn invalid_line_is_located_and_not_quoted() {
        for (text, line) in [
            ("key = CANARY\n", 1),
            ("[s\nkey = CANARY\n", 1),
            ("[s] CANARY\n", 1),
            ("[s]\nCANARY\n", 2),
            ("[s]\n\n= CANARY\n", 3),
            ("[s]\n  CANARY\n", 2),
            ("[s]\nkey = CAN\rARY\n", 2),
        ] {
            let error = file(text).map(drop).unwrap_err();
            assert!(error.message().contains(&format!("config, line {line}: ")), "{text:?}: {error}");
            assert!(!error.message().contains("CAN"), "{error}");
        }
        assert!(file("").unwrap().sections.is_empty());
    }
}

/// Parses a file, and reads all that it contains.
#[cfg(fuzzing)]
pub(super) fn fuzz(data: &[u8]) {
    let Ok(bytes) = SecretBytes::copy_from(data) else { return };
    match parse(&bytes) {
        Ok(sections) => {
            let ini = Ini { path: PathBuf::new(), bytes, sections };
            for section in &ini.sections {
                for property in &section.properties {
                    if let Some(value) = ini.value(&[section], &property.name) {
                        let _ = value.lines();
                    }
                    for nested in &property.nested {
                        let _ = ini.nested(&[section], &property.name, &nested.name);
                    }
                }
            }
        }
        Err((line, _)) => assert!(line >= 1 && line <= data.split(|byte| *byte == b'\n').count(), "line {line}"),
    }
}
