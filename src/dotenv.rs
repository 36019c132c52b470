//! The format of dotenv files: lines of `NAME=value`, as python-dotenv reads them, without substitution.
//!
//! The library and the program `st-secrets` each compile this file.

use zeroize::Zeroizing;

/// A name and its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) value: Zeroizing<String>,
}

/// A line, counted from 1, and what is wrong there. It never quotes the text, which may be a value.
pub(crate) type LineProblem = (usize, &'static str);

/// The variables of a text, in its order.
pub(crate) fn parse(text: &str) -> Result<Vec<Variable>, LineProblem> {
    let text = with_line_feeds(text.strip_prefix('\u{feff}').unwrap_or(text));
    let (mut variables, mut rest) = (Vec::new(), text.as_str());
    // The line of the text at `counted`.
    let (mut line, mut counted) = (1, 0);
    loop {
        rest = rest.trim_start_matches(is_space);
        if rest.is_empty() {
            return Ok(variables);
        }
        let start = text.len() - rest.len();
        line += text[counted..start].matches('\n').count();
        counted = start;
        let after_line = |rest: &str| rest.find('\n').map_or(rest.len(), |end| end);
        if rest.starts_with('#') {
            rest = &rest[after_line(rest)..];
            continue;
        }
        let name_end = rest.find(['=', '\n']).unwrap_or(rest.len());
        let name = rest[..name_end].trim_end_matches(is_space);
        let exported = name.strip_prefix("export").filter(|name| name.starts_with(is_space));
        let name = exported.map_or(name, |name| name.trim_start_matches(is_space));
        let name = name.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')).unwrap_or(name);
        if !rest[name_end..].starts_with('=') || !is_name(name) {
            return Err((line, "write NAME=value; a name can have letters, digits, `_`, `-` and `.` only"));
        }
        let after_sign = &rest[name_end + 1..];
        let value = after_sign.trim_start_matches(is_blank);
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (unquoted, after) = quoted(&value[1..], quote).ok_or((line, "a quotation mark is not closed"))?;
                let end = after_line(after);
                let behind = after[..end].trim_start_matches(is_space);
                if !behind.is_empty() && !behind.starts_with('#') {
                    return Err((line, "there is text behind the closing quotation mark"));
                }
                (unquoted, &after[end..])
            }
            _ => {
                let end = after_line(value);
                let bare = &value[..end];
                // A comment begins with white space, which may be that after the sign.
                let bare_at = after_sign.len() - value.len();
                let mut signs = bare.match_indices('#').map(|(at, _)| at);
                let comment = signs.find(|at| after_sign[..bare_at + at].ends_with(is_blank));
                (Zeroizing::new(bare[..comment.unwrap_or(end)].trim_end_matches(is_space).to_owned()), &value[end..])
            }
        };
        if value.contains('\0') {
            return Err((line, "the value holds a NUL byte, which no environment variable can"));
        }
        variables.push(Variable { line, name: name.to_owned(), value });
        rest = after;
    }
}

/// The text up to the closing quotation mark, and what comes after that.
fn quoted(text: &str, quote: char) -> Option<(Zeroizing<String>, &str)> {
    let mut escaped = false;
    let is_end = |character: char| {
        let is_end = character == quote && !escaped;
        escaped = character == '\\' && !escaped;
        is_end
    };
    let end = text.find(is_end)?;
    // At its final size, as a string that grows leaves a copy behind.
    let mut value = Zeroizing::new(String::with_capacity(end));
    let mut characters = text[..end].chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        match (quote, characters.next()?) {
            (_, next @ ('\\' | '\'')) | ('"', next @ '"') => value.push(next),
            ('"', 'a') => value.push('\x07'),
            ('"', 'b') => value.push('\x08'),
            ('"', 'f') => value.push('\x0c'),
            ('"', 'n') => value.push('\n'),
            ('"', 'r') => value.push('\r'),
            ('"', 't') => value.push('\t'),
            ('"', 'v') => value.push('\x0b'),
            (_, next) => value.extend(['\\', next]),
        }
    }
    Some((value, &text[end + 1..]))
}

/// The text with a line feed at the end of each line, as Python reads it.
fn with_line_feeds(text: &str) -> Zeroizing<String> {
    let mut made = Zeroizing::new(String::with_capacity(text.len()));
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\r' {
            characters.next_if_eq(&'\n');
            made.push('\n');
        } else {
            made.push(character);
        }
    }
    made
}

/// White space, in Python also the separators of ASCII.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// White space within a line.
fn is_blank(character: char) -> bool {
    is_space(character) && character != '\n'
}

/// Names of secrets may have more characters than those of variables, which the program checks.
fn is_name(name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    name.chars().all(is_part) && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_in_common_spellings() {
        let text = "\u{feff}# comment\n\nexport A=1\r\nB = two words # comment\nC='it\\'s # not \\n'\nD=\"a\\nb\\\"c\\$\\v\"\n\
                    E=\nF=a#b\nG=\"two\nlines\" # end\nH= # nothing\nI=#1\nJ=a\u{a0}# b\nexport\tK=1\n'L' =2\n\
                    export 'M'=3\rN='a\rb'\rexport=4\n\x1cO=\x1fa\x1db\x1e\nP=a\x1c# b\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "it's # not \\n"),
            ("D", "a\nb\"c\\$\x0b"),
            ("E", ""),
            ("F", "a#b"),
            ("G", "two\nlines"),
            ("H", ""),
            ("I", "#1"),
            ("J", "a"),
            ("K", "1"),
            ("L", "2"),
            ("M", "3"),
            ("N", "a\nb"),
            ("export", "4"),
            ("O", "a\x1db"),
            ("P", "a"),
        ];
        let variables = parse(text).unwrap();
        let read: Vec<_> = variables.iter().map(|variable| (&*variable.name, variable.value.as_str())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_problem_names_the_line() {
        assert_eq!(parse("A=1\nCANARY\n").unwrap_err().0, 2);
        assert_eq!(parse("A=1\n\nB=2\n").unwrap()[1].line, 3);
        assert_eq!(parse("A=1\n\nB='x\n").unwrap_err(), (3, "a quotation mark is not closed"));
        assert_eq!(parse("A='x' y").unwrap_err().0, 1);
        assert_eq!(parse("1A=x").unwrap_err().0, 1);
        assert_eq!(parse("A=1\nB='x\0'").unwrap_err().0, 2);
    }

    #[test]
    fn a_long_text_is_read_in_one_pass() {
        // It would take minutes if each variable were searched for from the beginning.
        let text = "A=1\n\n".repeat(200_000);
        assert_eq!(parse(&text).unwrap().last().map(|variable| variable.line), Some(399_999));
    }

    #[test]
    fn name_may_have_more_characters_than_that_of_a_variable() {
        for (name, is_name) in
            [("a_1", true), ("my-key", true), ("_a.b", true), ("", false), ("-a", false), ("1a", false), ("a b", false)]
        {
            assert_eq!(parse(&format!("{name}=1")).is_ok(), is_name, "{name}");
        }
    }
}
