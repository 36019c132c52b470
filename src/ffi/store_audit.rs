//! The audit trail.

use std::ffi::c_char;

use super::store::{document, optional_text, st_store, with};
use super::{Out, guard, guard_optional_out, guard_out, st_bytes, st_error, st_status, text};
use crate::error::{Error, Result};
use crate::store::{AuditFormat, Store};

/// For `st_audit_export`: one JSON object per line, with the names of the columns.
pub const ST_AUDIT_JSON_LINES: i32 = 1;
/// For `st_audit_export`: comma-separated values as in RFC 4180.
pub const ST_AUDIT_CSV: i32 = 2;

/// Returns the event types that SimpleTuner defines, in its order, as a JSON array of objects with `name` (of the
/// constant there, such as `AUTH_LOGIN_FAILED`), `value` (the text in an entry, `auth.login.failed`), `category`
/// (`authentication`, `user`, `api_key`, `credential`, `job`, `quota`, `configuration` or `security`) and `security`
/// (whether it is one of the security events, which `st_audit_send` can select). An entry may have any other type, too.
/// Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_event_types(json: *mut st_bytes, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`.
    unsafe { guard_out(json, "json", error, || document(&Store::audit_event_types())) }
}

/// Appends an entry of the program's own to the audit trail, with the actor of `st_store_as`. Changes made by this
/// library are recorded without this call. `event_type` is one of `st_audit_event_types` or any other text; it and
/// `action` have 1 to 255 bytes and no control characters.
///
/// `target_type` and `target_id` are given together, or are both NULL with length 0. `details` is a JSON object, or
/// NULL with length 0 for none; it must not contain a secret. `id` (may be NULL) receives the number of the entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_log(
    store: *const st_store,
    event_type: *const c_char,
    event_type_len: usize,
    action: *const c_char,
    action_len: usize,
    target_type: *const c_char,
    target_type_len: usize,
    target_id: *const c_char,
    target_id_len: usize,
    details: *const c_char,
    details_len: usize,
    id: *mut i64,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, readable text of these lengths, or NULL where that is
    // allowed, and NULL or a live store.
    unsafe {
        guard_optional_out(id, error, || {
            let event_type = text("event_type", event_type, event_type_len)?;
            let action = text("action", action, action_len)?;
            let target_type = optional_text("target_type", target_type, target_type_len)?;
            let target_id = optional_text("target_id", target_id, target_id_len)?;
            let details = optional_text("details", details, details_len)?.unwrap_or_default();
            if target_type.is_some() != target_id.is_some() {
                return Err(Error::invalid_argument("`target_type` and `target_id` must be given together"));
            }
            let target = target_type.zip(target_id);
            with(store, |store| store.audit_log(event_type, action, target, details))
        })
    }
}

/// Queries the audit trail. Returns entries, newest first, as a JSON array of objects with the names of the columns.
/// Free `json` with `st_bytes_free`.
///
/// `filter_json` is a JSON object, or NULL with length 0 for no filter. Its members are
///
/// - `event_type`, `action`, `actor_id`, `actor_username`, `target_type`, `target_id`: the value that an entry has
/// - `event_types`: an array of at most 100 types, any of which an entry has; an empty one selects all
/// - `since`, `until`: the first and the last time, both included: `2026-08-22T17:32:24Z`, `2026-08-22T19:32+02:00`. A
///   time without an offset is in UTC, and a date is its midnight, so that `until` excludes that day. An empty text
///   selects all
/// - `since_text`, `until_text`: the same with any text, which is compared with the stored times
///   (`2026-08-22T17:32:24.123456+00:00`) as text, as SimpleTuner does
/// - `after_id`: entries with greater numbers
/// - `limit` (default 100, at most 10000), and `offset`
///
/// `ST_INVALID_ARGUMENT`: a filter is unknown, in which case the message suggests the nearest known one, or has an
/// invalid value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_query(
    store: *const st_store,
    filter_json: *const c_char,
    filter_json_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, NULL or readable text of this length, and NULL or a
    // live store.
    unsafe {
        guard_out(json, "json", error, || {
            let filter = optional_text("filter_json", filter_json, filter_json_len)?.unwrap_or_default();
            document(&with(store, |store| store.audit_query(filter))?)
        })
    }
}

