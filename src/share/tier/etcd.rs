//! etcd, version 3.4 or newer, by its JSON gateway.
//!
//! | key | content |
//! |---|---|
//! | `sts1/<cluster>/rev` | any: each write of it increases the revision |
//! | `sts1/<cluster>/base` | what is added to the number of that write |
//! | `sts1/<cluster>/hosts/<host>` | when it looked last, and the revision that it confirmed; expires |
//! | `sts1/<cluster>/<id>/doc` | when it ends, in milliseconds, and a sealed document, which expires |
//! | `sts1/<cluster>/<id>/load` | who loads, for some seconds |
//! | `sts1/<cluster>/key` | the data key, wrapped, which expires |
//!
//! A cache has a `<cluster>` of its own:
//!
//! | key | content |
//! |---|---|
//! | `…/rev`, `…/base` | as above; each change writes `rev` |
//! | `…/floor` | any: the last change of a prefix writes it |
//! | `…/log/<id>` | the last change of a key or prefix, sealed; expires |
//! | `…/<id>/value` | as a document; empty after a change that removed it; expires some time after its end |
//!
//! The revision is the `mod_revision` of `rev`, plus `base`: an etcd cluster that was replaced numbers its writes from
//! 1 again. Times are those of the header `Date` of the server. The remaining time of a lease is not used: it begins
//! again when the cluster gets another leader.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::engine::{
    CHANGE, CHANGES, CacheLog, ChangeTarget, Engine, FetchedDocument, FetchedValue, Floor, Host, LEAD, NewChange,
    RECORD, SealedChanges, TierConnection,
};
use super::gateway::{Gateway, GatewayRequests, RefusalReason, RefusedRequest};
use super::leases::SharedLeases;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};
use crate::share::sealed;

/// How old the record of a host may become before it is written again. Each write stays in the history of etcd until it
/// is compacted.
const RECORD_AGE: Duration = Duration::from_secs(5);
/// How often a revision that another host changes meanwhile is read.
const ATTEMPTS: u32 = 5;

pub(super) struct Etcd {
    pub(super) gateway: Arc<Gateway>,
    /// Those of a cache.
    pub(super) leases: Arc<SharedLeases>,
    /// What all keys begin with.
    pub(super) prefix: String,
}

impl Engine for Etcd {
    fn name(&self) -> &str {
        self.gateway.name()
    }

    fn connect(&self, deadline: Deadline) -> Result<Box<dyn TierConnection>> {
        let requests = GatewayRequests::new(&self.gateway, deadline);
        Ok(Box::new(EtcdConnection {
            requests,
            name: self.name().to_owned(),
            prefix: self.prefix.clone(),
            base: 0,
            last_write: 0,
            leases: self.leases.clone(),
        }))
    }
}

struct EtcdConnection {
    requests: GatewayRequests,
    name: String,
    prefix: String,
    /// What is added to the number of a write.
    base: u64,
    /// The number of the last write of the cluster.
    last_write: u64,
    leases: Arc<SharedLeases>,
}

/// The outcome of a transaction.
struct TransactionOutcome {
    succeeded: bool,
    responses: Vec<Value>,
}

impl EtcdConnection {
    fn key(&self, end: &str) -> String {
        STANDARD.encode(format!("{}{end}", self.prefix))
    }

    fn transact(
        &mut self,
        compare: &[Value],
        success: &[Value],
        failure: &[Value],
    ) -> Result<TransactionOutcome, RefusedRequest> {
        let request = json!({"compare": compare, "success": success, "failure": failure});
        let mut response = self.requests.call("/v3/kv/txn", &request)?;
        self.last_write = number(&response["header"]["revision"]);
        let succeeded = response["succeeded"].as_bool().unwrap_or(false);
        let expected = if succeeded { success } else { failure };
        match response["responses"].take() {
            Value::Array(responses) if responses.len() == expected.len() => {
                Ok(TransactionOutcome { succeeded, responses })
            }
            Value::Null if expected.is_empty() => Ok(TransactionOutcome { succeeded, responses: Vec::new() }),
            _ => Err(self.requests.malformed().into()),
        }
    }

