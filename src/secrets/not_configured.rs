//! A remote provider that is not configured. It has no secrets and reports what it needs.

use serde_json::{Map, Value, json};

use super::provider::{Health, HealthState, Known, LookupLimits, Names, Peeked, SecretProvider};
use super::secret::{ProviderId, Secret};
use crate::clock::CoarseInstant;
use crate::error::{Error, Result, Status};
use crate::fork::PublishedGuard;

pub(crate) struct NotConfiguredProvider {
    pub(crate) id: &'static ProviderId,
    pub(crate) missing: NotConfigured,
}

/// The settings that are missing.
#[derive(Debug)]
pub(crate) struct NotConfigured {
    pub(crate) why: String,
    /// Some of its settings are set, so the provider is wanted: the message for a secret that was not found says why
    /// this provider was not queried.
    pub(crate) is_wanted: bool,
}

impl SecretProvider for NotConfiguredProvider {
    fn id(&self) -> &ProviderId {
        self.id
    }

    fn find(&self, _: &str, _: &LookupLimits) -> Result<Option<Secret>> {
        Ok(None)
    }

    fn peek(&self, _: &str, _: &PublishedGuard, _: CoarseInstant, _: &mut dyn FnMut(Peeked<'_>)) -> Known {
        Known::Absent
    }

    fn place(&self, _: &str) -> String {
        if self.missing.is_wanted { self.reason() } else { "not configured".to_owned() }
    }

    fn describe(&self) -> Map<String, Value> {
        Map::from_iter([("configured".to_owned(), json!(false))])
    }

    fn names(&self, _: &LookupLimits) -> Option<Names> {
        Some(Names::default())
    }

    fn write(&self, _: &str, _: Option<&str>, _: &LookupLimits) -> Result<bool> {
        Err(Error::new(Status::Config, self.reason()))
    }

    fn check(&self, _: &LookupLimits) -> Health {
        Health::new(HealthState::Absent, self.reason())
    }
}

impl NotConfiguredProvider {
    fn reason(&self) -> String {
        format!("not configured: {}", self.missing.why)
    }
}
