//! Queries of the audit trail.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
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
/// The maximum number of event types in a filter.
const MAX_TYPES: usize = 100;
const FILTERS: [&str; 14] = [
    "event_type",
    "event_types",
    "action",
    "actor_id",
    "actor_username",
    "target_type",
    "target_id",
    "since",
    "until",
    "since_text",
    "until_text",
    "after_id",
    "limit",
    "offset",
];

/// The order of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
}

/// The conditions of a query.
pub(super) struct AuditFilter {
    conditions: Vec<String>,
    /// The operands of the conditions.
    values: Vec<Value>,
    limit: i64,
    offset: i64,
    order: Order,
    /// Only entries with greater numbers.
    pub(super) after: i64,
}

impl AuditFilter {
    /// Parses a filter of [`Store::audit_query`](crate::Store::audit_query).
    pub(super) fn newest_first(json: &str) -> Result<AuditFilter> {
        AuditFilter::parse(json, Order::NewestFirst, DEFAULT_LIMIT)
    }

    /// Parses a filter of an export, which has as many entries as possible by default.
    pub(super) fn oldest_first(json: &str) -> Result<AuditFilter> {
        AuditFilter::parse(json, Order::OldestFirst, MAX_LIMIT)
    }

    fn parse(json: &str, order: Order, limit: i64) -> Result<AuditFilter> {
        let mut filter = AuditFilter { conditions: Vec::new(), values: Vec::new(), limit, offset: 0, order, after: 0 };
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
        let number = |most| {
            let number = value.as_i64().filter(|number| (0..=most).contains(number));
            number.ok_or_else(|| wrong(&format!("a number from 0 to {most}")))
        };
        let (condition, value): (&str, Value) = match name {
            _ if value.is_null() && FILTERS.contains(&name) => return Ok(()),
            "event_type" => ("event_type = ?", text()?.into()),
            "event_types" => {
                let types = texts(value).filter(|types| types.len() <= MAX_TYPES);
                let types = types.ok_or_else(|| wrong(&format!("an array of at most {MAX_TYPES} texts")))?;
                self.add_types(types);
                return Ok(());
            }
            "action" => ("action = ?", text()?.into()),
            "actor_id" => ("actor_id = ?", value.as_i64().ok_or_else(|| wrong("a number"))?.into()),
            "actor_username" => ("actor_username = ?", text()?.into()),
            "target_type" => ("target_type = ?", text()?.into()),
            "target_id" => ("target_id = ?", text()?.into()),
            "since" | "until" => {
                let given = text()?;
                if given.is_empty() {
                    return Ok(());
                }
                let time =
                    time::parse(&given).ok_or_else(|| wrong("a time like 2026-08-22 or 2026-08-22T17:32:24Z"))?;
                (if name == "since" { "timestamp >= ?" } else { "timestamp <= ?" }, time.into())
            }
            "since_text" => ("timestamp >= ?", text()?.into()),
            "until_text" => ("timestamp <= ?", text()?.into()),
            "after_id" => {
                self.after = number(i64::MAX)?;
                ("id > ?", self.after.into())
            }
            "limit" => return number(MAX_LIMIT).map(|limit| self.limit = limit),
            "offset" => return number(i64::MAX).map(|offset| self.offset = offset),
            _ => return Err(unknown(name)),
        };
        self.conditions.push(condition.to_owned());
        self.values.push(value);
        Ok(())
    }

    /// Selects entries of any of these types. None of them means all types, as for SimpleTuner.
    fn add_types(&mut self, types: Vec<String>) {
        if !types.is_empty() {
            let operands = vec!["?"; types.len()].join(", ");
            self.conditions.push(format!("event_type IN ({operands})"));
            self.values.extend(types.into_iter().map(Value::from));
        }
    }

    fn sql(&self) -> String {
        let conditions = match self.conditions.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", self.conditions.join(" AND ")),
        };
        let order = if self.order == Order::NewestFirst { "DESC" } else { "ASC" };
        format!(
            "SELECT id, timestamp, event_type, actor_id, actor_username, actor_ip, target_type, target_id, action, details,
             previous_hash, entry_hash FROM audit_log {conditions} ORDER BY id {order} LIMIT ? OFFSET ?"
        )
    }
}

/// The texts of a JSON array. `None` if it is anything else.
fn texts(value: &Json) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    Error::invalid_argument(match nearest(name, FILTERS.into_iter()) {
        Some(known) => format!("unknown filter {shown:?}; did you mean `{known}`?"),
        None => format!("unknown filter {shown:?}; the known filters are {}", FILTERS.join(", ")),
    })
}

