//! The forms in which a value can appear in text: raw, escaped, encoded.

use std::collections::HashSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// One form of a value.
pub(super) type ValueForm = Zeroizing<Vec<u8>>;

/// The length of the lines in which MIME, `base64` and YAML wrap base64 (RFC 2045).
const BASE64_LINE: usize = 76;
/// How many bytes of a value such a line has.
const BYTES_OF_LINE: usize = BASE64_LINE / 4 * 3;
/// Values up to this length are found in wrapped base64 wherever in a line they begin. Longer ones, and the lines of a
/// value, are found if they are behind at most two bytes.
const ANYWHERE_IN_LINE: usize = 256;

/// Longer values, in bytes, are only found as they are: their forms would take hundreds of times as much memory.
const LONGEST_ENCODED: usize = 64 * 1024;

/// The bytes that an encoder writes unchanged, beside letters and digits, and whether it writes a space as `+`.
const PERCENT_ENCODERS: [(&[u8], bool); 11] = [
    // `NON_ALPHANUMERIC` of the crate percent-encoding.
    (b"", false),
    // RFC 3986: nothing that is reserved; a segment of a path; the name and password of a URL; a query.
    (b"-._~", false),
    (b"-._~!$&'()*+,;=:@", false),
    (b"-._~!$&'()*+,;=", false),
    (b"-._~!$&'()*+,;=:@/?", false),
    // `quote` of Python's urllib.parse, and the URLs of `requests`.
    (b"-._~/", false),
    (b"-._~!#$%&'()*+,/:;=?@[]", false),
    // `encodeURIComponent` and `encodeURI` of JavaScript.
    (b"-._~!'()*", false),
    (b"-._~!'()*;,/?:@&=+$#", false),
    // Forms: as the WHATWG's URL standard writes them, and as Go and Python do.
    (b"-._*", true),
    (b"-._~", true),
];

/// Returns the forms of a value, and of each of its lines, that are at least `shortest` bytes long. Some are the same.
pub(super) fn forms(value: &[u8], shortest: usize) -> Vec<ValueForm> {
    let mut forms = Vec::new();
    let mut add = |form: Vec<u8>| {
        let form = Zeroizing::new(form);
        if form.len() >= shortest {
            forms.push(form);
        }
    };
    if value.len() > LONGEST_ENCODED {
        add(value.to_vec());
        return forms;
    }
    let lines = value.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let is_long = |part: &&[u8]| part.len() >= shortest;
    for part in std::iter::once(value).chain(lines).filter(is_long).collect::<HashSet<_>>() {
        add(part.to_vec());
        escaped(part, &mut add);
        percent_encoded(part, &mut add);
        for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
            add(part.iter().flat_map(|byte| hexadecimal(*byte, digits)).collect());
        }
        let anywhere = part.len() == value.len() && part.len() <= ANYWHERE_IN_LINE;
        base64_encoded(part, if anywhere { BYTES_OF_LINE } else { 3 }, &mut add);
        if let Ok(text) = std::str::from_utf8(part) {
            add(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        }
    }
    forms
}

fn hexadecimal(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// Escapes as JSON encoders, Python's `repr` and shells write them.
fn escaped(value: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    if let Ok(text) = std::str::from_utf8(value) {
        for upper in [false, true] {
            let unit = move |out: &mut String, unit: u16| {
                let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
            };
            for (ascii, slash, html) in [
                (true, false, false),
                (false, false, false),
                (true, true, false),
                (false, true, false),
                (false, false, true),
            ] {
                let form = json(text, ascii, slash, html, unit);
                // Python with characters in ASCII, and jq, escape DEL too.
                if form.contains('\x7f') {
                    let mut delete = String::new();
                    unit(&mut delete, 0x7f);
                    add(form.replace('\x7f', &delete).into_bytes());
                }
                add(form.into_bytes());
            }
        }
        for quotes in [false, true] {
            for is_escaped in [|_| false, |_| true, |code| !is_printable(code)] {
                add(python(text.chars().map(u32::from), quotes, is_escaped));
            }
        }
    }
    for quotes in [false, true] {
        add(python(value.iter().map(|byte| u32::from(*byte)), quotes, |_| true));
    }
    // Within single quotes, and outside of quotes, of a shell.
    add(replace(value, |byte| if byte == b'\'' { Some(b"'\\''") } else { None }));
    add(replace(value, |byte| if byte == b'\'' { Some(b"'\"'\"'") } else { None }));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte) || byte >= 0x80;
    add(value.iter().flat_map(|byte| [Some(b'\\').filter(|_| !is_plain(*byte)), Some(*byte)]).flatten().collect());
    if value.iter().any(|byte| byte.is_ascii_control() || !byte.is_ascii()) {
        add(bash(value, false));
        add(bash(value, true));
    }
}

fn replace(value: &[u8], with: impl Fn(u8) -> Option<&'static [u8]>) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(value.len());
    for byte in value {
        replaced.extend_from_slice(with(*byte).unwrap_or(std::slice::from_ref(byte)));
    }
    replaced
}

