//! Secrets that an account has now: their list, and a load of all of them as one document.

use serde_json::{Value, json};

use super::endpoint::Service;
use super::filter::SecretFilter;
use super::identifiers::SecretId;
use super::json_service::{JsonService, ReadError};
use super::secrets;
use super::secrets_manager::AwsLookup;
use super::selection::{SecretForm, Selection};
use super::session::AwsSession;
use crate::error::{Error, Result, Source};
use crate::fork;
use crate::log::{self, Level};
use crate::secrets::document::Document;

const ACTION: &str = "ListSecrets";
/// The limit of secrets in one page.
const PAGE: usize = 100;
/// More pages than an account has secrets.
const MAX_PAGES: usize = 5000;

/// Loads all secrets that meet the conditions. A secret that AWS denies fails alone, if its key is known.
pub(super) fn load(session: &AwsSession<'_>, filter: &SecretFilter) -> Result<Document> {
    let mut cached = session.credentials()?;
    let list = |service: JsonService<'_>| list(&service, filter);
    let region = &session.region;
    let listed = session.ask(Service::SecretsManager, region, &mut cached, list, |result| result.as_mut().err())?;
    let names = listed.map_err(|failed| failed.error)?;
    if names.is_empty() {
        return Ok(Document::missing("there is none, or AWS does not list any"));
    }
    let form = if filter.are_objects { SecretForm::Object } else { SecretForm::Value(None) };
    let selection = Selection { secret_ids: Vec::new(), version_id: None, version_stage: None, form };
    let ids: Vec<SecretId> = names.into_iter().map(SecretId::of_name).collect();
    let ids: Vec<&SecretId> = ids.iter().collect();
    let may_fail_alone =
        |failed: &ReadError| !filter.are_objects && failed.error.is_authoritative() && !failed.credentials_rejected;
    let results = secrets::read(session, region, &selection, &ids, &may_fail_alone, &mut cached)?;
    let mut document = Document::new(None);
    for (id, result) in ids.iter().zip(results) {
        match result {
            Some(Ok(AwsLookup::Found(mut secret))) => {
                if !filter.are_objects {
                    secret.entries.iter_mut().for_each(|(key, _)| *key = filter.key(key).to_owned());
                }
                secrets::add(&mut document, secret);
            }
            // It was deleted since it was listed.
            Some(Ok(AwsLookup::Missing(_))) => {}
            Some(Err(error)) if !filter.are_objects && error.is_authoritative() => {
                log::emit(Level::Warn, "aws", || format!("one secret of several cannot be used: {error}"));
                document.add_broken(filter.key(&id.text), error.with_source(Source::Aws));
            }
            Some(Err(error)) if document.names().next().is_none() => return Err(error),
            Some(Err(error)) => return Ok(incomplete(document, error)),
            None => break,
        }
    }
    Ok(document)
}

fn incomplete(mut document: Document, error: Error) -> Document {
    log::emit(Level::Warn, "aws", || format!("keys that no earlier secret has cannot be read: {error}"));
    document.set_incomplete(error.with_source(Source::Aws));
    document
}

/// Returns the names of the secrets, in alphabetical order.
fn list(service: &JsonService<'_>, filter: &SecretFilter) -> Result<Vec<String>, ReadError> {
    let what = filter.describe();
    let mut body = json!({"Filters": filter.to_request(), "MaxResults": PAGE});
    let mut names = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = service.ask(&what, ACTION, &body)?;
        if page.get("SecretList").is_none() {
            let why = "the response has no list of secrets; check that the endpoint is Secrets Manager";
            return Err(service.malformed(&what, why).into());
        }
        names.extend(
            fork::unprotected(|| page.objects("SecretList").unwrap_or_default())
                .iter()
                .filter_map(|item| filter.name_of(item)),
        );
        match page.text("NextToken") {
            Some(next) => body["NextToken"] = Value::from(next),
            None => {
                names.sort_unstable();
                names.dedup();
                return Ok(names);
            }
        }
    }
    Err(service.malformed(&what, &format!("the response has more than {MAX_PAGES} pages")).into())
}
