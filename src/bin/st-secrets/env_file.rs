//! The files of `--env-file`: lines of `NAME=value`, as python-dotenv reads them, without substitution.

use std::path::Path;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::names::is_variable;
use crate::{config, dotenv};

/// The variables of a file, in its order.
pub(crate) fn read(path: &Path, deadline: Option<Instant>) -> Result<Vec<(String, String)>, Failure> {
    let shown = path.display();
    let text =
        config::read_text(path, deadline).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    config::warn_of_mode(path, false);
    let invalid = |line, what: &str| Failure::usage(format!("{shown}, line {line}: {what}"));
    let variables = dotenv::parse(&Zeroizing::new(text)).map_err(|(line, what)| invalid(line, what))?;
    let pairs = variables.into_iter().map(|mut variable| match is_variable(&variable.name) {
        true => Ok((variable.name, std::mem::take(&mut *variable.value))),
        false => Err(invalid(variable.line, "the name of a variable has letters, digits and _ alone")),
    });
    pairs.collect()
}
