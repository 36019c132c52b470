//! The databases: provider configuration with a cache in front of it, hardware prices, stored credentials, and an audit
//! trail of every change, in SimpleTuner's own files and formats, so that both programs can work on them at the same time.
//!
//! | what | file | table |
//! |---|---|---|
//! | provider configuration | `<state>/cloud/jobs.db` | `provider_config` |
//! | credentials | the same, or `SIMPLETUNER_AUTH_DB_PATH` | `provider_credentials` |
//! | audit trail | `<state>/audit.db`, signed with `<state>/audit.key` | `audit_log` |
//!
//! Reading creates nothing; the first write creates what is missing. Other tables are never touched.
//!
//! The write-ahead logs are written back into the databases when the last handle of a store is dropped, and after each
//! write, but of many in a row only after some: then a copy of the database files alone is complete.
//!
//! ```
//! use st_secrets::{Config, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let mut config = Config::new();
//! # let state_dir = directory.path().to_str().ok_or("no UTF-8")?;
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
//! An entry is committed before the change that it tells of. If the change then fails, a second entry takes it back
//! (action `failed`, target `audit_entry` with its number); a process that is killed between the two leaves an entry
//! without a change, never a change without an entry.
//!
//! | call | event type | action | target | details |
//! |---|---|---|---|---|
//! | [`Store::provider_save`] | `provider.configured` | `save` | `provider`, its name | `added`, `changed`, `removed`: names of members |
//! | [`Store::provider_update`] | `config.changed` | `update` | `provider`, its name | the same |
//! | [`Store::provider_delete`] | `config.changed` | `delete` | `provider`, its name | the same |
//! | [`Store::credential_set`] | `credential.created` | `create` or `replace` | `credential`, `{user}/{provider}/{name}` | `user_id`, `provider`, `name` |
//! | [`Store::credential_delete`] | `credential.deleted` | `delete` | the same | the same |
//! | [`Store::credential_get`], [`Store::credential_resolve`] | `credential.used` | `use` | the same | the same |
//! | [`Store::credentials_reencrypt`] | `config.changed` | `reencrypt` | `credentials` | `plain`: whether plain rows are migrated |
//! | [`Store::credentials_rotate`] | `config.changed` | `rotate_key` | `credentials` | none |
//! | [`Store::audit_log`] | as given | as given | as given | as given |
//!
//! Of members whose names look like those of secrets (`secret`, `token`, `key`, `password`, `credential`) it is only
//! told that they changed. The signature covers time, event type, the actor's number, action, details and the signature
//! before; it does not cover the actor's name and address, nor the target.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source};
use crate::fork;
use crate::log::Level;

mod actor;
mod audit;
mod credentials;
mod database;
mod failure;
mod hardware;
mod json;
mod pace;
mod provider;
mod provider_cache;
mod reencrypt;
mod schema;
mod slot;
mod state_dir;
mod time;

pub use actor::Actor;
pub use audit::chain::{Break, Verified};
pub use credentials::{Origin, Resolved};
pub use reencrypt::Reencryption;

use audit::{Entry, Trail};
use database::{Database, Open};
use hardware::Prices;
use provider_cache::ProviderCache;
use state_dir::Files;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The databases of one state directory. It may be shared by any number of threads; cloning is cheap.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    actor: Actor,
}

struct Shared {
    jobs: Database,
    credentials: Database,
    trail: Trail,
    configs: ProviderCache,
    prices: Prices,
    timeout: Duration,
}

/// A copy of the database files alone is complete once the last handle is gone.
impl Drop for Shared {
    fn drop(&mut self) {
        let _guard = fork::protect();
        for database in [&self.jobs, &self.credentials, self.trail.database()] {
            database.write_back();
        }
    }
}

static DEFAULT: RwLock<Option<Arc<Store>>> = RwLock::new(None);
/// The number of that one's cache, for whoever needs no more; 0 while there is none.
static DEFAULT_CACHE: AtomicUsize = AtomicUsize::new(0);

impl Store {
    /// The databases that these settings name: `state_dir`, or `database` and `audit_database`; else SimpleTuner's own.
    /// `timeout` is how long a call may take, 30 s by default: waiting for others that write, and reading, which on a
    /// damaged database might not end by itself. Nothing is opened or created yet.
    pub fn open(config: &Config) -> Result<Store> {
        let _guard = fork::protect();
        let files = Files::find(config)?;
        Ok(Store {
            shared: Arc::new(Shared {
                jobs: Database::new(files.database, &schema::PROVIDER_CONFIG),
                credentials: Database::new(files.credentials, &schema::CREDENTIALS),
                trail: Trail::new(files.audit),
                configs: ProviderCache::new(),
                prices: Prices::new()?,
                timeout: config.time("timeout", DEFAULT_TIMEOUT),
            }),
            actor: Actor::default(),
        })
    }

