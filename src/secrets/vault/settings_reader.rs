//! Settings from the configuration and from the variables of Vault's and OpenBao's own tools, each with its origin.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::Config;
use crate::error::{Error, Source, Status};
use crate::paths;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SettingOrigin {
    Config(&'static str),
    Variable(String),
    /// A file that a setting names, or the default file.
    File(String),
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingOrigin::Config(key) => write!(f, "the configuration key `{key}`"),
            SettingOrigin::Variable(name) => write!(f, "the variable {name}"),
            SettingOrigin::File(path) => f.write_str(path),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug)]
pub(super) struct InvalidSetting {
    pub(super) error: Error,
    /// Whether the configuration sets it. That is an error of the program, and the manager does not open. An invalid
    /// variable only makes this provider fail.
    pub(super) in_config: bool,
}

impl SettingOrigin {
    /// The error for this setting: `what` is `must be …`, `needs …`.
    pub(super) fn invalid(&self, what: impl fmt::Display) -> InvalidSetting {
        let error = Error::new(Status::Config, format!("{self} {what}")).with_source(Source::Vault);
        InvalidSetting { error, in_config: matches!(self, SettingOrigin::Config(_)) }
    }
}

/// The text of a setting.
pub(super) struct Setting {
    pub(super) origin: SettingOrigin,
    pub(super) value: Zeroizing<String>,
}

impl Setting {
    /// The setting without the white space around it, if it is one line of text.
    fn line(self) -> Result<Setting, InvalidSetting> {
        let value = self.value.trim();
        if value.contains(char::is_control) {
            return Err(self.origin.invalid("contains a line break or another control character"));
        }
        Ok(Setting { value: Zeroizing::new(value.to_owned()), origin: self.origin })
    }

    pub(super) fn flag(&self) -> Result<bool, InvalidSetting> {
        match self.value.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(self.origin.invalid("must be true or false (or 1, t, 0, f)")),
        }
    }

    /// Parses seconds or a duration as Go writes it: `90`, `1m30s`, `500ms`; also `1d`.
    pub(super) fn duration(&self) -> Result<Duration, InvalidSetting> {
        duration(&self.value)
            .ok_or_else(|| self.origin.invalid("must be seconds, or a duration such as 1m30s or 500ms"))
    }

    pub(super) fn count(&self) -> Result<u32, InvalidSetting> {
        self.value.parse().map_err(|_| self.origin.invalid("must be a whole number of 0 or more"))
    }

    /// The setting as the path of a file, with `~` expanded.
    pub(super) fn path(&self) -> PathBuf {
        paths::expand_home(Path::new(self.value.as_str()))
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

/// Reads settings from the configuration and the environment.
pub(super) struct SettingsReader<'a> {
    pub(super) config: &'a Config,
    pub(super) environment: &'a dyn Fn(&str) -> Option<OsString>,
}

impl SettingsReader<'_> {
    /// The value of a configuration key. Control characters are an error.
    pub(super) fn config(&self, key: &'static str) -> Result<Option<Setting>, InvalidSetting> {
        let setting =
            |text: &str| Setting { origin: SettingOrigin::Config(key), value: Zeroizing::new(text.to_owned()) }.line();
        self.config.text(key).map(setting).transpose()
    }

    /// The value of `BAO_NAME` or, where that is not set, of `VAULT_NAME`, which may have several lines. An empty
    /// variable counts as not set, but an empty `BAO_NAME` hides `VAULT_NAME`.
    pub(super) fn raw_tool_variable(&self, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        for name in [format!("BAO_{name}"), format!("VAULT_{name}")] {
            if let Some(value) = (self.environment)(&name) {
                return self.non_empty(SettingOrigin::Variable(name), value);
            }
        }
        Ok(None)
    }

    /// As [`raw_tool_variable`](Self::raw_tool_variable), but control characters are an error.
    pub(super) fn tool_variable(&self, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        self.raw_tool_variable(name)?.map(Setting::line).transpose()
    }

    /// The value of a variable without those prefixes. Control characters are an error.
    pub(super) fn variable(&self, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        let Some(value) = (self.environment)(name) else { return Ok(None) };
        self.non_empty(SettingOrigin::Variable(name.to_owned()), value)?.map(Setting::line).transpose()
    }

    /// The value of a configuration key or, where that is not set, of the tools' variable.
    pub(super) fn config_or_variable(&self, key: &'static str, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        match self.config(key)? {
            Some(setting) => Ok(Some(setting)),
            None => self.tool_variable(name),
        }
    }

    fn non_empty(&self, origin: SettingOrigin, value: OsString) -> Result<Option<Setting>, InvalidSetting> {
        match value.into_string() {
            Ok(value) if value.is_empty() => Ok(None),
            Ok(value) => Ok(Some(Setting { origin, value: Zeroizing::new(value) })),
            Err(value) => {
                drop(Zeroizing::new(value.into_encoded_bytes()));
                Err(origin.invalid("is not UTF-8"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_parsed_as_go_writes_it() {
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
    fn empty_bao_variable_hides_the_vault_variable() {
        let config = Config::new();
        let variable = |name: &str| match name {
            "BAO_TOKEN" => Some(OsString::new()),
            "VAULT_TOKEN" | "VAULT_ADDR" => Some(OsString::from("x")),
            _ => None,
        };
        let reader = SettingsReader { config: &config, environment: &variable };
        assert!(reader.tool_variable("TOKEN").unwrap().is_none());
        assert_eq!(
            reader.tool_variable("ADDR").unwrap().unwrap().origin,
            SettingOrigin::Variable("VAULT_ADDR".to_owned())
        );
        assert!(reader.tool_variable("NAMESPACE").unwrap().is_none());
    }

    #[test]
    fn line_break_in_a_variable_is_an_error_that_names_it() {
        let config = Config::new();
        let variable = |name: &str| match name {
            "VAULT_TOKEN" => Some(OsString::from("CANARY\r\nX-Other: 1")),
            "VAULT_ADDR" => Some(OsString::from(" https://vault\n")),
            _ => None,
        };
        let reader = SettingsReader { config: &config, environment: &variable };
        assert_eq!(
            *reader.tool_variable("ADDR").unwrap().unwrap().value,
            "https://vault",
            "a final line break is not part of the value"
        );
        let invalid = reader.tool_variable("TOKEN").err().unwrap();
        assert_eq!(
            invalid.error.message(),
            "the variable VAULT_TOKEN contains a line break or another control character"
        );
        assert!(!invalid.in_config);
    }
}
