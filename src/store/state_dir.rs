//! The paths of the databases.
//!
//! SimpleTuner finds its state directory with `SIMPLETUNER_STATE_DIR`, else `SIMPLETUNER_CONFIG_DIR`, else the first of
//! `/workspace/simpletuner`, `/notebooks/simpletuner` and `~/.simpletuner` that has a directory `cloud`. Its server,
//! however, sets `SIMPLETUNER_STATE_DIR` to `~/.simpletuner` for itself unless it is set. Only `SIMPLETUNER_STATE_DIR`
//! and settings are final here: otherwise the directory is used that has a `cloud/jobs.db`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::error;
use crate::config::Config;
use crate::error::{Result, Status};
use crate::paths;
use crate::settings::Environment;

const STATE_VARIABLE: &str = "SIMPLETUNER_STATE_DIR";
const CONFIG_VARIABLE: &str = "SIMPLETUNER_CONFIG_DIR";
const CREDENTIALS_VARIABLE: &str = "SIMPLETUNER_AUTH_DB_PATH";

const DATABASE: &str = "cloud/jobs.db";
const AUDIT: &str = "audit.db";

/// The files of a store, which need not exist.
pub(super) struct StorePaths {
    pub(super) database: PathBuf,
    pub(super) credentials: PathBuf,
    pub(super) audit: PathBuf,
    pub(super) origin: PathOrigin,
}

/// Why these files are used.
pub(super) struct PathOrigin {
    /// `None` if the setting `database` names a file elsewhere.
    state_dir: Option<PathBuf>,
    reason: Reason,
    /// A sentence, where the reason alone does not say enough.
    explanation: Option<String>,
    /// What a person should look at.
    pub(super) warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    DatabaseSetting,
    StateDirSetting,
    StateVariable,
    ConfigVariable,
    /// It has the database that SimpleTuner's server uses.
    InUse,
    Default,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Reason::DatabaseSetting => "database",
            Reason::StateDirSetting => "state_dir",
            Reason::StateVariable => STATE_VARIABLE,
            Reason::ConfigVariable => CONFIG_VARIABLE,
            Reason::InUse => "in_use",
            Reason::Default => "default",
        }
    }
}

impl StorePaths {
    /// The paths in the configuration. What it leaves open comes from the environment and SimpleTuner's defaults.
    pub(super) fn find(config: &Config) -> Result<StorePaths> {
        let given = |key| config.text(key).map(|path| absolute(paths::expand_home(Path::new(path)))).transpose();
        let audit = given("audit_database")?;
        let is_default = audit.is_none();
        let mut files = match given("database")? {
            Some(database) => StorePaths::of_database(database, audit),
            None => StorePaths::of_state_dir(given("state_dir")?, audit)?,
        };
        let beside = files.database.with_file_name(AUDIT);
        if is_default && beside != files.audit && beside.exists() {
            files.origin.warnings.push(second_trail(&beside, &files.audit));
        }
        for other in [&files.database, &files.credentials] {
            if *other == files.audit {
                let message =
                    format!("{} cannot also be the database of the audit trail; use separate files", other.display());
                return Err(error(Status::Config, message));
            }
        }
        Ok(files)
    }

    /// The database `cloud/jobs.db` of a state directory has the audit trail of that directory; any other file has one
    /// beside it.
    fn of_database(database: PathBuf, audit: Option<PathBuf>) -> StorePaths {
        let state_dir = database.ends_with(DATABASE).then(|| database.ancestors().nth(2)).flatten().map(Path::to_owned);
        let audit = audit.unwrap_or_else(|| match &state_dir {
            Some(state_dir) => state_dir.join(AUDIT),
            None => database.with_file_name(AUDIT),
        });
        let origin = PathOrigin { state_dir, ..PathOrigin::of(Reason::DatabaseSetting) };
        StorePaths { credentials: database.clone(), database, audit, origin }
    }

