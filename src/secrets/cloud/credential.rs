//! A token or another credential that settings or a variable contain.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::config::Config;
use crate::error::{Error, Result, Status};
use crate::files;
use crate::fork;
use crate::settings::{Environment, InvalidSetting, Setting};

const MAX_FILE: usize = 64 << 10;

/// Where a credential is: in a setting, in a file that is read for each load, or in a variable.
pub(in crate::secrets) struct Credential {
    value: Option<Setting>,
    file: Option<Setting>,
    variable: &'static str,
}

impl Credential {
    /// Reads two settings, of which one may be set: the credential itself, and the file with it.
    pub(in crate::secrets) fn of_config(
        config: &Config,
        key: &'static str,
        file_key: &'static str,
        variable: &'static str,
    ) -> Result<Credential, InvalidSetting> {
        let (value, file) = (config.setting(key)?, config.setting(file_key)?);
        match file {
            Some(file) if value.is_some() => Err(file.invalid(format!("is set, and so is {key}; set one of them"))),
            file => Ok(Credential { value, file, variable }),
        }
    }

    /// A credential that only a file or the variable contains.
    pub(in crate::secrets) fn of_file(file: Option<Setting>, variable: &'static str) -> Credential {
        Credential { value: None, file, variable }
    }

    /// Whether a setting of the configuration supplies it, not the variable.
    pub(in crate::secrets) fn is_setting(&self) -> bool {
        self.value.is_some() || self.file.is_some()
    }

    /// The file with the credential, if there is one.
    pub(in crate::secrets) fn file(&self) -> Option<PathBuf> {
        self.file.as_ref().map(Setting::path)
    }

    /// The credential now, which is one word; `None` if none is set. `what` is `the token of 1Password Connect`.
    pub(in crate::secrets) fn read(&self, environment: &Environment, what: &str) -> Result<Option<Zeroizing<String>>> {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(path) = self.file() {
            let contents = fork::unprotected(|| files::read(&path, MAX_FILE))
                .map_err(|error| error.map_message(|message| format!("{what}: {message}")))?;
            let word = std::str::from_utf8(&contents.bytes).map(str::trim).ok().filter(|word| is_word(word));
            let word = word.map(|word| Some(Zeroizing::new(word.to_owned())));
            return word.ok_or_else(|| {
                Error::new(Status::Config, format!("{what}: {} does not contain one word", path.display()))
            });
        }
        let setting = match &self.value {
            Some(setting) => Some(setting.clone()),
            None => environment.setting(self.variable)?,
        };
        match setting {
            Some(setting) if !is_word(setting.text()) => {
                Err(setting.invalid("has spaces or characters that are not ASCII").into())
            }
            setting => Ok(setting.map(|setting| setting.value)),
        }
    }

    /// Where the credential is, for reports; no value.
    pub(in crate::secrets) fn origin(&self) -> String {
        match (&self.value, &self.file) {
            (Some(setting), _) => setting.origin.to_string(),
            (None, Some(file)) => file.path().display().to_string(),
            (None, None) => format!("the variable {}", self.variable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_setting_come_before_the_variable() {
        let environment = Environment::fixed(&[("TOKEN", "of-variable")]);
        let mut config = Config::new();
        let of =
            |config: &Config| Credential::of_config(config, "onepassword_token", "onepassword_token_file", "TOKEN");
        let read =
            |credential: Credential| credential.read(&environment, "the token").map(|word| word.unwrap().to_string());
        assert_eq!(read(of(&config).unwrap()).unwrap(), "of-variable");
        config.set("onepassword_token", "two words").unwrap();
        let error = read(of(&config).unwrap()).unwrap_err();
        assert!(error.message().contains("`onepassword_token` has spaces") && !error.message().contains("words"));
        config.set("onepassword_token", "of-setting").unwrap();
        assert_eq!(read(of(&config).unwrap()).unwrap(), "of-setting");
        config.set("onepassword_token_file", "/nowhere").unwrap();
        assert!(of(&config).err().unwrap().error.message().contains("so is onepassword_token; set one"));
        let mut config = Config::new();
        config.set("onepassword_token_file", "/nowhere").unwrap();
        assert!(read(of(&config).unwrap()).unwrap_err().message().contains("the token: "));
    }
}
