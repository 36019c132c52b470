//! `share`, `prefetch` and `invalidate`: what the processes on this host share; and what `run --share` gives to the
//! command.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::process::{self, ExitCode};

use serde_json::Value;
use st_secrets::Scope;

use crate::arguments::{Common, Invalidate, Share};
use crate::failure::{Failure, Outcome};
use crate::secrets::{SecretBytes, Secrets};
use crate::selection::Variable;
use crate::terminal;

/// A setting of the share that is a secret itself, as a variable.
pub(crate) const KEY: &str = "ST_SECRETS_SHARE_KEY";
/// The URL of the cluster tier, which may have a password.
pub(crate) const URL: &str = "ST_SECRETS_SHARE_URL";

pub(crate) fn share(common: &Common, share: &Share) -> Outcome {
    let report = Secrets::open_shared(common)?.share();
    let parsed: Value = serde_json::from_str(&report).unwrap_or_default();
    if share.json {
        terminal::print(&report)?;
    }
    if let Some(reason) = parsed["refused"].as_str() {
        return Err(Failure::failed(format!("nothing is shared with other processes: {reason}")));
    }
    if !share.json {
        show(&parsed)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(share: &Value) -> Result<(), Failure> {
    let documents = share["documents"].as_array().map_or(&[][..], Vec::as_slice);
    let directory = share["directory"].as_str().unwrap_or_default();
    match documents {
        [] => terminal::note("neither AWS nor Vault has a document to share; st-secrets check shows what is missing"),
        _ => terminal::print(&format!("{} of user {}", terminal::printable(directory), share["owner"]))?,
    }
    if let Some(url) = share["tier"]["url"].as_str() {
        let rest = match share["tier"]["retry_in"].as_f64() {
            Some(seconds) => format!(" has failed; next attempt in {seconds:.0} s"),
            None => String::new(),
        };
        terminal::print(&format!("tier {}{rest}", terminal::printable(url)))?;
    }
    let rows: Vec<Vec<String>> = documents.iter().map(row).collect();
    if !rows.is_empty() {
        terminal::table(&["PROVIDER", "DOCUMENT", "AGE", "EXPIRES IN", "STATE"], &rows, None)?;
    }
    Ok(())
}

fn row(document: &Value) -> Vec<String> {
    let text = |member: &str| document[member].as_str().unwrap_or_default().to_owned();
    vec![text("provider"), text("place"), seconds(&document["age"]), seconds(&document["expires_in"]), state(document)]
}

fn seconds(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s"))
}

fn state(document: &Value) -> String {
    let loader = document["loader_pid"].as_u64().map_or_else(String::new, |pid| format!(" (process {pid})"));
    match (document["failing"].as_str(), document["age"].is_null()) {
        _ if document["loading"] == true => format!("loading{loader}"),
        (Some(failure), _) => format!("failing, next attempt in {}: {failure}", seconds(&document["retry_in"])),
        (None, true) => "not loaded".to_owned(),
        (None, false) => "loaded".to_owned(),
    }
}

pub(crate) fn prefetch(common: &Common) -> Outcome {
    Secrets::open_shared(common)?.prefetch()?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn invalidate(common: &Common, invalidate: &Invalidate) -> Outcome {
    let (scope, member) = if invalidate.cluster { (Scope::Cluster, "host") } else { (Scope::Host, "process") };
    let report = Secrets::open_shared(common)?.invalidate(scope)?;
    let parsed: Value = serde_json::from_str(&report).unwrap_or_default();
    let list = |name: &str| parsed[name].as_array().map_or(&[][..], Vec::as_slice);
    if invalidate.json {
        terminal::print(&report)?;
    } else {
        // This process, which ends now, does not count; its host does.
        let count = list("confirmed").iter().filter(|id| **id != process::id()).count();
        terminal::print(&match (count, invalidate.cluster) {
            (0, false) => "confirmed by no other process".to_owned(),
            (0, true) => "confirmed by no host".to_owned(),
            (1, _) => format!("confirmed by 1 {member}"),
            (_, false) => format!("confirmed by {count} processes"),
            (_, true) => format!("confirmed by {count} hosts"),
        })?;
    }
    let reason = match invalidate.cluster {
        true => "it makes no calls, is stopped, has ended, or cannot reach the server",
        false => "it is stopped",
    };
    let text = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    let silent = |id| Failure::failed(format!("{member} {} has not confirmed: {reason}", text(id)));
    let mut failures: Vec<Failure> = list("silent").iter().map(silent).collect();
    if parsed["complete"] == false {
        failures.push(Failure::failed("this host has more processes than are recorded; some may not have confirmed"));
    }
    Failure::of_all(failures)?;
    Ok(ExitCode::SUCCESS)
}

/// The variables with which the programs of a command find what is shared.
pub(crate) fn variables(secrets: &Secrets) -> Result<Vec<Variable>, Failure> {
    let of = |name: &str, value: &[u8]| -> Result<Variable, Failure> {
        Ok(Variable { name: name.to_owned(), value: SecretBytes::copy_from(value)? })
    };
    let mut variables = vec![of("ST_SECRETS_SHARE", b"host")?];
    for (key, name) in [
        ("share_dir", "ST_SECRETS_SHARE_DIR"),
        ("share_key", KEY),
        ("share_url", URL),
        ("share_ca_cert", "ST_SECRETS_SHARE_CA_CERT"),
        ("share_client_cert", "ST_SECRETS_SHARE_CLIENT_CERT"),
        ("share_client_key", "ST_SECRETS_SHARE_CLIENT_KEY"),
    ] {
        if let Some(value) = secrets.setting(key) {
            variables.push(of(name, value.as_bytes())?);
        } else if let Some(value) = env::var_os(name) {
            // A clean environment would not have it.
            variables.push(of(name, value.as_bytes())?);
        }
    }
    Ok(variables)
}
