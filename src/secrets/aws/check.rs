//! How the layer is doing: who we are there, and whether the secrets can be read.

use std::time::Duration;

use super::AwsSource;
use super::endpoint::{Service, is_in_clear};
use super::load::{self, Session};
use super::sts;
use super::wire::Fault;
use crate::clock::Deadline;
use crate::error::Result;
use crate::secrets::layer::{Finding, State};

/// STS need not be reachable where secrets are, behind a VPC endpoint.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn check(source: &AwsSource, deadline: Deadline) -> Finding {
    let session = match Session::open(source, deadline) {
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
    match load::load(source, deadline) {
        Ok(document) => match (document.missing, in_clear) {
            (Some(why), _) => Finding::new(State::Warning, format!("{}: {why} ({caller})", source.named()))
                .with_advice("create it with: aws secretsmanager create-secret; or mend its name or region"),
            (None, Some(url)) => Finding::new(State::Warning, format!("{url} is not encrypted ({caller})"))
                .with_advice("use an https:// endpoint"),
            (None, None) => Finding::new(State::Ok, format!("{} can be read ({caller})", source.named())),
        },
        Err(error) => {
            let finding = Finding::new(State::Failed, format!("{error} ({caller})"));
            load::advice(&error).map_or(finding.clone(), |advice| finding.with_advice(advice))
        }
    }
}

fn failed(error: &crate::error::Error) -> Finding {
    let finding = Finding::new(State::Failed, error.message());
    match load::advice(error) {
        Some(advice) => finding.with_advice(advice),
        None => finding,
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
