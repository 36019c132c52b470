//! Memory for secrets, apart from the heap: excluded from core files, locked against swapping as far as the system
//! lets us, and wiped before it is used again.
//!
//! Blocks come in powers of two out of chunks of 64 KiB; what is larger than a quarter of a chunk has a mapping of its
//! own, which goes back to the system when it is freed.
//!
//! Each thread keeps a few of the small blocks that it freed, so that most calls take no lock. They go back when the
//! thread ends. A forked child has none of those that other threads of its parent had.
//!
//! Locks on memory are not inherited by a forked child. There, everything is locked again when the child first stores a
//! secret; until then [`usage`] counts it as not locked.

use std::cell::RefCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, compiler_fence};

use parking_lot::Mutex;

use crate::error::{Error, Result, Status};
use crate::fork;

const CHUNK: usize = 64 * 1024;
const SMALLEST: usize = 64;
/// 64, 128, … 16384 bytes.
const CLASSES: usize = 9;
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// How many classes of blocks a thread keeps, and how many of each: 4 KiB at most.
const KEPT_CLASSES: usize = 4;
const KEPT: usize = 4;

/// How much memory the arena holds, and why some of it could not be locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes mapped for secrets.
    pub(crate) mapped: usize,
    /// Bytes of them that the system may write to swap.
    pub(crate) unlocked: usize,
    /// `errno` of the last lock that was refused, 0 if none was.
    pub(crate) lock_error: i32,
}

struct Mapping {
    start: NonNull<u8>,
    size: usize,
    locked: bool,
}

// SAFETY: a mapping is memory of the whole process, not of a thread; it is only reached through the arena's lock.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The error is `errno`.
    fn lock(&mut self) -> std::result::Result<(), i32> {
        // SAFETY: the range is a mapping of ours; locking it changes no contents.
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
    /// The part of the newest chunk that was never handed out.
    fresh: usize,
    lock_error: i32,
    generation: u32,
    /// Set in a forked child until the memory that it inherited is locked again.
    lock_again: bool,
}

// SAFETY: the pointers lead into mappings of the process and are only followed under the arena's lock.
unsafe impl Send for Arena {}

static ARENA: Mutex<Arena> = Mutex::new(Arena {
    chunks: Vec::new(),
    large: Vec::new(),
    free: [None; CLASSES],
    fresh: CHUNK,
    lock_error: 0,
    generation: 0,
    lock_again: false,
});

static PAGE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static KEPT_HERE: RefCell<Kept> = const { RefCell::new(Kept::new()) };
}

/// Wiped blocks that one thread has for itself.
struct Kept {
    blocks: [[Option<NonNull<u8>>; KEPT]; KEPT_CLASSES],
    counts: [usize; KEPT_CLASSES],
    /// The process in which this thread last saw to it that memory is locked: see [`fork::generation`].
    generation: u32,
}

/// A block of at least `size` bytes, aligned to 64, its contents zero. Goes back with [`release`] and the same size.
pub(super) fn allocate(size: usize) -> Result<NonNull<u8>> {
    let class = class_of(size);
    if let Some(block) = class.and_then(|class| with_kept(|kept| kept.take(class))).flatten() {
        return Ok(block);
    }
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    arena.notice_fork();
    arena.lock_after_fork();
    let block = match class {
        Some(class) => arena.take(class),
        None => arena.take_large(size),
    };
    block.ok_or_else(|| Error::new(Status::NoMemory, format!("no memory for {size} bytes of secret memory")))
}

/// Wipes a block and takes it back.
///
/// # Safety
/// `block` came from [`allocate`] with this `size`, was not released before, and nobody uses it any more.
pub(super) unsafe fn release(block: NonNull<u8>, size: usize) {
    // SAFETY: by the caller's promise the block is ours alone and at least `size` bytes long.
    unsafe { block.write_bytes(0, size) };
    // Keeps the compiler from dropping writes to memory that is given up.
    std::hint::black_box(block);
    compiler_fence(SeqCst);
    let class = class_of(size);
    if class.and_then(|class| with_kept(|kept| kept.put(class, block))) == Some(true) {
        return;
    }
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    match class {
        // SAFETY: the block is one of this class, wiped, and nobody uses it.
        Some(class) => unsafe { arena.put(class, block) },
        None => arena.unmap(block),
    }
}

/// What `check` reports.
pub(crate) fn usage() -> Usage {
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    arena.notice_fork();
    let mut usage = Usage { lock_error: arena.lock_error, ..Usage::default() };
    for mapping in arena.chunks.iter().chain(&arena.large) {
        usage.mapped += mapping.size;
        usage.unlocked += if mapping.locked { 0 } else { mapping.size };
    }
    usage
}

/// Locks the memory again that a forked child inherited, if that was not done yet.
#[cold]
fn lock_again() {
    let _guard = fork::protect();
    let mut arena = ARENA.lock();
    arena.notice_fork();
    arena.lock_after_fork();
}

fn class_of(size: usize) -> Option<usize> {
    (size <= LARGEST).then(|| size.max(SMALLEST).next_power_of_two().trailing_zeros() as usize - 6)
}