    fn of_state_dir(given: Option<PathBuf>, audit: Option<PathBuf>) -> Result<StorePaths> {
        let (state, origin) = match given {
            Some(state) => (state, PathOrigin::of(Reason::StateDirSetting)),
            None => {
                let (state, origin) = find_state_dir()?;
                (absolute(state)?, origin)
            }
        };
        let database = state.join(DATABASE);
        let credentials = match Environment::Process.non_empty(CREDENTIALS_VARIABLE) {
            Some(path) => absolute(paths::expand_home(Path::new(&path)))?,
            None => database.clone(),
        };
        let audit = audit.unwrap_or_else(|| state.join(AUDIT));
        Ok(StorePaths { credentials, audit, database, origin: PathOrigin { state_dir: Some(state), ..origin } })
    }
}

impl PathOrigin {
    fn of(reason: Reason) -> PathOrigin {
        PathOrigin { state_dir: None, reason, explanation: None, warnings: Vec::new() }
    }

    /// As JSON, for [`Store::describe`](super::Store::describe).
    pub(super) fn to_json(&self, database: &Path, credentials: &Path, audit: &Path, audit_key: &Path) -> String {
        let text = |path: &Path| path.display().to_string();
        json!({
            "state_dir": self.state_dir.as_deref().map(text),
            "reason": self.reason.name(),
            "explanation": self.explanation,
            "database": text(database),
            "credentials_database": text(credentials),
            "audit_database": text(audit),
            "audit_key": text(audit_key),
            "warnings": self.warnings,
        })
        .to_string()
    }
}

/// The warning of an audit trail beside `cloud/jobs.db`, which earlier versions wrote.
fn second_trail(beside: &Path, audit: &Path) -> String {
    format!(
        "{} is a second audit trail, which an earlier version wrote and which is no longer used; the trail is {}. Read \
         it with the setting audit_database, then move it away together with {}",
        beside.display(),
        audit.display(),
        beside.with_file_name("audit.key").display(),
    )
}

/// SimpleTuner's state directory, and why.
fn find_state_dir() -> Result<(PathBuf, PathOrigin)> {
    let expanded =
        |name| Environment::Process.non_empty(name).map(|directory| paths::expand_home(Path::new(&directory)));
    if let Some(directory) = expanded(STATE_VARIABLE) {
        return Ok((directory, PathOrigin::of(Reason::StateVariable)));
    }
    let servers = paths::home().map(|home| home.join(".simpletuner"));
    if let Some(directory) = expanded(CONFIG_VARIABLE) {
        return Ok(choose((directory, Reason::ConfigVariable), servers));
    }
    let mounted = ["/workspace", "/notebooks"].map(Path::new).into_iter().filter_map(mounted);
    let candidates: Vec<PathBuf> = mounted.chain(servers.clone()).collect();
    let used = candidates.iter().find(|directory| directory.join("cloud").exists());
    match used.or(candidates.first()) {
        Some(directory) => Ok(choose((directory.clone(), Reason::Default), servers)),
        None => {
            let message = "there is no home directory to store databases in; set SIMPLETUNER_STATE_DIR, HOME, or \
                           state_dir in the configuration";
            Err(error(Status::Config, message))
        }
    }
}