/// An entry as it is stored.
pub(super) struct StoredEntry {
    pub(super) id: i64,
    pub(super) timestamp: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) actor_id: Option<i64>,
    pub(super) actor_username: Option<String>,
    pub(super) actor_ip: Option<String>,
    pub(super) target_type: Option<String>,
    pub(super) target_id: Option<String>,
    pub(super) action: Option<String>,
    /// As it is stored, usually a JSON object.
    pub(super) details: String,
    pub(super) previous_hash: Option<String>,
    pub(super) entry_hash: Option<String>,
}

impl StoredEntry {
    fn read(db: &Connection<'_>, row: &Row<'_>) -> Result<StoredEntry> {
        let text = |index| lossy_text(db, row, index);
        Ok(StoredEntry {
            id: db.column(row, 0)?,
            timestamp: text(1)?,
            event_type: text(2)?,
            // Signed, so `verify` reports an entry where it is something else.
            actor_id: db.check(row.get_ref(3))?.as_i64().ok(),
            actor_username: text(4)?,
            actor_ip: text(5)?,
            target_type: text(6)?,
            target_id: text(7)?,
            action: text(8)?,
            details: text(9)?.unwrap_or_default(),
            previous_hash: text(10)?,
            entry_hash: text(11)?,
        })
    }

    /// The entry as a JSON object with the names of the columns.
    pub(super) fn to_json(&self) -> Result<Box<RawValue>> {
        let fields = json!({
            "id": self.id,
            "timestamp": self.timestamp,
            "event_type": self.event_type,
            "actor_id": self.actor_id,
            "actor_username": self.actor_username,
            "actor_ip": self.actor_ip,
            "target_type": self.target_type,
            "target_id": self.target_id,
            "action": self.action,
            "previous_hash": self.previous_hash,
            "entry_hash": self.entry_hash,
        });
        let mut entry = BTreeMap::from([("details", self.details()?)]);
        for (name, value) in fields.as_object().into_iter().flatten() {
            entry.insert(name, to_raw_value(value).map_err(serialization_bug)?);
        }
        to_raw_value(&entry).map_err(serialization_bug)
    }

    /// The details as JSON: an object as it was stored, lone surrogates included; text that is not JSON as a string.
    pub(super) fn details(&self) -> Result<Box<RawValue>> {
        let is_object = json::check(&self.details).is_ok();
        match serde_json::from_str::<&RawValue>(&self.details) {
            Ok(raw) if is_object => Ok(raw.to_owned()),
            _ => {
                let other = serde_json::from_str(&self.details).unwrap_or_else(|_| Json::String(self.details.clone()));
                to_raw_value(&other).map_err(serialization_bug)
            }
        }
    }
}

/// The text of a column. In an altered entry it may be bytes, or text that is not UTF-8. Those are shown, with U+FFFD
/// for what is not UTF-8: an error would hide the other entries, and null would hide that something is there.
pub(super) fn lossy_text(db: &Connection<'_>, row: &Row<'_>, index: usize) -> Result<Option<String>> {
    Ok(match db.check(row.get_ref(index))? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}

impl AuditLog {
    /// Returns the entries that match a filter, newest first, as a JSON array.
    pub(in crate::store) fn query(&self, filter: &str, deadline: Deadline) -> Result<String> {
        let entries = self.select(AuditFilter::newest_first(filter)?, deadline)?;
        let entries = entries.iter().map(StoredEntry::to_json).collect::<Result<Vec<_>>>()?;
        serde_json::to_string(&entries).map_err(serialization_bug)
    }

    /// Returns the entries that match a filter.
    pub(super) fn select(&self, filter: AuditFilter, deadline: Deadline) -> Result<Vec<StoredEntry>> {
        let (mut entries, mut last): (Vec<StoredEntry>, Option<i64>) = (Vec::new(), None);
        let Some(db) = self.database.read(deadline)? else { return Ok(entries) };
        let mut statement = db.check(db.guard.prepare_cached(&filter.sql()))?;
        let values = filter.values.into_iter().chain([filter.limit.into(), filter.offset.into()]);
        let mut rows = db.check(statement.query(rusqlite::params_from_iter(values)))?;
        while let Some(row) = db.check(rows.next())? {
            let entry = StoredEntry::read(&db, row)?;
            let is_in_order = |last: i64| (entry.id > last) == (filter.order == Order::OldestFirst) && entry.id != last;
            if !last.replace(entry.id).is_none_or(is_in_order) {
                return Err(out_of_order(db.path));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Text and numbers can always be serialized, so this is a bug.
pub(super) fn serialization_bug(error: serde_json::Error) -> Error {
    Error::new(Status::Panic, format!("a bug in st_secrets: {error}")).with_source(Source::Store)
}
