//! Which secrets of Secrets Manager a provider reads, and what their values are.

use serde_json::{Map, Value, json};

use super::identifiers::SecretId;
use crate::config::Config;
use crate::error::Result;
use crate::secrets::provider_table::{MAX_NAME, ProviderTable};
use crate::settings::{Environment, InvalidSetting, Setting, SettingOrigin};
use crate::share::Identity;

const SECRET_VARIABLE: &str = "SIMPLETUNER_AWS_SECRET_NAME";

/// Secrets, and how they are read.
pub(super) struct Selection {
    /// Each secret once, in order of precedence.
    pub(super) secret_ids: Vec<SecretId>,
    pub(super) version_id: Option<String>,
    pub(super) version_stage: Option<String>,
    pub(super) form: SecretForm,
}

/// What the value of a secret is.
pub(super) enum SecretForm {
    /// A JSON object of keys and values.
    Object,
    /// The value of this key; `None`: of the key that is the name of the secret.
    Value(Option<String>),
}

impl Selection {
    /// Reads the settings of the provider `aws`; `None` if no secret is named.
    pub(super) fn of_config(config: &Config, environment: &Environment) -> Result<Option<Selection>, InvalidSetting> {
        let secret_ids = secret_ids(config, environment)?;
        if secret_ids.is_empty() {
            return Ok(None);
        }
        let version_id = config.setting("aws_version_id")?;
        if let Some(id) = &version_id {
            if !(32..=64).contains(&id.text().len()) || !id.text().is_ascii() {
                return Err(id.invalid("must be a version id, which has 32 to 64 characters"));
            }
            if secret_ids.len() > 1 {
                return Err(id.invalid("identifies a version of one secret, but several secrets are named"));
            }
        }
        let version_stage = config.setting("aws_version_stage")?;
        if let Some(stage) = version_stage.as_ref().filter(|stage| stage.text().len() > 256) {
            return Err(stage.invalid("must be a stage such as AWSCURRENT, which has at most 256 characters"));
        }
        let text = |setting: Option<Setting>| setting.map(|setting| setting.text().to_owned());
        let (version_id, version_stage) = (text(version_id), text(version_stage));
        Ok(Some(Selection { secret_ids, version_id, version_stage, form: SecretForm::Object }))
    }

    /// Reads an element of `providers` that names a secret with one value. Returns it with the name of the provider.
    pub(super) fn of_table(members: &Map<String, Value>) -> Result<(Selection, String)> {
        let table = ProviderTable::new(members, &["aws_secret", "as", "name"])?;
        let secret = table.text("aws_secret")?.unwrap_or_default();
        let id = SecretId::parse(&Setting::new(SettingOrigin::Config("providers"), secret))?;
        let key = match table.text("as")? {
            None if id.region.is_none() => Some(id.text.clone()),
            key => key.map(str::to_owned),
        };
        let name = match table.text("name")? {
            Some(name) => name.to_owned(),
            None => default_name(key.as_deref().or(secret.rsplit(':').next()).unwrap_or(secret)),
        };
        let form = SecretForm::Value(key);
        Ok((Selection { secret_ids: vec![id], version_id: None, version_stage: None, form }, name))
    }

    /// The only key that there can be, if that is known without a request.
    pub(super) fn only_key(&self) -> Option<&str> {
        match &self.form {
            SecretForm::Object => None,
            SecretForm::Value(key) => key.as_deref(),
        }
    }

    /// Adds what decides which entries a document has to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) {
        identity.add_optional("version id", self.version_id.as_ref());
        identity.add_optional("version stage", self.version_stage.as_ref());
        if let SecretForm::Value(key) = &self.form {
            identity.add("value of", key.as_deref().unwrap_or_default());
        }
    }

    /// Adds the settings to a description.
    pub(super) fn describe(&self, members: &mut Map<String, Value>) {
        let ids: Vec<&str> = self.secret_ids.iter().map(|id| id.text.as_str()).collect();
        members.insert("secrets".to_owned(), json!(ids));
        if let SecretForm::Value(key) = &self.form {
            members.insert("as".to_owned(), json!(key));
        }
    }
}

