//! The variables that the AWS tools read.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::errors::config_error;
use crate::error::Result;
use crate::paths;

/// The environment variables. They are read when they are needed, so a change takes effect with the next load.
pub(super) enum Environment {
    Process,
    #[cfg(test)]
    Fixed(std::collections::HashMap<String, String>),
}

impl Environment {
    #[cfg(test)]
    pub(super) fn fixed(variables: &[(&str, &str)]) -> Environment {
        Environment::Fixed(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Returns a variable without the white space around it; `None` if it is empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<Zeroizing<String>>> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let value = value.into_string().map(Zeroizing::new).map_err(|value| {
            drop(Zeroizing::new(value.into_encoded_bytes()));
            config_error(format!("the variable {name} is not UTF-8"))
        })?;
        let trimmed = value.trim();
        if trimmed.contains(['\r', '\n', '\0']) {
            return Err(config_error(format!("the variable {name} contains a line break")));
        }
        Ok((!trimmed.is_empty()).then(|| Zeroizing::new(trimmed.to_owned())))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.text(name)?.map(|text| parse_flag(&text, &format!("the variable {name}"))).transpose()
    }

    pub(super) fn home(&self) -> Option<PathBuf> {
        match self {
            Environment::Process => paths::home(),
            #[cfg(test)]
            Environment::Fixed(variables) => variables.get("HOME").map(PathBuf::from),
        }
    }

    /// Replaces `$NAME` and `${NAME}` with the variables. A variable that is not set is left as it is.
    pub(super) fn expand(&self, text: &str) -> String {
        paths::expand_variables(text, |name| self.raw(name))
    }

    fn raw(&self, name: &str) -> Option<OsString> {
        match self {
            Environment::Process => env::var_os(name),
            #[cfg(test)]
            Environment::Fixed(variables) => variables.get(name).map(OsString::from),
        }
    }
}

/// Parses `true` or `false`, in any case. `setting` names the setting for messages.
pub(super) fn parse_flag(text: &str, setting: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(config_error(format!("{setting} must be true or false"))),
    }
}
