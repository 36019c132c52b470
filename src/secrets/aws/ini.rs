//! The syntax of the files that the AWS tools share: sections, properties, and properties of a property.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::files;
use crate::secret_memory::SecretBytes;

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
    /// How far its line is indented.
    indent: usize,
    /// The lines below it that are indented further and continue its value.
    continued: Vec<Range<usize>>,
    /// The same lines of a property without a value of its own, which are properties of it.
    nested: Vec<Property>,
}

/// A value and its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) text: &'a str,
    pub(super) path: &'a Path,
    pub(super) line: usize,
    continued: &'a [Range<usize>],
    bytes: &'a [u8],
}

impl Value<'_> {
    /// The value with the lines that continue it.
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

/// What there is at the place of a file.
pub(super) enum Found {
    File(Ini),
    Nothing,
    /// Something that is not a file, or a file that may not be read. The AWS tools go on as if it were empty.
    Unreadable(Error),
}

/// The device `/dev/null`, a usual way to say that there is no file.
const NULL_DEVICE: u64 = libc::makedev(1, 3);

impl Ini {
    pub(super) fn read(path: &Path) -> Result<Found> {
        let contents = match files::read(path, MAX_SIZE) {
            Ok(contents) => contents,
            Err(error) if error.detail() == libc::ENOENT => return Ok(Found::Nothing),
            Err(error) => return if is_not_a_file(&error) { Ok(Ini::unreadable(path, error)) } else { Err(error) },
        };
        let bytes = contents.bytes.freeze();
        let sections = parse(&bytes)
            .map_err(|(line, what)| Error::new(Status::Config, format!("{}, line {line}: {what}", path.display())))?;
        Ok(Found::File(Ini { path: path.to_owned(), bytes, sections }))
    }

    fn unreadable(path: &Path, error: Error) -> Found {
        match fs::metadata(path) {
            Ok(metadata) if metadata.rdev() == NULL_DEVICE => Found::Nothing,
            _ => Found::Unreadable(error),
        }
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

    fn shown<'a>(&'a self, property: &'a Property) -> Option<Value<'a>> {
        let text = text_in(&self.bytes, &property.value)?;
        let (continued, bytes) = (&*property.continued, &*self.bytes);
        (!text.is_empty()).then_some(Value { text, path: &self.path, line: property.line, continued, bytes })
    }
}

/// Whether the path leads to no file that this process may read, which says nothing of what a file would hold.
fn is_not_a_file(error: &Error) -> bool {
    const NUMBERS: [i32; 5] = [libc::EACCES, libc::EPERM, libc::ENOTDIR, libc::ELOOP, libc::ENXIO];
    // Without a number it was opened and is not a regular file.
    NUMBERS.contains(&error.detail()) || (error.status() == Status::Io && error.detail() == 0)
}

fn text_in<'a>(bytes: &'a [u8], range: &Range<usize>) -> Option<&'a str> {
    bytes.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok())
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
        let indent = line.len() - content.len();
        let above = sections.last_mut().and_then(|section| section.properties.last_mut());
        if let Some(above) = above.filter(|above| above.indent < indent) {
            match above.value.is_empty() {
                true => above.nested.extend(property(text, content, number, indent)),
                false => above.continued.push(range_of(text, without_comment(&above.name, content))),
            }
            continue;
        }
        if let Some(header) = content.strip_prefix('[') {
            let (header, rest) = header.split_once(']').ok_or((number, "the section's name has no closing `]`"))?;
            if !rest.trim_start_matches(BLANK).is_empty() && !rest.trim_start_matches(BLANK).starts_with(['#', ';']) {
                return Err((number, "there is something behind the section's name"));
            }
            let header: Vec<&str> = header.split(BLANK).filter(|word| !word.is_empty()).collect();
            sections.push(Section { header: header.join(" "), properties: Vec::new() });
            continue;
        }
        let section = sections.last_mut().ok_or((number, "this is before the first [section]"))?;
        let property = property(text, content, number, indent);
        section.properties.push(property.ok_or((number, "this is not of the form `name = value`"))?);
    }
    Ok(sections)
}

/// `name = value`.
fn property(text: &str, content: &str, line: usize, indent: usize) -> Option<Property> {
    let (name, value) = content.split_once('=')?;
    let name = name.trim_matches(BLANK).to_ascii_lowercase();
    let value = range_of(text, without_comment(&name, value));
    let (continued, nested) = (Vec::new(), Vec::new());
    (!name.is_empty()).then_some(Property { name, value, line, indent, continued, nested })
}

/// ` #` and ` ;` begin a comment, but not within the quotation marks of a command line.
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

/// Where `part`, a slice of `text`, is in it.
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
            Found::File(ini) => Ok(ini),
            _ => panic!("the file was written"),
        }
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
    fn a_command_keeps_what_is_quoted_and_what_continues_it() {
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
    fn whole_sections_may_be_indented() {
        let ini = file(" [a]\n  x = 1\n  y =\n    z = 2\n  w = 3\n  [b]\n  x = 4\n").unwrap();
        let get = |index: usize, name| ini.value(&[&ini.sections[index]], name).map(|value| value.text.to_owned());
        let found = [get(0, "x"), get(0, "w"), get(0, "z"), get(1, "x")];
        assert_eq!(found.map(Option::unwrap_or_default), ["1", "3", "", "4"]);
        assert_eq!(ini.nested(&[&ini.sections[0]], "y", "z").unwrap().text, "2");
    }

    #[test]
    fn a_path_without_a_readable_file_counts_as_empty() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let kind = |path: &Path| match Ini::read(path).unwrap() {
            Found::File(_) => "file",
            Found::Nothing => "nothing",
            Found::Unreadable(_) => "unreadable",
        };
        assert_eq!(kind(&file), "file");
        assert_eq!(kind(&directory.path().join("missing")), "nothing");
        assert_eq!(kind(Path::new("/dev/null")), "nothing");
        assert_eq!(kind(Path::new("/dev/zero")), "unreadable");
        assert_eq!(kind(directory.path()), "unreadable");
        assert_eq!(kind(&file.join("config")), "unreadable");
    }

    #[test]
    fn a_broken_file_is_located_and_not_quoted() {
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
