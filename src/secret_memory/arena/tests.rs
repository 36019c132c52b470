//! Blocks that threads keep, and that children inherit.

use std::collections::HashSet;
use std::thread;

use super::*;

fn taken(size: usize) -> NonNull<u8> {
    let block = allocate(size).unwrap();
    // SAFETY: the block is ours, and all of it is initialised.
    let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), size) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    bytes.fill(7);
    block
}

/// # Safety
/// As for [`release`].
unsafe fn give_back(blocks: Vec<NonNull<u8>>, size: usize) {
    for block in blocks {
        // SAFETY: the caller's promise.
        unsafe { release(block, size) };
    }
}

#[test]
fn a_thread_has_the_blocks_first_that_it_freed() {
    thread::spawn(|| {
        let blocks: Vec<_> = (0..KEPT).map(|_| taken(100)).collect();
        // SAFETY: the blocks are from `allocate`, and nobody uses them.
        unsafe { give_back(blocks.clone(), 100) };
        let again: HashSet<_> = (0..KEPT).map(|_| taken(100)).collect();
        assert_eq!(again, blocks.into_iter().collect());
        // SAFETY: as above.
        unsafe { give_back(again.into_iter().collect(), 100) };
    })
    .join()
    .unwrap();
}

#[test]
fn blocks_go_back_when_their_thread_ends() {
    for size in [60, 120, 250, 500] {
        let use_some = move || {
            let blocks: Vec<_> = (0..KEPT + 1).map(|_| taken(size)).collect();
            // SAFETY: the blocks are from `allocate`, and nobody uses them.
            unsafe { give_back(blocks.clone(), size) };
            blocks.into_iter().map(|block| block.addr()).collect::<Vec<_>>()
        };
        let blocks: HashSet<_> = (0..500).flat_map(|_| thread::spawn(use_some).join().unwrap()).collect();
        // Other tests take some too, but not hundreds of them.
        assert!(blocks.len() < 500, "{} blocks", blocks.len());
    }
}

#[test]
fn a_block_may_be_freed_by_another_thread_and_at_the_end_of_one() {
    struct Late(Option<NonNull<u8>>);
    impl Drop for Late {
        fn drop(&mut self) {
            if let Some(block) = self.0 {
                // SAFETY: the block is from `allocate`, and nobody uses it.
                unsafe { release(block, 64) };
            }
        }
    }
    thread_local!(static LATE: RefCell<Late> = const { RefCell::new(Late(None)) });
    let address = taken(64).addr().get();
    thread::spawn(move || {
        // Registered before the blocks of this thread, so it ends after them.
        LATE.with_borrow_mut(|late| late.0 = NonNull::new(ptr::with_exposed_provenance_mut(address)));
        let block = taken(64);
        // SAFETY: as above.
        unsafe { release(block, 64) };
    })
    .join()
    .unwrap();
}

#[test]
fn blocks_that_a_thread_keeps_are_wiped() {
    let blocks: Vec<_> = (0..KEPT).map(|_| taken(512)).collect();
    // SAFETY: the blocks are from `allocate`, and nobody uses them.
    unsafe { give_back(blocks.clone(), 512) };
    for block in blocks {
        // SAFETY: blocks stay mapped; a freed one is this thread's alone as long as it allocates nothing.
        assert!(unsafe { std::slice::from_raw_parts(block.as_ptr(), 512) }.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_child_works_with_what_its_threads_had() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    let blocks: Vec<_> = (0..6).map(|_| taken(200)).collect();
                    // SAFETY: the blocks are from `allocate`, and nobody uses them.
                    unsafe { give_back(blocks, 200) };
                }
            });
        }
        for _ in 0..50 {
            // SAFETY: the child uses this module and ends, without running anything else of the parent's.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let block = allocate(200);
                let is_locked = usage().unlocked == 0 || usage().lock_error != 0;
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(i32::from(block.is_err() || !is_locked)) };
            }
            let mut status = 0;
            // SAFETY: `child` is a child of this process that was not waited for yet, and `status` is writable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
        }
        stop.store(true, SeqCst);
    });
}