    /// Runs operations, and then reads the revision after making it one that this host accepts. Returns both.
    fn revised(&mut self, operations: Vec<Value>, floor: Floor) -> Result<(u64, Vec<Value>), RefusedRequest> {
        let (base, rev) = (self.key("base"), self.key("rev"));
        let operations = [operations, vec![range(&base), range(&rev)]].concat();
        for _ in 0..ATTEMPTS {
            let mut responses = self.transact(&[], &operations, &[])?.responses;
            let (written, base_entry) = (responses.pop(), responses.pop());
            let written = written.as_ref().and_then(entry).map_or(0, |entry| number(&entry["mod_revision"]));
            let base_entry = base_entry.as_ref().and_then(entry);
            let start = base_entry.and_then(bytes).and_then(|text| String::from_utf8(text).ok()?.parse::<u64>().ok());
            if let Some(revision) = start.map(|start| start.saturating_add(written))
                && revision >= floor.seen
            {
                self.base = start.unwrap_or(0);
                return Ok((revision, responses));
            }
            let changed = base_entry.map_or(0, |entry| number(&entry["mod_revision"]));
            let is_unchanged = json!({"target": "MOD", "key": base, "mod_revision": changed.to_string()});
            self.transact(&[is_unchanged], &[put(&base, floor.fresh.to_string().as_bytes(), None)], &[])?;
        }
        let message = format!("{}: other hosts keep changing the revision; try again", self.name);
        Err(Error::new(Status::Unavailable, message).with_retryable(true).into())
    }

    /// Creates a lease, which ends after this time.
    fn lease(&mut self, time: Duration) -> Result<String, RefusedRequest> {
        let seconds = time.as_millis().div_ceil(1000).max(1);
        let response = self.requests.call("/v3/lease/grant", &json!({"TTL": seconds.to_string()}))?;
        match number(&response["ID"]) {
            0 => Err(self.requests.malformed().into()),
            id => Ok(id.to_string()),
        }
    }

    /// A lease for an entry of a cache. The entry is the record of a change too, so it stays for as long as that.
    fn shared_lease(&mut self, lifetime: Duration) -> Result<String, RefusedRequest> {
        let lifetime = lifetime.max(CHANGE);
        if let Some(lease) = self.leases.find(lifetime) {
            return Ok(lease);
        }
        let time = SharedLeases::time(lifetime);
        let end = Deadline::after(time);
        let lease = self.lease(time)?;
        self.leases.add(lease.clone(), end);
        Ok(lease)
    }

    /// Runs an exchange that uses shared leases: once more if the server was replaced by one without them.
    fn with_leases<T>(&mut self, exchange: impl Fn(&mut Self) -> Result<T, RefusedRequest>) -> Result<T> {
        match exchange(self) {
            Err(refused) if refused.reason == RefusalReason::Lease => {
                self.leases.clear();
                Ok(exchange(self)?)
            }
            result => Ok(result?),
        }
    }

    /// A value with its end, as it is stored.
    fn value(&mut self, sealed: &[u8], lifetime: Duration) -> Result<Vec<u8>, RefusedRequest> {
        if !self.requests.has_time() {
            // Any response has the time.
            self.transact(&[], &[range(&self.key("rev"))], &[])?;
        }
        let end = self.requests.time()?.saturating_add(lifetime).as_millis() as u64;
        Ok([&end.to_le_bytes()[..], sealed].concat())
    }

    /// A stored value, and how long it remains.
    fn opened(&self, value: Option<Vec<u8>>) -> Result<Option<(Vec<u8>, Duration)>> {
        // The time of the server is cut to seconds: what it stores is never younger than this.
        let now = self.requests.time()?.saturating_add(Duration::from_secs(1));
        let opened = value.as_deref().and_then(<[u8]>::split_first_chunk).map(|(end, sealed)| {
            let left = Duration::from_millis(u64::from_le_bytes(*end)).saturating_sub(now);
            (sealed.to_vec(), left)
        });
        Ok(opened)
    }

