//! Provider configuration.

use rusqlite::params;
use zeroize::Zeroizing;

use super::actor::check_text;
use super::audit::{Details, Entry};
use super::connection::Connection;
use super::error::{corrupt, error, out_of_order};
use super::json::{self, ConfigObject, MAX_SIZE};
use super::{Store, time};
use crate::cache::{Value, provider_config};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::secret_memory::SharedBytes;

mod cache;

pub(super) use cache::ProviderCache;
use cache::{ConfigKey, MAX_NAME};

const SELECT: &str = "SELECT config FROM provider_config WHERE provider = ?1";
const UPSERT: &str = "INSERT INTO provider_config (provider, config, updated_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (provider) DO UPDATE SET config = excluded.config, updated_at = excluded.updated_at";

/// A stored configuration, or why it is not an object.
type ParsedConfig<'a> = std::result::Result<ConfigObject<'a>, String>;

/// The members of a view and their defaults.
type View = [(&'static str, &'static str)];

const WEBHOOK: &View = &[
    ("webhook_url", "null"),
    ("webhook_secret", "null"),
    ("webhook_require_signature", "true"),
    ("webhook_allowed_ips", "[]"),
];
const COST_LIMIT: &View = &[
    ("cost_limit_enabled", "false"),
    ("cost_limit_amount", "0.0"),
    ("cost_limit_period", "\"daily\""),
    ("cost_limit_action", "\"warn\""),
];

impl Store {
    /// Like [`Store::provider_get`] of the store of the process. A cached configuration is returned without a reference
    /// to the store being taken.
    #[inline]
    pub fn default_provider_get(provider: &str) -> Result<SharedBytes> {
        let is_fresh = fork::read()
            .is_some_and(|reading| super::DEFAULT.peek(&reading).is_some_and(|store| store.shared.configs.is_fresh()));
        // The built-in cache belongs to the store of the process, also if that was replaced in the meantime.
        if is_fresh
            && let Ok(Some(config)) = provider_config().and_then(|cache| cache.get_bytes(&ConfigKey::of(provider)))
        {
            return Ok(config);
        }
        Store::default_instance()?.provider_get(provider)
    }

    /// The configuration of a provider: a JSON object as it was written, `{}` if there is none. It is cached for up to
    /// 300 s; a write by another process is seen within a second. The store of the process caches it in
    /// [`cache::provider_config`](crate::cache::provider_config()), every other store in a cache of its own.
    #[inline]
    pub fn provider_get(&self, provider: &str) -> Result<SharedBytes> {
        let key = ConfigKey::of(provider);
        match self.shared.configs.get(&key) {
            Some(config) => Ok(config),
            None => self.provider_load(provider, &key),
        }
    }

    #[cold]
    fn provider_load(&self, provider: &str, key: &ConfigKey) -> Result<SharedBytes> {
        let _guard = fork::protect();
        check_name(provider)?;
        let deadline = self.deadline();
        let configs = &self.shared.configs;
        configs.check(&self.shared.jobs, deadline)?;
        let Some(entries) = configs.entries() else { return self.load(provider, deadline) };
        let loaded = entries.get_or_load(key, deadline.remaining(), |_| {
            let _guard = fork::protect();
            let config = self.load(provider, deadline)?;
            match configs.entries() {
                Some(_) => Ok(Value::from(config)),
                None => Err(error(Status::Abandoned, "the store of the process was replaced")),
            }
        });
        match loaded {
            Ok(value @ (Value::Short(_) | Value::Long(_))) => value.into_bytes(),
            // The program stored a value of its own under this key.
            Ok(Value::Object(_) | Value::Absent) => self.load(provider, deadline),
            Err(error) if error.status() == Status::Abandoned => self.load(provider, deadline),
            Err(error) => Err(error),
        }
    }

    /// The webhook settings of a provider, with defaults: a JSON object of `webhook_url`, `webhook_secret`,
    /// `webhook_require_signature` and `webhook_allowed_ips`.
    pub fn provider_webhook(&self, provider: &str) -> Result<SharedBytes> {
        self.view(provider, WEBHOOK)
    }

    /// The cost limit of a provider, with defaults: a JSON object of `cost_limit_enabled`, `cost_limit_amount`,
    /// `cost_limit_period` and `cost_limit_action`.
    pub fn provider_cost_limit(&self, provider: &str) -> Result<SharedBytes> {
        self.view(provider, COST_LIMIT)
    }

    fn view(&self, provider: &str, view: &View) -> Result<SharedBytes> {
        let config = self.provider_get(provider)?;
        let config = std::str::from_utf8(&config).unwrap_or("{}");
        let config = ConfigObject::parse(config).map_err(|problem| corrupt(self.shared.jobs.path(), problem))?;
        let mut text = Zeroizing::new(String::with_capacity(512));
        for (name, default) in view {
            let comma = if text.is_empty() { "{" } else { ", " };
            let value = config.get(name).filter(|value| *value != "null").unwrap_or(default);
            [comma, "\"", name, "\": ", value].iter().for_each(|part| text.push_str(part));
        }
        text.push('}');
        SharedBytes::copy_from(text.as_bytes())
    }

    /// Replaces the configuration of a provider with this JSON object, which is stored verbatim.
    pub fn provider_save(&self, provider: &str, config: &str) -> Result<()> {
        let _guard = fork::protect();
        check_name(provider)?;
        json::check(config).map_err(|problem| bad_argument("config", &problem))?;
        let deadline = self.deadline();
        let db = self.shared.jobs.write(deadline)?;
        let after = |_: Option<&ParsedConfig<'_>>| Ok(Some(Zeroizing::new(config.to_owned())));
        self.write(&db, deadline, provider, ("provider.configured", "save"), after).map(drop)
    }

