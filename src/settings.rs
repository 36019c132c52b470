//! Settings of the configuration and the environment, each with its origin.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::config::Config;
use crate::error::{Error, Source, Status};
use crate::paths;

/// Where a setting comes from, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingOrigin {
    Config(&'static str),
    Variable(String),
    /// A file, a key in a file, or another description.
    Named(String),
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingOrigin::Config(key) => write!(f, "the configuration key `{key}`"),
            SettingOrigin::Variable(name) => write!(f, "the variable {name}"),
            SettingOrigin::Named(name) => f.write_str(name),
        }
    }
}

impl SettingOrigin {
    /// The error for this setting: `what` is `must be …`, `contains …`.
    #[inline]
    pub(crate) fn invalid(&self, what: impl fmt::Display) -> InvalidSetting {
        self.invalid_for(&what)
    }

    #[cold]
    fn invalid_for(&self, what: &dyn fmt::Display) -> InvalidSetting {
        self.error(format!("{self} {what}"))
    }

    #[cold]
    fn error(&self, message: String) -> InvalidSetting {
        let in_config = matches!(self, SettingOrigin::Config(_));
        InvalidSetting { error: Error::new(Status::Config, message), in_config }
    }
}

/// A setting that cannot be used.
#[derive(Debug)]
pub(crate) struct InvalidSetting {
    pub(crate) error: Error,
    /// Whether the configuration sets it. That is an error of the program, and the manager does not open. An invalid
    /// variable or file only makes its provider fail.
    pub(crate) in_config: bool,
}

impl InvalidSetting {
    /// The error as that of a provider.
    pub(crate) fn of(self, source: Source) -> Error {
        self.error.with_source(source)
    }
}

impl From<InvalidSetting> for Error {
    fn from(invalid: InvalidSetting) -> Error {
        invalid.error
    }
}

/// The text of a setting, which may be a secret.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) origin: SettingOrigin,
    pub(crate) value: Zeroizing<String>,
}

impl Setting {
    pub(crate) fn new(origin: SettingOrigin, text: &str) -> Setting {
        Setting { origin, value: Zeroizing::new(text.to_owned()) }
    }

    pub(crate) fn text(&self) -> &str {
        &self.value
    }

    /// The error for this setting: `what` is `must be …`, `contains …`.
    pub(crate) fn invalid(&self, what: impl fmt::Display) -> InvalidSetting {
        self.origin.invalid(what)
    }

    /// The error for a setting that is not a secret, with its value: `why` is `is not …`.
    pub(crate) fn invalid_value(&self, why: impl fmt::Display) -> InvalidSetting {
        self.invalid_value_for(&why)
    }

    #[cold]
    fn invalid_value_for(&self, why: &dyn fmt::Display) -> InvalidSetting {
        self.origin.error(format!("{}: {:?} {why}", self.origin, excerpt(self.text())))
    }

    /// Parses `true` or `false`, in any case.
    pub(crate) fn flag(&self) -> Result<bool, InvalidSetting> {
        self.text().to_ascii_lowercase().parse().map_err(|_| self.invalid("must be true or false"))
    }

    /// Parses a number in this range. `expected` is `a whole number of 1 or more`.
    pub(crate) fn number<T: FromStr + PartialOrd>(
        &self,
        range: impl RangeBounds<T>,
        expected: &str,
    ) -> Result<T, InvalidSetting> {
        let number = self.text().parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| self.invalid(format!("must be {expected}")))
    }

    /// Parses a text, or a JSON array of texts; each has the origin. `what` is what they are: `name`.
    pub(crate) fn texts(self, what: &str) -> Result<Vec<Setting>, InvalidSetting> {
        if !self.text().starts_with('[') {
            return Ok(vec![self]);
        }
        let texts: Result<Vec<String>, _> = serde_json::from_str(self.text());
        let texts = texts.map_err(|_| self.invalid(format!("must be a {what}, or a JSON array of {what}s")))?;
        lines(&self.origin, &texts)
    }

    /// The path of a file, with `~` expanded.
    pub(crate) fn path(&self) -> PathBuf {
        paths::expand_home(Path::new(self.text()))
    }

    /// The setting without the white space around it. One of several lines is an error, and an empty one is not set.
    fn line(self) -> Result<Option<Setting>, InvalidSetting> {
        let line = self.text().trim();
        if line.contains(char::is_control) {
            return Err(self.invalid("contains a line break or another control character"));
        }
        Ok((!line.is_empty()).then(|| Setting::new(self.origin.clone(), line)))
    }
}

/// Returns at most 100 characters of a setting, for messages.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

impl Config {
    /// Returns the text of this key, one line without the white space around it.
    pub(crate) fn setting(&self, key: &'static str) -> Result<Option<Setting>, InvalidSetting> {
        self.text(key).map_or(Ok(None), |text| Setting::new(SettingOrigin::Config(key), text).line())
    }

