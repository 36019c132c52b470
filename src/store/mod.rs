//! The databases: provider configuration with a cache, hardware prices, stored credentials, and an audit trail of every
//! change. They are SimpleTuner's own files and formats, so that both programs can use them at the same time.
//!
//! | what | file | table |
//! |---|---|---|
//! | provider configuration | `<state>/cloud/jobs.db` | `provider_config` |
//! | credentials | the same, or `SIMPLETUNER_AUTH_DB_PATH` | `provider_credentials` |
//! | audit trail | `<state>/audit.db`, signed with `<state>/audit.key` | `audit_log` |
//!
//! Reading creates nothing; the first write creates what is missing. Other tables are never touched.
//!
//! The write-ahead logs are checkpointed when the last handle of a store is dropped, when the process exits, and after
//! each write; in a long series of writes, only after some of them. After a checkpoint, a copy of the database files
//! alone is complete. [`Store::backup`] copies a database while it is in use.
//!
//! ```
//! use st_secrets::{Config, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let mut config = Config::new();
//! # let state_dir = directory.path().to_str().ok_or("not UTF-8")?;
//! config.set("state_dir", state_dir)?;
//! let store = Store::open(&config)?;
//! store.provider_save("replicate", r#"{"cost_limit_amount": 25.0}"#)?;
//! store.provider_update("replicate", r#"{"cost_limit_enabled": true}"#)?;
//! let config = store.provider_get("replicate")?;
//! assert_eq!(&*config, br#"{"cost_limit_amount": 25.0, "cost_limit_enabled": true}"#);
//! assert!(store.audit_verify(0, 0)?.is_intact());
//! # Ok(())
//! # }
//! ```
//!
//! # What is recorded
//! An entry is committed before the change that it announces. If the change then fails, a second entry revokes it
//! (action `failed`, target `audit_entry` with its number). A process that is killed between the two leaves an entry
//! without a change, never a change without an entry.
//!
//! | call | event type | action | target | details |
//! |---|---|---|---|---|
//! | [`Store::provider_save`] | `provider.configured` | `save` | `provider`, its name | `added`, `changed`, `removed`: names of members |
//! | [`Store::provider_update`] | `config.changed` | `update` | `provider`, its name | the same |
//! | [`Store::provider_delete`] | `config.changed` | `delete` | `provider`, its name | the same |
//! | [`Store::credential_set`] | `credential.created` | `create` or `replace` | `credential`, `{user}/{provider}/{name}` | `user_id`, `provider`, `name` |
//! | [`Store::credential_delete`], [`Store::credential_deactivate`] | `credential.deleted` | `delete`, `deactivate` | the same | the same |
//! | [`Store::credential_get`], [`Store::credential_resolve`], [`Store::credential_mark_used`] | `credential.used` | `use` | the same | the same |
//! | [`Store::credentials_reencrypt`] | `config.changed` | `reencrypt` | `credentials` | `plain`: whether plain rows are migrated |
//! | [`Store::credentials_rotate`] | `config.changed` | `rotate_key` | `credentials` | none |
//! | [`Store::audit_retain`] | `config.changed` | `retention` | `audit_log`, the removed numbers | `before`, `days`, `removed`, `first_id`, `last_id`, `last_hash`, `head_hash`, `forks`, `recent_hashes` |
//! | [`Store::audit_log`] | as given | as given | as given | as given |
//!
//! Members whose names look like those of secrets (`secret`, `token`, `key`, `password`, `credential`) are always
//! listed as `changed`. The signature covers the time, event type, actor id, action, details and the previous
//! signature; it does not cover the actor's name and address, nor the target.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::fork;
use crate::log::Level;
use crate::process_default::ProcessDefault;
use crate::raw_json::python;

mod actor;
mod audit;
mod backup;
mod checkpoint;
mod connection;
mod credentials;
mod database;
mod deferred_log;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod hardware;
mod interrupt;
mod json;
mod pool;
mod provider_config;
mod schema;
mod state_dir;
mod time;

pub use actor::Actor;
pub use audit::{AuditExport, AuditFormat, BrokenLink, LinkError, Retention, Verification, Violation};
pub use backup::StoreDatabase;
pub use credentials::{CredentialOrigin, Reencryption, ResolvedCredential};
pub use hardware::{DEFAULT_HARDWARE_INFO, HardwarePrice};

