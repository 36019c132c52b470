//! A word of each thread, for what is needed in a few nanoseconds.
//!
//! In a shared library `thread_local!` asks the dynamic linker for the variable's address in every use (the "general
//! dynamic" model), a call of a dozen instructions. The "initial exec" model takes two instructions: the variable is at
//! a fixed distance from the thread pointer. glibc keeps room for such variables of libraries that are loaded later, and
//! four bytes of it are taken here. (Drepper, "ELF Handling For Thread-Local Storage", 4.4.2.) musl has no such room for
//! libraries that are loaded later, and Rust has no stable way to name the model, so elsewhere `thread_local!` serves.

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod initial_exec {
    use std::arch::{asm, global_asm};

    global_asm!(
        ".section .tbss.st_secrets_thread_word,\"awT\",@nobits",
        ".globl st_secrets_thread_word",
        ".hidden st_secrets_thread_word",
        ".type st_secrets_thread_word,@object",
        ".size st_secrets_thread_word,4",
        ".p2align 2",
        "st_secrets_thread_word:",
        ".zero 4",
        ".text",
    );

    #[inline(always)]
    pub(crate) fn get() -> u32 {
        let word;
        // SAFETY: reads four bytes of this thread that `global_asm!` above defines, and changes nothing else.
        unsafe {
            asm!(
                "mov {at}, qword ptr [rip + st_secrets_thread_word@GOTTPOFF]",
                "mov {word:e}, dword ptr fs:[{at}]",
                at = out(reg) _,
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
                "mov {at}, qword ptr [rip + st_secrets_thread_word@GOTTPOFF]",
                "mov dword ptr fs:[{at}], {word:e}",
                at = out(reg) _,
                word = in(reg) word,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
pub(crate) use initial_exec::{get, set};

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
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

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
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
