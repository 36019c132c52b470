//! Loads secrets as one document, each in its region.

use std::sync::Arc;

use super::credentials::CachedCredentials;
use super::endpoint::Service;
use super::identifiers::SecretId;
use super::json_service::{JsonService, ReadError};
use super::secrets_manager::{AwsLookup, Batch, LookupResult, SecretDocument, SecretsManager};
use super::selection::Selection;
use super::session::AwsSession;
use crate::error::{Result, Source};
use crate::log::{self, Level};
use crate::secrets::document::Document;
use crate::secrets::merge::merge;

/// The results in the order of the secret ids, up to the first error. What comes after it is `None`.
type Results = Vec<Option<Result<AwsLookup>>>;

/// Loads secrets as one document. If several contain a name, the first in the list takes precedence.
pub(super) fn load(session: &AwsSession<'_>, selection: &Selection) -> Result<Document> {
    let mut cached = session.credentials()?;
    let ids = &selection.secret_ids;
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
        let group_results = read(session, &region, selection, &group, &|_| false, &mut cached)
            .unwrap_or_else(|error| vec![Some(Err(error))]);
        same.into_iter().zip(group_results).for_each(|(index, result)| results[index] = result);
        if results[index].as_ref().is_some_and(Result::is_err) {
            break;
        }
    }
    document(ids, results)
}

/// Reads secrets of one region, up to the first error except those that `may_fail_alone`. If AWS rejects the
/// credentials, tries again with others.
pub(super) fn read(
    session: &AwsSession<'_>,
    region: &str,
    selection: &Selection,
    ids: &[&SecretId],
    may_fail_alone: &dyn Fn(&ReadError) -> bool,
    cached: &mut Arc<CachedCredentials>,
) -> Result<Results> {
    let read =
        |service: JsonService<'_>| read_with(session, &SecretsManager { service, selection }, ids, may_fail_alone);
    let results = session.ask(Service::SecretsManager, region, cached, read, |results| rejection(results))?;
    let plain = |result: LookupResult| result.map_err(|failed| failed.error);
    Ok(results.into_iter().map(|result| result.map(plain)).collect())
}

fn read_with(
    session: &AwsSession<'_>,
    manager: &SecretsManager<'_>,
    ids: &[&SecretId],
    may_fail_alone: &dyn Fn(&ReadError) -> bool,
) -> Vec<Option<LookupResult>> {
    let batch_calls = &session.state.batch_calls;
    // BatchGetSecretValue returns only the current version.
    let is_batch = manager.selection.version_stage.is_none() && batch_calls.are_useful(ids.len());
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
        if result.get_or_insert_with(|| manager.get(id)).as_ref().is_err_and(|failed| !may_fail_alone(failed)) {
            break;
        }
    }
    results
}

fn rejection(results: &mut [Option<LookupResult>]) -> Option<&mut ReadError> {
    let mut failures = results.iter_mut().flatten().filter_map(|result| result.as_mut().err());
    failures.find(|failed| failed.credentials_rejected)
}

/// Merges the results. Returns an error if no key is known: the first secrets are missing, and the next cannot be read.
pub(super) fn document(ids: &[SecretId], results: Results) -> Result<Document> {
    let results = ids.iter().zip(results);
    let parts: Vec<_> = results.map_while(|(id, result)| Some((id.text.clone(), result?.map(part)))).collect();
    merge("aws", Source::Aws, parts.into_iter())
}

fn part(lookup: AwsLookup) -> Document {
    match lookup {
        AwsLookup::Found(secret) => {
            let mut document = Document::new(secret.version.clone());
            add(&mut document, secret);
            document
        }
        AwsLookup::Missing(why) => Document::missing(why),
    }
}

pub(super) fn add(document: &mut Document, secret: SecretDocument) {
    document.add(secret.entries, secret.version);
    for (key, error) in secret.broken {
        log::emit(Level::Warn, "aws", || format!("{key:?} cannot be used: {error}"));
        document.add_broken(&key, error.with_source(Source::Aws));
    }
}
