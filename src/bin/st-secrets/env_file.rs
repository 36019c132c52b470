//! The files of `--env-file`: lines of `NAME=value`, as python-dotenv reads them, without substitution.

use std::path::Path;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::{config, dotenv};

/// The variables of a file, in its order.
pub(crate) fn read(path: &Path, deadline: Option<Instant>) -> Result<Vec<(String, String)>, Failure> {
    let shown = path.display();
    let text =
        config::read_text(path, deadline).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    config::warn_of_mode(path, false);
    let variables = dotenv::parse(&Zeroizing::new(text))
        .map_err(|(line, what)| Failure::usage(format!("{shown}, line {line}: {what}")))?;
    Ok(variables.into_iter().map(|(name, mut value)| (name, std::mem::take(&mut *value))).collect())
}