    /// The store of the whole process, made on first use with no settings but the environment's.
    pub fn default_instance() -> Result<Arc<Store>> {
        let _guard = fork::protect();
        if let Some(store) = &*DEFAULT.read() {
            return Ok(store.clone());
        }
        let new = Arc::new(Store::open(&Config::new())?);
        let mut default = DEFAULT.write();
        let store = default.get_or_insert(new);
        DEFAULT_CACHE.store(store.shared.configs.number(), SeqCst);
        Ok(store.clone())
    }

    /// Replaces the store of the whole process by one with these settings, or, with `None`, by a new one on its next
    /// use. Who holds the old one keeps it.
    pub fn reset_default(config: Option<&Config>) -> Result<()> {
        let _guard = fork::protect();
        let new = config.map(Store::open).transpose()?.map(Arc::new);
        let mut default = DEFAULT.write();
        DEFAULT_CACHE.store(new.as_ref().map_or(0, |store| store.shared.configs.number()), SeqCst);
        let old = std::mem::replace(&mut *default, new);
        drop(default);
        drop(old);
        Ok(())
    }

    /// The same store; what is done with it is recorded as this actor's.
    pub fn as_actor(&self, actor: Actor) -> Result<Store> {
        let _guard = fork::protect();
        actor.check()?;
        Ok(Store { shared: self.shared.clone(), actor })
    }

    /// Appends an entry of the program's own to the audit trail; its number. `details` is a JSON object, or empty, and
    /// must not hold a secret.
    pub fn audit_log(
        &self,
        event_type: &str,
        action: &str,
        target: Option<(&str, &str)>,
        details: &str,
    ) -> Result<i64> {
        let _guard = fork::protect();
        let details = match details.trim().is_empty() {
            true => "{}".to_owned(),
            false => {
                let details = json::Object::parse(details)
                    .map_err(|problem| Error::invalid_argument(format!("`details`: {problem}")))?;
                json::as_python(&details.merged(&json::Object::default()))
            }
        };
        let entry = Entry {
            event_type,
            action,
            target_type: target.map(|(kind, _)| kind),
            target_id: target.map(|(_, id)| id.to_owned()),
            details,
        };
        self.shared.trail.append(&self.actor, &entry, self.deadline())
    }

    /// Entries of the audit trail, newest first, as a JSON array. `filter` is a JSON object, or empty, with any of
    /// `event_type`, `action`, `actor_id`, `actor_username`, `target_type`, `target_id`, `since` (included), `until`
    /// (excluded), `limit` (100 by default) and `offset`.
    pub fn audit_query(&self, filter: &str) -> Result<String> {
        let _guard = fork::protect();
        self.shared.trail.query(filter, self.deadline())
    }

    /// Checks the chain of the entries `first` to `last`; 0 is the first and the last that there are.
    pub fn audit_verify(&self, first: i64, last: i64) -> Result<Verified> {
        let _guard = fork::protect();
        let last = if last <= 0 { i64::MAX } else { last };
        self.shared.trail.verify(first.max(1), last, self.deadline())
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.shared.timeout)
    }

    /// Makes a change in one transaction of `open`. `change` records what it is about to do before it does it; if it or
    /// the commit then fails, the record is taken back.
    fn change<T>(
        &self,
        open: &Open<'_>,
        deadline: Deadline,
        change: impl FnOnce(&mut Recorder<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut recorder = Recorder::new(self, deadline);
        let result = open.immediate(|| change(&mut recorder))?;
        recorder.keep();
        Ok(result)
    }
}

/// Where the files are.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", &self.shared.jobs.path()).field("actor", &self.actor).finish()
    }
}

/// Records a change before it is made. Dropped without [`Recorder::keep`], it takes the record back.
struct Recorder<'a> {
    store: &'a Store,
    deadline: Deadline,
    entry: Option<(i64, Entry<'static>)>,
    generation: u32,
}

impl Recorder<'_> {
    fn new(store: &Store, deadline: Deadline) -> Recorder<'_> {
        Recorder { store, deadline, entry: None, generation: fork::generation() }
    }

    /// Once for each change.
    fn record(&mut self, entry: Entry<'static>) -> Result<()> {
        let id = self.store.shared.trail.append(&self.store.actor, &entry, self.deadline).map_err(|error: Error| {
            error
                .with_source(Source::Store)
                .map_message(|message| format!("nothing was changed, as the audit trail cannot record it: {message}"))
        })?;
        self.entry = Some((id, entry));
        Ok(())
    }

    /// The change was made.
    fn keep(mut self) {
        self.entry = None;
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        let Some((id, entry)) = &self.entry else { return };
        if self.generation != fork::generation() {
            // A callback forked, and this is the child: the change is the parent's.
            return;
        }
        // The change may have failed because its time is up; this has its own.
        let deadline = self.store.deadline();
        if let Err(error) = self.store.shared.trail.append(&self.store.actor, &entry.failed(*id), deadline) {
            let message = format!("audit entry {id} tells of a change that failed, and cannot be taken back: {error}");
            slot::tell(Level::Error, message);
        }
    }
}
