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

    /// The text with `$NAME` and `${NAME}` replaced by these variables; one that is not set stays as it is.
    pub(super) fn expanded(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (name, behind) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
                Some(found) => found,
                None => after.split_at(after.find(|one| !is_name_character(one)).unwrap_or(after.len())),
            };
            match self.raw(name).filter(|_| !name.is_empty()).and_then(|value| value.into_string().ok()) {
                Some(value) => {
                    expanded.push_str(&value);
                    rest = behind;
                }
                None => {
                    expanded.push('$');
                    rest = after;
                }
            }
        }
        expanded + rest
    }

    fn raw(&self, name: &str) -> Option<OsString> {
        match self {
            Environment::Process => env::var_os(name),
            #[cfg(test)]
            Environment::Fixed(variables) => variables.get(name).map(OsString::from),
        }
    }
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// `true` or `false` in any case; `setting` is where it was given.
pub(super) fn flag(text: &str, setting: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(config(format!("{setting} must be true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_a_path_are_replaced() {
        let environment = Environment::fixed(&[("HOME", "/home/me"), ("A_1", "x")]);
        for (text, expanded) in [
            ("$HOME/.aws/config", "/home/me/.aws/config"),
            ("${HOME}/$A_1.ini", "/home/me/x.ini"),
            ("/a/$NONE/${NONE}/$/${A_1", "/a/$NONE/${NONE}/$/${A_1"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(environment.expanded(text), expanded);
        }
    }
}
