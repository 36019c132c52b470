//! The profiles of the AWS tools, from the config file and the credentials file.

use std::path::{Path, PathBuf};

use super::errors::config_error;
use super::ini::{Ini, IniValue, ReadResult, Section};
use crate::error::{Error, Result};
use crate::settings::{Environment, Setting, excerpt};
use crate::{files, paths};

/// The contents of both files.
pub(super) struct Profiles {
    config: Option<Ini>,
    credentials: Option<Ini>,
    /// Their paths; `None` without a home directory.
    paths: [Option<PathBuf>; 2],
    /// Why an existing file is treated as empty.
    pub(super) unreadable: Vec<String>,
}

/// How many profiles a message lists.
const MAX_LISTED: usize = 20;

/// One profile. Values in the credentials file take precedence over those in the config file.
#[derive(Clone)]
pub(super) struct Profile<'a> {
    pub(super) name: String,
    profiles: &'a Profiles,
    config: Vec<&'a Section>,
    credentials: Vec<&'a Section>,
}

impl Profiles {
    pub(super) fn read(environment: &Environment) -> Result<Profiles> {
        let paths = Profiles::paths(environment)?;
        let mut unreadable = Vec::new();
        let mut read = |path: &Option<PathBuf>| -> Result<Option<Ini>> {
            let Some(path) = path else { return Ok(None) };
            match Ini::read(path)? {
                ReadResult::File(ini) => return Ok(Some(ini)),
                ReadResult::Missing => {}
                ReadResult::Unreadable(error) => unreadable.push(error.message().to_owned()),
            }
            Ok(None)
        };
        let (config, credentials) = (read(&paths[0])?, read(&paths[1])?);
        Ok(Profiles { config, credentials, paths, unreadable })
    }

    /// Adds the files that could not be read to an error about something missing, which may be in one of them.
    pub(super) fn explain(&self, error: Error) -> Error {
        if self.unreadable.is_empty() {
            return error;
        }
        error.map_message(|message| {
            format!(
                "{message}; the missing setting may be in a file that cannot be read: {}",
                self.unreadable.join("; ")
            )
        })
    }

    /// Whether one of the files was changed so recently that its writer may not have finished.
    pub(super) fn changed_recently(environment: &Environment) -> bool {
        Profiles::paths(environment).is_ok_and(|paths| paths.iter().flatten().any(|path| files::is_new(path)))
    }

