//! Registers that may contain text after a copy.

/// Clears the caller-saved vector registers.
#[cfg(target_arch = "x86_64")]
pub(crate) fn clear_vector_registers() {
    use std::arch::asm;
    let (has_avx, has_avx512) =
        (std::arch::is_x86_feature_detected!("avx"), std::arch::is_x86_feature_detected!("avx512f"));
    // SAFETY: only instructions that the processor supports are executed, and all changed registers are declared.
    unsafe {
        match has_avx {
            true => asm!("vzeroall", clobber_abi("C"), options(nomem, nostack, preserves_flags)),
            false => asm!(
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "pxor xmm\\n, xmm\\n",
                ".endr",
                clobber_abi("C"),
                options(nomem, nostack, preserves_flags)
            ),
        }
        if has_avx512 {
            asm!(
                ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                "vpxorq zmm\\n, zmm\\n, zmm\\n",
                ".endr",
                clobber_abi("C"),
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// Not implemented for this architecture: text remains in registers until the next copy.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn clear_vector_registers() {}
