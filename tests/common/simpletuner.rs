//! SimpleTuner's side of the audit trail.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use st_secrets::Store;

use super::python::Python;
use super::store::open;

/// SimpleTuner's code on an audit trail.
pub struct Simpletuner {
    python: Python,
    database: String,
    key: String,
}

impl Simpletuner {
    pub fn of(directory: &Path) -> Simpletuner {
        let key: String =
            fs::read(directory.join("audit.key")).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        let database = directory.join("audit.db").to_str().unwrap().to_owned();
        Simpletuner { python: Python::start("simpletuner_store.py", &[]), database, key }
    }

    pub fn ask(&mut self, mut request: Value) -> Value {
        request["db"] = json!(self.database);
        request["key"] = json!(self.key);
        self.python.ask(&request)
    }

    /// Appends an entry after the one with the signature `parent`, or after the last one.
    pub fn append(&mut self, parent: Option<&str>) {
        self.ask(json!({"do": "audit", "event_type": "user.login", "action": "login", "actor_id": 3, "parent": parent,
            "details": {"ä": "\u{1f600}", "n": [1, 2.5]}}));
    }

    /// Appends an entry with this time, or the current one.
    pub fn append_at(&mut self, time: Option<&str>) {
        self.ask(json!({"do": "audit", "event_type": "user.updated", "action": "test", "timestamp": time}));
    }

    /// Signs all entries again, as only the owner of the key can.
    pub fn sign_again(&mut self) {
        self.ask(json!({"do": "sign"}));
    }

    pub fn run(&mut self, sql: &str) {
        self.ask(json!({"do": "script", "sql": sql}));
    }

    /// The entries that are wrong for SimpleTuner.
    pub fn bad(&mut self) -> Value {
        self.ask(json!({"do": "verify"}))["bad"].clone()
    }
}

/// Opens a store and appends this many entries.
pub fn fill(directory: &Path, count: usize) -> Store {
    let store = open(directory);
    for n in 0..count {
        store.audit_log("config.changed", "test", Some(("thing", &n.to_string())), "").unwrap();
    }
    store
}
