//! Bad use: what is wrong, and what to write instead, in one line.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::failure::Failure;

/// Prints help and versions, which are answers; everything else is bad use.
pub(crate) fn answer(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            error.print().ok();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Failure::usage("no command is given; see st-secrets --help").report()
        }
        _ => Failure::usage(one_line(&error.render().to_string())).report(),
    }
}

/// The paragraphs of clap's message as one line: `error: …`, `tip: …`, `Usage: …`.
fn one_line(message: &str) -> String {
    let paragraphs = message.split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let mut parts = Vec::new();
    for paragraph in paragraphs {
        if let Some(rest) = paragraph.strip_prefix("error: ") {
            parts.push(rest.to_owned());
        } else if let Some(rest) = paragraph.strip_prefix("tip: ") {
            parts.push(rest.to_owned());
        } else if paragraph.starts_with('[') {
            parts.push(paragraph.trim_matches(['[', ']']).to_owned());
        } else if let Some(rest) = paragraph.strip_prefix("Usage: ") {
            parts.push(format!("usage: {rest}"));
        }
    }
    parts.join("; ")
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
        let line = one_line(&error.render().to_string());
        assert!(line.starts_with("unexpected argument '--al' found; a similar argument exists: '--all'"), "{line}");
        assert!(line.ends_with("usage: st-secrets run [OPTIONS] NAME... -- COMMAND [ARGUMENT]..."), "{line}");
        assert!(!line.contains('\n'));
    }
}
