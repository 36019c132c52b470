//! The variables that Vault's and OpenBao's own tools read, and where a setting comes from.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::Config;
use crate::error::{Error, Source, Status};

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Config(&'static str),
    Variable(String),
    /// A file that a setting names, or that is looked at where none does.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Config(key) => write!(f, "the configuration key `{key}`"),
            Origin::Variable(name) => write!(f, "the variable {name}"),
            Origin::File(path) => f.write_str(path),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: Error,
    /// Whether it stands in the configuration: that is the program's mistake, and the manager does not open. What is
    /// wrong in the environment is a failure of this provider alone.
    pub(super) in_config: bool,
}

impl Origin {
    /// This setting `must be …`, `needs …`.
    pub(super) fn refuse(&self, what: impl fmt::Display) -> Refused {
        let error = Error::new(Status::Config, format!("{self} {what}")).with_source(Source::Vault);
        Refused { error, in_config: matches!(self, Origin::Config(_)) }
    }
}

/// A setting as it was given.
pub(super) struct Given {
    pub(super) origin: Origin,
    pub(super) value: Zeroizing<String>,
}

impl Given {
    /// The value without white space around it, where that is one line of text.
    fn line(self) -> Result<Given, Refused> {
        let value = self.value.trim();
        if value.contains(char::is_control) {
            return Err(self.origin.refuse("has a line break or another control character in it"));
        }
        Ok(Given { value: Zeroizing::new(value.to_owned()), origin: self.origin })
    }

    pub(super) fn flag(&self) -> Result<bool, Refused> {
        match self.value.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(self.origin.refuse("must be true or false (or 1, t, 0, f)")),
        }
    }

    /// Seconds, or a time as the tools take it: `90`, `1m30s`, `500ms`, `1d`.
    pub(super) fn time(&self) -> Result<Duration, Refused> {
        duration(&self.value).ok_or_else(|| self.origin.refuse("must be seconds, or a time such as 1m30s or 500ms"))
    }

    pub(super) fn count(&self) -> Result<u32, Refused> {
        self.value.parse().map_err(|_| self.origin.refuse("must be a whole number of 0 or more"))
    }
}

fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        total += number
            * match &after[..unit] {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &after[unit..];
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| !text.is_empty())
}

/// The configuration, and behind it the environment.
pub(super) struct Inputs<'a> {
    pub(super) config: &'a Config,
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Inputs<'_> {
    /// The text of this key, refused where it has control characters.
    pub(super) fn config(&self, key: &'static str) -> Result<Option<Given>, Refused> {
        let given = |text: &str| Given { origin: Origin::Config(key), value: Zeroizing::new(text.to_owned()) }.line();
        self.config.text(key).map(given).transpose()
    }

    /// `BAO_NAME` or, where that is not set at all, `VAULT_NAME`, as any text. An empty variable is not set, but an
    /// empty `BAO_NAME` hides the other.
    pub(super) fn tool_text(&self, name: &str) -> Result<Option<Given>, Refused> {
        for name in [format!("BAO_{name}"), format!("VAULT_{name}")] {
            if let Some(value) = (self.variable)(&name) {
                return self.text_of(Origin::Variable(name), value);
            }
        }
        Ok(None)
    }

    /// The same, refused where it has control characters.
    pub(super) fn tool(&self, name: &str) -> Result<Option<Given>, Refused> {
        self.tool_text(name)?.map(Given::line).transpose()
    }

    /// A variable of another family.
    pub(super) fn variable(&self, name: &str) -> Result<Option<Given>, Refused> {
        let Some(value) = (self.variable)(name) else { return Ok(None) };
        self.text_of(Origin::Variable(name.to_owned()), value)?.map(Given::line).transpose()
    }

    /// What the configuration says or, where it is silent, the tools' variable.
    pub(super) fn either(&self, key: &'static str, name: &str) -> Result<Option<Given>, Refused> {
        match self.config(key)? {
            Some(given) => Ok(Some(given)),
            None => self.tool(name),
        }
    }

    fn text_of(&self, origin: Origin, value: OsString) -> Result<Option<Given>, Refused> {
        match value.into_string() {
            Ok(value) if value.is_empty() => Ok(None),
            Ok(value) => Ok(Some(Given { origin, value: Zeroizing::new(value) })),
            Err(value) => {
                drop(Zeroizing::new(value.into_encoded_bytes()));
                Err(origin.refuse("is not UTF-8"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_go() {
        for (text, time) in [
            ("90", Some(Duration::from_secs(90))),
            ("1m30s", Some(Duration::from_secs(90))),
            ("500ms", Some(Duration::from_millis(500))),
            ("1.5h", Some(Duration::from_secs(5400))),
            ("1d", Some(Duration::from_secs(86_400))),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1m30", None),
            ("s", None),
        ] {
            assert_eq!(duration(text), time, "{text:?}");
        }
    }

    #[test]
    fn an_empty_bao_variable_hides_that_of_vault() {
        let config = Config::new();
        let variable = |name: &str| match name {
            "BAO_TOKEN" => Some(OsString::new()),
            "VAULT_TOKEN" | "VAULT_ADDR" => Some(OsString::from("x")),
            _ => None,
        };
        let inputs = Inputs { config: &config, variable: &variable };
        assert!(inputs.tool("TOKEN").unwrap().is_none());
        assert_eq!(inputs.tool("ADDR").unwrap().unwrap().origin, Origin::Variable("VAULT_ADDR".to_owned()));
        assert!(inputs.tool("NAMESPACE").unwrap().is_none());
    }

    #[test]
    fn a_line_break_is_refused_and_the_variable_named() {
        let config = Config::new();
        let variable = |name: &str| match name {
            "VAULT_TOKEN" => Some(OsString::from("CANARY\r\nX-Other: 1")),
            "VAULT_ADDR" => Some(OsString::from(" https://vault\n")),
            _ => None,
        };
        let inputs = Inputs { config: &config, variable: &variable };
        assert_eq!(*inputs.tool("ADDR").unwrap().unwrap().value, "https://vault", "one at the end is not part of it");
        let refused = inputs.tool("TOKEN").err().unwrap();
        assert_eq!(
            refused.error.message(),
            "the variable VAULT_TOKEN has a line break or another control character in it"
        );
        assert!(!refused.in_config);
    }
}
