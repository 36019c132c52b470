//! The variables that the AWS tools read.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::names::config;
use crate::error::Result;
use crate::paths;

/// Where variables come from. They are read when they are needed, so a change counts from the next load on.
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

    /// The variable without white space around it; an empty one counts as not set.
    pub(super) fn text(&self, name: &str) -> Result<Option<Zeroizing<String>>> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let value = value.into_string().map(Zeroizing::new).map_err(|value| {
            drop(Zeroizing::new(value.into_encoded_bytes()));
            config(format!("the variable {name} is not UTF-8"))
        })?;
        let trimmed = value.trim();
        if trimmed.contains(['\r', '\n', '\0']) {
            return Err(config(format!("the variable {name} holds a line break")));
        }
        Ok((!trimmed.is_empty()).then(|| Zeroizing::new(trimmed.to_owned())))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.text(name)?.map(|text| flag(&text, &format!("the variable {name}"))).transpose()
    }

    pub(super) fn home(&self) -> Option<PathBuf> {
        match self {
            Environment::Process => paths::home(),
            #[cfg(test)]
            Environment::Fixed(variables) => variables.get("HOME").map(PathBuf::from),
        }
    }

    fn raw(&self, name: &str) -> Option<OsString> {
        match self {
            Environment::Process => env::var_os(name),
            #[cfg(test)]
            Environment::Fixed(variables) => variables.get(name).map(OsString::from),
        }
    }
}

/// `true` or `false` in any case; `setting` is where it was given.
pub(super) fn flag(text: &str, setting: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(config(format!("{setting} must be true or false"))),
    }
}
