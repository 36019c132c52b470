//! The paths of the databases.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::error;
use crate::config::Config;
use crate::error::{Result, Status};
use crate::paths;

const STATE_VARIABLES: [&str; 2] = ["SIMPLETUNER_STATE_DIR", "SIMPLETUNER_CONFIG_DIR"];
const CREDENTIALS_VARIABLE: &str = "SIMPLETUNER_AUTH_DB_PATH";

/// The files of a store, which need not exist.
pub(super) struct StorePaths {
    pub(super) database: PathBuf,
    pub(super) credentials: PathBuf,
    pub(super) audit: PathBuf,
}

impl StorePaths {
    /// The paths in the configuration. What it leaves open comes from the environment and SimpleTuner's defaults.
    pub(super) fn find(config: &Config) -> Result<StorePaths> {
        let given = |key| config.text(key).map(|path| absolute(paths::expand_home(Path::new(path)))).transpose();
        let audit = given("audit_database")?;
        let files = match given("database")? {
            Some(database) => StorePaths {
                credentials: database.clone(),
                audit: audit.unwrap_or_else(|| database.with_file_name("audit.db")),
                database,
            },
            None => {
                let state = match given("state_dir")? {
                    Some(state) => state,
                    None => absolute(state_dir()?)?,
                };
                let database = state.join("cloud/jobs.db");
                let credentials = match variable(CREDENTIALS_VARIABLE) {
                    Some(path) => absolute(paths::expand_home(Path::new(&path)))?,
                    None => database.clone(),
                };
                StorePaths { credentials, audit: audit.unwrap_or_else(|| state.join("audit.db")), database }
            }
        };
        for other in [&files.database, &files.credentials] {
            if *other == files.audit {
                let message =
                    format!("{} cannot also be the database of the audit trail; use separate files", other.display());
                return Err(error(Status::Config, message));
            }
        }
        Ok(files)
    }
}

/// SimpleTuner's state directory.
fn state_dir() -> Result<PathBuf> {
    if let Some(directory) = STATE_VARIABLES.into_iter().find_map(variable) {
        return Ok(paths::expand_home(Path::new(&directory)));
    }
    let mut candidates: Vec<PathBuf> = Vec::new();
    candidates.extend(["/workspace", "/notebooks"].map(Path::new).into_iter().filter_map(mounted));
    candidates.extend(paths::home().map(|home| home.join(".simpletuner")));
    let used = candidates.iter().position(|directory| directory.join("cloud").exists()).unwrap_or(0);
    if candidates.is_empty() {
        let message = "there is no home directory to store databases in; set SIMPLETUNER_STATE_DIR, HOME, or state_dir \
                       in the configuration";
        return Err(error(Status::Config, message));
    }
    Ok(candidates.swap_remove(used))
}

fn mounted(directory: &Path) -> Option<PathBuf> {
    directory.exists().then(|| directory.join("simpletuner"))
}

/// The value of a variable. An empty variable counts as not set.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Makes a path absolute, because the program may change its working directory later.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path)
        .map_err(|failure| error(Status::Config, format!("{} is not a valid path: {failure}", path.display())))
}