    /// The changes of a cache after this write, the oldest first; `None` if there are too many.
    fn changes(&mut self, last: u64) -> Result<Option<SealedChanges>> {
        // `0` is the character after `/`.
        let request = json!({
            "key": self.key("log/"), "range_end": self.key("log0"), "min_mod_revision": (last + 1).to_string(),
            "sort_target": "MOD", "sort_order": "ASCEND", "limit": CHANGES.to_string(),
        });
        let response = self.requests.call("/v3/kv/range", &request)?;
        let change = |entry: &Value| Some((self.base.saturating_add(number(&entry["mod_revision"])), bytes(entry)?));
        let changes = response["kvs"].as_array().into_iter().flatten().filter_map(change).collect();
        Ok((response["more"].as_bool() != Some(true)).then_some(changes))
    }

    fn store(&mut self, id: &str, token: &str, document: &[u8], lifetime: Duration) -> Result<(), RefusedRequest> {
        let number = sealed::tier_number(document).unwrap_or_default();
        let lease = self.lease(lifetime)?;
        let stored = put(&self.key(&format!("{id}/doc")), &self.value(document, lifetime)?, Some(&lease));
        self.replace(id, token, number, &stored)
    }

    /// Ends the lead of this load. Puts or deletes the document, unless there is one that is later than this revision
    /// and number.
    fn replace(&mut self, id: &str, token: &str, number: (u64, u64), change: &Value) -> Result<(), RefusedRequest> {
        let (doc, load) = (self.key(&format!("{id}/doc")), self.key(&format!("{id}/load")));
        // The first attempt assumes what is most likely; if it fails, it returns what is there.
        let (mut document, mut leads) = (Some(is_absent(&doc)), true);
        for _ in 0..ATTEMPTS {
            let compare = document.clone().into_iter().chain(leads.then(|| has_value(&load, token)));
            let operations = document.iter().map(|_| change.clone()).chain(leads.then(|| delete(&load)));
            let (compare, operations): (Vec<_>, Vec<_>) = (compare.collect(), operations.collect());
            let outcome = self.transact(&compare, &operations, &[range(&doc), range(&load)])?;
            if outcome.succeeded {
                break;
            }
            let stored = outcome.responses.first().and_then(entry);
            // A document follows its end.
            let other = stored.and_then(bytes).and_then(|value| sealed::tier_number(value.get(8..)?));
            document = match stored {
                Some(_) if other.is_some_and(|other| other > number) => None,
                Some(stored) => Some(is_unchanged(&doc, stored)),
                None => Some(is_absent(&doc)),
            };
            let lead = outcome.responses.get(1).and_then(entry).and_then(bytes);
            leads = lead.is_some_and(|lead| lead == token.as_bytes());
            if document.is_none() && !leads {
                break;
            }
        }
        Ok(())
    }
}

