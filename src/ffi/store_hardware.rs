//! Hardware prices.

use std::ffi::c_char;

use super::store::{document, st_store, with};
use super::{guard, guard_out, st_bytes, st_error, st_status, text};
use crate::store::{DEFAULT_HARDWARE_INFO, Store};

/// Reads the prices of hardware: a JSON object `{id: {"name": …, "cost_per_second": …}}`, in US dollars. They come from
/// `hardware_info` in the configuration of the provider `replicate`. If that is not an object with members,
/// the defaults of `st_hardware_info_defaults` are returned. The prices are cached for 300 s, separately from
/// the configuration. No database is created. Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_info_get(
    store: *const st_store,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, and NULL or a live store.
    unsafe { guard_out(json, "json", error, || with(store, Store::hardware_info)) }
}

/// Returns the default prices, in the form of `st_hardware_info_get`: those of SimpleTuner's documentation (`gpu-l40s`,
/// `gpu-a100-large`), and the price of `gpu-h100`, which only its code has. Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_info_defaults(json: *mut st_bytes, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`.
    unsafe { guard_out(json, "json", error, || document(DEFAULT_HARDWARE_INFO)) }
}

/// Replaces the cached prices of this store with a JSON object, for 300 s. Each member needs a `cost_per_second` of 0
/// or more. Nothing is stored: to change the prices for all processes, set `hardware_info` in the configuration of
/// `replicate`.
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

/// Clears the cached prices, so that the next call reads the configuration again.
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

/// Returns the hourly price of a device in `cost`, in US dollars: its `cost_per_second` times 3600.
///
/// `ST_NOT_FOUND`: no price is known for the device. `ST_WRONG_TYPE`: its price is not a valid number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_cost_per_hour(
    store: *const st_store,
    hardware_id: *const c_char,
    hardware_id_len: usize,
    cost: *mut f64,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, readable text of this length, and NULL or a live store.
    unsafe {
        guard_out(cost, "cost", error, || {
            let id = text("hardware_id", hardware_id, hardware_id_len)?;
            with(store, |store| store.hardware_cost_per_hour(id))
        })
    }
}

/// Returns in `cost` the hourly price, in US dollars, of SimpleTuner's default device, `gpu-l40s`. Where the prices of
/// `st_hardware_info_get` lack it, or its `cost_per_second`, the price is that of `st_hardware_info_defaults`.
///
/// `ST_WRONG_TYPE`: its price is not a valid number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_hardware_default_cost_per_hour(
    store: *const st_store,
    cost: *mut f64,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, and NULL or a live store.
    unsafe { guard_out(cost, "cost", error, || with(store, Store::hardware_default_cost_per_hour)) }
}
