//! The check of a dynamic secret, which requests none: is the server up, may the token request it.

use super::client::VaultSession;
use super::dynamic_settings::DynamicSettings;
use super::errors::is_denial;
use super::health::{Report, advice, examine_server, token_info};
use super::lease;
use super::token_store::{TokenStore, can_log_in};
use crate::error::Result;
use crate::secrets::provider::{Health, HealthState};

pub(super) fn check(session: &VaultSession<'_>, tokens: &TokenStore, settings: &DynamicSettings) -> Health {
    let mut report = Report::default();
    match examine(session, tokens, settings, &mut report) {
        Ok(()) => report.health(),
        Err(error) => Health::new(HealthState::Failed, error.message()).with_advice(advice(session.settings(), &error)),
    }
}

fn examine(
    session: &VaultSession<'_>,
    tokens: &TokenStore,
    settings: &DynamicSettings,
    report: &mut Report,
) -> Result<()> {
    examine_server(session, report)?;
    let can_log_in = can_log_in(&session.settings().auth);
    let able = tokens.with_token(session, |token| lease::capabilities(session, token, &settings.path));
    if let Ok(token) = token_info(session, tokens) {
        token.report(can_log_in, report);
    }
    let wanted: &[&str] = if settings.parameters.is_some() { &["create", "update"] } else { &["read"] };
    let policy = format!("path {:?} {{ capabilities = {wanted:?} }}", settings.path);
    match able {
        Ok(able) if able.iter().any(|one| one == "root" || wanted.contains(&one.as_str())) => {
            report.add(format!("{:?} may be requested", settings.path));
        }
        Ok(_) => report.warn(&format!("{:?} may not be requested", settings.path), &format!("add a policy: {policy}")),
        // A token may be forbidden to look at its own capabilities.
        Err(error) if is_denial(&error) && token_info(session, tokens).is_ok() => {
            report.add(format!("whether {:?} may be requested is not known before it is", settings.path));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
