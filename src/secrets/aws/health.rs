//! The health check: the identity of the caller, and whether the secrets can be read.

use std::time::Duration;

use super::client::CallError;
use super::endpoint::{Service, is_cleartext};
use super::load;
use super::session::AwsSession;
use super::state::AwsState;
use super::sts;
use super::watched_files::WatchedFiles;
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::http::retry::Patience;
use crate::secrets::provider::{Health, HealthState};

/// Behind a VPC endpoint, STS may be unreachable although Secrets Manager is not.
const STS_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks the provider.
pub(super) fn check(state: &AwsState, deadline: Deadline) -> Health {
    if let Some((agent, _)) = state.provider_settings.agent() {
        return check_agent(state, &agent.url, deadline);
    }
    let files = WatchedFiles::default();
    let session = match AwsSession::open(state, None, &files, deadline, Patience::Brief) {
        Ok(session) => session,
        Err(error) => return failed(&error),
    };
    let caller = match describe_caller(&session, deadline) {
        Ok(caller) => caller,
        Err(error) => return failed(&error),
    };
    let cleartext = match session.settings.endpoint(state.provider_settings.target.service(), &session.region) {
        Ok(endpoint) => is_cleartext(&endpoint.url).then_some(endpoint.url),
        Err(error) => return failed(&error),
    };
    let document = match load::load(state, &files, deadline, Patience::Brief) {
        Ok(document) => document,
        Err(error) => return with_advice(&error, format!("{error} ({caller})"), HealthState::Failed),
    };
    let warning = |what: String| Health::new(HealthState::Warning, format!("{what} ({caller})"));
    if let Some(error) = document.incomplete() {
        return with_advice(error, format!("some keys cannot be read: {error} ({caller})"), HealthState::Warning);
    }
    if let Some(why) = &document.missing {
        return warning(format!("{}: {why}", state.place())).with_advice(
            match state.provider_settings.target.service() {
                Service::Ssm => "create one with: aws ssm put-parameter; or correct the path or region",
                _ => "create it with: aws secretsmanager create-secret; or correct its name or region",
            },
        );
    }
    if let Some(url) = cleartext {
        return warning(format!("{url} is not encrypted")).with_advice("use an https:// endpoint");
    }
    let readable = format!("{} can be read", state.place());
    match session.settings.profiles.unreadable.first() {
        Some(why) => warning(format!("{readable}, but a file of the AWS tools is treated as empty: {why}"))
            .with_advice("make the file readable, or name another with AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE"),
        None => Health::new(HealthState::Ok, format!("{readable} ({caller})")),
    }
}

/// Adds what is wrong with the queue of changes.
pub(super) fn with_queue(health: Health, queue: Result<()>) -> Health {
    match queue {
        Err(error) if health.state == HealthState::Ok => {
            let detail = format!("{}, but calls that listen do not see changes: {error}", health.detail);
            Health::new(HealthState::Warning, detail).with_advice(
                "correct what is named, or unset aws_queue_url; until then documents are used for cache_ttl",
            )
        }
        _ => health,
    }
}

fn check_agent(state: &AwsState, url: &str, deadline: Deadline) -> Health {
    let from = format!("{} from the agent at {url}", state.place());
    match load::load(state, &WatchedFiles::default(), deadline, Patience::Brief) {
        Err(error) => Health::new(HealthState::Failed, error.message())
            .with_advice("check that the agent runs, and its own log: it has credentials of its own"),
        Ok(document) => {
            match document.missing.clone().or(document.incomplete().map(|error| error.message().to_owned())) {
                Some(why) => Health::new(HealthState::Warning, format!("{from}: {why}")),
                None => Health::new(HealthState::Ok, format!("{from} can be read")),
            }
        }
    }
}

/// The result of a check that failed with this error.
pub(super) fn failed(error: &Error) -> Health {
    with_advice(error, error.message().to_owned(), HealthState::Failed)
}

fn with_advice(error: &Error, detail: String, state: HealthState) -> Health {
    let health = Health::new(state, detail);
    match load::advice(error) {
        Some(advice) => health.with_advice(advice),
        None => health,
    }
}

/// Describes the caller's identity. Returns an error only if there are no credentials.
fn describe_caller(session: &AwsSession<'_>, deadline: Deadline) -> Result<String> {
    let cached = session.credentials()?;
    let origin = cached.origin();
    let endpoint = session.settings.endpoint(Service::Sts, &session.region)?;
    let timeout = Deadline::after(STS_TIMEOUT.min(deadline.remaining() / 3));
    let caller = sts::caller_identity(&session.client, &session.region, &endpoint, cached.credentials(), timeout);
    Ok(match caller {
        Ok(arn) => format!("as {arn}, with the credentials of {origin}"),
        Err(CallError::Service(service_error)) => {
            format!("with the credentials of {origin}; STS responds with {}", service_error.describe())
        }
        Err(CallError::Transport(error)) => {
            format!("with the credentials of {origin}; the call of STS failed: {}", error.message())
        }
    })
}
