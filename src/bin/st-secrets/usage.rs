//! Bad use: what is wrong, and what to write instead, in one line.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::arguments::SECONDS;
use crate::failure::Failure;

/// Prints help and versions, which are answers; everything else is bad use.
pub(crate) fn answer(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print().and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Failure::from(error).report(),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let help = error.render().to_string();
            let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("st-secrets");
            let words: Vec<&str> = usage.split_whitespace().take_while(|word| !word.starts_with(['[', '<'])).collect();
            Failure::usage(format!("no command is given; see {} --help", words.join(" "))).report()
        }
        _ => Failure::usage(one_line(error)).report(),
    }
}

/// What is wrong and the usage. clap's own text is not used: it repeats arguments, which may be values.
fn one_line(error: &clap::Error) -> String {
    let mut parts = vec![problem(error)];
    let similar = |kind| match texts(error, kind) {
        similar if similar.is_empty() => None,
        similar => Some(quoted(&similar)),
    };
    if let Some(similar) = similar(ContextKind::SuggestedArg) {
        parts.push(format!("a similar argument exists: {similar}"));
    }
    if let Some(similar) = similar(ContextKind::SuggestedSubcommand) {
        parts.push(format!("similar: {similar}"));
    }
    if error.kind() == ErrorKind::InvalidValue {
        parts.push(format!("possible values: {}", texts(error, ContextKind::ValidValue).join(", ")));
        return parts.join("; ");
    }
    if error.kind() == ErrorKind::InvalidSubcommand {
        parts.push("see st-secrets --help".to_owned());
        return parts.join("; ");
    }
    let usage = texts(error, ContextKind::Usage).join(" ");
    let usage: Vec<&str> = usage.split_whitespace().collect();
    match usage.split_first() {
        Some((_, usage)) => parts.push(format!("usage: {}", usage.join(" "))),
        None => parts.push("see st-secrets --help".to_owned()),
    }
    parts.join("; ")
}

fn problem(error: &clap::Error) -> String {
    let arguments = texts(error, ContextKind::InvalidArg);
    let argument = quoted(&arguments);
    match error.kind() {
        ErrorKind::UnknownArgument => match arguments.first().and_then(|argument| option(argument)) {
            Some(option) => format!("unexpected argument '{option}'"),
            None => "one argument too many".to_owned(),
        },
        ErrorKind::InvalidSubcommand => "unknown command".to_owned(),
        ErrorKind::MissingRequiredArgument => format!("missing: {}", arguments.join(" ")),
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues => format!("{argument} does not take this value"),
        ErrorKind::InvalidValue if texts(error, ContextKind::InvalidValue).concat().is_empty() => {
            format!("{argument} needs a value")
        }
        ErrorKind::InvalidValue => format!("invalid value for {argument}"),
        ErrorKind::ValueValidation if argument.contains("--timeout") || argument.contains("--grace") => {
            format!("invalid value for {argument}: {SECONDS}")
        }
        ErrorKind::ValueValidation if argument.contains("--limit") => {
            format!("invalid value for {argument}: write a whole number above 0")
        }
        ErrorKind::ValueValidation => format!("invalid value for {argument}: write a whole number"),
        ErrorKind::ArgumentConflict => match texts(error, ContextKind::PriorArg) {
            prior if prior.is_empty() || prior == arguments => format!("{argument} is given more than once"),
            prior => format!("{argument} cannot be used with {}", quoted(&prior)),
        },
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        _ if arguments.is_empty() => "the arguments cannot be used".to_owned(),
        _ => format!("{argument} cannot be used like this"),
    }
}

/// An unknown option without its value; `None` if it may be a value itself.
fn option(argument: &str) -> Option<&str> {
    let option = argument.split('=').next().unwrap_or_default();
    let is_long = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    match option.strip_prefix("--") {
        Some(name) => is_long(name).then_some(option),
        None => (option.starts_with('-') && option.chars().count() == 2).then_some(option),
    }
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        _ => Vec::new(),
    }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_wrong_option_is_one_line_with_a_remedy() {
        let error = Arguments::try_parse_from(["st-secrets", "run", "--al", "--", "true"]).unwrap_err();
        let line = one_line(&error);
        assert!(line.starts_with("unexpected argument '--al'; a similar argument exists: '--all'"), "{line}");
        assert!(line.ends_with("usage: st-secrets run [OPTIONS] NAME... -- COMMAND [ARGUMENT]..."), "{line}");
        assert!(!line.contains('\n'));
    }
}