use audit::{AuditLog, ChangeRecord, Entry, RETENTION_ACTION, RETENTION_EVENT, recorded};
use connection::Connection;
use database::Database;
use deferred_log::log_later;
use hardware::Prices;
use provider_config::ProviderCache;
use state_dir::{PathOrigin, StorePaths};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The databases of one state directory. It may be shared by any number of threads; cloning is cheap.
#[derive(Clone)]
pub struct Store {
    shared: Arc<StoreState>,
    actor: Actor,
}

struct StoreState {
    jobs: Database,
    credentials: Database,
    audit: AuditLog,
    configs: ProviderCache,
    prices: Prices,
    timeout: Duration,
    origin: PathOrigin,
}

/// Checkpoints, so that a copy of the database files alone is complete once the last handle is dropped.
impl Drop for StoreState {
    fn drop(&mut self) {
        let _guard = fork::protect();
        for database in [&self.jobs, &self.credentials, self.audit.database()] {
            database.checkpoint();
        }
    }
}

static DEFAULT: ProcessDefault<Store> = ProcessDefault::new();

impl Store {
    /// A store on the databases in `state_dir`, or on `database` and `audit_database`; by default on SimpleTuner's own.
    /// `timeout` limits each call, 30 s by default: waiting for locks, and reading, which might not end by itself on a
    /// damaged database. No file is opened or created yet.
    pub fn open(config: &Config) -> Result<Store> {
        let _guard = fork::protect();
        Store::with_cache(config, ProviderCache::own()?)
    }

    fn with_cache(config: &Config, configs: ProviderCache) -> Result<Store> {
        let files = StorePaths::find(config)?;
        for warning in &files.origin.warnings {
            log_later(Level::Warn, warning.clone());
        }
        Ok(Store {
            shared: Arc::new(StoreState {
                jobs: Database::new(files.database, &schema::PROVIDER_CONFIG),
                credentials: Database::new(files.credentials, &schema::CREDENTIALS),
                audit: AuditLog::new(files.audit),
                configs,
                prices: Prices::new()?,
                timeout: config.time("timeout", DEFAULT_TIMEOUT),
                origin: files.origin,
            }),
            actor: Actor::default(),
        })
    }

    /// The store of the process, opened on first use with the settings of the environment. It is the one that uses the
    /// built-in cache of provider configuration.
    pub fn default_instance() -> Result<Arc<Store>> {
        DEFAULT.get_or_open(|| Store::with_cache(&Config::new(), ProviderCache::built_in()))
    }

    /// Replaces the store of the process with one with these settings. With `None`, a new one is opened on the next
    /// use. References to the old one remain valid, but no longer cache provider configuration.
    pub fn reset_default(config: Option<&Config>) -> Result<()> {
        let _guard = fork::protect();
        let open = |config| Store::with_cache(config, ProviderCache::built_in());
        let new = config.map(open).transpose()?.map(Arc::new);
        loop {
            let old = DEFAULT.get();
            // Before the next store uses the built-in cache, and without a lock.
            if let Some(old) = &old {
                old.shared.configs.release_built_in();
            }
            if DEFAULT.replace_if(old.as_ref(), new.clone()) {
                return Ok(());
            }
        }
    }

    /// Another handle of the same store, whose changes are recorded as this actor's.
    pub fn as_actor(&self, actor: Actor) -> Result<Store> {
        let _guard = fork::protect();
        actor.check()?;
        Ok(Store { shared: self.shared.clone(), actor })
    }

    /// Returns which databases the store uses, and why, as a JSON object: `state_dir`, `reason`, `explanation`,
    /// `database`, `credentials_database`, `audit_database`, `audit_key` and `warnings`. Opens nothing.
    pub fn describe(&self) -> String {
        let shared = &self.shared;
        let audit = &shared.audit;
        shared.origin.to_json(shared.jobs.path(), shared.credentials.path(), audit.database().path(), audit.key_path())
    }

    /// The event types of SimpleTuner, as a JSON array of objects with `name` (of the constant there), `value`,
    /// `category` and `security`. An entry may have any other type, too.
    pub fn audit_event_types() -> String {
        audit::event_types()
    }

    /// Appends an entry of the program's own to the audit trail. Returns its number. `event_type` is one of
    /// [`Store::audit_event_types`] or any other text, `details` is a JSON object or empty; it must not contain a
    /// secret.
    pub fn audit_log(
        &self,
        event_type: &str,
        action: &str,
        target: Option<(&str, &str)>,
        details: &str,
    ) -> Result<i64> {
        let _guard = fork::protect();
        if (event_type, action) == (RETENTION_EVENT, RETENTION_ACTION) {
            let message = format!("only the removal of old entries is recorded as {event_type} {action}");
            return Err(Error::invalid_argument(message));
        }
        let details = match details.trim().is_empty() {
            true => "{}".to_owned(),
            false => {
                let details = json::ConfigObject::parse(details)
                    .map_err(|problem| Error::invalid_argument(format!("`details`: {problem}")))?;
                python::to_python(&details.merged(&json::ConfigObject::default()))
            }
        };
        let entry = Entry {
            event_type,
            action,
            target_type: target.map(|(kind, _)| kind),
            target_id: target.map(|(_, id)| id.to_owned()),
            details,
        };
        self.shared.audit.append(&self.actor, &entry, self.deadline())
    }

