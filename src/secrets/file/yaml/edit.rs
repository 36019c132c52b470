//! Edits of a YAML text that keep everything else: comments, order, and the layout of other entries.
//!
//! YAML has too many layouts to handle each. The caller (`document::Change::apply`) parses the result, and refuses the
//! edit unless the result is the old entries with exactly this change.

use std::fmt::{self, Write};
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use zeroize::Zeroizing;

use super::node::{Node, Pair};
use super::{BOM, entries, read};
use crate::clock::Deadline;
use crate::secrets::entries::Problem;

/// The white space of YAML. Other white space of Unicode is text.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Returns the text with `key` set to `value`. If there are several entries of `key`, the last is changed, which is the
/// effective one.
pub(in crate::secrets::file) fn set(
    text: &str,
    key: &str,
    value: &str,
    deadline: Deadline,
) -> Result<Zeroizing<String>, Problem> {
    let pairs = read(text, deadline)?;
    let provided = entries(&pairs)?.iter().any(|(name, _)| name == key);
    let value = quoted(value);
    let key_text = new_key(key);
    let (bom, text) = split_bom(text);
    Ok(match (pairs.iter().rposition(|pair| has_key(pair, key)), provided) {
        (Some(index), _) => {
            let span = entry_span(text, &pairs, index).ok_or_else(|| Problem::layout(key))?;
            let space = if text[..span.value].ends_with(':') { " " } else { "" };
            join(&[bom, &text[..span.value], space, &value, &text[span.comment], &text[span.resume..]])
        }
        (None, false) => {
            let (at, indent) = end_of_entries(text, &pairs).ok_or_else(|| Problem::layout(key))?;
            let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
            let break_before = if at == 0 || text[..at].ends_with('\n') { "" } else { line_end };
            join(&[bom, &text[..at], break_before, indent, &key_text, ": ", &value, line_end, &text[at..]])
        }
        // The value comes from a merge key.
        (None, true) => return Err(Problem::layout(key)),
    })
}

/// Returns the text without the entries of `key`; `None` if there are none.
pub(in crate::secrets::file) fn delete(
    text: &str,
    key: &str,
    deadline: Deadline,
) -> Result<Option<Zeroizing<String>>, Problem> {
    let pairs = read(text, deadline)?;
    if !entries(&pairs)?.iter().any(|(name, _)| name == key) {
        return Ok(None);
    }
    let (bom, text) = split_bom(text);
    let mut kept = vec![bom];
    let mut copied = 0;
    for index in (0..pairs.len()).filter(|index| has_key(&pairs[*index], key)) {
        // The text is scanned twice for each entry.
        Problem::check_deadline(deadline)?;
        let span = entry_span(text, &pairs, index).ok_or_else(|| Problem::layout(key))?;
        kept.push(text.get(copied..span.start).ok_or_else(|| Problem::layout(key))?);
        copied = span.resume;
    }
    kept.push(&text[copied..]);
    Ok(Some(join(&kept)))
}

/// Splits the text after the byte order mark, if it has one.
fn split_bom(text: &str) -> (&str, &str) {
    text.split_at(if text.starts_with(BOM) { BOM.len_utf8() } else { 0 })
}

/// Joins the parts without a reallocation, which would leave a copy.
fn join(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| text.push_str(part));
    text
}

fn has_key(pair: &Pair, key: &str) -> bool {
    !pair.key.merge && pair.key.text == key
}

/// The value as a double-quoted scalar on one line. Characters that YAML would not read back are escaped: control
/// characters, the line ends of Unicode, the byte order mark and noncharacters.
fn quoted(text: &str) -> Zeroizing<String> {
    // One byte becomes at most four, so the buffer is never reallocated.
    let mut quoted = Zeroizing::new(String::with_capacity(text.len() * 4 + 2));
    quoted.push('"');
    for char in text.chars() {
        // Writing to a string cannot fail.
        let _ = match char {
            '"' | '\\' => write!(quoted, "\\{char}"),
            '\n' => quoted.write_str("\\n"),
            '\r' => quoted.write_str("\\r"),
            '\t' => quoted.write_str("\\t"),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' => write!(quoted, "\\x{:02x}", u32::from(char)),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(quoted, "\\u{:04x}", u32::from(char))
            }
            _ => quoted.write_char(char),
        };
    }
    quoted.push('"');
    quoted
}

