//! The key under which the result of a function call is cached: `prefix:function:argument:argument`.
//!
//! Every binding builds the same key from the same call; `tests/vectors/function_keys.json` has examples that all of
//! them are tested with. Different lists of arguments give different keys:
//!
//! - The prefix and the name of the function come from the programmer and are written unchanged. An empty prefix is
//!   omitted together with its `:`.
//! - Positional arguments follow in their order, then named arguments as `name=value`, in byte order of their names.
//!   Each is preceded by a `:`.
//! - An integer is written in decimal, a boolean as `true` or `false`, a null as `null`.
//! - A floating-point number is written as its shortest decimal digits that read back as the same number, with the
//!   exponent, always in this form: `1.5e0`, `1e16`, `-2.5e-7`; else `nan`, `inf`, `-inf`.
//! - Text is written unchanged, unless it is empty, contains `:`, `=`, `\` or `"`, or looks like another type: it is
//!   one of `true`, `false`, `null`, `nan`, `inf` in any case, or begins with a digit, `+`, `-`, `.`, `[` or `{`. Then
//!   it is quoted with `"`, and each `\` and `"` in it is preceded by a `\`. Names of arguments are written the same
//!   way.
//! - Bytes are written as `x"`, two lower-case hexadecimal digits for each byte, and `"`.
//! - A list is written as `[a,b]`, a mapping as `{k=v,k=v}` in byte order of its keys; text in them is always quoted.

use std::fmt::Write;

mod packed;

pub use packed::packed_function_key;

/// One argument of a function call.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg<'a> {
    /// A null: `None`, `nil`, `undefined`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list of values.
    List(Vec<Arg<'a>>),
    /// Values by name, in any order.
    Map(Vec<(&'a str, Arg<'a>)>),
}

/// Returns the key of a call with these positional and named arguments, in the form that the module describes.
pub fn function_key(prefix: &str, function: &str, positional: &[Arg<'_>], named: &[(&str, Arg<'_>)]) -> String {
    let mut key = String::new();
    write_head(&mut key, prefix, function);
    for arg in positional {
        key.push(':');
        write_arg(&mut key, arg, false);
    }
    for (name, arg) in sorted(named) {
        key.push(':');
        write_text(&mut key, name, needs_quotes(name));
        key.push('=');
        write_arg(&mut key, arg, false);
    }
    key
}

fn write_head(key: &mut String, prefix: &str, function: &str) {
    if !prefix.is_empty() {
        key.push_str(prefix);
        key.push(':');
    }
    key.push_str(function);
}

fn sorted<'b, 'a>(named: &'b [(&'a str, Arg<'a>)]) -> Vec<&'b (&'a str, Arg<'a>)> {
    let mut sorted: Vec<_> = named.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    sorted
}

fn write_arg(key: &mut String, arg: &Arg<'_>, within: bool) {
    // Writing to a `String` does not fail.
    let _ = match arg {
        Arg::Null => write!(key, "null"),
        Arg::Bool(value) => write!(key, "{value}"),
        Arg::Int(value) => write!(key, "{value}"),
        Arg::Float(value) if value.is_nan() => write!(key, "nan"),
        Arg::Float(value) if value.is_infinite() => write!(key, "{value}"),
        Arg::Float(value) => write!(key, "{value:e}"),
        Arg::Text(text) => {
            write_text(key, text, within || needs_quotes(text));
            Ok(())
        }
        Arg::Bytes(bytes) => {
            key.push_str("x\"");
            let result = bytes.iter().try_for_each(|byte| write!(key, "{byte:02x}"));
            key.push('"');
            result
        }
        Arg::List(items) => {
            write_all(key, ('[', ']'), items, |key, item| write_arg(key, item, true));
            Ok(())
        }
        Arg::Map(items) => {
            write_all(key, ('{', '}'), &sorted(items), |key, (name, item)| {
                write_text(key, name, true);
                key.push('=');
                write_arg(key, item, true);
            });
            Ok(())
        }
    };
}

fn write_all<T>(key: &mut String, (open, close): (char, char), items: &[T], write: impl Fn(&mut String, &T)) {
    key.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            key.push(',');
        }
        write(key, item);
    }
    key.push(close);
}

fn write_text(key: &mut String, text: &str, quotes: bool) {
    if !quotes {
        return key.push_str(text);
    }
    key.push('"');
    for char in text.chars() {
        if matches!(char, '\\' | '"') {
            key.push('\\');
        }
        key.push(char);
    }
    key.push('"');
}

fn needs_quotes(text: &str) -> bool {
    let other_type = |word: &&str| text.eq_ignore_ascii_case(word);
    matches!(text.as_bytes().first(), None | Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'[' | b'{'))
        || text.bytes().any(|byte| matches!(byte, b':' | b'=' | b'\\' | b'"'))
        || ["true", "false", "null", "nan", "inf"].iter().any(other_type)
}
