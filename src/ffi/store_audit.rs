//! The audit trail.

use std::ffi::c_char;

use super::store::{document, optional_text, st_store, with};
use super::{Out, guard, st_bytes, st_error, st_status, text};
use crate::error::Error;

/// Appends an entry of the program's own to the audit trail, with the actor of `st_store_as`. Changes made by this
/// library are recorded without this call.
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
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a number.
        let id = unsafe { Out::optional(id) };
        // SAFETY: the caller gives readable text of these lengths, or NULL where that is allowed.
        let (event_type, action, target, details) = unsafe {
            (
                text("event_type", event_type, event_type_len)?,
                text("action", action, action_len)?,
                (
                    optional_text("target_type", target_type, target_type_len)?,
                    optional_text("target_id", target_id, target_id_len)?,
                ),
                optional_text("details", details, details_len)?.unwrap_or_default(),
            )
        };
        let target = match target {
            (Some(kind), Some(id)) => Some((kind, id)),
            (None, None) => None,
            _ => return Err(Error::invalid_argument("`target_type` and `target_id` must be given together")),
        };
        // SAFETY: the caller gives NULL or a live store.
        let number = unsafe { with(store, |store| store.audit_log(event_type, action, target, details)) }?;
        if let Some(id) = id {
            id.set(number);
        }
        Ok(())
    })
}

/// Queries the audit trail. Returns entries, newest first, as a JSON array of objects with the names of the columns.
/// Free `json` with `st_bytes_free`.
///
/// `filter_json` is a JSON object, or NULL with length 0 for no filter. Its members are `event_type`, `action`,
/// `actor_id`, `actor_username`, `target_type`, `target_id`, `since` (inclusive) and `until` (exclusive), which are
/// times such as `2026-08-22T17:32:24Z`, `limit` (default 100, at most 10000), and `offset`.
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
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(json, "json") }?;
        // SAFETY: the caller gives NULL or readable text of this length.
        let filter = unsafe { optional_text("filter_json", filter_json, filter_json_len) }?.unwrap_or_default();
        // SAFETY: the caller gives NULL or a live store.
        out.set(document(&unsafe { with(store, |store| store.audit_query(filter)) }?)?);
        Ok(())
    })
}

/// Verifies the chain of the entries `first` to `last`. 0 means the first entry, or the last. A broken chain is
/// not a failure of this call. `broken_id` (may be NULL) receives the number of the first invalid entry, or 0 if there
/// is none. `report` (may be NULL) receives a JSON object, to be freed with `st_bytes_free`, of
///
/// - `checked`: how many entries were checked
/// - `intact`: whether all of them are valid
/// - `broken_id`: the number of the first invalid entry, or null
/// - `kind`: what is wrong with it: `altered` (it was changed after it was signed, or was signed with another key),
///   `missing` (entries before it were removed), `fork` (it is intact, but two programs appended to the same entry, as
///   SimpleTuner can)
/// - `tampered_id`: the first entry that is altered or follows removed entries; null if there are only forks
/// - `forks`: an array of the entries at which the chain forks, at most 1000
///
/// The signature covers the time, event type, actor id, action, details and the previous signature. It does not cover
/// the actor's name and address, nor the target.
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
