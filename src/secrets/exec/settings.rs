//! The settings of one program: `{"exec": ["sops", "-d", "secrets.json"], "name": "sops"}`.

use serde_json::{Map, Value};

use crate::error::Result;
use crate::secrets::provider_table::{ProviderTable, invalid};

const MEMBERS: [&str; 5] = ["exec", "name", "format", "as", "depends_on"];

/// How the output is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OutputFormat {
    /// JSON if it begins with `{`, dotenv otherwise.
    Detected,
    Json,
    Dotenv,
    /// The whole output is the value of this key.
    Value(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExecSettings {
    pub(super) name: String,
    /// The program and its arguments; at least one.
    pub(super) words: Vec<String>,
    pub(super) format: OutputFormat,
    /// The variables that the output depends on, besides those that select the program and its files; `None` if the
    /// output is not shared with other processes.
    pub(super) depends_on: Option<Vec<String>>,
}

impl ExecSettings {
    pub(super) fn read(table: &Map<String, Value>) -> Result<ExecSettings> {
        let table = ProviderTable::new(table, &MEMBERS)?;
        let text = |name: &str| table.text(name);
        let key = text("as")?.map(str::to_owned);
        let format = match (text("format")?, key) {
            (None, None) => OutputFormat::Detected,
            (Some("json"), None) => OutputFormat::Json,
            (Some("dotenv"), None) => OutputFormat::Dotenv,
            (None | Some("value"), Some(key)) => OutputFormat::Value(key),
            (Some("value"), None) => {
                return Err(invalid("the format \"value\" needs the key of the value, such as \"as\": \"HF_TOKEN\""));
            }
            (Some(format @ ("json" | "dotenv")), Some(_)) => {
                return Err(invalid(format!("the format {format:?} has keys of its own; remove \"as\"")));
            }
            (Some(_), _) => return Err(invalid("\"format\" must be \"json\", \"dotenv\" or \"value\"")),
        };
        let name = text("name")?.unwrap_or("exec").to_owned();
        let depends_on = table.get("depends_on").map(variables).transpose()?;
        Ok(ExecSettings { name, words: words(table.get("exec"))?, format, depends_on })
    }
}

/// Returns the texts of an array, if all are without NUL.
fn texts(setting: &Value) -> Option<Vec<String>> {
    let text = |text: &Value| text.as_str().filter(|text| !text.contains('\0')).map(str::to_owned);
    setting.as_array().and_then(|texts| texts.iter().map(text).collect())
}

fn variables(setting: &Value) -> Result<Vec<String>> {
    let is_name = |name: &String| !name.is_empty() && !name.contains('=');
    texts(setting).filter(|names| names.iter().all(is_name)).ok_or_else(|| {
        invalid("\"depends_on\" must be an array of names of environment variables, such as [\"SOPS_AGE_KEY_FILE\"]")
    })
}

fn words(setting: Option<&Value>) -> Result<Vec<String>> {
    let words = setting.and_then(texts);
    words.filter(|words| words.first().is_some_and(|program| !program.is_empty())).ok_or_else(|| {
        invalid("\"exec\" must be an array of texts without NUL, the program and its arguments; there is no shell")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Status;

    fn read(setting: Value) -> Result<ExecSettings> {
        ExecSettings::read(setting.as_object().unwrap())
    }

    #[test]
    fn defaults_are_found_from_the_command() {
        let settings = read(json!({"exec": ["sops", "-d", ""]})).unwrap();
        assert_eq!(settings.words, ["sops", "-d", ""]);
        assert_eq!((settings.name.as_str(), settings.format), ("exec", OutputFormat::Detected));
        let settings = read(json!({"exec": ["pass"], "as": "A", "name": "pass"})).unwrap();
        assert_eq!((settings.name.as_str(), settings.format), ("pass", OutputFormat::Value("A".to_owned())));
        assert_eq!(settings.depends_on, None, "nothing is shared");
        let settings = read(json!({"exec": ["x"], "depends_on": ["A", "B"]})).unwrap();
        assert_eq!(settings.depends_on, Some(vec!["A".to_owned(), "B".to_owned()]));
        let format = |format: &str| read(json!({"exec": ["x"], "format": format})).map(|settings| settings.format);
        assert_eq!((format("json").unwrap(), format("dotenv").unwrap()), (OutputFormat::Json, OutputFormat::Dotenv));
        let value = read(json!({"exec": ["x"], "format": "value", "as": "A"})).unwrap();
        assert_eq!(value.format, OutputFormat::Value("A".to_owned()));
    }

    #[test]
    fn invalid_settings_are_named_and_not_quoted() {
        for (setting, words) in [
            (json!({}), "\"exec\" must be an array of texts"),
            (json!({"exec": "sops -d CANARY"}), "\"exec\" must be an array of texts"),
            (json!({"exec": []}), "\"exec\" must be an array of texts"),
            (json!({"exec": ["", "CANARY"]}), "\"exec\" must be an array of texts"),
            (json!({"exec": ["sops", 3]}), "\"exec\" must be an array of texts"),
            (json!({"exec": ["sops", "CANARY\0"]}), "\"exec\" must be an array of texts"),
            (
                json!({"exec": ["sops"], "fromat": "CANARY"}),
                "unknown member \"fromat\" of a provider; did you mean \"format\"?",
            ),
            (json!({"exec": ["sops"], "format": "CANARY"}), "\"format\" must be \"json\", \"dotenv\" or \"value\""),
            (json!({"exec": ["sops"], "format": "value"}), "needs the key"),
            (json!({"exec": ["sops"], "format": "json", "as": "CANARY"}), "remove \"as\""),
            (json!({"exec": ["sops"], "name": ""}), "\"name\" must be a text"),
            (json!({"exec": ["sops"], "as": 1}), "\"as\" must be a text"),
            (json!({"exec": ["sops"], "depends_on": "CANARY"}), "\"depends_on\" must be an array of names"),
            (json!({"exec": ["sops"], "depends_on": ["A=CANARY"]}), "\"depends_on\" must be an array of names"),
        ] {
            let error = read(setting).unwrap_err();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().starts_with("the configuration key `providers`: "), "{error}");
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{error}");
        }
    }
}