    /// Sets the members of this JSON object in the configuration of a provider. Other members are unchanged. The update
    /// is one transaction, so concurrent updates are not lost.
    pub fn provider_update(&self, provider: &str, changes: &str) -> Result<()> {
        let _guard = fork::protect();
        check_name(provider)?;
        let changes = ConfigObject::parse(changes).map_err(|problem| bad_argument("changes", &problem))?;
        let deadline = self.deadline();
        let db = self.shared.jobs.write(deadline)?;
        let after = |before: Option<&ParsedConfig<'_>>| {
            let merged = match before {
                Some(Ok(before)) => before.merged(&changes),
                Some(Err(problem)) => return Err(damaged(&db, provider, problem)),
                None => ConfigObject::default().merged(&changes),
            };
            match merged.len() > MAX_SIZE {
                true => Err(bad_argument("changes", &format!("the result would be longer than {MAX_SIZE} bytes"))),
                false => Ok(Some(merged)),
            }
        };
        self.write(&db, deadline, provider, ("config.changed", "update"), after).map(drop)
    }

    /// Removes the configuration of a provider. Returns whether it existed.
    pub fn provider_delete(&self, provider: &str) -> Result<bool> {
        let _guard = fork::protect();
        check_name(provider)?;
        let deadline = self.deadline();
        let Some(db) = self.shared.jobs.change(deadline)? else { return Ok(false) };
        self.write(&db, deadline, provider, ("config.changed", "delete"), |_| Ok(None))
    }

    /// Lists the providers that have a configuration: a JSON array of objects with `provider` and `updated_at`, in
    /// alphabetical order.
    pub fn provider_list(&self) -> Result<String> {
        let _guard = fork::protect();
        let mut providers = Vec::new();
        let mut last: Option<String> = None;
        if let Some(db) = self.shared.jobs.read(self.deadline())? {
            db.each("SELECT provider, updated_at FROM provider_config ORDER BY provider", [], |row| {
                let (name, time): (String, String) = (db.column(row, 0)?, db.column(row, 1)?);
                if last.as_ref().is_some_and(|last| *last >= name) {
                    return Err(out_of_order(db.path));
                }
                last = Some(name.clone());
                providers.push(serde_json::json!({"provider": name, "updated_at": time}));
                Ok(())
            })?;
        }
        Ok(serde_json::Value::Array(providers).to_string())
    }

    /// Replaces the stored text with the result of `after`; `None` removes it. Returns whether there was anything to
    /// write.
    fn write(
        &self,
        db: &Connection<'_>,
        deadline: Deadline,
        provider: &str,
        (event_type, action): (&'static str, &'static str),
        after: impl FnOnce(Option<&ParsedConfig<'_>>) -> Result<Option<Zeroizing<String>>>,
    ) -> Result<bool> {
        let changed = self.change(db, deadline, |record| {
            // A stored value that is not text is not an object either; it may be replaced or removed.
            let before = db.first(SELECT, [provider], |row| {
                let text = row.get_ref(0).ok().and_then(|config| config.as_str().ok()).unwrap_or_default();
                Ok(Zeroizing::new(text.to_owned()))
            })?;
            let before = before.as_ref().map(|text| ConfigObject::parse(text));
            let after = after(before.as_ref())?;
            if before.is_none() && after.is_none() {
                return Ok(false);
            }
            // If the stored text is not an object, it counts as empty.
            let old = before.and_then(ParsedConfig::ok).unwrap_or_default();
            let new = after.as_ref().and_then(|text| ConfigObject::parse(text).ok()).unwrap_or_default();
            record.append(Entry {
                event_type,
                action,
                target_type: Some("provider"),
                target_id: Some(provider.to_owned()),
                details: Details::new().difference(&old, &new).finish(),
            })?;
            match after {
                Some(after) => db.execute(UPSERT, params![provider, after.as_str(), time::now()])?,
                None => db.execute("DELETE FROM provider_config WHERE provider = ?1", [provider])?,
            };
            Ok(true)
        })?;
        self.shared.configs.changed(provider);
        Ok(changed)
    }

    fn load(&self, provider: &str, deadline: Deadline) -> Result<SharedBytes> {
        self.shared.configs.note_load(provider);
        let Some(db) = self.shared.jobs.read(deadline)? else { return SharedBytes::copy_from(b"{}") };
        let found = db.first(SELECT, [provider], |row| {
            let config = row.get_ref(0).ok().and_then(|config| config.as_str().ok());
            let config = config.ok_or_else(|| damaged(&db, provider, "it is not text"))?;
            json::check(config).map_err(|problem| damaged(&db, provider, &problem))?;
            SharedBytes::copy_from(config.as_bytes())
        })?;
        found.map_or_else(|| SharedBytes::copy_from(b"{}"), Ok)
    }
}

fn check_name(provider: &str) -> Result<()> {
    check_text("provider", provider, MAX_NAME)
}

fn bad_argument(name: &str, problem: &str) -> Error {
    error(Status::InvalidArgument, format!("`{name}`: {problem}"))
}

fn damaged(db: &Connection<'_>, provider: &str, problem: &str) -> Error {
    let what = format!("the configuration of {provider:?} is damaged: {problem}; save it again");
    corrupt(db.path, what)
}
