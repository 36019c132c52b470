//! The settings, connections and credentials of one load or one health check.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::client::AwsClient;
use super::credentials::{self, CachedCredentials, CredentialProvider, FetchContext, MetadataClient};
use super::endpoint::{Endpoint, Service, is_cleartext};
use super::errors::config_error;
use super::json_service::{JsonService, ReadError};
use super::profiles::Profiles;
use super::settings::AwsSettings;
use super::state::{AwsState, wait_for_writers};
use super::watched_files::WatchedFiles;
use crate::clock::Deadline;
use crate::error::Result;
use crate::http::Client;
use crate::http::retry::{Attempts, Patience};
use crate::log::{self, Level};

/// The settings, connections and credentials of one load or one health check.
pub(super) struct AwsSession<'a> {
    pub(super) state: &'a AwsState,
    pub(super) settings: AwsSettings<'a>,
    /// The region of STS, and of secrets without a region of their own.
    pub(super) region: String,
    pub(super) client: AwsClient<'a>,
    metadata: MetadataClient<'a>,
    files: &'a WatchedFiles,
    deadline: Deadline,
    patience: Patience,
}

impl<'a> AwsSession<'a> {
    /// Reads the settings. The region is that of the settings, or this `replica`. The files that credentials come from
    /// are added to `files`.
    pub(super) fn open(
        state: &'a AwsState,
        replica: Option<&str>,
        files: &'a WatchedFiles,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<AwsSession<'a>> {
        let paths = Profiles::paths(&state.environment)?;
        paths.iter().flatten().for_each(|path| files.record(path));
        let settings = state.settings()?;
        for why in &settings.profiles.unreadable {
            log::emit(Level::Warn, "aws", || format!("a file of the AWS tools is treated as empty: {why}"));
        }
        let metadata = MetadataClient::new(&state.common.instance);
        let region = match replica.map(str::to_owned).or(settings.region()?) {
            Some(region) => Some(region),
            None => credentials::region_of_instance(&settings, &metadata, deadline)?,
        };
        let region = region.ok_or_else(|| {
            config_error(format!(
                "there is no AWS region: set AWS_REGION, `aws_region` in the configuration, or `region` in the profile `{}`",
                settings.profile_name
            ))
        })?;
        *state.region.lock() = Some(region.clone());
        let disabled = "AWS_DISABLE_CLOCK_SKEW_CORRECTION";
        let client = AwsClient {
            http: Client::new(settings.http()?),
            clock_offsets: &state.common.clock_offsets,
            retry: &state.common.retry,
            attempts: Attempts::of_setting(settings.max_attempts, patience),
            correct_clock_skew: !settings.flag(disabled, "disable_clock_skew_correction")?,
        };
        Ok(AwsSession { state, settings, region, client, metadata, files, deadline, patience })
    }

    /// Returns credentials, from the cache while they are valid.
    pub(super) fn credentials(&self) -> Result<Arc<CachedCredentials>> {
        self.state.common.credentials.get(self.resolve(&self.settings)?, &self.context())
    }

    fn resolve(&self, settings: &AwsSettings<'_>) -> Result<CredentialProvider> {
        let provider = credentials::resolve(settings)?;
        provider.file().into_iter().for_each(|path| self.files.record(path));
        Ok(provider)
    }

    /// Reads variables and files again, and fetches credentials to replace those that AWS rejected.
    fn replace_credentials(&self, rejected: &CachedCredentials) -> Result<Option<Arc<CachedCredentials>>> {
        // A file may have been read while it was being written.
        wait_for_writers(&self.state.environment);
        let settings = self.state.settings()?;
        let context = FetchContext { settings: &settings, ..self.context() };
        self.state.common.credentials.replace(rejected, self.resolve(&settings)?, &context)
    }

    fn context(&self) -> FetchContext<'_> {
        FetchContext {
            settings: &self.settings,
            region: &self.region,
            client: &self.client,
            metadata: &self.metadata,
            deadline: self.deadline,
            forced: self.state.is_refresh.load(Ordering::Relaxed),
            patience: self.patience,
        }
    }

    /// Calls a service in a region. If AWS rejects the credentials, tries again with others.
    pub(super) fn ask<T>(
        &self,
        service: Service,
        region: &str,
        cached: &mut Arc<CachedCredentials>,
        read: impl Fn(JsonService<'_>) -> T,
        failed: impl Fn(&mut T) -> Option<&mut ReadError>,
    ) -> Result<T> {
        let endpoint = self.settings.endpoint(service, region)?;
        warn_if_cleartext(&endpoint);
        let with = |cached: &CachedCredentials| {
            read(JsonService {
                client: &self.client,
                service,
                region,
                endpoint: &endpoint,
                credentials: Some(cached.credentials()),
                credentials_origin: cached.origin(),
                deadline: self.deadline,
            })
        };
        let mut result = with(cached);
        if let Some(ReadError { error, credentials_rejected: true }) = failed(&mut result) {
            log::emit(Level::Info, "aws", || format!("AWS rejects the credentials, trying others: {error}"));
            match self.replace_credentials(cached) {
                Ok(Some(other)) => {
                    *cached = other;
                    return Ok(with(cached));
                }
                Ok(None) => {}
                Err(failure) if failure.is_authoritative() => *error = failure,
                // The rejection counts, whatever the failure.
                Err(failure) => {
                    let message = |rejected: &str| format!("{rejected}; there are no other credentials: {failure}");
                    *error = error.clone().map_message(message);
                }
            }
        }
        Ok(result)
    }
}

fn warn_if_cleartext(endpoint: &Endpoint) {
    if is_cleartext(&endpoint.url) {
        log::emit(Level::Warn, "aws", || {
            format!("{} is not encrypted: secrets can be read on the network", endpoint.url)
        });
    }
}
