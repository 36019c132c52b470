//! How the provider is doing: who we are there, and whether the secrets can be read.

use std::time::Duration;

use super::Aws;
use super::endpoint::{Service, is_in_clear};
use super::load::{self, Session};
use super::sts;
use super::watch::Watch;
use super::wire::Fault;
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::secrets::provider::{Health, HealthState};

/// STS need not be reachable where secrets are, behind a VPC endpoint.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn check(aws: &Aws, deadline: Deadline) -> Health {
    let watch = Watch::default();
    let session = match Session::open(aws, &watch, deadline) {
        Ok(session) => session,
        Err(error) => return failed(&error),
    };
    let caller = match caller(&session, deadline) {
        Ok(caller) => caller,
        Err(error) => return failed(&error),
    };
    let in_clear = match session.settings.endpoint(Service::SecretsManager, &session.region) {
        Ok(endpoint) => is_in_clear(&endpoint.url).then_some(endpoint.url),
        Err(error) => return failed(&error),
    };
    let document = match load::load(aws, &watch, deadline) {
        Ok(document) => document,
        Err(error) => return advised(&error, format!("{error} ({caller})"), HealthState::Failed),
    };
    let warning = |what: String| Health::new(HealthState::Warning, format!("{what} ({caller})"));
    if let Some(error) = document.incomplete() {
        return advised(error, format!("some keys cannot be read: {error} ({caller})"), HealthState::Warning);
    }
    if let Some(why) = &document.missing {
        return warning(format!("{}: {why}", aws.named()))
            .with_advice("create it with: aws secretsmanager create-secret; or correct its name or region");
    }
    if let Some(url) = in_clear {
        return warning(format!("{url} is not encrypted")).with_advice("use an https:// endpoint");
    }
    let can_be_read = format!("{} can be read", aws.named());
    match session.settings.profiles.unreadable.first() {
        Some(why) => warning(format!("{can_be_read}, but a file of the AWS tools counts as empty: {why}"))
            .with_advice("make the file readable, or name another with AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE"),
        None => Health::new(HealthState::Ok, format!("{can_be_read} ({caller})")),
    }
}

pub(super) fn failed(error: &Error) -> Health {
    advised(error, error.message().to_owned(), HealthState::Failed)
}

fn advised(error: &Error, detail: String, state: HealthState) -> Health {
    let health = Health::new(state, detail);
    match load::advice(error) {
        Some(advice) => health.with_advice(advice),
        None => health,
    }
}

/// Who we are, in words; an error only where there are no credentials at all.
fn caller(session: &Session<'_>, deadline: Deadline) -> Result<String> {
    let lease = session.keys()?;
    let holder = lease.place();
    let endpoint = session.settings.endpoint(Service::Sts, &session.region)?;
    let patience = Deadline::after(PATIENCE.min(deadline.remaining() / 3));
    Ok(match sts::caller(&session.wire, &session.region, &endpoint, &lease.keys, patience) {
        Ok(arn) => format!("as {arn}, with the credentials of {holder}"),
        Err(Fault::Refused(refusal)) => format!("with the credentials of {holder}; STS answers {}", refusal.words()),
        Err(Fault::Failed(_)) => format!("with the credentials of {holder}; STS could not be asked who that is"),
    })
}
