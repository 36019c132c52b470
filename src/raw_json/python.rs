//! JSON as Python's `json` module reads and writes it: with the constants `NaN` and `Infinity`, and in its exact
//! format.

use zeroize::Zeroizing;

/// Python's constants, and a replacement of the same length for each. A replacement is an array: it cannot be joined
/// with an adjacent digit, point or sign, and cannot be a member's name.
const CONSTANTS: [(&str, &str); 3] = [("-Infinity", "[1000000]"), ("Infinity", "[100000]"), ("NaN", "[0]")];

/// Replaces Python's constants by arrays of the same length, so that any JSON parser accepts the text. `None` if it
/// contains none.
pub(crate) fn replace_constants(text: &str) -> Option<Zeroizing<String>> {
    let bytes = text.as_bytes();
    let mut replaced: Option<Zeroizing<String>> = None;
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b'-' | b'I' | b'N' if !in_string => {
                let constant = CONSTANTS.iter().find(|(constant, _)| bytes[at..].starts_with(constant.as_bytes()));
                if let Some((constant, replacement)) = constant {
                    let replaced = replaced.get_or_insert_with(|| Zeroizing::new(text.to_owned()));
                    replaced.replace_range(at..at + constant.len(), replacement);
                    at += constant.len() - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    replaced
}

/// Formats valid JSON like Python's `json.dumps`: separators with a space, non-ASCII characters escaped, floating-point
/// numbers in their shortest form. Unlike Python, it keeps duplicate names.
pub(crate) fn to_python(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut len = c.len_utf8();
        match c {
            '"' => {
                len = string_len(rest);
                match serde_json::from_str::<String>(&rest[..len]) {
                    Ok(decoded) => push_quoted(&mut out, &decoded),
                    Err(_) => push_broken(&mut out, &rest[..len]),
                }
            }
            ',' => out.push_str(", "),
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            '-' | '0'..='9' => {
                let is_numeric = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                len = rest.find(|c| !is_numeric(c)).unwrap_or(rest.len());
                push_number(&mut out, &rest[..len]);
            }
            c => out.push(c),
        }
        rest = &rest[len..];
    }
    out
}

/// Appends a number in the format of Python's `repr`: integers of any length verbatim, others with the fewest digits
/// that give the same value, and with an exponent from 1e+16 upward and from 1e-05 downward.
fn push_number(to: &mut String, text: &str) {
    if !text.contains(['.', 'e', 'E']) {
        return to.push_str(if text == "-0" { "0" } else { text });
    }
    let shortest = match text.parse::<f64>() {
        Ok(f64::INFINITY) => return to.push_str("Infinity"),
        Ok(f64::NEG_INFINITY) => return to.push_str("-Infinity"),
        Ok(number) => format!("{number:e}"),
        Err(_) => return to.push_str(text),
    };
    let Some((digits, exponent)) = shortest.split_once('e') else { return to.push_str(text) };
    match exponent.parse::<i32>().unwrap_or(0) {
        exponent @ ..-4 => to.push_str(&format!("{digits}e-{:02}", -exponent)),
        exponent @ 16.. => to.push_str(&format!("{digits}e+{exponent:02}")),
        // In between, Rust uses no exponent either, and always writes a point.
        _ => to.push_str(&format!("{:?}", text.parse::<f64>().unwrap_or(0.0))),
    }
}

/// The length of the string at the start of the text, including its quotes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        if byte == b'"' && !escaped {
            return at + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    text.len()
}

/// Appends a string in the format of Python's `json.dumps`: non-ASCII characters are escaped.
pub(crate) fn push_quoted(to: &mut String, text: &str) {
    to.push('"');
    text.chars().for_each(|c| push_char(to, c));
    to.push('"');
}

fn push_char(to: &mut String, c: char) {
    match c {
        '"' => to.push_str("\\\""),
        '\\' => to.push_str("\\\\"),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        '\x08' => to.push_str("\\b"),
        '\x0c' => to.push_str("\\f"),
        ' '..='~' => to.push(c),
        _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| to.push_str(&format!("\\u{unit:04x}"))),
    }
}

/// Appends a JSON string that contains a lone surrogate. Python keeps it; a Rust string cannot contain it.
pub(crate) fn push_broken(to: &mut String, quoted: &str) {
    let mut rest = &quoted[1..quoted.len() - 1];
    let mut units: Vec<u16> = Vec::with_capacity(rest.len());
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4));
        let (unit, len) = match hex.and_then(|hex| u16::from_str_radix(hex, 16).ok()) {
            Some(unit) => (Some(unit), 6),
            None if c == '\\' => (None, 2),
            None => (None, c.len_utf8()),
        };
        let piece = rest.get(..len).unwrap_or(rest);
        match (unit, serde_json::from_str::<String>(&format!("\"{piece}\""))) {
            (Some(unit), _) => units.push(unit),
            (None, Ok(decoded)) => units.extend(decoded.encode_utf16()),
            (None, Err(_)) => units.extend(piece.encode_utf16()),
        }
        rest = &rest[piece.len()..];
    }
    to.push('"');
    for c in char::decode_utf16(units) {
        match c {
            Ok(c) => push_char(to, c),
            Err(half) => to.push_str(&format!("\\u{:04x}", half.unpaired_surrogate())),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_python_formats_like_json_dumps() {
        for (given, expected) in [
            (r#"{"a":[1,2.50,{"b":null}],"c":true}"#, r#"{"a": [1, 2.5, {"b": null}], "c": true}"#),
            (
                "[1e5,1e15,1e16,1.5e-4,1.50e-5,-0.0,1e-7,123456789012345678901234567890,1e308,-1.25E+2]",
                "[100000.0, 1000000000000000.0, 1e+16, 0.00015, 1.5e-05, -0.0, 1e-07, 123456789012345678901234567890, \
                 1e+308, -125.0]",
            ),
            ("{\n \"ä\\u00e9\" : \"😀\\/, : \\\"x\\\\\"\n}", "{\"\\u00e4\\u00e9\": \"\\ud83d\\ude00/, : \\\"x\\\\\"}"),
            ("[-0,1e400,-1e400,NaN,-Infinity,-1]", "[0, Infinity, -Infinity, NaN, -Infinity, -1]"),
            (
                r#"["\ud800é\/\n\u0041\u00E9😀\uD83D\ude00\"\\"]"#,
                r#"["\ud800\u00e9/\nA\u00e9\ud83d\ude00\ud83d\ude00\"\\"]"#,
            ),
            ("{\"\u{7f}\":\"\\b\\f\\n\\r\\t\\u0001\"}", "{\"\\u007f\": \"\\b\\f\\n\\r\\t\\u0001\"}"),
        ] {
            assert_eq!(to_python(given), expected);
        }
    }
}
