//! One load of everything that a provider reads, as one document.

use super::session::AwsSession;
use super::state::AwsState;
use super::target::AwsTarget;
use super::watched_files::WatchedFiles;
use super::{agent_load, listed, parameters, secrets};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http::retry::Patience;
use crate::log::{self, Level};
use crate::secrets::document::Document;

/// Loads everything that the provider reads. If a region is unavailable, those with replicas are queried in order, each
/// with its part of the time.
pub(super) fn load(state: &AwsState, files: &WatchedFiles, deadline: Deadline, patience: Patience) -> Result<Document> {
    if let Some((agent, selection)) = state.provider_settings.agent() {
        return agent_load::load(state, agent, selection, deadline, patience);
    }
    let replicas = state.provider_settings.replicas();
    let part = |regions: usize| deadline.min(Deadline::after(deadline.remaining() / regions as u32));
    let first = load_in(state, None, files, part(replicas.len() + 1), patience);
    let Some(mut why) = outage(&first) else { return first };
    for (at, region) in replicas.iter().enumerate() {
        log::emit(Level::Warn, "aws", || format!("querying region {region} instead: {why}"));
        let other = load_in(state, Some(region), files, part(replicas.len() - at), patience);
        let problem = match &other {
            Ok(document) => document.missing.clone().or(outage(&other).map(|error| error.message().to_owned())),
            Err(error) => Some(error.message().to_owned()),
        };
        // What a replica does not have may be in the region that is unavailable.
        let Some(problem) = problem else { return other };
        why = why.map_message(|message| format!("{message}; and in {region}: {problem}"));
    }
    first.map_err(|_| why)
}

/// Why the region is unavailable; `None` if it answered, whatever that is.
fn outage(loaded: &Result<Document>) -> Option<Error> {
    let error = match loaded {
        Ok(document) => document.incomplete()?,
        Err(error) => error,
    };
    let is_outage = matches!(error.status(), Status::Unavailable | Status::Timeout) && !error.is_authoritative();
    is_outage.then(|| error.clone())
}

fn load_in(
    state: &AwsState,
    replica: Option<&str>,
    files: &WatchedFiles,
    deadline: Deadline,
    patience: Patience,
) -> Result<Document> {
    let session = AwsSession::open(state, replica, files, deadline, patience)?;
    match &state.provider_settings.target {
        AwsTarget::Secrets(selection) => secrets::load(&session, selection),
        AwsTarget::Listed(filter) => listed::load(&session, filter),
        AwsTarget::Parameters(paths) => parameters::load(&session, paths),
        AwsTarget::Caller => Ok(Document::new(None)),
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
        Config => Some("correct the setting that the message names"),
        _ => None,
    }
}