/// The name of a provider without one: its key, or as much of the end of it as fits.
pub(super) fn default_name(key: &str) -> String {
    const PREFIX: &str = "aws:";
    let start = key.len().saturating_sub(MAX_NAME - PREFIX.len());
    let start = (start..=key.len()).find(|at| key.is_char_boundary(*at)).unwrap_or(key.len());
    format!("{PREFIX}{}", &key[start..])
}

fn secret_ids(config: &Config, environment: &Environment) -> Result<Vec<SecretId>, InvalidSetting> {
    let given = match config.list("aws_secret_name") {
        Some(_) => config.setting_list("aws_secret_name")?,
        None => environment.setting(SECRET_VARIABLE)?.map_or(Ok(Vec::new()), |setting| setting.texts("name"))?,
    };
    let mut ids = Vec::new();
    for setting in given {
        let id = SecretId::parse(&setting)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_table(table: Value) -> Result<(Selection, String)> {
        Selection::of_table(table.as_object().unwrap())
    }

    #[test]
    fn one_value_has_a_key_and_its_provider_a_name() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/tls-a1B2c3";
        for (table, key, name) in [
            (json!({"aws_secret": "prod/tls", "as": "TLS_KEY"}), Some("TLS_KEY"), "aws:TLS_KEY"),
            (json!({"aws_secret": "prod/tls"}), Some("prod/tls"), "aws:prod/tls"),
            (json!({"aws_secret": "prod/tls", "name": "tls"}), Some("prod/tls"), "tls"),
            (json!({"aws_secret": arn, "as": "TLS_KEY"}), Some("TLS_KEY"), "aws:TLS_KEY"),
            (json!({"aws_secret": arn}), None, "aws:prod/tls-a1B2c3"),
            (
                json!({"aws_secret": "production/tls/certificates"}),
                Some("production/tls/certificates"),
                "aws:production/tls/certificates",
            ),
            (
                json!({"aws_secret": "aproduction/tls/certificates"}),
                Some("aproduction/tls/certificates"),
                "aws:production/tls/certificates",
            ),
        ] {
            let (selection, found) = of_table(table).unwrap();
            assert_eq!(selection.only_key(), key);
            assert_eq!(found, name);
            assert_eq!(selection.secret_ids.len(), 1);
        }
        assert_eq!(default_name("é".repeat(20).as_str()), format!("aws:{}", "é".repeat(13)));
    }

    #[test]
    fn invalid_table_is_refused_with_the_reason() {
        for (table, words) in [
            (json!({"aws_secret": ""}), "\"aws_secret\" must be a text that is not empty"),
            (json!({"aws_secret": 1}), "\"aws_secret\" must be a text that is not empty"),
            (json!({"aws_secret": "a b"}), "\"a b\" contains ' '"),
            (json!({"aws_secret": "a", "as": ""}), "\"as\" must be a text that is not empty"),
            (json!({"aws_secret": "a", "sa": "B"}), "unknown member \"sa\" of a provider; did you mean \"as\"?"),
        ] {
            let error = of_table(table).map(drop).unwrap_err();
            assert!(error.message().starts_with("the configuration key `providers`: "), "{error}");
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[test]
    fn variable_may_name_several_secrets() {
        let names = |text: &str| -> Result<Vec<String>> {
            let environment = Environment::fixed(&[(SECRET_VARIABLE, text)]);
            let selection = Selection::of_config(&Config::new(), &environment)?;
            Ok(selection.map_or(Vec::new(), |selection| selection.secret_ids.into_iter().map(|id| id.text).collect()))
        };
        assert_eq!(names(r#"["a", "b", "a"]"#).unwrap(), ["a", "b"]);
        assert_eq!(names(" a ").unwrap(), ["a"]);
        assert!(names("").unwrap().is_empty() && names("[]").unwrap().is_empty());
        for text in ["[\"a\"", "[1]", "[\"a b\"]", "a\r\nb"] {
            assert!(names(text).unwrap_err().message().contains(SECRET_VARIABLE), "{text}");
        }
    }
}