/// Returns statistics of the audit trail as a JSON object: `total_entries`, `by_type` (the number of entries of each
/// event type, the most frequent first), `last_24h` (entries of the last 24 hours), `first_entry` and `last_entry`
/// (times, or null if there is no entry). Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_stats(
    store: *const st_store,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, and NULL or a live store.
    unsafe { guard_out(json, "json", error, || document(&with(store, Store::audit_stats)?)) }
}

/// Verifies the chain of the entries `first` to `last`. 0 means the first entry, or the last. A broken chain is
/// not a failure of this call. The `timeout` of the store limits the time for each 1000 entries, not the whole call.
///
/// `broken_id` (may be NULL) receives the number of the first invalid entry, or 0 if there is none. `report` (may be
/// NULL) receives a JSON object, to be freed with `st_bytes_free`, of
///
/// - `valid`: whether all entries are valid
/// - `entries_checked`: how many entries were checked
/// - `first_id`, `last_id`: the first and the last of them, or null
/// - `broken_links`: an array of the places where the chain is broken, at most 1000. Each has the `id` of the entry and
///   its `kind`; and `expected_previous` and `actual_previous`, if it does not follow the entry before it; or `error`
///   `hash_mismatch` with `actual_hash`, if its signature is wrong (`expected_hash` is null: it would let an attacker
///   sign an altered entry); or `error` `entries_removed`, if only its number shows that entries are missing
/// - `broken_id`: the number of the first invalid entry, or null
/// - `kind`: what is wrong with it: `altered` (it was changed after it was signed, or was signed with another key),
///   `missing` (entries before it were removed), `fork` (it is intact, but two programs appended to the same entry, as
///   SimpleTuner can)
/// - `tampered_id`: the first entry that is altered or follows removed entries; null if there are only forks
/// - `forks`: an array of the entries at which the chain forks, at most 1000
///
/// The first five are those of SimpleTuner. A range is valid if it follows the entry before it. Entries that
/// `st_audit_retain` removed are not missing.
///
/// The signature, HMAC-SHA256, covers the time, event type, actor id, action, details and the previous signature. It
/// does not cover the actor's name and address, nor the target.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_verify(
    store: *const st_store,
    first: i64,
    last: i64,
    broken_id: *mut i64,
    report: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or places for a number and an `st_bytes`.
        let (broken_id, out) = unsafe { (Out::optional(broken_id), Out::optional(report)) };
        // SAFETY: the caller gives NULL or a live store.
        let verified = unsafe { with(store, |store| store.audit_verify(first, last)) }?;
        if let Some(out) = out {
            out.set(document(&verified.to_json())?);
        }
        if let Some(broken_id) = broken_id {
            broken_id.set(verified.first.map_or(0, |(id, _)| id));
        }
        Ok(())
    })
}

/// Exports entries as text, oldest first. `last_id` (may be NULL) receives the number of the last exported entry, or 0
/// if there is none; pass it as `after_id` to continue there with the next call. `filter_json` is as for
/// `st_audit_query`, except that `limit` is 10000 by default. Free `exported` with `st_bytes_free`.
///
/// `format` is `ST_AUDIT_JSON_LINES` or `ST_AUDIT_CSV`. CSV begins with the names of the columns, unless there is an
/// `after_id`. A cell that a spreadsheet would evaluate as a formula gets an apostrophe in front.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_export(
    store: *const st_store,
    filter_json: *const c_char,
    filter_json_len: usize,
    format: i32,
    exported: *mut st_bytes,
    last_id: *mut i64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or places for an `st_bytes` and a number.
        let (out, last_id) = (unsafe { Out::new(exported, "exported") }, unsafe { Out::optional(last_id) });
        let out = out?;
        let format = match format {
            ST_AUDIT_JSON_LINES => AuditFormat::JsonLines,
            ST_AUDIT_CSV => AuditFormat::Csv,
            _ => {
                let message = format!("`format` is {format}, not ST_AUDIT_JSON_LINES or ST_AUDIT_CSV");
                return Err(Error::invalid_argument(message));
            }
        };
        // SAFETY: the caller gives NULL or readable text of this length.
        let filter = unsafe { optional_text("filter_json", filter_json, filter_json_len) }?.unwrap_or_default();
        // SAFETY: the caller gives NULL or a live store.
        let export = unsafe { with(store, |store| store.audit_export(filter, format)) }?;
        out.set(document(&export.text)?);
        if let Some(last_id) = last_id {
            last_id.set(export.last_id);
        }
        Ok(())
    })
}

