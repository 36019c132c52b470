//! Arguments as one text, which every language can write without knowing the rules of keys.

use super::{Arg, needs_quotes, write_arg, write_text};
use crate::error::{Error, Result};

/// How deeply lists and mappings can be nested.
const DEEPEST: usize = 100;

/// Returns the key of a call, as [`function_key`](super::function_key) does, with arguments in the form that
/// `st_function_key` describes.
pub fn packed_function_key(prefix: &str, function: &str, args: &str) -> Result<String> {
    let mut key = String::with_capacity(prefix.len() + function.len() + args.len() + 2);
    super::write_head(&mut key, prefix, function);
    let mut packed = Packed { all: args, rest: args };
    let mut named = Vec::new();
    while !packed.rest.is_empty() {
        if packed.next_is('=') {
            named.push(packed.named(0)?);
        } else {
            key.push(':');
            packed.value(&mut key, 0)?;
        }
    }
    named.sort_by_key(|(name, _)| *name);
    for (name, value) in named {
        key.push(':');
        write_text(&mut key, name, needs_quotes(name));
        key.push('=');
        key.push_str(&value);
    }
    Ok(key)
}

/// What is left of the packed arguments.
struct Packed<'a> {
    all: &'a str,
    rest: &'a str,
}

impl<'a> Packed<'a> {
    /// Appends the next value. `depth` is the number of lists and mappings around it.
    fn value(&mut self, key: &mut String, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::invalid_argument(format!("`args` is nested more than {DEEPEST} deep")));
        }
        let kind = self.rest.chars().next().ok_or_else(|| self.invalid())?;
        self.rest = &self.rest[kind.len_utf8()..];
        match kind {
            'n' => key.push_str("null"),
            't' => key.push_str("true"),
            'f' => key.push_str("false"),
            'i' => key.push_str(self.checked(|text| {
                let digits = text.strip_prefix('-').unwrap_or(text);
                !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
            })?),
            'd' => {
                let number = self.checked(|_| true)?.parse().map_err(|_| self.invalid())?;
                write_arg(key, &Arg::Float(number), false);
            }
            's' => {
                let text = self.text()?;
                write_text(key, text, depth > 0 || needs_quotes(text));
            }
            'x' => {
                let is_digit = |digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
                let digits = self.checked(|text| text.len() % 2 == 0 && text.bytes().all(is_digit))?;
                key.push_str("x\"");
                key.push_str(digits);
                key.push('"');
            }
            '[' => self.list(key, depth)?,
            '{' => self.map(key, depth)?,
            _ => return Err(self.invalid()),
        }
        Ok(())
    }

    fn list(&mut self, key: &mut String, depth: usize) -> Result<()> {
        key.push('[');
        for index in 0.. {
            if self.next_is(']') {
                break;
            }
            if index > 0 {
                key.push(',');
            }
            self.value(key, depth + 1)?;
        }
        key.push(']');
        Ok(())
    }

    fn map(&mut self, key: &mut String, depth: usize) -> Result<()> {
        let mut items = Vec::new();
        while !self.next_is('}') {
            if !self.next_is('=') {
                return Err(self.invalid());
            }
            items.push(self.named(depth + 1)?);
        }
        items.sort_by_key(|(name, _)| *name);
        key.push('{');
        for (index, (name, value)) in items.into_iter().enumerate() {
            if index > 0 {
                key.push(',');
            }
            write_text(key, name, true);
            key.push('=');
            key.push_str(&value);
        }
        key.push('}');
        Ok(())
    }

    /// A name, and the value that follows.
    fn named(&mut self, depth: usize) -> Result<(&'a str, String)> {
        let (name, mut value) = (self.text()?, String::new());
        self.value(&mut value, depth)?;
        Ok((name, value))
    }

    /// Text, preceded by its length in bytes and a `:`.
    fn text(&mut self) -> Result<&'a str> {
        let (len, rest) = self.rest.split_once(':').ok_or_else(|| self.invalid())?;
        let len = len.parse().map_err(|_| self.invalid())?;
        let (text, rest) = rest.split_at_checked(len).ok_or_else(|| self.invalid())?;
        self.rest = rest;
        Ok(text)
    }

    /// The text before the next `;`, if it is valid.
    fn checked(&mut self, is_valid: impl FnOnce(&str) -> bool) -> Result<&'a str> {
        let (text, rest) = self.rest.split_once(';').ok_or_else(|| self.invalid())?;
        if !is_valid(text) {
            return Err(self.invalid());
        }
        self.rest = rest;
        Ok(text)
    }

    fn next_is(&mut self, mark: char) -> bool {
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    #[cold]
    fn invalid(&self) -> Error {
        let at = self.all.len() - self.rest.len();
        Error::invalid_argument(format!("`args` is not a list of packed arguments, at byte {at}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn key(args: &str) -> String {
        packed_function_key("m", "f", args).unwrap()
    }

    #[test]
    fn values_of_every_kind() {
        assert_eq!(key(""), "m:f");
        assert_eq!(packed_function_key("", "f", "n").unwrap(), "f:null");
        assert_eq!(key("ntf"), "m:f:null:true:false");
        assert_eq!(
            key("i-12;i340282366920938463463374607431768211456;"),
            "m:f:-12:340282366920938463463374607431768211456"
        );
        assert_eq!(key("d1;d1.50;d-Infinity;dNaN;d1e+16;"), "m:f:1e0:1.5e0:-inf:nan:1e16");
        assert_eq!(key("s1:as0:s3:a:bs2:ß"), "m:f:a:\"\":\"a:b\":ß");
        assert_eq!(key("x;x00ff;"), "m:f:x\"\":x\"00ff\"");
        assert_eq!(key("[][i1;s1:a[n]]"), "m:f:[]:[1,\"a\",[null]]");
        assert_eq!(key("{=1:bi1;=1:a{}}"), "m:f:{\"a\"={},\"b\"=1}");
        assert_eq!(key("=1:zt=1:ai1;s1:x"), "m:f:x:a=1:z=true");
    }

    #[test]
    fn list_that_begins_with_a_bracket_in_text() {
        assert_eq!(key("[s1:[s1:a]"), "m:f:[\"[\",\"a\"]");
        assert_eq!(key("[[]n]"), "m:f:[[],null]");
    }

    #[test]
    fn anything_else_is_an_error() {
        let deep = "[".repeat(102);
        for args in [
            "a", "i", "i;", "i-;", "i1", "i1a;", "d;", "dx;", "s", "s1", "s1:", "s-1:a", "s1:ß", "x0;", "xAA;", "[",
            "[n", "{n}", "{=1:a}", "{", "=", "=1:a", "]", "}", " ", "ß", &deep,
        ] {
            let error = packed_function_key("m", "f", args).unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument, "{args}");
            assert!(error.message().contains("`args`"), "{args}");
        }
    }
}
