//! Two thread-local words that are read in a few nanoseconds.
//!
//! In a shared library, `thread_local!` calls the dynamic linker for the variable's address at every use (the "general
//! dynamic" model). A TLS descriptor is a function that the dynamic linker chooses once: if there is room in the static
//! TLS block, which each thread has from the start, it only returns the offset from the thread pointer. (Drepper, "ELF
//! Handling For Thread-Local Storage"; Oliva and Araujo, "Speeding Up Thread-Local Storage Access in Dynamic
//! Libraries", GCC Summit 2006.) The "initial exec" model is as fast, but a library that uses it needs static TLS for
//! all its variables, and cannot be loaded after other libraries have used it up. Rust has no stable way to select the
//! model.
//!
//! glibc gives a library that is loaded with `dlopen` room in the static TLS block if all its thread-local variables
//! take no more than 512 bytes (`glibc.rtld.optional_static_tls`). `tests/c/symbols` checks that they do.

/// The words. Each is 0 when a thread starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// See `cache/thread.rs`.
    CacheSlot = 0,
    /// See `secret_memory/spare.rs`.
    SpareBlock = 1,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod descriptor {
    use std::arch::{asm, global_asm};

    use super::Word;

    global_asm!(
        ".pushsection .tbss.st_secrets_thread_words,\"awT\",@nobits",
        ".globl st_secrets_thread_words",
        ".hidden st_secrets_thread_words",
        ".type st_secrets_thread_words,@object",
        ".size st_secrets_thread_words,16",
        ".p2align 3",
        "st_secrets_thread_words:",
        ".zero 16",
        ".popsection",
    );

    /// The offset of the words from the thread pointer.
    #[inline(always)]
    fn offset() -> usize {
        let offset;
        // SAFETY: this is the instruction sequence that the linker expects for a TLS descriptor. The called function
        // preserves all registers but `rax` and the flags; before version 2.39, glibc's may change those for vectors
        // (bug 31372), where no value is kept across it. The compiler aligns the stack for it, because `nostack` is not
        // given.
        unsafe {
            asm!(
                "lea rax, [rip + st_secrets_thread_words@TLSDESC]",
                "call [rax + st_secrets_thread_words@TLSCALL]",
                out("rax") offset,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _, out("xmm16") _, out("xmm17") _,
                out("xmm18") _, out("xmm19") _, out("xmm20") _, out("xmm21") _, out("xmm22") _, out("xmm23") _,
                out("xmm24") _, out("xmm25") _, out("xmm26") _, out("xmm27") _, out("xmm28") _, out("xmm29") _,
                out("xmm30") _, out("xmm31") _, out("k1") _, out("k2") _, out("k3") _, out("k4") _, out("k5") _,
                out("k6") _, out("k7") _,
            );
        }
        offset
    }

    #[inline(always)]
    pub(crate) fn get(word: Word) -> u64 {
        let value;
        // SAFETY: reads eight bytes of this thread, defined by `global_asm!` above, and changes nothing else.
        unsafe {
            asm!(
                "mov {value}, qword ptr fs:[{at}]",
                at = in(reg) offset() + word as usize * 8,
                value = out(reg) value,
                options(nostack, preserves_flags, readonly),
            );
        }
        value
    }

    #[inline(always)]
    pub(crate) fn set(word: Word, value: u64) {
        // SAFETY: writes eight bytes of this thread, defined by `global_asm!` above, which only `get` reads.
        unsafe {
            asm!(
                "mov qword ptr fs:[{at}], {value}",
                at = in(reg) offset() + word as usize * 8,
                value = in(reg) value,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use descriptor::{get, set};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod general {
    use std::cell::Cell;

    use super::Word;

    thread_local! {
        static WORDS: [Cell<u64>; 2] = const { [const { Cell::new(0) }; 2] };
    }

    #[inline(always)]
    pub(crate) fn get(word: Word) -> u64 {
        WORDS.with(|words| words[word as usize].get())
    }

    #[inline(always)]
    pub(crate) fn set(word: Word, value: u64) {
        WORDS.with(|words| words[word as usize].set(value));
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use general::{get, set};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_separate_for_each_thread() {
        std::thread::scope(|scope| {
            for number in 1..20 {
                scope.spawn(move || {
                    let words = [Word::CacheSlot, Word::SpareBlock];
                    assert_eq!(words.map(get), [0, 0]);
                    set(Word::CacheSlot, number);
                    set(Word::SpareBlock, number << 40);
                    std::thread::yield_now();
                    assert_eq!(words.map(get), [number, number << 40]);
                    // The destructor of the thread must not find an invalid block there.
                    set(Word::SpareBlock, 0);
                });
            }
        });
    }
}
