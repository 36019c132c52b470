//! What a program prints, as a document.

use super::settings::OutputFormat;
use crate::clock::Deadline;
use crate::dotenv::{self, Variable};
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::secrets::document::Document;
use crate::secrets::entries::{Position, Problem};
use crate::secrets::json;

/// Parses the output of `program`, which messages name.
pub(super) fn parse(
    output: &SecretBytes,
    format: &OutputFormat,
    program: &str,
    deadline: Deadline,
) -> Result<Document> {
    let invalid = |what: &str| Error::new(Status::Protocol, format!("{program}: {what}"));
    let is_empty = output.iter().all(u8::is_ascii_whitespace);
    if is_empty && *format != OutputFormat::Dotenv {
        return Err(invalid("it printed nothing; check its arguments"));
    }
    let mut document = Document::new(None);
    if let OutputFormat::Value(key) = format {
        document.add(vec![(key.clone(), Some(without_newline(output)?))], None);
        return Ok(document);
    }
    let text = std::str::from_utf8(output)
        .map_err(|_| invalid("its output is not UTF-8; for one binary value, set \"as\" to the name of its key"))?;
    let is_json = match format {
        OutputFormat::Detected => text.trim_start().starts_with('{'),
        format => *format == OutputFormat::Json,
    };
    if !is_json {
        let variables = dotenv::parse(text).map_err(|(line, what)| {
            invalid(&format!("line {line} of its output is neither JSON nor dotenv: {what}; for one value, set \"as\""))
        })?;
        let entries: Result<Vec<_>> = variables
            .into_iter()
            .map(|Variable { name, value, .. }| Ok((name, Some(SecretBytes::copy_from(value.as_bytes())?))))
            .collect();
        document.add(entries?, None);
        return Ok(document);
    }
    let unusable = |problem: Problem| in_output(program, problem);
    for (key, value) in json::parse_each(text, || deadline.has_passed()).map_err(unusable)? {
        match value {
            Ok(value) => document.add(vec![(key, value)], None),
            Err(problem) => {
                let error = unusable(problem);
                log::emit(Level::Warn, "exec", || format!("{key:?} cannot be used: {error}"));
                document.add_broken(&key, error);
            }
        }
    }
    Ok(document)
}

/// The output without one final line break.
fn without_newline(output: &SecretBytes) -> Result<SecretBytes> {
    match output.strip_suffix(b"\n") {
        Some(value) => SecretBytes::copy_from(value.strip_suffix(b"\r").unwrap_or(value)),
        None => Ok(output.clone()),
    }
}

fn in_output(program: &str, problem: Problem) -> Error {
    match problem {
        Problem::Text { position: None, message } => {
            Error::new(Status::Protocol, format!("{program}: its output: {message}"))
        }
        Problem::Text { position: Some(Position { line, column }), message } => {
            Error::new(Status::Protocol, format!("{program}: its output, line {line}, column {column}: {message}"))
        }
        Problem::TimedOut => {
            let message = format!("{program}: timed out while parsing its output; raise \"timeout\"");
            Error::new(Status::Timeout, message).with_retryable(true)
        }
        Problem::OutOfMemory(error) => error.map_message(|message| format!("{program}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(output: &[u8], format: &OutputFormat) -> Result<Vec<(String, Vec<u8>)>> {
        let output = SecretBytes::copy_from(output).unwrap();
        let document = super::parse(&output, format, "program", Deadline::after(Duration::MAX))?;
        let mut entries: Vec<_> =
            document.entries().map(|(key, (value, _))| (key.to_owned(), value.to_vec())).collect();
        entries.sort();
        Ok(entries)
    }

    fn entries(expected: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        expected.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn format_is_detected_from_the_first_character() {
        for format in [OutputFormat::Detected, OutputFormat::Json] {
            let output = b"\n {\"A\": 1.50, \"B\": null, \"C\": [1, 2], \"A\": \"two\\n\"}";
            assert_eq!(parse(output, &format).unwrap(), entries(&[("A", "two\n"), ("C", "[1,2]")]));
        }
        for format in [OutputFormat::Detected, OutputFormat::Dotenv] {
            let output = b"# comment\nexport A='1'\r\nB=\"a\\nb\"\n";
            assert_eq!(parse(output, &format).unwrap(), entries(&[("A", "1"), ("B", "a\nb")]));
        }
        assert_eq!(parse(b" \n", &OutputFormat::Dotenv).unwrap(), []);
    }

    #[test]
    fn one_value_is_kept_but_for_the_final_line_break() {
        let format = OutputFormat::Value("K".to_owned());
        for (output, value) in [
            (&b"{\"a\": 1}\n"[..], &b"{\"a\": 1}"[..]),
            (b" x \n\n", b" x \n"),
            (b"x\r\n", b"x"),
            (b"x", b"x"),
            (b"\xff\0\n", b"\xff\0"),
        ] {
            assert_eq!(parse(output, &format).unwrap(), [("K".to_owned(), value.to_vec())]);
        }
    }

    #[test]
    fn unusable_output_is_described_without_its_text() {
        for (output, format, words) in [
            (&b"{\"A\": \"CANARY\""[..], OutputFormat::Detected, "its output, line 1, column"),
            (b"A=1\nCANARY CANARY\n", OutputFormat::Detected, "line 2 of its output is neither JSON nor dotenv"),
            (b"[\"CANARY\"]", OutputFormat::Json, "its output"),
            (b"CANARY", OutputFormat::Json, "its output"),
            (b"CANARY\xff", OutputFormat::Detected, "not UTF-8"),
            (b"", OutputFormat::Detected, "printed nothing"),
            (b"\n", OutputFormat::Value("K".to_owned()), "printed nothing"),
        ] {
            let error = parse(output, &format).unwrap_err();
            assert_eq!(error.status(), Status::Protocol, "{error}");
            assert!(error.message().starts_with("program: ") && error.message().contains(words), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn unusable_entry_leaves_the_others() {
        let output = SecretBytes::copy_from(b"{\"A\": NaN, \"B\": \"2\"}").unwrap();
        let document =
            super::parse(&output, &OutputFormat::Detected, "program", Deadline::after(Duration::MAX)).unwrap();
        assert!(document.get("A").is_err());
        assert_eq!(&**document.get("B").unwrap().map(|(value, _)| value).unwrap(), b"2");
    }
}
