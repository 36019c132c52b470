//! What a manager reports about itself, as JSON without any value of a secret.

use serde_json::{Map, Value, json};

use super::manager::Manager;
use super::provider::{Health, HealthState};
use super::stats::LoadCounts;
use crate::fork;
use crate::secret_memory::arena;
use crate::sys;

impl Manager {
    /// Returns the settings, and the providers in their order, as JSON, without a query to a remote source.
    ///
    /// `{"timeout": 10.0, "providers": [{"name": "env", "prefix": null}, {"name": "file", "path": …}]}`
    pub fn describe(&self) -> String {
        let _guard = fork::protect();
        let providers: Vec<Value> = self
            .providers()
            .iter()
            .map(|provider| {
                let mut fields = Map::from_iter([("name".to_owned(), json!(provider.name()))]);
                fields.extend(provider.describe());
                Value::Object(fields)
            })
            .collect();
        let (lookup_cache, times) = (self.lookup_cache(), self.lookup_cache().times);
        pretty(&json!({
            "timeout": self.timeout().as_secs_f64(),
            "cache_ttl": times.cache_ttl.as_secs_f64(),
            "miss_ttl": times.miss_ttl.as_secs_f64(),
            "max_stale": times.max_stale.as_secs_f64(),
            "max_backoff": times.max_backoff.as_secs_f64(),
            "cached_values": lookup_cache.size(),
            "providers": providers,
        }))
    }

    /// Returns counters since the manager was opened, as JSON, without a query to a remote source.
    ///
    /// `{"gets": 105, "not_found": 1, "failed": 0, "providers": [{"name": "aws", "found": 104, "hits": 103, "stale": 0,
    /// "loads": 1, "load_failures": 0, "shared_loads": 0, "retries": 0, "load_seconds": 0.12, "last_load_seconds":
    /// 0.12, "longest_load_seconds": 0.12}]}`. All but `last_load_seconds` only grow. The documentation of
    /// [`st_secrets_stats`](crate::ffi::st_secrets_stats) describes them. The child of a `fork()` continues with those
    /// of its parent.
    pub fn stats(&self) -> String {
        let _guard = fork::protect();
        let (not_found, failed) = self.counts.without_value();
        let (mut gets, mut reports) = (not_found + failed, Vec::new());
        let none = LoadCounts::default();
        for (provider, counts) in self.providers().counted() {
            let (found, hits, stale) = counts.found(&self.counts.hits);
            gets += found;
            let name = json!(provider.name());
            let gets = [("name", name), ("found", json!(found)), ("hits", json!(hits)), ("stale", json!(stale))];
            let all = gets.into_iter().chain(provider.loads().unwrap_or(&none).report());
            reports.push(Value::Object(all.map(|(name, value)| (name.to_owned(), value)).collect()));
        }
        pretty(&json!({"gets": gets, "not_found": not_found, "failed": failed, "providers": reports}))
    }

    /// Checks every provider, the memory that holds secrets, and the directory that is shared with other processes, and
    /// returns the result as JSON.
    ///
    /// `{"ok": true, "providers": [{"name": "env", "state": "ok", "detail": …}], "memory": {"state": "ok", …}, "share":
    /// {"state": "absent", …}}`. A
    /// state is `ok`, `absent` (not configured, or no file), `warning` or `failed`. `advice`, where present, says what
    /// to do. `ok` is false if any provider failed.
    pub fn check(&self) -> String {
        let _guard = fork::protect();
        let request = self.request(None, true);
        let mut worst = HealthState::Ok;
        let mut providers = Vec::new();
        let all = self.providers();
        for (at, provider) in all.iter().enumerate() {
            let health = provider.check(&request.share(all[at + 1..].iter().any(|other| other.is_remote())));
            worst = worst.max(health.state);
            let mut fields = Map::from_iter([("name".to_owned(), json!(provider.name()))]);
            fields.extend(as_fields(&health));
            providers.push(Value::Object(fields));
        }
        pretty(
            &json!({"ok": worst != HealthState::Failed, "providers": providers, "memory": memory(), "share": self.share_health()}),
        )
    }

