//! Queries of the audit trail.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::Value;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value as Json, json};

use super::AuditLog;
use crate::clock::Deadline;
use crate::config::nearest;
use crate::error::{Error, Result, Source, Status};
use crate::raw_json::{self, Pairs};
use crate::store::connection::Connection;
use crate::store::error::out_of_order;
use crate::store::{json, time};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 10_000;
const FILTERS: [&str; 10] = [
    "event_type",
    "action",
    "actor_id",
    "actor_username",
    "target_type",
    "target_id",
    "since",
    "until",
    "limit",
    "offset",
];

/// The conditions of a query.
struct Filter {
    conditions: Vec<&'static str>,
    /// The operands of the conditions.
    values: Vec<Value>,
    limit: i64,
    offset: i64,
}

impl Filter {
    fn parse(json: &str) -> Result<Filter> {
        let mut filter = Filter { conditions: Vec::new(), values: Vec::new(), limit: DEFAULT_LIMIT, offset: 0 };
        let pairs: Pairs<'_, Json> = match json.trim().is_empty() {
            true => Pairs(Vec::new()),
            false => serde_json::from_str(json)
                .map_err(|_| Error::invalid_argument("`filter_json` is not a JSON object of filters"))?,
        };
        pairs.0.iter().try_for_each(|(name, value)| filter.add(&raw_json::name(name.get()), value))?;
        Ok(filter)
    }

    fn add(&mut self, name: &str, value: &Json) -> Result<()> {
        let wrong = |expected: &str| Error::invalid_argument(format!("the filter `{name}` must be {expected}"));
        let text = || value.as_str().map(str::to_owned).ok_or_else(|| wrong("text"));
        let time_of = || {
            let time = value.as_str().and_then(time::normalize);
            time.ok_or_else(|| wrong("a time like 2026-08-22T17:32:24Z"))
        };
        let number = |most| {
            let number = value.as_i64().filter(|number| (0..=most).contains(number));
            number.ok_or_else(|| wrong(&format!("a number from 0 to {most}")))
        };
        let (condition, value): (&'static str, Value) = match name {
            _ if value.is_null() && FILTERS.contains(&name) => return Ok(()),
            "event_type" => ("event_type = ?", text()?.into()),
            "action" => ("action = ?", text()?.into()),
            "actor_id" => ("actor_id = ?", value.as_i64().ok_or_else(|| wrong("a number"))?.into()),
            "actor_username" => ("actor_username = ?", text()?.into()),
            "target_type" => ("target_type = ?", text()?.into()),
            "target_id" => ("target_id = ?", text()?.into()),
            "since" => ("timestamp >= ?", time_of()?.into()),
            "until" => ("timestamp < ?", time_of()?.into()),
            "limit" => return number(MAX_LIMIT).map(|limit| self.limit = limit),
            "offset" => return number(i64::MAX).map(|offset| self.offset = offset),
            _ => return Err(unknown(name)),
        };
        self.conditions.push(condition);
        self.values.push(value);
        Ok(())
    }

    fn sql(&self) -> String {
        let conditions = match self.conditions.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", self.conditions.join(" AND ")),
        };
        format!(
            "SELECT id, timestamp, event_type, actor_id, actor_username, actor_ip, target_type, target_id, action, details,
             previous_hash, entry_hash FROM audit_log {conditions} ORDER BY id DESC LIMIT ? OFFSET ?"
        )
    }
}

fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    Error::invalid_argument(match nearest(name, FILTERS.into_iter()) {
        Some(known) => format!("unknown filter {shown:?}; did you mean `{known}`?"),
        None => format!("unknown filter {shown:?}; the known filters are {}", FILTERS.join(", ")),
    })
}

impl AuditLog {
    /// Returns the entries that match a filter, newest first, as a JSON array.
    pub(in crate::store) fn query(&self, filter: &str, deadline: Deadline) -> Result<String> {
        let filter = Filter::parse(filter)?;
        let (mut entries, mut last): (Vec<Box<RawValue>>, Option<i64>) = (Vec::new(), None);
        let Some(db) = self.database.read(deadline)? else { return Ok("[]".to_owned()) };
        let mut statement = db.check(db.guard.prepare_cached(&filter.sql()))?;
        let values = filter.values.into_iter().chain([filter.limit.into(), filter.offset.into()]);
        let mut rows = db.check(statement.query(rusqlite::params_from_iter(values)))?;
        while let Some(row) = db.check(rows.next())? {
            let id: i64 = db.column(row, 0)?;
            if last.replace(id).is_some_and(|last| last <= id) {
                return Err(out_of_order(db.path));
            }
            entries.push(entry_json(&db, row, id)?);
        }
        serde_json::to_string(&entries).map_err(serialization_bug)
    }
}

/// An entry as JSON.
fn entry_json(db: &Connection<'_>, row: &Row<'_>, id: i64) -> Result<Box<RawValue>> {
    let text = |index| db.column::<Option<String>>(row, index);
    let fields = json!({
        "id": id,
        "timestamp": text(1)?,
        "event_type": text(2)?,
        "actor_id": db.column::<Option<i64>>(row, 3)?,
        "actor_username": text(4)?,
        "actor_ip": text(5)?,
        "target_type": text(6)?,
        "target_id": text(7)?,
        "action": text(8)?,
        "previous_hash": text(10)?,
        "entry_hash": text(11)?,
    });
    let mut entry = BTreeMap::from([("details", details(text(9)?.unwrap_or_default())?)]);
    for (name, value) in fields.as_object().into_iter().flatten() {
        entry.insert(name, to_raw_value(value).map_err(serialization_bug)?);
    }
    to_raw_value(&entry).map_err(serialization_bug)
}

/// The details as JSON: an object as it was stored, lone surrogates included; text that is not JSON as a string.
fn details(stored: String) -> Result<Box<RawValue>> {
    let is_object = json::check(&stored).is_ok();
    match serde_json::from_str::<&RawValue>(&stored) {
        Ok(raw) if is_object => Ok(raw.to_owned()),
        _ => to_raw_value(&serde_json::from_str(&stored).unwrap_or(Json::String(stored))).map_err(serialization_bug),
    }
}

/// Text and numbers can always be serialized, so this is a bug.
fn serialization_bug(error: serde_json::Error) -> Error {
    Error::new(Status::Panic, format!("a bug in st_secrets: {error}")).with_source(Source::Store)
}
