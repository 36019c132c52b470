//! A thread-local word that is read in a few nanoseconds.
//!
//! In a shared library, `thread_local!` calls the dynamic linker for the variable's address at every use (the "general
//! dynamic" model). A TLS descriptor is a function that the dynamic linker chooses once: if there is room in the static
//! TLS block, which each thread has from the start, it only returns the offset from the thread pointer. (Drepper, "ELF
//! Handling For Thread-Local Storage"; Oliva and Araujo, "Speeding Up Thread-Local Storage Access in Dynamic
//! Libraries", GCC Summit 2006.) The "initial exec" model is as fast, but a library that uses it needs static TLS for
//! all its variables, and cannot be loaded after other libraries have used it up. Rust has no stable way to select the
//! model.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod descriptor {
    use std::arch::{asm, global_asm};

    global_asm!(
        ".pushsection .tbss.st_secrets_thread_word,\"awT\",@nobits",
        ".globl st_secrets_thread_word",
        ".hidden st_secrets_thread_word",
        ".type st_secrets_thread_word,@object",
        ".size st_secrets_thread_word,4",
        ".p2align 2",
        "st_secrets_thread_word:",
        ".zero 4",
        ".popsection",
    );

    /// The offset of the word from the thread pointer.
    #[inline(always)]
    fn offset() -> usize {
        let offset;
        // SAFETY: this is the instruction sequence that the linker expects for a TLS descriptor. The called function
        // changes no more than any C function may. The compiler aligns the stack for it, because `nostack` is not
        // given.
        unsafe {
            asm!(
                "lea rax, [rip + st_secrets_thread_word@TLSDESC]",
                "call [rax + st_secrets_thread_word@TLSCALL]",
                out("rax") offset,
                clobber_abi("sysv64"),
            );
        }
        offset
    }

    #[inline(always)]
    pub(crate) fn get() -> u32 {
        let word;
        // SAFETY: reads four bytes of this thread, defined by `global_asm!` above, and changes nothing else.
        unsafe {
            asm!(
                "mov {word:e}, dword ptr fs:[{at}]",
                at = in(reg) offset(),
                word = out(reg) word,
                options(nostack, preserves_flags, readonly),
            );
        }
        word
    }

    pub(crate) fn set(word: u32) {
        // SAFETY: writes four bytes of this thread, defined by `global_asm!` above, which only `get` reads.
        unsafe {
            asm!(
                "mov dword ptr fs:[{at}], {word:e}",
                at = in(reg) offset(),
                word = in(reg) word,
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

    thread_local! {
        static WORD: Cell<u32> = const { Cell::new(0) };
    }

    #[inline(always)]
    pub(crate) fn get() -> u32 {
        WORD.get()
    }

    pub(crate) fn set(word: u32) {
        WORD.set(word);
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use general::{get, set};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_is_separate_for_each_thread() {
        std::thread::scope(|scope| {
            for number in 1..20 {
                scope.spawn(move || {
                    assert_eq!(get(), 0);
                    set(number);
                    std::thread::yield_now();
                    assert_eq!(get(), number);
                });
            }
        });
    }
}