impl TierConnection for EtcdConnection {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.requests.set_deadline(deadline);
    }

    fn look(&mut self, host: &str, confirmed: u64, floor: Floor) -> Result<u64> {
        let key = self.key(&format!("hosts/{host}"));
        let (revision, responses) = self.revised(vec![range(&key)], floor)?;
        let now = self.requests.time()?;
        let record = responses.first().and_then(entry).and_then(state);
        let is_current = |(time, known): (u64, u64)| known == confirmed && age(now, time) < RECORD_AGE;
        if record.is_some_and(is_current) {
            return Ok(revision);
        }
        let lease = self.lease(RECORD)?;
        let record = put(&key, format!("{} {confirmed}", now.as_secs()).as_bytes(), Some(&lease));
        // The revision is read after the host is listed: a call that increases it later finds the host.
        Ok(self.revised(vec![record], floor)?.0)
    }

    fn fetch(&mut self, id: &str, floor: Floor) -> Result<FetchedDocument> {
        let (doc, load) = (self.key(&format!("{id}/doc")), self.key(&format!("{id}/load")));
        let (revision, responses) = self.revised(vec![range(&doc), range(&load)], floor)?;
        let entries: Vec<Option<&Value>> = responses.iter().map(entry).collect();
        let document = self.opened(entries[0].and_then(bytes))?;
        Ok(FetchedDocument { revision, document, is_loading: entries[1].is_some() })
    }

    fn try_lead(&mut self, id: &str, token: &str) -> Result<bool> {
        let key = self.key(&format!("{id}/load"));
        let lease = self.lease(LEAD)?;
        let taken = self.transact(&[is_absent(&key)], &[put(&key, token.as_bytes(), Some(&lease))], &[])?;
        Ok(taken.succeeded)
    }

    fn publish(&mut self, id: &str, token: &str, document: &[u8], lifetime: Duration) -> Result<()> {
        match self.store(id, token, document, lifetime) {
            Err(refused) if refused.reason == RefusalReason::Size => {
                let (name, size) = (&self.name, document.len());
                log::emit(Level::Warn, "share", || {
                    format!("{name} rejects a document of {size} bytes, so it is not shared; raise --max-request-bytes")
                });
                self.release(id, token, None)
            }
            result => Ok(result?),
        }
    }

    fn release(&mut self, id: &str, token: &str, remove: Option<(u64, u64)>) -> Result<()> {
        let (doc, load) = (self.key(&format!("{id}/doc")), self.key(&format!("{id}/load")));
        match remove {
            Some(number) => self.replace(id, token, number, &delete(&doc))?,
            None => drop(self.transact(&[has_value(&load, token)], &[delete(&load)], &[])?),
        }
        Ok(())
    }

    fn bump(&mut self, floor: Floor) -> Result<u64> {
        let operations = vec![put(&self.key("rev"), b"", None)];
        let above = Floor { seen: floor.seen.saturating_add(1), ..floor };
        Ok(self.revised(operations, above)?.0)
    }

    fn hosts(&mut self) -> Result<Vec<Host>> {
        // `0` is the character after `/`.
        let request = json!({"key": self.key("hosts/"), "range_end": self.key("hosts0")});
        let response = self.requests.call("/v3/kv/range", &request)?;
        let now = self.requests.time()?;
        let start = self.prefix.len() + "hosts/".len();
        let host = |entry: &Value| {
            let (time, confirmed) = state(entry)?;
            let key = STANDARD.decode(entry["key"].as_str()?).ok()?;
            let name = String::from_utf8_lossy(key.get(start..)?).into_owned();
            Some(Host { name, silent_for: age(now, time), confirmed })
        };
        Ok(response["kvs"].as_array().into_iter().flatten().filter_map(host).collect())
    }

    fn data_key(&mut self, new: Option<&[u8]>, lifetime: Duration) -> Result<Option<Vec<u8>>> {
        let key = self.key("key");
        if let Some(new) = new {
            let lease = self.lease(lifetime)?;
            self.transact(&[is_absent(&key)], &[put(&key, new, Some(&lease))], &[])?;
        }
        let responses = self.transact(&[], &[range(&key)], &[])?.responses;
        Ok(responses.first().and_then(entry).and_then(bytes))
    }

    fn cache_fetch(&mut self, id: &str, floor: Floor) -> Result<FetchedValue> {
        let (value, last) = (self.key(&format!("{id}/value")), self.key("floor"));
        let (revision, responses) = self.revised(vec![range(&value), range(&last)], floor)?;
        let [value, last] = &responses[..] else { return Err(self.requests.malformed()) };
        let value = self.opened(entry(value).and_then(bytes))?;
        let floor = entry(last).map(|entry| self.base.saturating_add(number(&entry["mod_revision"])));
        Ok(FetchedValue { value, floor, revision, since: self.last_write })
    }

    fn cache_fill(&mut self, id: &str, since: u64, value: &[u8], lifetime: Duration) -> Result<()> {
        let (key, next) = (self.key(&format!("{id}/value")), since.saturating_add(1).to_string());
        let is_unchanged = json!({"target": "MOD", "result": "LESS", "key": key, "mod_revision": next});
        self.with_leases(|session| {
            let lease = session.shared_lease(lifetime)?;
            let stored = put(&key, &session.value(value, lifetime)?, Some(&lease));
            session.transact(slice::from_ref(&is_unchanged), &[stored], &[]).map(drop)
        })
    }

    fn cache_change(&mut self, change: &NewChange<'_>, floor: Floor) -> Result<(u64, u64)> {
        let (revision, responses) = self.with_leases(|session| {
            let lease = session.shared_lease(CHANGE)?;
            let record = put(&session.key(&format!("log/{}", change.id)), change.sealed, Some(&lease));
            let changed = match change.target {
                ChangeTarget::Prefix => put(&session.key("floor"), b"", None),
                ChangeTarget::Key(id, None) => put(&session.key(&format!("{id}/value")), b"", Some(&lease)),
                ChangeTarget::Key(id, Some((value, lifetime))) => {
                    let lease = session.shared_lease(lifetime)?;
                    put(&session.key(&format!("{id}/value")), &session.value(value, lifetime)?, Some(&lease))
                }
            };
            let operations = vec![put(&session.key("rev"), b"", None), record, changed, range(&session.key("floor"))];
            session.revised(operations, floor)
        })?;
        let last = responses.last().and_then(entry);
        Ok((revision, last.map_or(0, |entry| self.base.saturating_add(number(&entry["mod_revision"])))))
    }

    fn cache_log(&mut self, position: u64, floor: Floor) -> Result<CacheLog> {
        let last = self.key("floor");
        let (revision, responses) = self.revised(vec![range(&last)], floor)?;
        let Some(last) = responses.first().and_then(entry) else {
            // The tier is new.
            let operations = vec![put(&self.key("rev"), b"", None), put(&last, b"", None)];
            let revision = self.revised(operations, floor)?.0;
            return Ok(CacheLog { revision, floor: revision, changes: None });
        };
        let floor = self.base.saturating_add(number(&last["mod_revision"]));
        let changes = match position {
            _ if position < self.base => None,
            _ if position == revision => Some(Vec::new()),
            _ => self.changes(position - self.base)?,
        };
        Ok(CacheLog { revision, floor, changes })
    }
}

