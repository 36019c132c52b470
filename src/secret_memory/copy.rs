//! Copying bytes of the usual lengths without a call.

// A part of sixteen bytes is a vector where there are any: the compiler may keep arrays and large numbers on the stack.
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::uint8x16_t as Part;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i as Part;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
use std::primitive::u128 as Part;
use std::ptr;

/// Copies bytes, which may overlap with their copy. Bytes of the usual lengths are loaded and then stored in two or
/// four overlapping parts, which takes a few instructions; a copy of any length would be a call.
///
/// # Safety
/// All bytes fit at `to`.
#[inline(always)]
pub(crate) unsafe fn copy(bytes: &[u8], to: *mut u8) {
    let (from, len) = (bytes.as_ptr(), bytes.len());
    // SAFETY: each part begins and ends within the bytes, and so does its copy. Parts need no alignment.
    unsafe {
        let load = |at: usize| from.add(at).cast::<Part>().read_unaligned();
        let store = |at: usize, part: Part| to.add(at).cast::<Part>().write_unaligned(part);
        match len {
            16..=32 => {
                let (first, last) = (load(0), load(len - 16));
                store(0, first);
                store(len - 16, last);
            }
            33..=64 => {
                let parts = (load(0), load(16), load(len - 32), load(len - 16));
                store(0, parts.0);
                store(16, parts.1);
                store(len - 32, parts.2);
                store(len - 16, parts.3);
            }
            _ => ptr::copy(from, to, len),
        }
    }
}

/// Copies bytes to the beginning of `to`, which is at least as long.
#[inline(always)]
pub(crate) fn copy_to(bytes: &[u8], to: &mut [u8]) {
    let to = &mut to[..bytes.len()];
    // SAFETY: `to` has this length.
    unsafe { copy(bytes, to.as_mut_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_to_copies_all_lengths() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..=bytes.len() {
            let mut buffer = [0; 300];
            copy_to(&bytes[..len], &mut buffer);
            assert_eq!(buffer[..len], bytes[..len]);
            assert!(buffer[len..].iter().all(|byte| *byte == 0), "{len}");
        }
    }

    #[test]
    fn copy_allows_overlap() {
        for (len, shift) in [(16, 3), (20, 7), (40, 1), (64, 63), (100, 50)] {
            let mut bytes: Vec<u8> = (0..200).collect();
            let start = bytes.as_mut_ptr();
            // SAFETY: both ranges are within the vector, which nothing else uses.
            unsafe { copy(std::slice::from_raw_parts(start, len), start.add(shift)) };
            assert!((0..len).all(|at| usize::from(bytes[at + shift]) == at), "{len} by {shift}");
        }
    }
}
