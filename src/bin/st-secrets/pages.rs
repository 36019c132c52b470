//! Completion scripts and man pages, for packages.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::arguments::{Arguments, Completions, Man};
use crate::failure::{Failure, Outcome};
use crate::terminal;

pub(crate) fn completions(completions: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Arguments::command(), "st-secrets", &mut script);
    terminal::write_value(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// One page on stdout, or a page for each command in a directory.
pub(crate) fn man(man: &Man) -> Outcome {
    match &man.directory {
        Some(directory) => {
            let failed = |error: io::Error| {
                Failure::failed(format!("cannot write the man pages into {}: {error}", directory.display()))
            };
            clap_mangen::generate_to(Arguments::command(), directory).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
            terminal::write_value(&page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