    /// Queries the audit trail. Returns entries, newest first, as a JSON array. `filter` is a JSON object with any of
    /// `event_type`, `event_types` (an array), `action`, `actor_id`, `actor_username`, `target_type`, `target_id`,
    /// `since` and `until` (both included; a date is its midnight, and a time without an offset is in UTC),
    /// `since_text` and `until_text` (any text, compared with the stored times as text), `after_id` (greater numbers),
    /// `limit` (100 by default) and `offset`; empty matches everything.
    pub fn audit_query(&self, filter: &str) -> Result<String> {
        let _guard = fork::protect();
        self.shared.audit.query(filter, self.deadline())
    }

    /// Returns statistics of the audit trail as a JSON object: `total_entries`, `by_type` (the most frequent first),
    /// `last_24h`, `first_entry` and `last_entry` (times, or null).
    pub fn audit_stats(&self) -> Result<String> {
        let _guard = fork::protect();
        self.shared.audit.stats(self.deadline())
    }

    /// Exports entries that match a filter as text, oldest first: at most 10 000 at once, which is also the default
    /// `limit`. The next part has the filter `after_id` with the number of the last entry.
    pub fn audit_export(&self, filter: &str, format: AuditFormat) -> Result<AuditExport> {
        let _guard = fork::protect();
        self.shared.audit.export(filter, format, self.deadline())
    }

    /// Sends the entries that match a filter to a webhook, oldest first, at most 10 000. `webhook` is a JSON object
    /// with `url` and any of `token`, `security_only`, `batch`, `timeout`, `retries` and `ca_file`.
    ///
    /// Returns the number of the last entry that was delivered or, with `security_only`, skipped; 0 if none matches. If
    /// a request fails after others were delivered, the call succeeds: the next call, for the entries after that
    /// number, reports the failure if it persists. A receiver may get an entry twice, never out of order.
    pub fn audit_send(&self, filter: &str, webhook: &str) -> Result<i64> {
        let _guard = fork::protect();
        self.shared.audit.send(filter, webhook, self.deadline())
    }

    /// Removes the entries at the beginning of the audit trail that are more than this many days old. With `None`, the
    /// days are those of `SIMPLETUNER_AUDIT_RETENTION_DAYS`, else 90; nothing is removed if they are 0 or negative.
    ///
    /// The remaining entries are signed again as a chain of their own, which is valid for SimpleTuner too, and an entry
    /// records what was removed. An altered or incomplete trail is an error (`Corrupt`) and stays as it is.
    pub fn audit_retain(&self, days: Option<u32>) -> Result<Retention> {
        let _guard = fork::protect();
        let days = match days {
            Some(0) => return Err(Error::invalid_argument("`days` must be at least 1")),
            Some(days) => Some(days),
            None => audit::days_of_environment()?,
        };
        match days {
            Some(days) => self.shared.audit.retain(&self.actor, days, self.deadline()),
            None => Ok(Retention::default()),
        }
    }

    /// Verifies the chain of the entries `first` to `last`. 0 means the first, or the last, entry. `timeout` limits the
    /// time for each 1000 entries; entries that are appended during the call are not verified.
    pub fn audit_verify(&self, first: i64, last: i64) -> Result<Verification> {
        let _guard = fork::protect();
        let last = if last <= 0 { i64::MAX } else { last };
        self.shared.audit.verify(first.max(1), last, self.shared.timeout)
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.shared.timeout)
    }

    /// Makes a change in one transaction of `db`. `change` records what it is about to do before it does it. If it or
    /// the commit fails, the record is revoked.
    fn change<T>(
        &self,
        db: &Connection<'_>,
        deadline: Deadline,
        change: impl FnOnce(&mut ChangeRecord<'_>) -> Result<T>,
    ) -> Result<T> {
        recorded(self, deadline, |record| db.immediate(|| change(record)))
    }
}

/// Shows the path of the database.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", &self.shared.jobs.path()).field("actor", &self.actor).finish()
    }
}
