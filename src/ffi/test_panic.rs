//! A function that panics, for tests. It is only in builds for tests, and not in the header.

use super::{guard, st_error, st_status};

/// Panics.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_test_panic(error: *mut st_error) -> st_status {
    guard(error, || panic!("a panic with a CANARY in it"))
}
