//! The settings of the provider, read when the manager is opened.

use super::names::{is_location, is_project};
use crate::config::Config;
use crate::secrets::cloud::checked;
use crate::settings::{InvalidSetting, Setting};

/// The settings of the provider itself.
pub(super) struct GoogleSettings {
    pub(super) project: Option<String>,
    pub(super) location: Option<String>,
    /// Without `/` at its end.
    endpoint: Option<String>,
    pub(super) credentials_file: Option<Setting>,
}

impl GoogleSettings {
    pub(super) fn read(config: &Config) -> Result<GoogleSettings, InvalidSetting> {
        let checked_text = |key: &'static str, is_valid: fn(&str) -> bool, what: &str| {
            let Some(setting) = config.setting(key)? else { return Ok(None) };
            match is_valid(setting.text()) {
                true => Ok(Some(setting.text().to_owned())),
                false => Err(setting.invalid_value(what)),
            }
        };
        Ok(GoogleSettings {
            project: checked_text("google_project", is_project, "is not the identifier or number of a project")?,
            location: checked_text("google_location", is_location, "is not a location such as europe-west3")?,
            endpoint: config.setting("google_endpoint_url")?.as_ref().map(checked).transpose()?,
            credentials_file: config.setting("google_credentials_file")?,
        })
    }

    /// Returns the URL of Secret Manager, in a location if there is one.
    pub(super) fn endpoint(&self, location: Option<&str>) -> String {
        match (&self.endpoint, location) {
            (Some(url), _) => url.clone(),
            (None, Some(location)) => format!("https://secretmanager.{location}.rep.googleapis.com"),
            (None, None) => "https://secretmanager.googleapis.com".to_owned(),
        }
    }

    /// Whether requests go to another endpoint than Google's.
    pub(super) fn has_endpoint(&self) -> bool {
        self.endpoint.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        for (key, value, words) in [
            ("google_project", "My Project", "is not the identifier or number of a project"),
            ("google_location", "../x", "is not a location"),
            ("google_endpoint_url", "http://example.com", "must begin with https://"),
        ] {
            let mut config = Config::new();
            config.set(key, value).unwrap();
            let error = GoogleSettings::read(&config).err().unwrap().error;
            assert!(error.message().contains(key) && error.message().contains(words), "{error}");
        }
    }

    #[test]
    fn endpoint_is_that_of_the_location() {
        let mut config = Config::new();
        let settings = GoogleSettings::read(&config).unwrap();
        assert_eq!(settings.endpoint(None), "https://secretmanager.googleapis.com");
        assert_eq!(settings.endpoint(Some("us-east1")), "https://secretmanager.us-east1.rep.googleapis.com");
        config.set("google_endpoint_url", "http://127.0.0.1:80/").unwrap();
        assert_eq!(GoogleSettings::read(&config).unwrap().endpoint(Some("us-east1")), "http://127.0.0.1:80");
    }
}
