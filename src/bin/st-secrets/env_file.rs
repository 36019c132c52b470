//! The files of `--env-file`: lines of `NAME=value`, as python-dotenv reads them, without substitution.

use std::path::Path;
use std::time::Instant;

use crate::failure::Failure;
use crate::{config, names};

/// The variables of a file, in its order.
pub(crate) fn read(path: &Path, deadline: Option<Instant>) -> Result<Vec<(String, String)>, Failure> {
    let shown = path.display();
    let text =
        config::read_text(path, deadline).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    config::warn_of_mode(path, false);
    parse(&text).map_err(|(line, what)| Failure::usage(format!("{shown}, line {line}: {what}")))
}

/// What is wrong never quotes the text, which may be a value.
type Problem = (usize, &'static str);

fn parse(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
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
        if !rest[name_end..].starts_with('=') || !names::is_variable(name) {
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
                (bare[..comment.unwrap_or(end)].trim_end().to_owned(), &value[end..])
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
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => return Some((value, &text[at + 1..])),
            '\\' => {
                let (_, next) = characters.next()?;
                match (quote, next) {
                    (_, '\\' | '\'') | ('"', '"' | '$' | '`') => value.push(next),
                    ('"', 'n') => value.push('\n'),
                    ('"', 'r') => value.push('\r'),
                    ('"', 't') => value.push('\t'),
                    _ => value.extend(['\\', next]),
                }
            }
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_people_write_them() {
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
        assert_eq!(parse(text).unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
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
