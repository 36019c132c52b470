//! Hardware prices.

use std::ffi::c_char;

use super::store::{st_store, with};
use super::{Out, guard, st_bytes, st_error, st_status, text};
use crate::store::Store;

/// Reads the prices of hardware: a JSON object `{id: {"name": …, "cost_per_second": …}}`, from `hardware_info` in the
/// configuration of the provider `replicate`, or the defaults (`gpu-l40s`, `gpu-a100-large`) where that is not an object
/// with members. It is cached for 300 s, apart from the configuration. No database is created.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_info_get(
    store: *const st_store,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(json, "json") }?;
        // SAFETY: the caller gives NULL or a live store.
        out.set(unsafe { with(store, Store::hardware_info) }?.into());
        Ok(())
    })
}

/// Puts this JSON object in place of the cached prices, for 300 s. Nothing is stored: to change the prices for all
/// processes, set `hardware_info` in the configuration of `replicate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_info_set(
    store: *const st_store,
    json: *const c_char,
    json_len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives readable text of this length.
        let json = unsafe { text("json", json, json_len) }?;
        // SAFETY: the caller gives NULL or a live store.
        unsafe { with(store, |store| store.hardware_set(json)) }
    })
}

/// Forgets the cached prices, so that the next call reads the configuration again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_info_clear(store: *const st_store, error: *mut st_error) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a live store.
        unsafe {
            with(store, |store| {
                store.hardware_clear();
                Ok(())
            })
        }
    })
}

/// Tells what a device costs in an hour.
///
/// `ST_NOT_FOUND`: there is no price for it; `ST_WRONG_TYPE`: its price is no number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_cost_per_hour(
    store: *const st_store,
    hardware_id: *const c_char,
    hardware_id_len: usize,
    cost: *mut f64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a number.
        let out = unsafe { Out::new(cost, "cost") }?;
        // SAFETY: the caller gives readable text of this length.
        let id = unsafe { text("hardware_id", hardware_id, hardware_id_len) }?;
        // SAFETY: the caller gives NULL or a live store.
        out.set(unsafe { with(store, |store| store.hardware_cost_per_hour(id)) }?);
        Ok(())
    })
}
