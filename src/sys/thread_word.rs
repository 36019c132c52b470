//! A word of each thread, for what is needed in a few nanoseconds.
//!
//! In a shared library `thread_local!` asks the dynamic linker for the variable's address in every use (the "general
//! dynamic" model). A TLS descriptor is a function that the dynamic linker chooses once: where there is room in the
//! memory that each thread has from the start, it only returns the distance from the thread pointer. (Drepper, "ELF
//! Handling For Thread-Local Storage"; Oliva and Araujo, "Speeding Up Thread-Local Storage Access in Dynamic Libraries",
//! GCC Summit 2006.) The "initial exec" model is as fast, but a library that uses it takes that room for all its
//! variables, and cannot be loaded where other libraries have used it up. Rust has no stable way to name the model.

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

    /// Where the word is, as its distance from the thread pointer.
    #[inline(always)]
    fn distance() -> usize {
        let distance;
        // SAFETY: the sequence of instructions that the linker expects for a TLS descriptor. The function that is called
        // changes no more than any C function may, and its stack is aligned for it by the compiler, as nothing here says
        // that the stack is not used.
        unsafe {
            asm!(
                "lea rax, [rip + st_secrets_thread_word@TLSDESC]",
                "call [rax + st_secrets_thread_word@TLSCALL]",
                out("rax") distance,
                clobber_abi("sysv64"),
            );
        }
        distance
    }

    #[inline(always)]
    pub(crate) fn get() -> u32 {
        let word;
        // SAFETY: reads four bytes of this thread that `global_asm!` above defines, and changes nothing else.
        unsafe {
            asm!(
                "mov {word:e}, dword ptr fs:[{at}]",
                at = in(reg) distance(),
                word = out(reg) word,
                options(nostack, preserves_flags, readonly),
            );
        }
        word
    }

    pub(crate) fn set(word: u32) {
        // SAFETY: writes four bytes of this thread that `global_asm!` above defines, which only `get` reads.
        unsafe {
            asm!(
                "mov dword ptr fs:[{at}], {word:e}",
                at = in(reg) distance(),
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
    fn each_thread_has_its_own_word() {
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