/// Sends entries to a webhook, oldest first, with HTTP POST, each as the JSON object that SimpleTuner sends:
/// `@timestamp`, `event` and `simpletuner`, whose `audit_id` is the number of the entry. `filter_json` is as for
/// `st_audit_export`. `webhook_json` is a JSON object of
///
/// - `url`: `https://…`; required
/// - `token`: the header `Authorization`, as it is if it begins with `Bearer ` or `ApiKey `, else after `ApiKey `. It
///   is not sent to `http://` of another machine
/// - `security_only`: whether to skip all entries that are not security events (default false)
/// - `batch`: the number of entries per request, at most 1000. 1, the default, is sent as `application/json`, as
///   SimpleTuner does; more are sent as `application/x-ndjson`, one object per line
/// - `timeout`: seconds for a request with its retries (default 5)
/// - `retries`: how often a request is repeated if the server is busy, fails or is unreachable (default 2)
/// - `ca_file`: a PEM file with the certificate authorities to trust, instead of those of the system
///
/// Proxies are those of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. The call blocks until all entries have
/// been sent.
///
/// `last_id` (may be NULL) receives the number of the last entry that was delivered or skipped, or 0 if no entry
/// matches. If a request fails after others were delivered, the call succeeds, and the next one, with `after_id`,
/// reports the failure if it persists. A receiver may get an entry twice, but never out of order.
///
/// `ST_INVALID_ARGUMENT`: a member of `webhook_json` is invalid. `ST_ACCESS_DENIED`: the server rejects the token, or
/// its certificate is not trusted. `ST_PROTOCOL`: it does not accept the entries, redirects, or does not speak HTTP.
/// `ST_UNAVAILABLE`, `ST_TIMEOUT`: try again later. `detail` is the HTTP status, if there is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_send(
    store: *const st_store,
    filter_json: *const c_char,
    filter_json_len: usize,
    webhook_json: *const c_char,
    webhook_json_len: usize,
    last_id: *mut i64,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, readable text of these lengths, or NULL where that is
    // allowed, and NULL or a live store.
    unsafe {
        guard_optional_out(last_id, error, || {
            let filter = optional_text("filter_json", filter_json, filter_json_len)?.unwrap_or_default();
            let webhook = text("webhook_json", webhook_json, webhook_json_len)?;
            with(store, |store| store.audit_send(filter, webhook))
        })
    }
}

/// Removes the entries at the beginning of the audit trail that are more than `days` days old. 0 means the days of
/// `SIMPLETUNER_AUDIT_RETENTION_DAYS`, else 90; nothing is removed if that variable is 0 or negative. `report` (may be
/// NULL) receives a JSON object, to be freed with `st_bytes_free`, of `removed` (the number of entries), `first_id` and
/// `last_id` (the first and the last of them, or null), `before` (entries from this time on are kept, or null) and
/// `record_id` (the entry that records the removal, or null).
///
/// The remaining entries are signed again as a chain of their own: only such a chain is valid for SimpleTuner. Entry
/// `record_id` is part of it and says what was removed, with the signature of the last removed entry and the newest
/// signature before the removal. Export or back up the trail first if the removed entries may be needed.
///
/// An entry that SimpleTuner appends during the call may fork the chain. Everything is one transaction: a failure
/// changes nothing. Raise the setting `timeout` for a trail of millions of entries.
///
/// `ST_CORRUPT`: the trail is altered or incomplete; it stays as it is. `ST_INVALID_ARGUMENT`: `days` is negative.
/// `ST_CONFIG`: the variable is not a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_audit_retain(
    store: *const st_store,
    days: i32,
    report: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::optional(report) };
        let days = given_days(days)?;
        // SAFETY: the caller gives NULL or a live store.
        let retention = unsafe { with(store, |store| store.audit_retain(days)) }?;
        if let Some(out) = out {
            out.set(document(&retention.to_json())?);
        }
        Ok(())
    })
}

fn given_days(days: i32) -> Result<Option<u32>> {
    let days = u32::try_from(days).map_err(|_| Error::invalid_argument(format!("`days` is {days}, less than 0")))?;
    Ok((days > 0).then_some(days))
}
