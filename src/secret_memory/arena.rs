//! An allocator for secrets, apart from the heap: its memory is excluded from core files, locked against swapping as
//! far as the system permits, and wiped before it is reused.
//!
//! Blocks have power-of-two sizes and come from chunks of 64 KiB. A block larger than a quarter of a chunk has a
//! mapping of its own, which is returned to the system when the block is freed.
//!
//! Each thread caches a few of the small blocks that it freed, so that most calls take no lock. They are returned when
//! the thread ends. A forked child loses those cached by other threads of its parent.
//!
//! Memory locks are not inherited by a forked child. The child locks all the memory again when it first stores a
//! secret; until then [`usage`] reports it as not locked.

use std::cell::RefCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, compiler_fence};

use crate::error::{Error, Result, Status};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::sys;

const CHUNK: usize = 64 * 1024;
const SMALLEST: usize = 64;
/// 64, 128, … 16384 bytes.
const CLASSES: usize = 9;
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// How many size classes a thread caches, and how many blocks of each: 2880 bytes at most.
const CACHED_CLASSES: usize = 4;
const CACHED_BLOCKS: usize = 3;

/// The memory of the arena, and why some of it is not locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes mapped for secrets.
    pub(crate) mapped: usize,
    /// How many of them the system may write to swap.
    pub(crate) unlocked: usize,
    /// `errno` of the last failed lock, 0 if none failed.
    pub(crate) lock_error: i32,
}

struct Mapping {
    start: NonNull<u8>,
    size: usize,
    locked: bool,
}

// SAFETY: a mapping belongs to the whole process, not to a thread, and is only accessed with the arena's lock held.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The error is `errno`.
    fn lock(&mut self) -> Result<(), i32> {
        // SAFETY: the range is one of our mappings; locking it does not change its contents.
        self.locked = unsafe { libc::mlock(self.start.as_ptr().cast(), self.size) } == 0;
        if self.locked { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
    }
}

struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

struct Arena {
    chunks: Vec<Mapping>,
    large: Vec<Mapping>,
    free: [Option<NonNull<FreeBlock>>; CLASSES],
    /// The offset of the unused rest of the newest chunk.
    unused_from: usize,
    lock_error: i32,
    generation: u32,
    /// Set in a forked child until the inherited memory is locked again.
    must_relock: bool,
}

// SAFETY: the pointers lead into mappings of the process and are only dereferenced with the arena's lock held.
unsafe impl Send for Arena {}

static ARENA: Mutex<Arena> = Mutex::new(Arena {
    chunks: Vec::new(),
    large: Vec::new(),
    free: [None; CLASSES],
    unused_from: CHUNK,
    lock_error: 0,
    generation: 0,
    must_relock: false,
});

static PAGE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD_CACHE: RefCell<ThreadCache> = const { RefCell::new(ThreadCache::new()) };
}

/// The wiped blocks cached by one thread.
struct ThreadCache {
    blocks: [[Option<NonNull<u8>>; CACHED_BLOCKS]; CACHED_CLASSES],
    counts: [u8; CACHED_CLASSES],
    /// The process in which this thread last made sure that the memory is locked: see [`fork::generation`].
    generation: u32,
}

/// Allocates a zeroed block of at least `size` bytes, aligned to 64. Free it with [`release`] and the same size.
pub(super) fn allocate(size: usize) -> Result<NonNull<u8>> {
    let class = class_of(size);
    if let Some(block) = class.and_then(|class| with_thread_cache(|cache| cache.take(class))).flatten() {
        return Ok(block);
    }
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    arena.detect_fork();
    arena.relock_after_fork();
    let block = match class {
        Some(class) => arena.take(class),
        None => arena.take_large(size),
    };
    block.ok_or_else(|| Error::new(Status::NoMemory, format!("out of memory for {size} bytes of secret memory")))
}

/// Wipes and frees a block.
///
/// # Safety
/// `block` came from [`allocate`] with this `size`, was not released before, and is no longer used.
pub(super) unsafe fn release(block: NonNull<u8>, size: usize) {
    // SAFETY: by the caller's promise the block is exclusively ours and at least `size` bytes long.
    unsafe { block.write_bytes(0, size) };
    // Keeps the compiler from removing writes to memory that is about to be freed.
    std::hint::black_box(block);
    compiler_fence(SeqCst);
    let class = class_of(size);
    if class.and_then(|class| with_thread_cache(|cache| cache.put(class, block))) == Some(true) {
        return;
    }
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    match class {
        // SAFETY: the block is of this class, wiped, and no longer used.
        Some(class) => unsafe { arena.put(class, block) },
        None => arena.unmap(block),
    }
}

/// The memory usage, for `check`.
pub(crate) fn usage() -> Usage {
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    arena.detect_fork();
    let mut usage = Usage { lock_error: arena.lock_error, ..Usage::default() };
    for mapping in arena.chunks.iter().chain(&arena.large) {
        usage.mapped += mapping.size;
        usage.unlocked += if mapping.locked { 0 } else { mapping.size };
    }
    usage
}

/// Locks the memory that a forked child inherited, if that was not done yet.
#[cold]
fn relock() {
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    arena.detect_fork();
    arena.relock_after_fork();
}

fn class_of(size: usize) -> Option<usize> {
    (size <= LARGEST).then(|| size.max(SMALLEST).next_power_of_two().trailing_zeros() as usize - 6)
}

/// `None` while the thread is ending, or if a signal handler interrupted a call here.
fn with_thread_cache<R>(body: impl FnOnce(&mut ThreadCache) -> R) -> Option<R> {
    THREAD_CACHE.try_with(|cache| Some(body(&mut *cache.try_borrow_mut().ok()?))).ok().flatten()
}

