//! The format of dotenv files: lines of `NAME=value`, as python-dotenv reads them, without substitution.
//!
//! The library and the program `st-secrets` each compile this file.

use zeroize::Zeroizing;

/// A name and its value.
pub(crate) type Variable = (String, Zeroizing<String>);

/// A line, counted from 1, and what is wrong there. It never quotes the text, which may be a value.
pub(crate) type LineProblem = (usize, &'static str);

/// The variables of a text, in its order.
pub(crate) fn parse(text: &str) -> Result<Vec<Variable>, LineProblem> {
    let text = Zeroizing::new(text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n"));
    let (mut variables, mut rest) = (Vec::new(), text.as_str());
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(variables);
        }
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let after_line = |rest: &str| rest.find('\n').map_or(rest.len(), |end| end);
        if rest.starts_with('#') {
            rest = &rest[after_line(rest)..];
            continue;
        }
        let name_end = rest.find(['=', '\n']).unwrap_or(rest.len());
        let name = rest[..name_end].trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        if !rest[name_end..].starts_with('=') || !is_variable(name) {
            return Err((line, "write NAME=value; a name has letters, digits and _ alone"));
        }
        let value = rest[name_end + 1..].trim_start_matches([' ', '\t']);
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (unquoted, after) = quoted(&value[1..], quote).ok_or((line, "a quotation mark is not closed"))?;
                let end = after_line(after);
                let behind = after[..end].trim();
                if !behind.is_empty() && !behind.starts_with('#') {
                    return Err((line, "there is text behind the closing quotation mark"));
                }
                (unquoted, &after[end..])
            }
            _ => {
                let end = after_line(value);
                let bare = &value[..end];
                let comment = bare.match_indices('#').map(|(at, _)| at).find(|at| bare[..*at].ends_with([' ', '\t']));
                let comment = if bare.starts_with('#') { Some(0) } else { comment };
                (Zeroizing::new(bare[..comment.unwrap_or(end)].trim_end().to_owned()), &value[end..])
            }
        };
        if value.contains('\0') {
            return Err((line, "the value holds a NUL byte, which no environment variable can"));
        }
        variables.push((name.to_owned(), value));
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
            (_, next @ ('\\' | '\'')) | ('"', next @ ('"' | '$' | '`')) => value.push(next),
            ('"', 'n') => value.push('\n'),
            ('"', 'r') => value.push('\r'),
            ('"', 't') => value.push('\t'),
            (_, next) => value.extend(['\\', next]),
        }
    }
    Some((value, &text[end + 1..]))
}

/// Whether a shell can name a variable so.
pub(crate) fn is_variable(name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    !name.is_empty() && name.chars().all(is_part) && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_in_common_spellings() {
        let text = "\u{feff}# comment\n\nexport A=1\r\nB = two words # comment\nC='it\\'s # not \\n'\nD=\"a\\nb\\\"c\\$\"\n\
                    E=\nF=a#b\nG=\"two\nlines\" # end\nH= # nothing\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "it's # not \\n"),
            ("D", "a\nb\"c$"),
            ("E", ""),
            ("F", "a#b"),
            ("G", "two\nlines"),
            ("H", ""),
        ];
        assert_eq!(
            parse(text).unwrap(),
            expected.map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
        );
    }

    #[test]
    fn a_problem_names_the_line() {
        assert_eq!(parse("A=1\nCANARY\n").unwrap_err().0, 2);
        assert_eq!(parse("A=1\n\nB='x\n").unwrap_err(), (3, "a quotation mark is not closed"));
        assert_eq!(parse("A='x' y").unwrap_err().0, 1);
        assert_eq!(parse("1A=x").unwrap_err().0, 1);
        assert_eq!(parse("A=1\nB='x\0'").unwrap_err().0, 2);
    }
}
