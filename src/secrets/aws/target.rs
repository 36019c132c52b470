//! What a provider reads: secrets of Secrets Manager, or parameters of Systems Manager.

use serde_json::{Map, Value, json};

use super::endpoint::Service;
use super::filter::SecretFilter;
use super::parameter_paths::ParameterPaths;
use super::selection::Selection;
use crate::error::Result;
use crate::share::Identity;

/// What a provider reads.
pub(super) enum AwsTarget {
    Secrets(Selection),
    /// The secrets that meet conditions.
    Listed(SecretFilter),
    Parameters(ParameterPaths),
    /// Nothing: only the credentials are used, for a login at another server or a key.
    Caller,
}

impl AwsTarget {
    pub(super) fn service(&self) -> Service {
        match self {
            AwsTarget::Secrets(_) | AwsTarget::Listed(_) => Service::SecretsManager,
            AwsTarget::Parameters(_) => Service::Ssm,
            AwsTarget::Caller => Service::Sts,
        }
    }

    /// The only key that there can be, if that is known without a request.
    pub(super) fn only_key(&self) -> Option<&str> {
        match self {
            AwsTarget::Secrets(selection) => selection.only_key(),
            _ => None,
        }
    }

    /// The region of the first ARN, if all secrets have ARNs.
    pub(super) fn region(&self) -> Option<&str> {
        match self {
            AwsTarget::Secrets(Selection { secret_ids, .. }) => {
                secret_ids.first().filter(|_| self.has_only_arns())?.region.as_deref()
            }
            _ => None,
        }
    }

    /// Whether all secrets have ARNs, and so their own regions.
    pub(super) fn has_only_arns(&self) -> bool {
        match self {
            AwsTarget::Secrets(Selection { secret_ids, .. }) => secret_ids.iter().all(|id| id.region.is_some()),
            _ => false,
        }
    }

    /// Adds what is read, and where, to the identity of a process. `endpoint` returns the URL of a service in a region.
    pub(super) fn identify(
        &self,
        region: &str,
        identity: &mut Identity,
        endpoint: &dyn Fn(Service, &str) -> Result<String>,
    ) -> Result<()> {
        match self {
            AwsTarget::Secrets(selection) => {
                for id in &selection.secret_ids {
                    identity.add("secret", &id.text);
                    let region = id.region.as_deref().unwrap_or(region);
                    identity.add("endpoint", endpoint(Service::SecretsManager, region)?);
                }
                selection.identify(identity);
            }
            AwsTarget::Listed(filter) => {
                filter.identify(identity);
                identity.add("endpoint", endpoint(Service::SecretsManager, region)?);
            }
            AwsTarget::Parameters(paths) => {
                paths.0.iter().for_each(|path| identity.add("path", path));
                identity.add("endpoint", endpoint(Service::Ssm, region)?);
            }
            AwsTarget::Caller => {}
        }
        Ok(())
    }

    /// Returns `secret "app/prod" in us-east-1`. The region is left out if it is not known yet, or all secrets have
    /// ARNs.
    pub(super) fn place(&self, region: Option<&str>) -> String {
        let quoted = |texts: &mut dyn Iterator<Item = &String>| -> String {
            texts.map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
        };
        let what = match self {
            AwsTarget::Secrets(Selection { secret_ids: ids, .. }) => {
                let kind = if ids.len() == 1 { "secret" } else { "secrets" };
                format!("{kind} {}", quoted(&mut ids.iter().map(|id| &id.text)))
            }
            AwsTarget::Listed(filter) => filter.describe(),
            AwsTarget::Parameters(paths) => format!("parameters below {}", quoted(&mut paths.0.iter())),
            AwsTarget::Caller => "the identity of the caller".to_owned(),
        };
        region.filter(|_| !self.has_only_arns()).map_or(what.clone(), |region| format!("{what} in {region}"))
    }

    /// Adds the settings to a description.
    pub(super) fn describe(&self, members: &mut Map<String, Value>) {
        match self {
            AwsTarget::Secrets(selection) => selection.describe(members),
            AwsTarget::Listed(filter) => {
                members.insert("secrets".to_owned(), json!(filter.describe()));
            }
            AwsTarget::Parameters(paths) => {
                members.insert("paths".to_owned(), json!(paths.0));
            }
            AwsTarget::Caller => {}
        }
    }
}
