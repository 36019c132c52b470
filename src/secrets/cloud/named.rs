//! One secret as a setting names it, and names of providers.

use crate::secrets::provider_table::MAX_NAME;

/// A secret of which one version is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::secrets) struct Named {
    /// Where it is, if the setting says so: `projects/train/locations/europe-west3`.
    pub(in crate::secrets) parent: Option<String>,
    pub(in crate::secrets) name: String,
    /// `None`: the newest one.
    pub(in crate::secrets) version: Option<String>,
}

impl Named {
    /// The newest version of a secret with this name.
    pub(in crate::secrets) fn new(name: &str) -> Named {
        Named { parent: None, name: name.to_owned(), version: None }
    }

    /// The secret as messages show it: `db-password`, `db-password/3`.
    pub(in crate::secrets) fn shown(&self) -> String {
        let Named { parent, name, version } = self;
        let parent = parent.as_ref().map_or(String::new(), |parent| format!("{parent}/secrets/"));
        let version = version.as_ref().map_or(String::new(), |version| format!("/{version}"));
        format!("{parent}{name}{version}")
    }
}

/// The name of a provider without one, such as `google:KEY`, with as much of the end of the key as fits.
pub(in crate::secrets) fn default_name(provider: &str, key: &str) -> String {
    let start = key.len().saturating_sub(MAX_NAME - provider.len() - 1);
    let start = (start..=key.len()).find(|at| key.is_char_boundary(*at)).unwrap_or(key.len());
    format!("{provider}:{}", &key[start..])
}