/// `None` at the end of a thread, and within a call that was interrupted here.
fn with_kept<R>(body: impl FnOnce(&mut Kept) -> R) -> Option<R> {
    KEPT_HERE.try_with(|kept| Some(body(&mut *kept.try_borrow_mut().ok()?))).ok().flatten()
}

impl Kept {
    const fn new() -> Kept {
        Kept { blocks: [[None; KEPT]; KEPT_CLASSES], counts: [0; KEPT_CLASSES], generation: 0 }
    }

    /// A block, if there is one. In a forked child that did not lock its memory again yet, this is done first.
    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        let count = self.counts.get_mut(class).filter(|count| **count > 0)?;
        if self.generation != fork::generation() {
            self.generation = fork::generation();
            lock_again();
        }
        *count -= 1;
        self.blocks[class][*count].take()
    }

    /// Whether there was room for it.
    fn put(&mut self, class: usize, block: NonNull<u8>) -> bool {
        let Some(count) = self.counts.get_mut(class).filter(|count| **count < KEPT) else { return false };
        self.blocks[class][*count] = Some(block);
        *count += 1;
        true
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _guard = fork::protect();
        let mut arena = ARENA.lock();
        for (class, blocks) in self.blocks.iter().enumerate() {
            for block in blocks[..self.counts[class]].iter().flatten() {
                // SAFETY: `release` wiped the block of this class and gave it to this thread alone.
                unsafe { arena.put(class, *block) };
            }
        }
    }
}

impl Arena {
    /// In a forked child no memory is locked any more.
    fn notice_fork(&mut self) {
        if self.generation != fork::generation() {
            self.generation = fork::generation();
            self.chunks.iter_mut().chain(&mut self.large).for_each(|mapping| mapping.locked = false);
            self.lock_again = true;
        }
    }

    fn lock_after_fork(&mut self) {
        if std::mem::take(&mut self.lock_again) {
            for mapping in self.chunks.iter_mut().chain(&mut self.large) {
                if let Err(error) = mapping.lock() {
                    self.lock_error = error;
                }
            }
        }
    }

    /// # Safety
    /// The block is one of this class, wiped, and nobody uses it.
    unsafe fn put(&mut self, class: usize, block: NonNull<u8>) {
        let free = block.cast::<FreeBlock>();
        // SAFETY: blocks are aligned to 64 and at least that long, so the link fits; nobody else uses the block.
        unsafe { free.write(FreeBlock { next: self.free[class] }) };
        self.free[class] = Some(free);
    }

    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        if let Some(block) = self.free[class] {
            // SAFETY: blocks on the list were written as `FreeBlock` by `release`, and stay mapped.
            self.free[class] = unsafe { block.read() }.next;
            let block = block.cast::<u8>();
            // SAFETY: the link is all that the wiped block holds; it is within the block.
            unsafe { block.cast::<FreeBlock>().write_bytes(0, 1) };
            return Some(block);
        }
        let size = SMALLEST << class;
        if self.fresh + size > CHUNK {
            self.chunks.try_reserve(1).ok()?;
            let chunk = self.map(CHUNK)?;
            self.keep_rest_of_chunk();
            self.chunks.push(chunk);
            self.fresh = 0;
        }
        let chunk = self.chunks.last()?;
        // SAFETY: `fresh + size` is at most the size of the chunk, so the result lies inside it.
        let block = unsafe { chunk.start.add(self.fresh) };
        self.fresh += size;
        Some(block)
    }

    /// Cuts what is left of the newest chunk into blocks, so that it is not lost when the next one begins.
    fn keep_rest_of_chunk(&mut self) {
        let Some(chunk) = self.chunks.last() else { return };
        let start = chunk.start;
        while self.fresh < CHUNK {
            let left = CHUNK - self.fresh;
            let class = (left.ilog2() as usize - 6).min(CLASSES - 1);
            // SAFETY: `left` bytes of the chunk begin at `fresh`, and the block takes no more than that. The part was
            // never handed out, so writing the link into it disturbs nobody; chunks are aligned to pages and all
            // blocks are multiples of 64.
            unsafe {
                let block = start.add(self.fresh).cast::<FreeBlock>();
                block.write(FreeBlock { next: self.free[class] });
                self.free[class] = Some(block);
            }
            self.fresh += SMALLEST << class;
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
            // SAFETY: the mapping was made by `map` with this size, and its only block was just given back.
            unsafe { libc::munmap(mapping.start.as_ptr().cast(), mapping.size) };
        }
    }

    fn map(&mut self, size: usize) -> Option<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the range is the mapping just made; the advice changes no contents.
        unsafe { libc::madvise(start, size, libc::MADV_DONTDUMP) };
        let mut mapping = Mapping { start: NonNull::new(start.cast())?, size, locked: false };
        if let Err(error) = mapping.lock() {
            self.lock_error = error;
        }
        Some(mapping)
    }
}

fn page_size() -> usize {
    if PAGE.load(Relaxed) == 0 {
        // SAFETY: sysconf with this name only reads a constant of the system.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(size).unwrap_or(4096), Relaxed);
    }
    PAGE.load(Relaxed)
}

#[cfg(test)]
mod tests;
