//! Settings by name, checked when they are set.
//!
//! One table lists the keys of all parts of the library. Each part reads its own keys and ignores the others, so that
//! several parts can share a configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::error::{Error, Result, Status};
use crate::features;
use crate::raw_json::{self, Pairs};

mod keys;

pub(crate) use keys::nearest;
use keys::{SettingKind, known_key};

#[derive(Clone, Debug, PartialEq)]
enum ConfigValue {
    Text(String),
    Flag(bool),
    Seconds(f64),
    List(Vec<String>),
    Providers(Vec<ProviderSetting>),
    Count(u32),
    Fraction(f64),
}

/// An element of `providers`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ProviderSetting {
    /// The name of a built-in provider.
    Name(String),
    /// A provider with settings of its own.
    Table(Map<String, Value>),
}

/// The provider that values are written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SetProvider {
    #[default]
    File,
    Aws,
    Vault,
}

impl SetProvider {
    const ALL: [SetProvider; 3] = [SetProvider::File, SetProvider::Aws, SetProvider::Vault];

    /// The name of the provider.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SetProvider::File => "file",
            SetProvider::Aws => "aws",
            SetProvider::Vault => "vault",
        }
    }
}

/// Wipes the value: some settings are secrets.
impl Drop for ConfigValue {
    fn drop(&mut self) {
        match self {
            ConfigValue::Text(text) => text.zeroize(),
            ConfigValue::List(list) => list.zeroize(),
            ConfigValue::Providers(_)
            | ConfigValue::Flag(_)
            | ConfigValue::Seconds(_)
            | ConfigValue::Count(_)
            | ConfigValue::Fraction(_) => {}
        }
    }
}

/// The settings of a secrets manager, a cipher, a store, a cache, or a redactor. Each has a default, which
/// `docs/providers.md` lists.
#[derive(Clone, Default)]
pub struct Config {
    settings: BTreeMap<&'static str, ConfigValue>,
}