/// The key, without quotes if every YAML reader takes it for a string.
fn new_key(key: &str) -> Zeroizing<String> {
    const WORDS: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"];
    let plain = key.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        && !WORDS.iter().any(|word| key.eq_ignore_ascii_case(word));
    if plain { Zeroizing::new(key.to_owned()) } else { quoted(key) }
}

/// The offsets of an entry in the text.
struct EntrySpan {
    /// The start of its first line.
    start: usize,
    /// The start of its value, or where that would be if it has none.
    value: usize,
    /// The rest of the line after the value or its header, with the line end.
    comment: Range<usize>,
    /// The start of the first line after the entry.
    resume: usize,
}

/// The span of an entry; `None` if the layout is not one entry after the other, each starting on its own line.
fn entry_span(text: &str, pairs: &[Pair], index: usize) -> Option<EntrySpan> {
    let key = key_offset(text, index)?;
    let start = line_start(text, key);
    let indent = key - start;
    let end = if index + 1 < pairs.len() {
        line_start(text, key_offset(text, index + 1)?)
    } else {
        end_of_document(text, key)
    };
    let colon = key + key_len(text.get(key..end)?)?;
    if !text[start..key].bytes().all(|byte| byte == b' ') {
        return None;
    }
    let rest = &text[colon..end];
    let gap = leading(rest, [' ', '\t']);
    let at = after_properties(rest, gap);
    let scalar = &rest[at..];
    let len = match scalar.chars().next() {
        Some('"' | '\'') => quoted_len(scalar)?,
        Some('[' | '{') => flow_len(scalar)?,
        None | Some('\r' | '\n' | '#' | '|' | '>') => {
            let span = block(rest, gap, at, indent, matches!(pairs[index].value, Node::Null));
            return Some(span.shifted(start, colon));
        }
        Some(_) => plain_len(scalar),
    };
    let line_end = line_end(rest, at + len);
    Some(EntrySpan { start: 0, value: gap, comment: at + len..line_end, resume: line_end }.shifted(start, colon))
}

impl EntrySpan {
    fn shifted(self, start: usize, by: usize) -> EntrySpan {
        let comment = self.comment.start + by..self.comment.end + by;
        EntrySpan { start, value: self.value + by, comment, resume: self.resume + by }
    }
}

/// The span of an entry whose value is on the lines after its key. `rest` is the text after the colon.
fn block(rest: &str, gap: usize, at: usize, indent: usize, is_null: bool) -> EntrySpan {
    let header_end = line_end(rest, at);
    let empty_header = at == gap && !rest[at..].starts_with(['|', '>']);
    let (value, comment) = if empty_header { (0, 0) } else { (gap, gap + plain_len(&rest[gap..header_end])) };
    let mut resume = header_end;
    let mut line_start = header_end;
    for line in rest[header_end..].split_inclusive('\n') {
        line_start += line.len();
        let content = line.trim_matches(SPACE);
        // Everything that is indented more than the key belongs to it, including comments: a remaining one could be the
        // rest of a secret.
        let outside = content.starts_with('#') && leading(line, [' ']) <= indent;
        let nothing = content.is_empty() || outside || (is_null && content.starts_with('#'));
        if !nothing {
            resume = line_start;
        }
    }
    EntrySpan { start: 0, value, comment: comment..header_end, resume }
}

/// The offset for a new entry, and the indentation that it needs.
fn end_of_entries<'a>(text: &'a str, pairs: &[Pair]) -> Option<(usize, &'a str)> {
    let Some(last) = pairs.len().checked_sub(1) else { return Some((end_of_document(text, 0), "")) };
    let key = key_offset(text, last)?;
    let indent = &text[line_start(text, key)..key];
    indent.bytes().all(|byte| byte == b' ').then(|| (end_of_document(text, key), indent))
}