    /// Returns the texts of this key, each one line without the white space around it; none if it is not set.
    pub(crate) fn setting_list(&self, key: &'static str) -> Result<Vec<Setting>, InvalidSetting> {
        lines(&SettingOrigin::Config(key), self.list(key).unwrap_or_default())
    }
}

/// Several settings of one origin, without the empty ones.
fn lines(origin: &SettingOrigin, texts: &[String]) -> Result<Vec<Setting>, InvalidSetting> {
    texts.iter().filter_map(|text| Setting::new(origin.clone(), text).line().transpose()).collect()
}

/// The environment variables. They are read when they are needed, so a change takes effect at the next reading.
pub(crate) enum Environment {
    Process,
    #[cfg(test)]
    Fixed(std::collections::HashMap<String, OsString>),
}

impl Environment {
    #[cfg(test)]
    pub(crate) fn fixed(variables: &[(&str, &str)]) -> Environment {
        Environment::Fixed(variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect())
    }

    /// Returns a variable as it is.
    pub(crate) fn raw(&self, name: &str) -> Option<OsString> {
        match self {
            Environment::Process => env::var_os(name),
            #[cfg(test)]
            Environment::Fixed(variables) => variables.get(name).cloned(),
        }
    }

    /// Returns a variable as it is. An empty variable counts as not set.
    pub(crate) fn non_empty(&self, name: &str) -> Option<OsString> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// Returns a variable, which may have several lines. An empty variable counts as not set.
    pub(crate) fn lines(&self, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        let Some(value) = self.non_empty(name) else { return Ok(None) };
        let origin = SettingOrigin::Variable(name.to_owned());
        match value.into_string() {
            Ok(value) => Ok(Some(Setting { origin, value: Zeroizing::new(value) })),
            Err(value) => {
                drop(Zeroizing::new(value.into_encoded_bytes()));
                Err(origin.invalid("is not UTF-8"))
            }
        }
    }

    /// Returns a variable, one line without the white space around it. An empty variable counts as not set.
    pub(crate) fn setting(&self, name: &str) -> Result<Option<Setting>, InvalidSetting> {
        self.lines(name)?.map_or(Ok(None), Setting::line)
    }

    /// Returns the first of these variables that is set.
    pub(crate) fn first(&self, names: &[&str]) -> Result<Option<Setting>, InvalidSetting> {
        names.iter().find_map(|name| self.setting(name).transpose()).transpose()
    }

    /// Returns the home directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        match self {
            Environment::Process => paths::home(),
            #[cfg(test)]
            Environment::Fixed(variables) => variables.get("HOME").map(PathBuf::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn message(result: Result<Option<Setting>, InvalidSetting>) -> String {
        result.err().unwrap().error.message().to_owned()
    }

    #[test]
    fn variable_is_one_line_without_white_space() {
        let text = "-----BEGIN\nEND\n";
        let environment = Environment::fixed(&[
            ("A", " https://vault\n"),
            ("B", " \n"),
            ("C", ""),
            ("D", "CANARY\r\nX: 1"),
            ("E", text),
        ]);
        assert_eq!(environment.setting("A").unwrap().unwrap().text(), "https://vault");
        for name in ["B", "C", "NONE"] {
            assert!(environment.setting(name).unwrap().is_none(), "{name}");
        }
        let what = "contains a line break or another control character";
        assert_eq!(message(environment.setting("D")), format!("the variable D {what}"));
        assert_eq!(environment.lines("E").unwrap().unwrap().text(), text);
        assert_eq!(environment.first(&["NONE", "C", "A", "D"]).unwrap().unwrap().origin.to_string(), "the variable A");
        assert_eq!(message(environment.first(&["NONE", "D", "A"])), format!("the variable D {what}"));
    }

    #[test]
    fn variable_that_is_not_utf_8_is_named_and_not_shown() {
        let value = OsString::from_vec(b"CANARY\xff".to_vec());
        let environment = Environment::Fixed([("A".to_owned(), value)].into());
        assert_eq!(message(environment.setting("A")), "the variable A is not UTF-8");
    }

    #[test]
    fn invalid_setting_is_named_by_its_origin() {
        let mut config = Config::new();
        config.set("aws_role_arn", " us east ").unwrap();
        let setting = config.setting("aws_role_arn").unwrap().unwrap();
        let invalid = setting.invalid_value("is not the ARN of a role");
        assert!(invalid.in_config);
        assert_eq!(
            invalid.error.message(),
            "the configuration key `aws_role_arn`: \"us east\" is not the ARN of a role"
        );
        let setting = Setting::new(SettingOrigin::Variable("A".to_owned()), "5");
        assert_eq!((setting.number(1..=5, "").unwrap(), setting.number(0.5.., "").unwrap()), (5, 5.0));
        let invalid = setting.number(6u32.., "a whole number of 6 or more").unwrap_err();
        assert!(!invalid.in_config);
        assert_eq!(invalid.error.message(), "the variable A must be a whole number of 6 or more");
        assert_eq!(setting.flag().unwrap_err().error.message(), "the variable A must be true or false");
    }
}