/// Chooses between the directory that SimpleTuner's function finds and the one that its server uses. That a database
/// exists in it counts; if both have one, a variable counts before the server.
fn choose((found, reason): (PathBuf, Reason), servers: Option<PathBuf>) -> (PathBuf, PathOrigin) {
    let has_database = |directory: &Path| directory.join(DATABASE).is_file();
    let Some(servers) = servers.filter(|servers| !is_same(servers, &found) && has_database(servers)) else {
        return (found, PathOrigin::of(reason));
    };
    let is_named = reason == Reason::ConfigVariable;
    let name = if is_named { format!("{CONFIG_VARIABLE} is {}", found.display()) } else { found.display().to_string() };
    let remedy = format!("to choose explicitly, set {STATE_VARIABLE}");
    if !has_database(&found) {
        let (has_no, shown) = (if is_named { ", which has no" } else { " has no" }, servers.display());
        let explanation = format!("{name}{has_no} {DATABASE}, and {shown}, which SimpleTuner's server uses, has one");
        let warnings = vec![format!("using {shown}: {explanation}; {remedy}")];
        return (servers, PathOrigin { explanation: Some(explanation), warnings, ..PathOrigin::of(Reason::InUse) });
    }
    let both = format!("both {} and {} have a {DATABASE}", found.display(), servers.display());
    let (used, reason, why) = match is_named {
        true => (found, reason, format!("{CONFIG_VARIABLE} names the first")),
        false => (servers, Reason::InUse, "SimpleTuner's server uses the second".to_owned()),
    };
    let explanation = format!("{both}, and {why}");
    let warnings = vec![format!("using {}: {explanation}; {remedy}", used.display())];
    (used, PathOrigin { explanation: Some(explanation), warnings, ..PathOrigin::of(reason) })
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

fn mounted(directory: &Path) -> Option<PathBuf> {
    directory.exists().then(|| directory.join("simpletuner"))
}

/// Makes a path absolute, because the program may change its working directory later.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path)
        .map_err(|failure| error(Status::Config, format!("{} is not a valid path: {failure}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_database(directory: PathBuf) -> PathBuf {
        fs::create_dir_all(directory.join("cloud")).unwrap();
        fs::write(directory.join(DATABASE), "").unwrap();
        directory
    }

    #[test]
    fn directory_in_use_is_chosen() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (empty, other_empty) = (path("empty"), path("other-empty"));
        let (used, servers) = (with_database(path("used")), with_database(path("servers")));
        fs::create_dir_all(path("only-cloud/cloud")).unwrap();
        for (found, reason, home, expected, expected_reason, warnings) in [
            (&empty, Reason::ConfigVariable, None, &empty, Reason::ConfigVariable, 0),
            (&empty, Reason::ConfigVariable, Some(&other_empty), &empty, Reason::ConfigVariable, 0),
            (&empty, Reason::ConfigVariable, Some(&servers), &servers, Reason::InUse, 1),
            (&path("only-cloud"), Reason::Default, Some(&servers), &servers, Reason::InUse, 1),
            (&used, Reason::ConfigVariable, Some(&other_empty), &used, Reason::ConfigVariable, 0),
            (&used, Reason::ConfigVariable, Some(&servers), &used, Reason::ConfigVariable, 1),
            (&used, Reason::Default, Some(&servers), &servers, Reason::InUse, 1),
            (&used, Reason::Default, Some(&other_empty), &used, Reason::Default, 0),
            (&servers, Reason::Default, Some(&servers), &servers, Reason::Default, 0),
            (
                &path("used/../servers"),
                Reason::ConfigVariable,
                Some(&servers),
                &path("used/../servers"),
                Reason::ConfigVariable,
                0,
            ),
        ] {
            let (chosen, origin) = choose((found.clone(), reason), home.cloned());
            let shown = format!("{} {reason:?} {home:?}", found.display());
            assert_eq!(
                (&chosen, origin.reason, origin.warnings.len()),
                (expected, expected_reason, warnings),
                "{shown}"
            );
            assert_eq!(origin.explanation.is_some(), warnings > 0, "{shown}");
            assert!(origin.warnings.iter().all(|warning| warning.contains(STATE_VARIABLE)), "{:?}", origin.warnings);
        }
    }

    #[test]
    fn audit_trail_is_that_of_the_state_directory() {
        for (database, audit, state_dir) in [
            ("/s/cloud/jobs.db", "/s/audit.db", Some("/s")),
            ("/s/jobs.db", "/s/audit.db", None),
            ("/s/cloud/other.db", "/s/cloud/audit.db", None),
            ("/s/xcloud/jobs.db", "/s/xcloud/audit.db", None),
            ("/cloud/jobs.db", "/audit.db", Some("/")),
        ] {
            let paths = StorePaths::of_database(PathBuf::from(database), None);
            assert_eq!(paths.audit, Path::new(audit), "{database}");
            assert_eq!(paths.origin.state_dir.as_deref(), state_dir.map(Path::new), "{database}");
        }
        let paths = StorePaths::of_database("/s/cloud/jobs.db".into(), Some("/x/a.db".into()));
        assert_eq!(paths.audit, Path::new("/x/a.db"));
    }
}
