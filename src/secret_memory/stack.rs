//! Wiping of the stack.

use crate::sys;

/// Overwrites what ciphers left on the stack, such as round keys and blocks of plaintext.
pub(crate) fn wipe_stack() {
    wipe_stack_below::<4096>();
}

/// Overwrites this many bytes of the stack below the caller's frame, where finished calls left their data. Clears the
/// vector registers too: `memcpy` leaves text in them, and the dynamic linker saves them on the caller's stack when it
/// binds a function at its first call.
#[inline(never)]
pub(crate) fn wipe_stack_below<const SIZE: usize>() {
    let mut space = [0_u8; SIZE];
    std::hint::black_box(&mut space);
    sys::clear_vector_registers();
}