impl Config {
    /// Creates a configuration in which every setting has its default.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets a key from text: `true`, `2.5`, `/path/to/file`, `["env","file"]`. A key that is set again has the new
    /// value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let (name, kind) = known_key(key)?;
        let setting = match kind {
            SettingKind::Text => text_setting(value),
            SettingKind::Flag => value.parse().ok().map(ConfigValue::Flag),
            SettingKind::Seconds => value.trim().parse().ok().and_then(seconds_setting),
            SettingKind::Lifetime => value.trim().parse().ok().and_then(lifetime_setting),
            SettingKind::List => serde_json::from_str(value).ok().map(ConfigValue::List),
            SettingKind::Providers => serde_json::from_str(value).ok().and_then(providers_setting),
            SettingKind::Texts if value.trim_start().starts_with('[') => {
                serde_json::from_str(value).ok().and_then(texts_setting)
            }
            SettingKind::Texts => texts_setting(vec![value.to_owned()]),
            SettingKind::Count => value.trim().parse().ok().and_then(count_setting),
            SettingKind::Size => value.trim().parse().ok().and_then(size_setting),
            SettingKind::Fraction => value.trim().parse().ok().and_then(fraction_setting),
        };
        self.settings.insert(name, setting.ok_or_else(|| wrong_type(name, kind))?);
        Ok(())
    }

    /// Sets all keys of a JSON object: `{"file_path": "~/s.json", "strict_permissions": true}`. `null` restores the
    /// default of a key. If it fails, the configuration is unchanged.
    pub fn parse(&mut self, json: &str) -> Result<()> {
        let pairs: Pairs<'_, Value> = serde_json::from_str(json).map_err(|error| not_an_object(json, &error))?;
        let mut settings = self.settings.clone();
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in pairs.0 {
            let key = raw_json::name(key.get()).into_owned();
            let (name, kind) = known_key(&key)?;
            if seen.contains(&key) {
                return Err(Error::new(Status::Config, format!("the configuration key `{name}` is set twice")));
            }
            seen.push(key);
            if value.is_null() {
                settings.remove(name);
                continue;
            }
            let setting = match (kind, value) {
                (SettingKind::Text, Value::String(text)) => text_setting(&text),
                (SettingKind::Flag, Value::Bool(flag)) => Some(ConfigValue::Flag(flag)),
                (SettingKind::Seconds, Value::Number(number)) => number.as_f64().and_then(seconds_setting),
                (SettingKind::Lifetime, Value::Number(number)) => number.as_f64().and_then(lifetime_setting),
                (SettingKind::List, value @ Value::Array(_)) => {
                    serde_json::from_value(value).ok().map(ConfigValue::List)
                }
                (SettingKind::Providers, Value::Array(elements)) => providers_setting(elements),
                (SettingKind::Texts, Value::String(text)) => texts_setting(vec![text]),
                (SettingKind::Texts, value @ Value::Array(_)) => {
                    serde_json::from_value(value).ok().and_then(texts_setting)
                }
                (SettingKind::Count, Value::Number(number)) => number.as_u64().and_then(count_setting),
                (SettingKind::Size, Value::Number(number)) => number.as_u64().and_then(size_setting),
                (SettingKind::Fraction, Value::Number(number)) => number.as_f64().and_then(fraction_setting),
                _ => None,
            };
            settings.insert(name, setting.ok_or_else(|| wrong_type(name, kind))?);
        }
        self.settings = settings;
        Ok(())
    }

    /// Returns the text of this key. An empty text counts as not set.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.settings.get(key) {
            Some(ConfigValue::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.settings.get(key) {
            Some(ConfigValue::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// Returns the time of this key. One too long to be represented is [`Duration::MAX`].
    pub(crate) fn time(&self, key: &str, default: Duration) -> Duration {
        match self.settings.get(key) {
            Some(ConfigValue::Seconds(seconds)) => Duration::try_from_secs_f64(*seconds).unwrap_or(Duration::MAX),
            _ => default,
        }
    }

    pub(crate) fn count(&self, key: &str, default: u32) -> u32 {
        match self.settings.get(key) {
            Some(ConfigValue::Count(count)) => *count,
            _ => default,
        }
    }

    pub(crate) fn fraction(&self, key: &str, default: f64) -> f64 {
        match self.settings.get(key) {
            Some(ConfigValue::Fraction(fraction)) => *fraction,
            _ => default,
        }
    }

    /// Returns the provider that values are written to.
    pub(crate) fn set_provider(&self) -> Result<SetProvider> {
        let Some(name) = self.text("set_provider") else { return Ok(SetProvider::default()) };
        features::check(name)?;
        SetProvider::ALL.into_iter().find(|provider| provider.name() == name).ok_or_else(|| {
            let names = SetProvider::ALL.map(|provider| format!("{:?}", provider.name())).join(" or ");
            Error::new(Status::Config, format!("the configuration key `set_provider` must be {names}"))
        })
    }

    /// Returns the elements of `providers`.
    pub(crate) fn providers(&self) -> Option<&[ProviderSetting]> {
        match self.settings.get("providers") {
            Some(ConfigValue::Providers(elements)) => Some(elements),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> Option<&[String]> {
        match self.settings.get(key) {
            Some(ConfigValue::List(list)) => Some(list),
            _ => None,
        }
    }
}

/// Shows only the keys that are set: a value may be a secret.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.keys()).finish()
    }
}

fn text_setting(text: &str) -> Option<ConfigValue> {
    (!text.contains(['\0', '\r', '\n'])).then(|| ConfigValue::Text(text.to_owned()))
}

/// A list of texts, without the empty ones.
fn texts_setting(mut texts: Vec<String>) -> Option<ConfigValue> {
    texts.retain(|text| !text.is_empty());
    (!texts.iter().any(|text| text.contains(['\0', '\r', '\n']))).then_some(ConfigValue::List(texts))
}

fn providers_setting(elements: Vec<Value>) -> Option<ConfigValue> {
    let element = |element: Value| match element {
        Value::String(name) => Some(ProviderSetting::Name(name)),
        Value::Object(table) => Some(ProviderSetting::Table(table)),
        _ => None,
    };
    elements.into_iter().map(element).collect::<Option<_>>().map(ConfigValue::Providers)
}

fn count_setting(count: u64) -> Option<ConfigValue> {
    u32::try_from(count).ok().filter(|count| *count > 0).map(ConfigValue::Count)
}

fn size_setting(size: u64) -> Option<ConfigValue> {
    u32::try_from(size).ok().map(ConfigValue::Count)
}

fn fraction_setting(fraction: f64) -> Option<ConfigValue> {
    (0.0..=1.0).contains(&fraction).then_some(ConfigValue::Fraction(fraction))
}

fn lifetime_setting(seconds: f64) -> Option<ConfigValue> {
    (seconds >= 0.0).then_some(ConfigValue::Seconds(seconds))
}

fn seconds_setting(seconds: f64) -> Option<ConfigValue> {
    (seconds > 0.0).then_some(ConfigValue::Seconds(seconds))
}

fn wrong_type(name: &str, kind: SettingKind) -> Error {
    Error::new(Status::Config, format!("the configuration key `{name}` must be {}", kind.expected()))
}

/// The message of serde is used only for an object: for JSON of another type it may quote a value.
fn not_an_object(json: &str, error: &serde_json::Error) -> Error {
    let what =
        if json.trim_start().starts_with('{') { error.to_string() } else { "it must be a JSON object".to_owned() };
    Error::new(Status::Config, format!("invalid configuration: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_parse_agree() {
        let mut config = Config::new();
        config.set("timeout", "2.5").unwrap();
        config.set("providers", r#"["env"]"#).unwrap();
        config.parse(r#"{"strict_permissions": true, "file_path": "~/s.yaml", "timeout": 3}"#).unwrap();
        assert_eq!(config.time("timeout", Duration::ZERO), Duration::from_secs(3));
        assert_eq!(config.flag("strict_permissions"), Some(true));
        assert_eq!(config.text("file_path"), Some("~/s.yaml"));
        assert_eq!(config.providers(), Some(&[ProviderSetting::Name("env".to_owned())][..]));
        let providers = r#"["env", {"exec": ["sops"]}]"#;
        let mut parsed = Config::new();
        parsed.parse(&format!("{{\"providers\": {providers}}}")).unwrap();
        config.set("providers", providers).unwrap();
        assert_eq!(config.providers(), parsed.providers());
        assert!(matches!(config.providers().unwrap()[1], ProviderSetting::Table(_)));
        config.parse(r#"{"timeout": null}"#).unwrap();
        assert_eq!(config.time("timeout", Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn set_unknown_key_suggests_the_nearest() {
        let error = Config::new().set("file_pat", "x").unwrap_err();
        assert_eq!(error.message(), "unknown configuration key \"file_pat\"; did you mean `file_path`?");
        let error = Config::new().set("zzzzzzzzzzzzzzzz", "x").unwrap_err();
        assert!(error.message().contains("the known ones are absent_ttl, audit_database, aws_"), "{error}");
        // Half of a surrogate pair is part of a name, as in every JSON text.
        let error = Config::new().parse(r#"{"file_pat\ud800": "x"}"#).unwrap_err();
        assert!(error.message().starts_with("unknown configuration key"), "{error}");
    }

    #[test]
    fn wrong_type_names_the_key_and_not_the_value() {
        for json in [r#"{"timeout": "SECRET"}"#, r#"{"file_path": 5}"#, r#"{"providers": ["env", 3]}"#, "\"SECRET\""] {
            let error = Config::new().parse(json).unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(!error.message().contains("SECRET"), "{error}");
        }
        let error = Config::new().set("timeout", "-1").unwrap_err();
        assert_eq!(error.message(), "the configuration key `timeout` must be a number of seconds above 0");
        assert!(Config::new().set("timeout", "nan").is_err());
        assert!(Config::new().set("file_path", "a\r\nb").is_err());
    }

    #[test]
    fn parse_failure_changes_nothing() {
        let mut config = Config::new();
        assert!(config.parse(r#"{"timeout": 3, "unknown": 1}"#).is_err());
        assert_eq!(config.time("timeout", Duration::ZERO), Duration::ZERO);
        let error = config.parse("{\"timeout\": 3,\n \"timeout\": 4}").unwrap_err();
        assert_eq!(error.message(), "the configuration key `timeout` is set twice");
        let error = config.parse("{\"timeout\": 3,\n oops}").unwrap_err();
        assert!(error.message().contains("line 2 column 2"), "{error}");
    }
}
