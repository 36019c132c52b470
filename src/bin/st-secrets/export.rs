//! `export`: secrets as text that another program reads back byte for byte.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::arguments::{Common, Export, Format};
use crate::failure::{Failure, Outcome};
use crate::secrets::Secrets;
use crate::selection::{self, Variable};
use crate::terminal;

pub(crate) fn export(common: &Common, export: &Export) -> Outcome {
    terminal::refuse_to_show(export.show, "st-secrets export --format FORMAT NAME...")?;
    if export.format == Format::K8s {
        check_kubernetes_name(&export.secret_name)?;
    }
    let variables = selection::get(&export.selection, &Secrets::open(common)?)?;
    let text = match export.format {
        Format::Env => lines(&variables, |name, value| Ok(format!("export {name}={}", in_shell(value)))),
        Format::Json => json(&variables),
        Format::Dotenv => lines(&variables, |name, value| Ok(format!("{name}={}", in_dotenv(name, value)?))),
        Format::Docker => lines(&variables, in_docker),
        Format::K8s => Ok(in_kubernetes(&variables, &export.secret_name)),
    }?;
    terminal::write_value(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn lines(variables: &[Variable], write: impl Fn(&str, &str) -> Result<String, Failure>) -> Result<String, Failure> {
    let mut lines = String::new();
    for variable in variables {
        lines.push_str(&write(&variable.name, text(variable)?)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// The value as text; a NUL can be in no variable.
fn text(variable: &Variable) -> Result<&str, Failure> {
    let refused = |what: &str| {
        let name = &variable.name;
        Failure::failed(format!("{name} {what}, which this format cannot hold; use: --format k8s"))
    };
    match std::str::from_utf8(&variable.value) {
        Err(_) => Err(refused("is not UTF-8")),
        Ok(text) if text.contains('\0') => Err(refused("holds a NUL byte")),
        Ok(text) => Ok(text),
    }
}

/// A POSIX shell takes everything between single quotes literally.
pub(crate) fn in_shell(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn json(variables: &[Variable]) -> Result<String, Failure> {
    let mut object = Map::new();
    for variable in variables {
        object.insert(variable.name.clone(), Value::from(text(variable)?));
    }
    Ok(format!("{:#}\n", Value::Object(object)))
}

/// Quotes a value for python-dotenv. Where other readers of such files differ from it, the result is a form on which
/// they agree, if there is one.
fn in_dotenv(name: &str, value: &str) -> Result<String, Failure> {
    if value.contains("${") {
        terminal::warn(&format!("{name} holds `${{`, which python-dotenv replaces unless it gets interpolate=False"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_plain) {
        return Ok(value.to_owned());
    }
    if value.ends_with('\\') {
        // python-dotenv takes the closing quotation mark after it as an escaped one if the file has another.
        return match is_safe_unquoted(value) {
            true => Ok(value.to_owned()),
            false => Err(Failure::failed(format!(
                "{name} ends in a backslash and has to be quoted, which dotenv cannot hold; use: --format json"
            ))),
        };
    }
    if value.contains('\r') {
        // Files are read with other line breaks as line feeds.
        let escaped = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n").replace('\r', r"\r");
        return Ok(format!("\"{escaped}\""));
    }
    if value.contains('\'') && !value.contains(['"', '\\', '$', '`']) {
        return Ok(format!("\"{value}\""));
    }
    let mut quoted = String::from("'");
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let is_escape = character == '\\' && matches!(characters.peek(), None | Some('\\' | '\''));
        if character == '\'' || is_escape {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('\'');
    Ok(quoted)
}

/// Whether a value that does not end in white space is read back from a dotenv file without quotation marks.
fn is_safe_unquoted(value: &str) -> bool {
    let is_space = |character: char| character.is_whitespace() || character.is_control();
    let has_comment = value.match_indices('#').any(|(at, _)| value[..at].ends_with(is_space));
    !value.starts_with(['\'', '"', '`', '#'])
        && !value.starts_with(is_space)
        && !value.contains(['\n', '\r'])
        && !has_comment
}

/// Docker takes the rest of the line literally.
fn in_docker(name: &str, value: &str) -> Result<String, Failure> {
    match value.contains(['\n', '\r']) {
        true => Err(Failure::failed(format!(
            "{name} has several lines, which docker run --env-file cannot hold; mount it as a file"
        ))),
        false => Ok(format!("{name}={value}")),
    }
}

/// Keys and values are quoted: YAML takes `NO` and some base64 for something else than text.
fn in_kubernetes(variables: &[Variable], secret_name: &str) -> String {
    let mut manifest =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"{secret_name}\"\ntype: Opaque\ndata:");
    if variables.is_empty() {
        manifest.push_str(" {}");
    }
    manifest.push('\n');
    for Variable { name, value } in variables {
        manifest.push_str(&format!("  \"{name}\": \"{}\"\n", STANDARD.encode(&**value)));
    }
    manifest
}

fn check_kubernetes_name(name: &str) -> Result<(), Failure> {
    let is_part = |part: &str| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    match name.len() <= 253 && name.split('.').all(is_part) {
        true => Ok(()),
        false => Err(Failure::usage(
            "--secret-name takes a Kubernetes name: lower-case letters, digits, `-` and `.`, such as training-secrets",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_value_is_not_quoted_in_dotenv() {
        let in_dotenv = |name: &str, value: &str| super::in_dotenv(name, value).unwrap();
        assert_eq!(in_dotenv("A", "hf_aB3-./:@%+=,"), "hf_aB3-./:@%+=,");
        assert_eq!(in_dotenv("A", ""), "''");
        assert_eq!(in_dotenv("A", "a b#c"), "'a b#c'");
        assert_eq!(in_dotenv("A", "it's"), "\"it's\"");
        assert_eq!(in_dotenv("A", r"C:\path"), r"'C:\path'");
        assert_eq!(in_dotenv("A", r"a\\b"), r"'a\\\b'");
        assert_eq!(in_dotenv("A", r"the end\"), r"the end\");
        assert_eq!(in_dotenv("A", "it's $5"), r"'it\'s $5'");
        assert_eq!(in_dotenv("A", "a\r\n\"b\\c"), r#""a\r\n\"b\\c""#);
    }

    #[test]
    fn a_backslash_at_the_end_is_not_quoted_in_dotenv() {
        for value in [r"'\", r#""a\"#, r" a\", r"a #\", r"#\", "a\n\\", "a\r\\", "a\u{1f}#\\"] {
            let failure = in_dotenv("A", value).unwrap_err();
            assert!(failure.lines[0].starts_with("A ends in a backslash"), "{failure:?}");
        }
    }

    #[test]
    fn names_of_kubernetes_are_checked() {
        for name in ["a", "st-secrets", "a.b-1"] {
            check_kubernetes_name(name).unwrap();
        }
        for name in ["", "A", "-a", "a-", "a..b", "a\"b", "a\nb"] {
            check_kubernetes_name(name).unwrap_err();
        }
    }
}
