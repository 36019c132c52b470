//! Blocks in thread caches, and after a fork.

use std::collections::HashSet;
use std::thread;

use super::*;

fn allocate_filled(size: usize) -> NonNull<u8> {
    let block = allocate(size).unwrap();
    // SAFETY: the block is exclusively ours and initialized.
    let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), size) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    bytes.fill(7);
    block
}

/// # Safety
/// As for [`release`].
unsafe fn release_all(blocks: Vec<NonNull<u8>>, size: usize) {
    for block in blocks {
        // SAFETY: by the caller's promise.
        unsafe { release(block, size) };
    }
}

#[test]
fn thread_reuses_the_blocks_that_it_freed() {
    thread::spawn(|| {
        let blocks: Vec<_> = (0..CACHED_BLOCKS).map(|_| allocate_filled(100)).collect();
        // SAFETY: the blocks are from `allocate` and no longer used.
        unsafe { release_all(blocks.clone(), 100) };
        let again: HashSet<_> = (0..CACHED_BLOCKS).map(|_| allocate_filled(100)).collect();
        assert_eq!(again, blocks.into_iter().collect());
        // SAFETY: as above.
        unsafe { release_all(again.into_iter().collect(), 100) };
    })
    .join()
    .unwrap();
}

#[test]
fn cached_blocks_are_returned_when_the_thread_ends() {
    for size in [60, 120, 250, 500] {
        let allocate_and_release = move || {
            let blocks: Vec<_> = (0..CACHED_BLOCKS + 1).map(|_| allocate_filled(size)).collect();
            // SAFETY: the blocks are from `allocate` and no longer used.
            unsafe { release_all(blocks.clone(), size) };
            blocks.into_iter().map(|block| block.addr()).collect::<Vec<_>>()
        };
        let blocks: HashSet<_> = (0..500).flat_map(|_| thread::spawn(allocate_and_release).join().unwrap()).collect();
        // Other tests take blocks too, but not hundreds.
        assert!(blocks.len() < 500, "{} blocks", blocks.len());
    }
}

#[test]
fn block_may_be_freed_by_another_thread_while_that_ends() {
    struct Late(Option<NonNull<u8>>);
    impl Drop for Late {
        fn drop(&mut self) {
            if let Some(block) = self.0 {
                // SAFETY: the block is from `allocate` and no longer used.
                unsafe { release(block, 64) };
            }
        }
    }
    thread_local!(static LATE: RefCell<Late> = const { RefCell::new(Late(None)) });
    let address = allocate_filled(64).addr().get();
    thread::spawn(move || {
        // Registered before the cache of this thread, so it is destroyed after it.
        LATE.with_borrow_mut(|late| late.0 = NonNull::new(ptr::with_exposed_provenance_mut(address)));
        let block = allocate_filled(64);
        // SAFETY: as above.
        unsafe { release(block, 64) };
    })
    .join()
    .unwrap();
}

#[test]
fn cached_blocks_are_wiped() {
    let blocks: Vec<_> = (0..CACHED_BLOCKS).map(|_| allocate_filled(512)).collect();
    // SAFETY: the blocks are from `allocate`, and are no longer used.
    unsafe { release_all(blocks.clone(), 512) };
    for block in blocks {
        // SAFETY: blocks stay mapped, and a freed one belongs to this thread as long as it allocates nothing.
        assert!(unsafe { std::slice::from_raw_parts(block.as_ptr(), 512) }.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn forked_child_can_allocate() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    let blocks: Vec<_> = (0..6).map(|_| allocate_filled(200)).collect();
                    // SAFETY: the blocks are from `allocate` and no longer used.
                    unsafe { release_all(blocks, 200) };
                }
            });
        }
        for _ in 0..50 {
            // SAFETY: the child only uses this module and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let block = allocate(200);
                let is_locked = usage().unlocked == 0 || usage().lock_error != 0;
                // SAFETY: ends this process immediately.
                unsafe { libc::_exit(i32::from(block.is_err() || !is_locked)) };
            }
            let mut status = 0;
            // SAFETY: `child` is an unreaped child of this process, and `status` is writable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
        }
        stop.store(true, SeqCst);
    });
}