/// The inside of a JSON string. `ascii`: characters beyond ASCII are escaped; `slash`: `/` is; `html`: `<`, `>`, `&`,
/// U+2028 and U+2029 are, as Go does.
fn json(text: &str, ascii: bool, slash: bool, html: bool, unit: impl Fn(&mut String, u16)) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' if slash => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if character < ' '
                || (ascii && !character.is_ascii())
                || (html && matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')) =>
            {
                character.encode_utf16(&mut [0; 2]).iter().for_each(|code| unit(&mut out, *code));
            }
            _ => out.push(character),
        }
    }
    out
}

/// The inside of what Python's `repr` writes for a `str`, or, if the characters are bytes, for `bytes`. `quotes`:
/// single quotes are escaped; `is_escaped`: whether a character beyond ASCII is.
fn python(characters: impl Iterator<Item = u32>, quotes: bool, is_escaped: fn(u32) -> bool) -> Vec<u8> {
    let mut out = String::new();
    for code in characters {
        let _ = match (char::from_u32(code), code) {
            (Some('\\'), _) => write!(out, "\\\\"),
            (Some('\''), _) if quotes => write!(out, "\\'"),
            (Some('\n'), _) => write!(out, "\\n"),
            (Some('\r'), _) => write!(out, "\\r"),
            (Some('\t'), _) => write!(out, "\\t"),
            (_, 0..0x20 | 0x7f) => write!(out, "\\x{code:02x}"),
            (_, 0x80..0x100) if is_escaped(code) => write!(out, "\\x{code:02x}"),
            (_, 0x100..0x1_0000) if is_escaped(code) => write!(out, "\\u{code:04x}"),
            (_, 0x1_0000..) if is_escaped(code) => write!(out, "\\U{code:08x}"),
            (Some(character), _) => write!(out, "{character}"),
            (None, _) => Ok(()),
        };
    }
    out.into_bytes()
}

/// Whether Python shows a character beyond ASCII as it is. Rust and Python agree on the categories of such characters.
fn is_printable(code: u32) -> bool {
    let Some(character) = char::from_u32(code) else { return false };
    // Behind another character, those that combine with it are not escaped.
    let mut text = [b'a'; 5];
    let length = 1 + character.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().count() == 2)
}

/// The inside of `$'…'`, as bash writes a value with control characters, or, with `ascii`, one beyond ASCII in the C
/// locale.
fn bash(value: &[u8], ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 2);
    for byte in value {
        let letter = match byte {
            b'\\' | b'\'' => *byte,
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            0x1b => b'E',
            _ if byte.is_ascii_control() || ascii && !byte.is_ascii() => {
                out.push(b'\\');
                out.extend([byte >> 6, byte >> 3 & 7, byte & 7].map(|digit| b'0' + digit));
                continue;
            }
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend([b'\\', letter]);
    }
    out
}

fn percent_encoded(value: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
        let encoded = |byte: u8| std::iter::once(b'%').chain(hexadecimal(byte, digits));
        add(value.iter().flat_map(|byte| encoded(*byte)).collect());
        for (unchanged, is_form) in PERCENT_ENCODERS {
            let mut out = Vec::with_capacity(value.len());
            for byte in value {
                match *byte {
                    b' ' if is_form => out.push(b'+'),
                    plain if plain.is_ascii_alphanumeric() || unchanged.contains(&plain) => out.push(plain),
                    other => out.extend(encoded(other)),
                }
            }
            add(out);
        }
    }
}

/// Base64 of the value behind other bytes, in which no character depends on what surrounds the value. `most`: the
/// number of bytes that may be in front on the same line is below this.
fn base64_encoded(value: &[u8], most: usize, add: &mut impl FnMut(Vec<u8>)) {
    for (engine, most) in [(&STANDARD_NO_PAD, most), (&URL_SAFE_NO_PAD, 3)] {
        for before in 0..most {
            // What is in front decides only which bits of the value share a character, and the column.
            let mut padded = Zeroizing::new(vec![0; before % 3]);
            padded.extend_from_slice(value);
            let encoded = Zeroizing::new(engine.encode(padded.as_slice()).into_bytes());
            let whole = &encoded[(before % 3 * 8).div_ceil(6)..padded.len() * 8 / 6];
            if before < 3 {
                add(whole.to_vec());
            }
            let column = (before * 8).div_ceil(6);
            if column + whole.len() > BASE64_LINE {
                for end in [&b"\n"[..], b"\r\n"] {
                    add(wrapped(whole, BASE64_LINE - column, end));
                }
            }
        }
    }
}

/// The same text with line breaks, of which the first is behind `first` characters.
fn wrapped(text: &[u8], first: usize, end: &[u8]) -> Vec<u8> {
    let (first, rest) = text.split_at(first);
    let mut lines = first.to_vec();
    for line in rest.chunks(BASE64_LINE) {
        lines.extend_from_slice(end);
        lines.extend_from_slice(line);
    }
    lines
}