impl ThreadCache {
    const fn new() -> ThreadCache {
        ThreadCache { blocks: [[None; CACHED_BLOCKS]; CACHED_CLASSES], counts: [0; CACHED_CLASSES], generation: 0 }
    }

    /// Takes a block, if there is one. In a forked child, makes sure first that the memory is locked.
    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        let count = self.counts.get_mut(class).filter(|count| **count > 0)?;
        if self.generation != fork::generation() {
            self.generation = fork::generation();
            relock();
        }
        *count -= 1;
        self.blocks[class][usize::from(*count)].take()
    }

    /// Returns whether there was room for the block.
    fn put(&mut self, class: usize, block: NonNull<u8>) -> bool {
        let Some(count) = self.counts.get_mut(class).filter(|count| usize::from(**count) < CACHED_BLOCKS) else {
            return false;
        };
        self.blocks[class][usize::from(*count)] = Some(block);
        *count += 1;
        true
    }
}

impl Drop for ThreadCache {
    fn drop(&mut self) {
        let _guard = fork::protect();
        let mut arena = ARENA.lock();
        for (class, blocks) in self.blocks.iter().enumerate() {
            for block in blocks[..usize::from(self.counts[class])].iter().flatten() {
                // SAFETY: `release` wiped the block, which is of this class, and gave it to this thread alone.
                unsafe { arena.put(class, *block) };
            }
        }
    }
}

impl Arena {
    /// Detects a fork, after which no memory is locked.
    fn detect_fork(&mut self) {
        if self.generation != fork::generation() {
            self.generation = fork::generation();
            self.chunks.iter_mut().chain(&mut self.large).for_each(|mapping| mapping.locked = false);
            self.must_relock = true;
        }
    }

    fn relock_after_fork(&mut self) {
        if std::mem::take(&mut self.must_relock) {
            for mapping in self.chunks.iter_mut().chain(&mut self.large) {
                if let Err(error) = mapping.lock() {
                    self.lock_error = error;
                }
            }
        }
    }

    /// # Safety
    /// The block is of this class, wiped, and no longer used.
    unsafe fn put(&mut self, class: usize, block: NonNull<u8>) {
        let free = block.cast::<FreeBlock>();
        // SAFETY: blocks are aligned to 64 and at least that long, so the link fits; the block is exclusively ours.
        unsafe { free.write(FreeBlock { next: self.free[class] }) };
        self.free[class] = Some(free);
    }

    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        if let Some(block) = self.free[class] {
            // SAFETY: blocks on the list were written as `FreeBlock` by `put`, and stay mapped.
            self.free[class] = unsafe { block.read() }.next;
            let block = block.cast::<u8>();
            // SAFETY: the link is within the block, and is all that a wiped block contains.
            unsafe { block.cast::<FreeBlock>().write_bytes(0, 1) };
            return Some(block);
        }
        let size = SMALLEST << class;
        if self.unused_from + size > CHUNK {
            self.chunks.try_reserve(1).ok()?;
            let chunk = self.map(CHUNK)?;
            self.split_rest_of_chunk();
            self.chunks.push(chunk);
            self.unused_from = 0;
        }
        let chunk = self.chunks.last()?;
        // SAFETY: `unused_from + size` is at most the size of the chunk, so the result is inside it.
        let block = unsafe { chunk.start.add(self.unused_from) };
        self.unused_from += size;
        Some(block)
    }

    /// Splits the unused rest of the newest chunk into free blocks, so that it is not lost when the next chunk is
    /// added.
    fn split_rest_of_chunk(&mut self) {
        let Some(chunk) = self.chunks.last() else { return };
        let start = chunk.start;
        while self.unused_from < CHUNK {
            let left = CHUNK - self.unused_from;
            let class = (left.ilog2() as usize - 6).min(CLASSES - 1);
            // SAFETY: `left` bytes of the chunk start at `unused_from`, and the block takes no more than that. They
            // were never handed out, so the link overwrites nothing; chunks are aligned to pages, and all block sizes
            // are multiples of 64.
            unsafe {
                let block = start.add(self.unused_from).cast::<FreeBlock>();
                block.write(FreeBlock { next: self.free[class] });
                self.free[class] = Some(block);
            }
            self.unused_from += SMALLEST << class;
        }
    }

    fn take_large(&mut self, size: usize) -> Option<NonNull<u8>> {
        self.large.try_reserve(1).ok()?;
        let page = page_size();
        let mapping = self.map(size.checked_add(page - 1)? / page * page)?;
        let start = mapping.start;
        self.large.push(mapping);
        Some(start)
    }

    fn unmap(&mut self, block: NonNull<u8>) {
        if let Some(index) = self.large.iter().position(|mapping| mapping.start == block) {
            let mapping = self.large.swap_remove(index);
            // SAFETY: the mapping was created by `map` with this size, and its only block was just freed.
            unsafe { libc::munmap(mapping.start.as_ptr().cast(), mapping.size) };
        }
    }

    fn map(&mut self, size: usize) -> Option<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: an anonymous mapping at an address chosen by the kernel does not affect existing memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the range is the mapping just created; the advice does not change its contents.
        unsafe { sys::keep_from_core_files(start, size) };
        let mut mapping = Mapping { start: NonNull::new(start.cast())?, size, locked: false };
        if let Err(error) = mapping.lock() {
            self.lock_error = error;
        }
        Some(mapping)
    }
}

fn page_size() -> usize {
    if PAGE.load(Relaxed) == 0 {
        // SAFETY: sysconf with this name only reads a system constant.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(size).unwrap_or(4096), Relaxed);
    }
    PAGE.load(Relaxed)
}

#[cfg(test)]
mod tests;
