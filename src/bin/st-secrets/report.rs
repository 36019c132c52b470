//! `list`, `where` and `check`: what there is, where it comes from, and how the providers are.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use st_secrets::Store;

use crate::arguments::{Check, Common, List, Where};
use crate::failure::{FAILED, Failure, Outcome};
use crate::secrets::{Secret, Secrets};
use crate::{config, names, terminal};

/// A name, and the providers that have it, in their order.
type Listed = (String, Vec<String>);

pub(crate) fn list(common: &Common, list: &List) -> Outcome {
    let (listed, failures) = listed(&Secrets::open(common)?)?;
    if list.json {
        let all: Vec<Value> =
            listed.iter().map(|(name, providers)| json!({"name": name, "providers": providers})).collect();
        terminal::print(&format!("{:#}", Value::Array(all)))?;
    } else if listed.is_empty() && failures.is_empty() {
        terminal::note("no provider lists a secret; variables of the environment are not listed");
    } else if !listed.is_empty() {
        let rows: Vec<Vec<String>> =
            listed.into_iter().map(|(name, providers)| vec![name, providers.join(", ")]).collect();
        terminal::table(&["NAME", "PROVIDERS"], &rows, None)?;
    }
    Failure::of_all(failures)?;
    Ok(ExitCode::SUCCESS)
}

/// Every name that a provider lists, once, however it is spelled.
fn listed(secrets: &Secrets) -> Result<(Vec<Listed>, Vec<Failure>), Failure> {
    let (mut by_name, mut failures): (BTreeMap<String, Listed>, Vec<Failure>) = Default::default();
    let all = secrets.names();
    let order: Vec<String> = all.iter().map(|provider| provider.provider.clone()).collect();
    for provider in all {
        for name in provider.names.into_iter().flatten() {
            let (_, providers) = by_name.entry(names::canonical(&name)).or_insert((name, Vec::new()));
            if !providers.contains(&provider.provider) {
                providers.push(provider.provider.clone());
            }
        }
        if let Some(error) = provider.error {
            let message = format!("names of provider {} may be missing: {error}", provider.provider);
            failures.push(Failure::failed(message));
        }
    }
    if let Some(place) = order.iter().position(|provider| provider == "env") {
        let environment = secrets.environment()?;
        for (_, providers) in by_name.values_mut().filter(|(name, _)| environment.has(name)) {
            let is_before = |provider: &&String| order.iter().position(|other| other == *provider) < Some(place);
            let before = providers.iter().filter(is_before).count();
            providers.insert(before, "env".to_owned());
        }
    }
    Ok((by_name.into_values().collect(), failures))
}

pub(crate) fn places(common: &Common, places: &Where) -> Outcome {
    let secrets = Secrets::open(common)?;
    let (mut found, mut failures): (Vec<(&String, Secret)>, Vec<Failure>) = (Vec::new(), Vec::new());
    for name in &places.names {
        match secrets.get(name) {
            Ok(secret) => found.push((name, secret)),
            Err(failure) => failures.push(failure),
        }
    }
    if places.json {
        let all: Map<String, Value> = found.iter().map(|(name, secret)| ((*name).clone(), as_json(secret))).collect();
        terminal::print(&format!("{:#}", Value::Object(all)))?;
    } else if !found.is_empty() {
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|(name, secret)| {
                let version = secret.version().unwrap_or_default().to_owned();
                let bytes = secret.value().len().to_string();
                vec![(*name).clone(), secret.provider().to_owned(), bytes, version, notes(secret)]
            })
            .collect();
        terminal::table(&["NAME", "PROVIDER", "BYTES", "VERSION", "NOTES"], &rows, None)?;
    }
    Failure::of_all(failures)?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(secret: &Secret) -> Value {
    json!({
        "provider": secret.provider(),
        "bytes": secret.value().len(),
        "version": secret.version(),
        "degraded": secret.is_degraded(),
        "stale": secret.is_stale(),
        "shared": secret.is_shared(),
    })
}

fn notes(secret: &Secret) -> String {
    let notes = [
        (secret.is_degraded(), "a provider before it failed"),
        (secret.is_stale(), "its last value; the provider is not responding"),
    ];
    let notes: Vec<&str> = notes.into_iter().filter_map(|(applies, note)| applies.then_some(note)).collect();
    notes.join("; ")
}

pub(crate) fn check(common: &Common, check: &Check) -> Outcome {
    let report = Secrets::open(common)?.check();
    let mut parsed: Value = serde_json::from_str(&report).unwrap_or_default();
    parsed["store"] = store(common);
    if check.json {
        terminal::print(&format!("{parsed:#}"))?;
    } else {
        let of_providers = parsed["providers"].as_array().into_iter().flatten();
        let named = of_providers.map(|provider| (text(provider, "name"), provider));
        let all = named.chain(["memory", "share", "store"].map(|name| (name, &parsed[name])));
        let rows: Vec<Vec<String>> = all.flat_map(|(name, health)| rows(name, health)).collect();
        terminal::table(&["PROVIDER", "STATE", "DETAIL"], &rows, Some(1))?;
    }
    Ok(if parsed["ok"] == true { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Which databases are used, and why. Opens none of them.
fn store(common: &Common) -> Value {
    let described = config::load(common).and_then(|config| Ok(Store::open(&config)?.describe()));
    let mut store: Value = match described {
        Ok(described) => serde_json::from_str(&described).unwrap_or_default(),
        Err(failure) => return json!({"state": "absent", "detail": failure.lines.join("; "), "advice": null}),
    };
    let place = if store["state_dir"].is_null() { text(&store, "database") } else { text(&store, "state_dir") };
    let reason = match (store["explanation"].as_str(), text(&store, "reason")) {
        (Some(explanation), _) => explanation.to_owned(),
        (None, "default") => "the default".to_owned(),
        (None, name) => format!("from {name}"),
    };
    let detail = format!("{place}: {reason}");
    // Their beginning is in the detail already.
    let known = format!("using {place}: {}; ", text(&store, "explanation"));
    let warnings = store["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let warnings: Vec<&str> = warnings.map(|warning| warning.strip_prefix(&known).unwrap_or(warning)).collect();
    let (state, advice) = match warnings.is_empty() {
        true => ("ok", Value::Null),
        false => ("warning", json!(warnings.join("; "))),
    };
    store["state"] = json!(state);
    store["detail"] = json!(detail);
    store["advice"] = advice;
    store
}

/// How a provider is and why, then what to do about it.
fn rows(name: &str, health: &Value) -> Vec<Vec<String>> {
    let state = text(health, "state");
    let mut rows = vec![vec![name.to_owned(), state.to_owned(), text(health, "detail").to_owned()]];
    if let Some(advice) = health["advice"].as_str() {
        rows.push(vec![String::new(), String::new(), format!("what to do: {advice}")]);
    }
    rows
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}
