//! One load: all secrets, each in its region, as one document.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::client::AwsClient;
use super::credentials::{self, CachedCredentials, Context, CredentialProvider, MetadataClient};
use super::endpoint::{Endpoint, Service, is_cleartext};
use super::errors::config_error;
use super::identifiers::SecretId;
use super::profiles::Profiles;
use super::secrets_manager::{Batch, Lookup, LookupResult, SecretDocument, SecretError, SecretsManager};
use super::settings::Settings;
use super::state::{AwsState, wait_for_writers};
use super::watched_files::WatchedFiles;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::http::Client;
use crate::http::retry::{Attempts, Patience};
use crate::log::{self, Level};
use crate::secrets::document::Document;

/// The settings, connections and credentials of one load or one health check.
pub(super) struct Session<'a> {
    state: &'a AwsState,
    pub(super) settings: Settings<'a>,
    /// The region of STS, and of secrets without a region of their own.
    pub(super) region: String,
    pub(super) client: AwsClient<'a>,
    metadata: MetadataClient<'a>,
    files: &'a WatchedFiles,
    deadline: Deadline,
    patience: Patience,
}

/// The results in the order of the secret ids, up to the first error. What comes after it is `None`.
type Results = Vec<Option<Result<Lookup>>>;

impl<'a> Session<'a> {
    /// Reads the settings. The files that credentials come from are added to `files`.
    pub(super) fn open(
        state: &'a AwsState,
        files: &'a WatchedFiles,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<Session<'a>> {
        let paths = Profiles::paths(&state.environment)?;
        paths.iter().flatten().for_each(|path| files.record(path));
        let settings = state.settings()?;
        for why in &settings.profiles.unreadable {
            log::emit(Level::Warn, "aws", || format!("a file of the AWS tools is treated as empty: {why}"));
        }
        let metadata = MetadataClient::new(&state.common.instance);
        let region = match settings.region()? {
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
        Ok(Session { state, settings, region, client, metadata, files, deadline, patience })
    }

    /// Returns credentials, from the cache while they are valid.
    pub(super) fn credentials(&self) -> Result<Arc<CachedCredentials>> {
        self.state.common.credentials.get(self.resolve(&self.settings)?, &self.context())
    }

    fn resolve(&self, settings: &Settings<'_>) -> Result<CredentialProvider> {
        let provider = credentials::resolve(settings)?;
        provider.file().into_iter().for_each(|path| self.files.record(path));
        Ok(provider)
    }

    /// Reads variables and files again, and fetches credentials to replace those that AWS rejected.
    fn replace_credentials(&self, rejected: &CachedCredentials) -> Result<Option<Arc<CachedCredentials>>> {
        // A file may have been read while it was being written.
        wait_for_writers(&self.state.environment);
        let settings = self.state.settings()?;
        let context = Context { settings: &settings, ..self.context() };
        self.state.common.credentials.replace(rejected, self.resolve(&settings)?, &context)
    }

    fn context(&self) -> Context<'_> {
        Context {
            settings: &self.settings,
            region: &self.region,
            client: &self.client,
            metadata: &self.metadata,
            deadline: self.deadline,
            forced: self.state.is_refresh.load(Ordering::Relaxed),
            patience: self.patience,
        }
    }

    /// Reads secrets of one region. If AWS rejects the credentials, tries again with others.
    fn read(&self, region: &str, ids: &[&SecretId], cached: &mut Arc<CachedCredentials>) -> Result<Results> {
        let endpoint = self.settings.endpoint(Service::SecretsManager, region)?;
        warn_if_cleartext(&endpoint);
        let mut results = self.read_with(region, ids, &endpoint, cached);
        let failed = results.iter_mut().flatten().find_map(|result| result.as_mut().err());
        if let Some(SecretError { error, credentials_rejected: true }) = failed {
            log::emit(Level::Info, "aws", || format!("AWS rejects the credentials, trying others: {error}"));
            match self.replace_credentials(cached) {
                Ok(Some(other)) => {
                    *cached = other;
                    results = self.read_with(region, ids, &endpoint, cached);
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
        let plain = |result: LookupResult| result.map_err(|failed| failed.error);
        Ok(results.into_iter().map(|result| result.map(plain)).collect())
    }

    fn read_with(
        &self,
        region: &str,
        ids: &[&SecretId],
        endpoint: &Endpoint,
        cached: &CachedCredentials,
    ) -> Vec<Option<LookupResult>> {
        let selection = &self.state.provider_settings.selection;
        let manager = SecretsManager {
            client: &self.client,
            region,
            endpoint,
            credentials: cached.credentials(),
            credentials_origin: cached.origin(),
            selection,
            deadline: self.deadline,
        };
        let batch_calls = &self.state.batch_calls;
        // BatchGetSecretValue returns only the current version.
        let is_batch = selection.version_stage.is_none() && batch_calls.are_useful(ids.len());
        let mut results: Vec<Option<LookupResult>> = ids.iter().map(|_| None).collect();
        if is_batch {
            match manager.get_many(ids) {
                Ok(Batch::Results(batch)) => results = batch,
                Ok(Batch::Unusable { why, throttled, from_aws }) => {
                    log::emit(Level::Info, "aws", || format!("secrets are read one by one: {why}"));
                    match throttled {
                        _ if !from_aws => {}
                        true => batch_calls.throttle(),
                        false => batch_calls.deny(),
                    }
                }
                Err(error) => results[0] = Some(Err(error)),
            }
        }
        for (id, result) in ids.iter().zip(&mut results) {
            // Results after an error are not used.
            if result.get_or_insert_with(|| manager.get(id)).is_err() {
                break;
            }
        }
        results
    }
}

fn warn_if_cleartext(endpoint: &Endpoint) {
    if is_cleartext(&endpoint.url) {
        log::emit(Level::Warn, "aws", || {
            format!("{} is not encrypted: secrets can be read on the network", endpoint.url)
        });
    }
}

/// Loads all secrets as one document. If several contain a name, the first in the list takes precedence.
pub(super) fn load(state: &AwsState, files: &WatchedFiles, deadline: Deadline, patience: Patience) -> Result<Document> {
    let session = Session::open(state, files, deadline, patience)?;
    let mut cached = session.credentials()?;
    let ids = &state.provider_settings.selection.secret_ids;
    let region_of = |id: &'_ SecretId| id.region.clone().unwrap_or_else(|| session.region.clone());
    let mut results: Results = ids.iter().map(|_| None).collect();
    for index in 0..ids.len() {
        match &results[index] {
            Some(Ok(_)) => continue,
            Some(Err(_)) => break,
            None => {}
        }
        let region = region_of(&ids[index]);
        let same: Vec<usize> = (index..ids.len()).filter(|other| region_of(&ids[*other]) == region).collect();
        let group: Vec<&SecretId> = same.iter().map(|index| &ids[*index]).collect();
        let group_results = session.read(&region, &group, &mut cached).unwrap_or_else(|error| vec![Some(Err(error))]);
        same.into_iter().zip(group_results).for_each(|(index, result)| results[index] = result);
        if results[index].as_ref().is_some_and(Result::is_err) {
            break;
        }
    }
    document(ids, results)
}

/// Merges the results. Returns an error if no key is known: the first secrets are missing, and the next cannot be read.
fn document(ids: &[SecretId], results: Results) -> Result<Document> {
    let is_single = results.len() == 1;
    let mut document = Document::new(None);
    let (mut found, mut missing) = (0, Vec::new());
    for (id, result) in ids.iter().zip(results) {
        match result {
            Some(Ok(Lookup::Found(secret))) => {
                found += 1;
                if is_single {
                    document.version.clone_from(&secret.version);
                }
                add(&mut document, secret);
            }
            Some(Ok(Lookup::Missing(why))) if is_single => return Ok(Document::missing(why)),
            Some(Ok(Lookup::Missing(why))) => missing.push(format!("{:?}: {why}", id.text)),
            Some(Err(error)) if found == 0 => return Err(error),
            Some(Err(error)) => {
                log::emit(Level::Warn, "aws", || format!("keys that no earlier secret has cannot be read: {error}"));
                document.set_incomplete(error.with_source(Source::Aws));
                break;
            }
            None => break,
        }
    }
    if missing.len() == ids.len() {
        return Ok(Document::missing(missing.join("; ")));
    }
    for why in missing {
        log::emit(Level::Warn, "aws", || format!("one secret of several is skipped: {why}"));
    }
    Ok(document)
}

fn add(document: &mut Document, secret: SecretDocument) {
    document.add(secret.entries, secret.version);
    for (key, error) in secret.broken {
        log::emit(Level::Warn, "aws", || format!("{key:?} cannot be used: {error}"));
        document.add_broken(&key, error.with_source(Source::Aws));
    }
}

/// Returns what to do about an error of a health check, if its message does not say it.
pub(super) fn advice(error: &Error) -> Option<&'static str> {
    use crate::error::Status::{AccessDenied, Config, Timeout, Unavailable};
    match error.status() {
        Unavailable | Timeout => {
            Some("check that the endpoint can be reached from here, through a proxy or VPC endpoint")
        }
        AccessDenied => Some("check the identity of the caller with: aws sts get-caller-identity"),
        Config => Some("correct the setting that is named"),
        _ => None,
    }
}