    /// Returns what is shared with other processes of this host, as JSON, without a query to a remote source.
    ///
    /// `{"share": "host", "directory": "/dev/shm/st-secrets-1000", "owner": 1000, "tier": null, "refused": null,
    /// "documents": [{"id": …, "provider": "aws", "place": …, "age": 12.5, "expires_in": 287.5, "loading": false,
    /// "loader_pid": null,
    /// "failing": null, "retry_in": null}]}`. `refused` is the reason why nothing is shared. What is not known is
    /// `null`.
    pub fn share(&self) -> String {
        let _guard = fork::protect();
        let documents: Vec<_> = self.providers().iter().filter_map(|provider| provider.describe_share()).collect();
        let share = self.shared();
        let directory = share.and_then(|share| share.directory());
        pretty(&json!({
            "share": if share.is_some() { "host" } else { "off" },
            "directory": directory.map(|path| path.to_string_lossy()),
            "owner": directory.map(|_| sys::effective_user()),
            "tier": self.describe_tier(),
            "refused": share.and_then(|share| share.refusal()).map(|error| error.message().to_owned()),
            "documents": documents,
        }))
    }

    /// The cluster tier, as this host has seen it.
    fn describe_tier(&self) -> Option<Value> {
        let name = self.shared()?.tier()?.name();
        let page = self.changes.tier().map(|(_, page)| page);
        let rest = page.as_ref().map(|page| page.tier_rest()).filter(|rest| !rest.is_zero());
        Some(json!({
            "url": name,
            "revision": page.map(|page| page.tier_revision()).filter(|revision| *revision != 0),
            "retry_in": rest.map(|rest| rest.as_secs_f64()),
        }))
    }

    /// Checks the directory of the share, and the cluster tier if there is one.
    fn checked_share(&self, directory: &str) -> Health {
        let Some((tier, page)) = self.changes.tier() else {
            return Health::new(HealthState::Ok, format!("documents are shared in {directory}"));
        };
        match tier.check(&page, self.timeout()) {
            Ok(()) => {
                Health::new(HealthState::Ok, format!("documents are shared in {directory} and through {}", tier.name()))
            }
            Err(error) => {
                let detail = format!("documents are shared in {directory}, but not with other hosts: {error}");
                Health::new(HealthState::Warning, detail).with_advice(
                    "fix the problem that the message names; until then this host queries the sources itself",
                )
            }
        }
    }

    fn share_health(&self) -> Map<String, Value> {
        let Some(share) = self.shared() else { return as_fields(&Health::new(HealthState::Absent, "it is off")) };
        as_fields(&match share.refusal() {
            None => {
                let directory = share.directory().map_or_else(String::new, |path| path.display().to_string());
                self.checked_share(&directory)
            }
            Some(error) => Health::new(HealthState::Warning, format!("nothing is shared: {error}"))
                .with_advice("fix the problem that the message names; until then each process loads for itself"),
        })
    }
}

fn memory() -> Map<String, Value> {
    let usage = arena::usage();
    let mut fields = if usage.unlocked == 0 {
        as_fields(&Health::new(HealthState::Ok, "no secret can be written to swap"))
    } else {
        let why = match usage.lock_error {
            0 => "memory locks are not inherited by a forked child".to_owned(),
            error => std::io::Error::from_raw_os_error(error).to_string(),
        };
        let health = Health::new(
            HealthState::Warning,
            format!("some memory for secrets is not locked and may be swapped out: {why}"),
        );
        as_fields(&health.with_advice("raise the limit on locked memory (ulimit -l), or disable swap"))
    };
    fields.insert("mapped_bytes".to_owned(), json!(usage.mapped));
    fields.insert("unlocked_bytes".to_owned(), json!(usage.unlocked));
    fields
}

fn as_fields(health: &Health) -> Map<String, Value> {
    let mut fields =
        Map::from_iter([("state".to_owned(), json!(health.state.name())), ("detail".to_owned(), json!(health.detail))]);
    if let Some(advice) = &health.advice {
        fields.insert("advice".to_owned(), json!(advice));
    }
    fields
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}
