//! The credentials provider: the files of the directory that systemd passes to a service in `$CREDENTIALS_DIRECTORY`
//! (systemd.exec(5), `LoadCredential=` and `SetCredentialEncrypted=`). The name of a file is the key.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::entries::counted;
use super::file::{RECHECK_INTERVAL, SecretsDirectory};
use super::provider::{Health, HealthState, Known, LookupLimits, Names, Peeked, SecretProvider};
use super::secret::{ProviderId, Secret};
use crate::clock::CoarseInstant;
use crate::config::Config;
use crate::error::{Error, Result, Source};
use crate::fork::{self, PublishedGuard};
use crate::settings::Environment;

const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
const NOT_SET: &str = "CREDENTIALS_DIRECTORY is not set, which systemd does for a service with credentials";

static ID: ProviderId = ProviderId::builtin("credentials", Source::Credentials);

pub(crate) struct CredentialsProvider {
    /// `None` if the variable is not set. It does not change while a service runs.
    directory: Option<SecretsDirectory>,
    strict: bool,
}

impl CredentialsProvider {
    pub(crate) fn open(config: &Config) -> CredentialsProvider {
        CredentialsProvider {
            directory: variable().map(SecretsDirectory::new),
            strict: config.flag("strict_permissions").unwrap_or(false),
        }
    }

    /// Whether systemd has passed credentials to this process.
    pub(crate) fn is_available() -> bool {
        variable().is_some()
    }

    fn list(&self) -> Result<Vec<String>> {
        let listed =
            self.directory.as_ref().map_or(Ok(Vec::new()), |directory| fork::unprotected(|| directory.names()));
        listed.map_err(failed)
    }
}

/// The directory; an empty variable counts as not set.
fn variable() -> Option<PathBuf> {
    Environment::Process.non_empty(VARIABLE).map(PathBuf::from)
}

fn failed(error: Error) -> Error {
    error.with_source(Source::Credentials)
}

impl SecretProvider for CredentialsProvider {
    fn id(&self) -> &ProviderId {
        &ID
    }

    fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let max_age = if request.refresh { Duration::ZERO } else { RECHECK_INTERVAL };
        Ok(directory.find(key, max_age, self.strict).map_err(failed)?.map(Secret::new))
    }

    fn peek(&self, key: &str, reading: &PublishedGuard, now: CoarseInstant, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        let Some(directory) = &self.directory else { return Known::Absent };
        match directory.peek(key, reading, now, RECHECK_INTERVAL) {
            Some(Some(value)) => {
                take(Peeked::Local(value));
                Known::Found
            }
            Some(None) => Known::Absent,
            None => Known::Unknown,
        }
    }

    fn place(&self, key: &str) -> String {
        match &self.directory {
            Some(directory) => directory.place(key),
            None => NOT_SET.to_owned(),
        }
    }

    fn refresh(&self, _: &LookupLimits) -> Result<()> {
        self.clear_cache();
        Ok(())
    }

    fn clear_cache(&self) {
        self.directory.iter().for_each(SecretsDirectory::clear_cache);
    }

    fn describe(&self) -> Map<String, Value> {
        let path = self.directory.as_ref().map(|directory| directory.path.to_string_lossy());
        Map::from_iter([("path".to_owned(), json!(path))])
    }

    fn names(&self, _: &LookupLimits) -> Option<Names> {
        Some(match self.list() {
            Ok(names) => Names { names, error: None },
            Err(error) => Names { names: Vec::new(), error: Some(error) },
        })
    }

    fn check(&self, _: &LookupLimits) -> Health {
        let Some(directory) = &self.directory else { return Health::new(HealthState::Absent, NOT_SET) };
        match self.list() {
            Ok(names) => {
                let count = counted(names.len(), "credential", "credentials");
                Health::new(HealthState::Ok, format!("{} ({count})", directory.path.display()))
            }
            Err(error) => Health::new(HealthState::Failed, error.message()),
        }
    }
}
