//! A Rust archive that panics and survives it.

use std::collections::HashMap;

/// Returns 7 after a panic that was caught, 1 if there was none.
#[unsafe(no_mangle)]
pub extern "C" fn other_panic() -> i32 {
    let caught = std::panic::catch_unwind(|| {
        // Part of the standard library that both archives contain.
        let numbers: HashMap<String, u32> = (0..9).map(|number| (format!("{number}"), number)).collect();
        assert!(numbers.len() == 10, "a panic of the other archive");
    });
    if caught.is_err() { 7 } else { 1 }
}
