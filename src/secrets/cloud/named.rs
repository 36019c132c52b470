//! One secret as a setting names it, and names of providers.

use crate::config::Config;
use crate::secrets::provider_table::MAX_NAME;
use crate::settings::{InvalidSetting, Setting, SettingOrigin};

/// A secret of which one version is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::secrets) struct Named {
    /// Where it is, if the setting says so: `projects/train/secrets`, a path.
    pub(in crate::secrets) parent: Option<String>,
    pub(in crate::secrets) name: String,
    /// `None`: the newest one.
    pub(in crate::secrets) version: Option<String>,
    /// The part of it that is the value, in stores whose secrets have several.
    pub(in crate::secrets) field: Option<String>,
}

impl Named {
    /// The newest version of a secret with this name.
    pub(in crate::secrets) fn new(name: &str) -> Named {
        Named { parent: None, name: name.to_owned(), version: None, field: None }
    }

    /// The secret as messages show it: `db-password`, `db-password/3`, `item/field`.
    pub(in crate::secrets) fn shown(&self) -> String {
        let Named { parent, name, version, field } = self;
        let parts = [parent.as_deref(), Some(name), field.as_deref(), version.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    }
}

/// The secrets that a setting names, each once.
pub(in crate::secrets) fn named(
    config: &Config,
    key: &'static str,
    parse: impl Fn(&Setting) -> Result<Named, InvalidSetting>,
) -> Result<Vec<Named>, InvalidSetting> {
    let mut secrets = Vec::new();
    for text in config.list(key).unwrap_or_default() {
        let secret = parse(&Setting::new(SettingOrigin::Config(key), text.trim()))?;
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
    Ok(secrets)
}

/// The name of a provider without one, such as `google:KEY`, with as much of the end of the key as fits.
pub(in crate::secrets) fn default_name(provider: &str, key: &str) -> String {
    let start = key.len().saturating_sub(MAX_NAME - provider.len() - 1);
    let start = (start..=key.len()).find(|at| key.is_char_boundary(*at)).unwrap_or(key.len());
    format!("{provider}:{}", &key[start..])
}
