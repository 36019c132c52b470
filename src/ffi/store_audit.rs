//! The audit trail.

use std::ffi::c_char;

use super::store::{document, optional_text, st_store, with};
use super::{Out, guard, st_bytes, st_error, st_status, text};
use crate::error::Error;

/// Appends an entry of the program's own to the audit trail, by the actor of `st_store_as`; what the library does itself
/// is recorded without this. `target_type` and `target_id` may both be NULL with 0. `details` is a JSON object, NULL with
/// 0 for none; it must not hold a secret. `id` (may be NULL) is the number of the entry.
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
            _ => return Err(Error::invalid_argument("`target_type` and `target_id` are given together, or neither")),
        };
        // SAFETY: the caller gives NULL or a live store.
        let number = unsafe { with(store, |store| store.audit_log(event_type, action, target, details)) }?;
        if let Some(id) = id {
            id.set(number);
        }
        Ok(())
    })
}

/// Looks entries of the audit trail up, newest first: a JSON array of objects with the names of the columns.
/// `filter_json` is a JSON object, NULL with 0 for none, with any of `event_type`, `action`, `actor_id`, `actor_username`,
/// `target_type`, `target_id`, `since` and `until` (times such as `2026-08-22T17:32:24Z`; `until` itself is left out),
/// `limit` (100 if not given, 10000 at most) and `offset`. An unknown one is an error that names the nearest known one.
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

/// Checks the chain of the entries `first` to `last` (0: from the first, to the last that there is). `broken_id` (may be
/// NULL) is the number of the first entry that something is wrong with, 0 if all is well: a broken chain is no failure of
/// this call. `report` (may be NULL) is a JSON object of
///
/// - `checked`: how many entries were checked, and `intact`: whether all is well
/// - `broken_id`, and `kind`: what is wrong with it: `altered` (changed after it was signed, or signed with another key),
///   `missing` (entries before it were removed), `fork` (it is intact, but two programs appended to the same entry, as
///   SimpleTuner can)
/// - `tampered_id`: the first one that is altered, or behind entries that were removed; null if there are forks at most
/// - `forks`: an array of up to 1000 entries at which the chain forks
///
/// The signature covers time, event type, the actor's number, action, details and the signature before; not the actor's
/// name and address, nor the target.
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