/// The end of the text, or the line `...` before it.
fn end_of_document(text: &str, from: usize) -> usize {
    let mut at = line_start(text, from);
    for line in text[at..].split_inclusive('\n') {
        if line.strip_prefix("...").is_some_and(|after| after.is_empty() || after.starts_with(SPACE)) {
            break;
        }
        at += line.len();
    }
    at
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The start of the next line.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

fn leading<const N: usize>(text: &str, chars: [char; N]) -> usize {
    text.len() - text.trim_start_matches(chars).len()
}

/// The length of a key with its colon.
fn key_len(text: &str) -> Option<usize> {
    let key = match text.chars().next()? {
        '"' | '\'' => quoted_len(text)?,
        // Not a plain key: `? key`, an anchor, an alias, a tag, a flow map.
        '?' | '&' | '*' | '!' | '{' | '[' => return None,
        _ => text.match_indices(':').map(|(at, _)| at).find(|at| ends_at(text, at + 1))?,
    };
    let colon = key + leading(&text[key..], [' ', '\t']);
    (text[colon..].starts_with(':') && ends_at(text, colon + 1)).then_some(colon + 1)
}

fn ends_at(text: &str, at: usize) -> bool {
    text[at..].is_empty() || text[at..].starts_with(SPACE)
}

/// Skips anchors and tags, which belong to the value.
fn after_properties(text: &str, mut at: usize) -> usize {
    while text[at..].starts_with(['&', '!']) {
        at += text[at..].find(SPACE).unwrap_or(text.len() - at);
        at += leading(&text[at..], [' ', '\t']);
    }
    at
}

/// The length of a quoted scalar, which may have several lines.
fn quoted_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.first()?;
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 2,
            byte if byte != quote => at += 1,
            _ if quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 2,
            _ => return Some(at + 1),
        }
    }
}

/// The length of a plain scalar, which ends before a comment.
fn plain_len(text: &str) -> usize {
    let comment = text.match_indices('#').map(|(at, _)| at).find(|at| text[..*at].ends_with(SPACE));
    text[..comment.unwrap_or(text.len())].trim_end_matches(SPACE).len()
}

/// The length of `[…]` or `{…}`, which only comments may follow.
fn flow_len(text: &str) -> Option<usize> {
    let len = bracketed_len(text)?;
    // If a quote were taken for the end of another, the true end could look like a comment, which would keep a part of
    // the secret.
    let certain = !text[..len].contains(['"', '\'']) || !text[len..].contains([']', '}']);
    certain.then_some(len)
}

fn bracketed_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    loop {
        let begins = at == 0 || b" \t\r\n[]{},:".contains(&bytes[at - 1]);
        match *bytes.get(at)? {
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 1 => return Some(at + 1),
            b']' | b'}' => depth -= 1,
            // Within a plain scalar a quote is an ordinary character.
            b'"' | b'\'' if begins => at += quoted_len(&text[at..])? - 1,
            b'#' if begins => at = line_end(text, at) - 1,
            _ => {}
        }
        at += 1;
    }
}

/// The offset of the key of this pair. serde does not report it, but the error of a visitor that rejects the key does.
fn key_offset(text: &str, index: usize) -> Option<usize> {
    let error = serde::Deserializer::deserialize_map(serde_yaml::Deserializer::from_str(text), StopAt(index)).err()?;
    let offset = error.location()?.index();
    text.is_char_boundary(offset).then_some(offset)
}

struct StopAt(usize);

impl<'de> Visitor<'de> for StopAt {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        for _ in 0..self.0 {
            map.next_entry::<IgnoredAny, IgnoredAny>()?;
        }
        map.next_key_seed(RejectAll).map(|_| ())
    }
}

/// Rejects every value, which is an error at the position of the value.
struct RejectAll;

impl<'de> DeserializeSeed<'de> for RejectAll {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for RejectAll {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

#[cfg(test)]
mod tests;
