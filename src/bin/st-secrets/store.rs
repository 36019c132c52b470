//! `credentials`, `provider`, `hardware` and `backup`: the databases.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::process::ExitCode;

use rustix::io::Errno;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use st_secrets::store::{Actor, Reencryption, StoreDatabase};
use st_secrets::{Cipher, Error, Status, Store};

use crate::arguments::{Backup, Common, Credentials, CredentialsCommand, Hardware, Provider, ProviderCommand};
use crate::failure::{Failure, MISSING, Outcome};
use crate::progress::Progress;
use crate::{cipher, config, prompt, terminal, value};

/// The store; what is done is recorded as this user's.
pub(crate) fn open(common: &Common) -> Result<Store, Failure> {
    let store = Store::open(&config::load(common)?)?;
    let username = ["LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    // A user whose name cannot be recorded is recorded without.
    Ok(store.as_actor(Actor { username, ..Actor::default() }).unwrap_or(store))
}

pub(crate) fn rotate_key(common: &Common, cipher: &Cipher) -> Outcome {
    let mut progress = Progress::new("credentials");
    let report = open(common)?.credentials_rotate(cipher, |done, total| progress.update(done, total))?;
    drop(progress);
    terminal::note("there is a new key; the old key is kept for decryption");
    summary(&report)
}

fn summary(report: &Reencryption) -> Outcome {
    let report: Value = serde_json::from_str(&report.to_json()).unwrap_or_default();
    terminal::print(&format!("{report:#}"))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn credentials(common: &Common, credentials: &Credentials) -> Outcome {
    let store = open(common)?;
    match &credentials.command {
        CredentialsCommand::List { user, provider, json } => {
            let listed = store.credential_list(*user, provider.as_deref())?;
            let columns = [
                ("USER", "user_id"),
                ("PROVIDER", "provider"),
                ("NAME", "name"),
                ("ENCRYPTED", "encrypted"),
                ("ACTIVE", "is_active"),
                ("LAST USED", "last_used_at"),
            ];
            list(&listed, *json, &columns, "no credential is stored")
        }
        CredentialsCommand::Set { which, refused } => {
            value::refuse_argument(refused, "st-secrets credentials set USER PROVIDER NAME")?;
            let cipher = cipher::open(common)?;
            let value = value::read(&format!("Value of {}", which.name))?;
            store.credential_set(&cipher, which.user, &which.provider, &which.name, &value)?;
            Ok(ExitCode::SUCCESS)
        }
        CredentialsCommand::Delete(which) => {
            match store.credential_delete(which.user, &which.provider, &which.name)? {
                true => Ok(ExitCode::SUCCESS),
                false => {
                    let message = format!("user {} has no such credential", which.user);
                    Err(Failure::new(MISSING, message))
                }
            }
        }
        CredentialsCommand::Reencrypt { plain } => {
            let mut progress = Progress::new("credentials");
            let cipher = cipher::open(common)?;
            let report = store.credentials_reencrypt(&cipher, *plain, |done, total| progress.update(done, total))?;
            drop(progress);
            summary(&report)
        }
    }
}

pub(crate) fn provider(common: &Common, provider: &Provider) -> Outcome {
    let store = open(common)?;
    match &provider.command {
        ProviderCommand::List { json } => {
            let columns = [("PROVIDER", "provider"), ("CHANGED", "updated_at")];
            return list(&store.provider_list()?, *json, &columns, "no cloud provider has a configuration");
        }
        ProviderCommand::Show { provider, show } => {
            let config = store.provider_get(provider)?;
            match terminal::stdout_is_terminal() && !show {
                true => terminal::print(&without_values(&config)?)?,
                false => terminal::print(&*config)?,
            }
        }
        ProviderCommand::Save { provider } => {
            let config = document()?;
            store.provider_save(provider, &config).map_err(|error| rejected(&config, error))?;
        }
        ProviderCommand::Update { provider } => {
            let changes = document()?;
            store.provider_update(provider, &changes).map_err(|error| rejected(&changes, error))?;
        }
        ProviderCommand::Delete { provider } => {
            if !store.provider_delete(provider)? {
                return Err(Failure::new(MISSING, format!("{provider:?} has no configuration")));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A JSON object from stdin: it may hold secrets, so it is not an argument.
fn document() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::usage("no configuration is given; write: st-secrets provider update PROVIDER < FILE"));
    }
    let text = String::from_utf8(prompt::read_stdin()?);
    let mut text = text.map_err(|_| Failure::usage("the configuration on stdin is not UTF-8"))?;
    // The line break at the end is that of the file, not of the configuration.
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// The failure of a write. The library names its argument, which is the text on stdin here.
fn rejected(text: &str, error: Error) -> Failure {
    // The message of the parser may repeat a value.
    match serde_json::from_str::<HashMap<String, IgnoredAny>>(text) {
        Err(at) if error.status() == Status::InvalidArgument => Failure::usage(format!(
            "the configuration on stdin is not a JSON object (line {}, column {})",
            at.line(),
            at.column()
        )),
        _ => error.into(),
    }
}

/// The configuration with the types of texts and numbers in their place, as a terminal may show it.
fn without_values(config: &[u8]) -> Result<String, Failure> {
    let parsed = serde_json::from_slice::<Value>(config);
    let mut parsed = parsed.map_err(|_| Failure::failed("the configuration is not JSON; add --show to see it"))?;
    hide(&mut parsed);
    Ok(format!("{parsed:#}"))
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(hide),
        Value::Array(values) => values.iter_mut().for_each(hide),
        Value::String(_) => *value = json!("(text; add --show)"),
        Value::Number(_) => *value = json!("(number; add --show)"),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The audit trail is last: its entry of a change is older than the change.
pub(crate) fn backup(common: &Common, backup: &Backup) -> Outcome {
    let store = open(common)?;
    let paths: Value = serde_json::from_str(&store.describe()).unwrap_or_default();
    let mut databases = vec![
        (StoreDatabase::Main, "jobs.db"),
        (StoreDatabase::Credentials, "credentials.db"),
        (StoreDatabase::Audit, "audit.db"),
    ];
    databases.retain(|(database, _)| {
        *database != StoreDatabase::Credentials || paths["credentials_database"] != paths["database"]
    });
    let directory = &backup.directory;
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(directory)
        .map_err(|error| Failure::failed(format!("cannot create the directory {}: {error}", directory.display())))?;
    let mut missing = Vec::new();
    for (database, name) in &databases {
        let path = directory.join(name);
        match store.backup(*database, &path, backup.replace) {
            Ok(()) => terminal::note(&format!("{} is written", path.display())),
            Err(error) if error.status() == Status::NotFound => missing.push(Failure::from(error)),
            Err(error) if error.detail() == Errno::EXIST.raw_os_error() => {
                return Err(Failure::usage(format!("{} exists; add --replace", path.display())));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if missing.len() == databases.len() {
        Failure::of_all(missing)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn hardware(common: &Common, hardware: &Hardware) -> Outcome {
    let store = open(common)?;
    if hardware.json {
        terminal::print(&*store.hardware_info()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for device in store.hardware_prices()? {
        let price = match device.cost_per_hour {
            Ok(price) => format!("{price:.4}"),
            Err(error) => {
                failures.push(error.into());
                "invalid".to_owned()
            }
        };
        rows.push(vec![device.id, device.name, price]);
    }
    terminal::table(&["ID", "NAME", "COST PER HOUR"], &rows, None)?;
    Failure::of_all(failures)?;
    Ok(ExitCode::SUCCESS)
}

/// A JSON array of objects as it is, or as a table of these members.
pub(crate) fn list(json: &str, as_json: bool, columns: &[(&str, &str)], if_empty: &str) -> Outcome {
    let entries: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    if as_json {
        terminal::print(json)?;
    } else if entries.is_empty() {
        terminal::note(if_empty);
    } else {
        let header: Vec<&str> = columns.iter().map(|(header, _)| *header).collect();
        let row = |entry: &Value| columns.iter().map(|(_, member)| cell(entry, member)).collect();
        let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
        terminal::table(&header, &rows, None)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn cell(entry: &Value, member: &str) -> String {
    match &entry[member] {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
