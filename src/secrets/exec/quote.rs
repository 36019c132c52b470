//! The first line of a program's standard error, as part of a message.

use crate::redact::{RedactOptions, Redactor};

/// The longest part of a line that is quoted, in characters.
const MAX_QUOTE: usize = 300;
/// What precedes the quoted line in a message.
const BEFORE: &str = "; it says: ";
/// What follows a line that is cut.
const CUT: char = '…';
/// The limit of the values that are searched for, in bytes: each takes a multiple of its size. With more, nothing is
/// quoted.
const MAX_VALUES: usize = 128 << 10;
/// Shorter values are not replaced: they would match ordinary words.
const SHORTEST: usize = 4;

/// The first line that is not empty, with what precedes it in a message, in which `values` are masked; empty if there
/// is none. The line may be cut already if `is_cut`.
pub(super) fn first_line<'a>(stderr: &[u8], is_cut: bool, values: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut lines = stderr.split_inclusive(|byte| matches!(byte, b'\n' | b'\r'));
    let Some(line) = lines.find(|line| !line.trim_ascii().is_empty()) else { return String::new() };
    let is_whole = !is_cut || line.ends_with(b"\n") || line.ends_with(b"\r");
    let Some(line) = masked(line.trim_ascii(), is_whole, values) else { return String::new() };
    let text = String::from_utf8_lossy(&line);
    let mut quote: String = text.chars().filter(|character| !character.is_control()).collect();
    let end = quote.char_indices().nth(MAX_QUOTE).map(|(end, _)| end);
    if let Some(end) = end {
        quote.truncate(end);
    }
    if end.is_some() || !is_whole {
        quote.push(CUT);
    }
    format!("{BEFORE}{quote}")
}

/// The same message with `values` masked in its quoted line.
pub(super) fn without<'a>(message: String, values: impl IntoIterator<Item = &'a [u8]>) -> String {
    let Some(start) = message.find(BEFORE) else { return message };
    let (before, quote) = message.split_at(start);
    let (quote, cut) = quote.strip_suffix(CUT).map_or((quote, ""), |quote| (quote, "…"));
    match masked(quote.as_bytes(), cut.is_empty(), values) {
        Some(quote) => format!("{before}{}{cut}", String::from_utf8_lossy(&quote)),
        None => before.to_owned(),
    }
}

/// The text with the values masked. If it is not whole, the beginning of a value at its end is left out. `None` if the
/// values are too many to search for.
fn masked<'a>(text: &[u8], is_whole: bool, values: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = values.into_iter().collect();
    if values.iter().map(|value| value.len()).sum::<usize>() > MAX_VALUES {
        return None;
    }
    let redactor = Redactor::new(RedactOptions { shortest: SHORTEST, ..RedactOptions::default() }).ok()?;
    redactor.add(values).ok()?;
    let (mut stream, mut redacted) = (redactor.stream(), Vec::with_capacity(text.len()));
    stream.write(text, &mut redacted);
    if is_whole {
        stream.end(&mut redacted);
    }
    Some(redacted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"correct horse";

    fn quote(stderr: &str) -> String {
        first_line(stderr.as_bytes(), false, [VALUE])
    }

    #[test]
    fn first_line_is_quoted_without_control_characters() {
        assert_eq!(quote("\r\n  \nno key\x1b[31m found\nmore\n"), "; it says: no key[31m found");
        assert_eq!(quote(" \n"), "");
        assert_eq!(first_line(b"\xff!", false, []), "; it says: \u{fffd}!");
        let long = quote(&"é".repeat(1000));
        assert_eq!(long.chars().count(), BEFORE.len() + MAX_QUOTE + 1);
    }

    #[test]
    fn values_are_masked_in_every_form_and_where_the_line_is_cut() {
        assert_eq!(quote("bad \"correct horse\" (Y29ycmVjdCBob3JzZQ==)"), "; it says: bad \"***\" (***Q==)");
        assert_eq!(first_line(b"bad correct ho", true, [VALUE]), "; it says: bad …");
        let long = format!("{}correct horse", "x".repeat(MAX_QUOTE - 5));
        assert!(!quote(&long).contains("corr"));
        let earlier = first_line(long.as_bytes(), false, []);
        assert!(earlier.ends_with("xcorre…"), "{earlier}");
        assert!(without(format!("a program{earlier}"), [VALUE]).ends_with("x…"));
    }

    #[test]
    fn only_the_quote_of_a_message_is_masked() {
        let message = "pass failed; it says: pass\u{20}failed".to_owned();
        assert_eq!(without(message, [&b"pass"[..]]), "pass failed; it says: *** failed");
        assert_eq!(without("pass failed".to_owned(), [&b"pass"[..]]), "pass failed");
    }

    #[test]
    fn nothing_is_quoted_beside_too_many_values() {
        let large = vec![b'x'; MAX_VALUES + 1];
        assert_eq!(first_line(b"no key", false, [&large[..]]), "");
        assert_eq!(without("failed; it says: no key".to_owned(), [&large[..]]), "failed");
    }
}
