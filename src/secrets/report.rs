//! What a manager tells about itself, as JSON without any value in it.

use serde_json::{Map, Value, json};

use super::manager::Manager;
use super::provider::{Finding, State};
use crate::fork;
use crate::secret_memory::arena;

impl Manager {
    /// Settings and providers in their order, as JSON. It asks no remote source.
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
        let (memory, times) = (self.memory(), self.memory().times);
        pretty(&json!({
            "timeout": self.timeout().as_secs_f64(),
            "cache_ttl": times.cache_ttl.as_secs_f64(),
            "miss_ttl": times.miss_ttl.as_secs_f64(),
            "max_stale": times.max_stale.as_secs_f64(),
            "max_backoff": times.max_backoff.as_secs_f64(),
            "remembered": memory.size(),
            "providers": providers,
        }))
    }

    /// Asks every provider how it is, and looks at the memory that holds secrets, as JSON.
    ///
    /// `{"ok": true, "providers": [{"name": "env", "state": "ok", "detail": …}], "memory": {"state": "ok", …}}`. A state
    /// is `ok`, `absent` (there is nothing to ask), `warning` or `failed`; `advice` says what to do; `ok` is false if
    /// any provider failed.
    pub fn check(&self) -> String {
        let _guard = fork::protect();
        let request = self.request(None, true);
        let mut worst = State::Ok;
        let mut providers = Vec::new();
        let all = self.providers();
        for (at, provider) in all.iter().enumerate() {
            let finding = provider.check(&request.share(all[at + 1..].iter().any(|other| other.is_remote())));
            worst = worst.max(finding.state);
            let mut fields = Map::from_iter([("name".to_owned(), json!(provider.name()))]);
            fields.extend(as_fields(&finding));
            providers.push(Value::Object(fields));
        }
        pretty(&json!({"ok": worst != State::Failed, "providers": providers, "memory": memory()}))
    }
}

fn memory() -> Map<String, Value> {
    let usage = arena::usage();
    let mut fields = if usage.unlocked == 0 {
        as_fields(&Finding::new(State::Ok, "no secret can be written to swap"))
    } else {
        let why = match usage.lock_error {
            0 => "locks are not inherited by a forked child".to_owned(),
            error => std::io::Error::from_raw_os_error(error).to_string(),
        };
        let finding = Finding::new(State::Warning, format!("some memory for secrets could be swapped out: {why}"));
        as_fields(&finding.with_advice("raise the limit on locked memory (ulimit -l), or switch swap off"))
    };
    fields.insert("mapped_bytes".to_owned(), json!(usage.mapped));
    fields.insert("unlocked_bytes".to_owned(), json!(usage.unlocked));
    fields
}

fn as_fields(finding: &Finding) -> Map<String, Value> {
    let mut fields = Map::from_iter([
        ("state".to_owned(), json!(finding.state.name())),
        ("detail".to_owned(), json!(finding.detail)),
    ]);
    if let Some(advice) = &finding.advice {
        fields.insert("advice".to_owned(), json!(advice));
    }
    fields
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}