fn range(key: &str) -> Value {
    json!({"request_range": {"key": key}})
}

fn put(key: &str, value: &[u8], lease: Option<&str>) -> Value {
    json!({"request_put": {"key": key, "value": STANDARD.encode(value), "lease": lease.unwrap_or("0")}})
}

fn delete(key: &str) -> Value {
    json!({"request_delete_range": {"key": key}})
}

fn is_absent(key: &str) -> Value {
    json!({"target": "CREATE", "key": key, "create_revision": "0"})
}

/// Whether a key has not been written since this entry was read.
fn is_unchanged(key: &str, entry: &Value) -> Value {
    json!({"target": "MOD", "key": key, "mod_revision": number(&entry["mod_revision"]).to_string()})
}

fn has_value(key: &str, value: &str) -> Value {
    json!({"target": "VALUE", "key": key, "value": STANDARD.encode(value)})
}

/// The entry that was read, if there is one.
fn entry(response: &Value) -> Option<&Value> {
    response["response_range"]["kvs"].get(0)
}

fn bytes(entry: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(entry["value"].as_str().unwrap_or_default()).ok()
}

/// A number of 64 bits, which is text in JSON.
fn number(value: &Value) -> u64 {
    value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok()).unwrap_or(0)
}

/// The time of the last look of a host in seconds, and the revision that it confirmed.
fn state(entry: &Value) -> Option<(u64, u64)> {
    let text = String::from_utf8(bytes(entry)?).ok()?;
    let (time, confirmed) = text.split_once(' ')?;
    Some((time.parse().ok()?, confirmed.parse().ok()?))
}

fn age(now: Duration, seconds: u64) -> Duration {
    now.saturating_sub(Duration::from_secs(seconds))
}
