//! Quotes text for the shell commands that messages suggest.

use std::borrow::Cow;
use std::path::Path;

/// Returns the text as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-:@+=,".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Returns the path as one word of a POSIX shell.
pub(crate) fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_is_quoted_where_the_shell_would_split_or_expand_it() {
        for (text, word) in [
            ("/home/me/.simpletuner/secrets.json", "/home/me/.simpletuner/secrets.json"),
            ("https://vault:8200/v1", "https://vault:8200/v1"),
            ("/a b/c", "'/a b/c'"),
            ("~/x", "'~/x'"),
            ("$HOME;`id`", "'$HOME;`id`'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