    /// Returns the paths of the config file and the credentials file.
    pub(super) fn paths(environment: &Environment) -> Result<[Option<PathBuf>; 2]> {
        let path = |variable, default: &str| -> Result<Option<PathBuf>> {
            Ok(match environment.setting(variable)? {
                Some(path) => Some(paths::expand_home(Path::new(&paths::expand_variables(path.text(), |name| {
                    environment.raw(name)
                })))),
                None => environment.home().map(|home| home.join(default)),
            })
        };
        Ok([path("AWS_CONFIG_FILE", ".aws/config")?, path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")?])
    }

    /// Returns the profile: `[profile X]` in the config file and `[X]` in the credentials file. `[default]` in the
    /// config file counts if there is no `[profile default]`.
    pub(super) fn find(&self, name: &str) -> Option<Profile<'_>> {
        let mut sections = self.config_sections("profile", name);
        if sections.is_empty() && name == "default" {
            sections = self.config_sections("", name);
        }
        let profile = Profile {
            name: name.to_owned(),
            profiles: self,
            config: sections,
            credentials: matching(self.credentials.as_ref(), |header| header == name),
        };
        (!profile.config.is_empty() || !profile.credentials.is_empty()).then_some(profile)
    }

    /// Returns the value of `key` in the section `[kind name]` of the config file.
    pub(super) fn section_value<'a>(&'a self, kind: &str, name: &str, key: &str) -> Option<IniValue<'a>> {
        self.config.as_ref()?.value(&self.config_sections(kind, name), key)
    }

    /// Returns the value of `key` under `service` in the section `[services name]` of the config file.
    pub(super) fn service_value<'a>(&'a self, name: &str, service: &str, key: &str) -> Option<IniValue<'a>> {
        self.config.as_ref()?.nested(&self.config_sections("services", name), service, key)
    }

    /// Whether the config file has a section `[kind name]`.
    pub(super) fn has_section(&self, kind: &str, name: &str) -> bool {
        !self.config_sections(kind, name).is_empty()
    }

    fn config_sections(&self, kind: &str, name: &str) -> Vec<&Section> {
        matching(self.config.as_ref(), |header| match header.split_once(' ') {
            Some((first, rest)) => first == kind && unquoted(rest) == name,
            None => kind.is_empty() && header == name,
        })
    }

    /// Returns the error for a setting that names a profile which does not exist.
    pub(super) fn unknown_profile(&self, setting: &Setting) -> Error {
        let places: Vec<String> = self.paths.iter().flatten().map(|path| path.display().to_string()).collect();
        let names = self.names();
        let known = match names.is_empty() {
            true => "there are none".to_owned(),
            false if names.len() > MAX_LISTED => {
                format!("the profiles are {} and {} more", names[..MAX_LISTED].join(", "), names.len() - MAX_LISTED)
            }
            false => format!("the profiles are {}", names.join(", ")),
        };
        let (origin, name, places) = (&setting.origin, excerpt(setting.text()), places.join(" or "));
        self.explain(config_error(format!("{origin}: there is no profile {name:?} in {places}; {known}")))
    }

    fn names(&self) -> Vec<String> {
        let in_config = self.config.iter().flat_map(|file| &file.sections).filter_map(|section| {
            match section.header.split_once(' ') {
                Some(("profile", name)) => Some(unquoted(name).to_owned()),
                None if section.header == "default" => Some(section.header.clone()),
                _ => None,
            }
        });
        let in_credentials = self.credentials.iter().flat_map(|file| &file.sections);
        let in_credentials = in_credentials.map(|section| section.header.clone()).filter(|name| !name.contains(' '));
        let mut names: Vec<String> = in_config.chain(in_credentials).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn matching(file: Option<&Ini>, matches: impl Fn(&str) -> bool) -> Vec<&Section> {
    file.iter().flat_map(|file| &file.sections).filter(|section| matches(&section.header)).collect()
}

/// Removes quotation marks: `[profile "a b"]` is the profile `a b`.
fn unquoted(name: &str) -> &str {
    let inner = |quote| name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(name)
}

impl<'a> Profile<'a> {
    pub(super) fn get(&self, key: &str) -> Option<IniValue<'a>> {
        let in_credentials = self.profiles.credentials.as_ref().and_then(|file| file.value(&self.credentials, key));
        in_credentials.or_else(|| self.profiles.config.as_ref().and_then(|file| file.value(&self.config, key)))
    }

    /// Returns the value of `key` in the same file as `other`.
    pub(super) fn in_same_file(&self, other: IniValue<'_>, key: &str) -> Option<IniValue<'a>> {
        let profiles = self.profiles;
        let (file, sections) = match self.is_in_credentials(other) {
            true => (profiles.credentials.as_ref(), &self.credentials),
            false => (profiles.config.as_ref(), &self.config),
        };
        file.and_then(|file| file.value(sections, key))
    }

    /// Returns the value of `key`, or an error that points to the setting that requires it.
    pub(super) fn require(&self, key: &str, by: IniValue<'_>) -> Result<IniValue<'a>> {
        self.get(key).ok_or_else(|| config_error(format!("{}: `{key}` is missing", self.location(by))))
    }

    /// Returns the value of `key` as a setting.
    pub(super) fn setting(&self, key: &str) -> Option<Setting> {
        self.get(key).map(|value| self.named(key, value))
    }

    /// Returns this value of `key` as a setting.
    pub(super) fn named(&self, key: &str, value: IniValue<'_>) -> Setting {
        value.setting(&self.location(value), key)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| value.text.to_owned())
    }

    pub(super) fn is_in_credentials(&self, value: IniValue<'_>) -> bool {
        self.profiles.credentials.as_ref().is_some_and(|file| file.path == value.path)
    }

    /// Returns ``profile `x` in /path/config, line 3``.
    pub(super) fn location(&self, value: IniValue<'_>) -> String {
        format!("profile `{}` in {}", self.name, value.location())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingOrigin;

    fn read(config: &str, credentials: &str, test: impl FnOnce(&Profiles)) {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["config", "credentials"].map(|name| directory.path().join(name));
        std::fs::write(&paths[0], config).unwrap();
        std::fs::write(&paths[1], credentials).unwrap();
        let [config, credentials] = paths.map(|path| path.to_str().unwrap().to_owned());
        let variables = [("AWS_CONFIG_FILE", &*config), ("AWS_SHARED_CREDENTIALS_FILE", &*credentials)];
        test(&Profiles::read(&Environment::fixed(&variables)).unwrap());
    }

    #[test]
    fn profile_combines_sections_of_both_files() {
        let config = "[default]\na = plain\n[profile default]\na = prefixed\n[work]\na = ignored\n[profile  home]\na = 1\n\
            b = 1\n[profile home]\nb = 2\n[profile \"two words\"]\na = quoted\n[sso-session s]\nsso_region = r\n";
        let credentials = "[home]\na = credentials\n[profile home]\nb = ignored\n[only]\na = 3\n";
        read(config, credentials, |profiles| {
            let get = |profile: &str, key| profiles.find(profile).and_then(|profile| profile.text(key));
            for (profile, key, value) in [
                ("default", "a", Some("prefixed")),
                ("work", "a", None),
                ("home", "a", Some("credentials")),
                ("home", "b", Some("2")),
                ("two words", "a", Some("quoted")),
                ("only", "a", Some("3")),
                ("s", "sso_region", None),
            ] {
                assert_eq!(get(profile, key).as_deref(), value, "{profile} {key}");
            }
            assert_eq!(profiles.section_value("sso-session", "s", "sso_region").unwrap().text, "r");
            let setting = Setting::new(SettingOrigin::Variable("AWS_PROFILE".to_owned()), "hom");
            let error = profiles.unknown_profile(&setting);
            assert!(error.message().ends_with("the profiles are default, home, only, two words"), "{error}");
        });
    }

    #[test]
    fn only_the_default_profile_needs_no_prefix() {
        read("[default]\na = plain\n", "", |profiles| {
            assert_eq!(profiles.find("default").unwrap().text("a").as_deref(), Some("plain"));
        });
    }
}
