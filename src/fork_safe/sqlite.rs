//! An SQLite VFS with open file description locks, which are safe beside another copy of SQLite in the process, and
//! with fork safety.
//!
//! A Python program that uses SQLite has its own copy of it. POSIX record locks belong to the process: they are
//! released when any descriptor of the file is closed, by any code. So for the files of this library
//!
//! - locks belong to the open file description (`F_OFD_SETLK`), and closing another descriptor does not release them;
//! - a forked child closes the descriptors that it inherited, and does not inherit the shared memory of the write-ahead
//!   log, so that its parent's locks do not live on in the child;
//! - `fstat` reports a device number that differs between this library, other users of this copy of SQLite, and each
//!   generation of forked processes: SQLite looks up its state of a file by device and inode, and so starts with new
//!   state.
//!
//! All of this applies to descriptors that are opened while a [`Using`] exists on the thread. Other users of this copy
//! of SQLite find its behavior unchanged.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::transmute;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::{Connection, ffi};

use super::descriptors::DescriptorSet;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::sys;

/// The name of the VFS for connections of this library.
pub(crate) const VFS: &CStr = c"st_secrets";

/// The descriptors of this library. Opening a file fails if its descriptor is too large for the set. The three standard
/// descriptors are never in it: if the program has closed one, SQLite opens `/dev/null` there and uses another.
static OURS: DescriptorSet = DescriptorSet::new();

thread_local! {
    static USING: Cell<u32> = const { Cell::new(0) };
    /// `errno` of the last failure to open a file that exists or was to be created.
    static OPEN_ERROR: Cell<i32> = const { Cell::new(0) };
}

/// While this exists, files that SQLite opens on this thread belong to this library. It stays on its thread.
pub(crate) struct Using(PhantomData<*const ()>);

impl Using {
    pub(crate) fn begin() -> Using {
        USING.set(USING.get() + 1);
        Using(PhantomData)
    }

    /// Runs `body` as if no [`Using`] existed.
    pub(crate) fn pause<T>(body: impl FnOnce() -> T) -> T {
        struct Restore(u32);
        impl Drop for Restore {
            fn drop(&mut self) {
                USING.set(self.0);
            }
        }
        let _restore = Restore(USING.replace(0));
        body()
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        USING.set(USING.get() - 1);
    }
}

/// Returns and clears `errno` of the last file that SQLite could not open on this thread.
pub(crate) fn take_open_error() -> i32 {
    OPEN_ERROR.replace(0)
}

/// `errno` of the last failure of this connection.
pub(crate) fn system_error(connection: &Connection) -> i32 {
    // SAFETY: the handle belongs to a live connection, which is not closed here.
    unsafe { ffi::sqlite3_system_errno(connection.handle()) }
}

/// Limits the length of values on this connection, and makes it call `is_over` every `steps` steps of a statement. The
/// statement ends with `SQLITE_INTERRUPT` when `is_over` does not return 0.
pub(crate) fn limit(
    connection: &Connection,
    longest_value: c_int,
    steps: c_int,
    is_over: extern "C" fn(*mut c_void) -> c_int,
) {
    // SAFETY: the handle belongs to a live connection, and the function uses no argument and lives as long as the
    // library.
    unsafe {
        ffi::sqlite3_limit(connection.handle(), ffi::SQLITE_LIMIT_LENGTH, longest_value);
        ffi::sqlite3_progress_handler(connection.handle(), steps, Some(is_over), std::ptr::null_mut());
    }
}

/// Reseeds SQLite's random numbers, which a forked child would otherwise share with its parent.
pub(crate) fn reseed() {
    // SAFETY: a length of 0 resets the generator and writes no memory.
    unsafe { ffi::sqlite3_randomness(0, std::ptr::null_mut()) };
}

/// Installs the VFS, once per process. The caller is fork-protected.
pub(crate) fn install() -> Result<()> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    // SAFETY: runs once, and no other code replaces system calls at the same time.
    match INSTALLED.get_or_init(|| unsafe { install_once() }) {
        true => Ok(()),
        false => Err(Error::new(Status::Panic, "a bug in st_secrets: SQLite rejects its settings")),
    }
}

/// # Safety
/// Called at most once.
unsafe fn install_once() -> bool {
    #[cfg(feature = "wiping-allocator")]
    // SAFETY: in the C library only this library uses this copy of SQLite, so it is not in use yet; otherwise SQLite
    // would reject the settings.
    unsafe {
        memory::install();
    }
    // SAFETY: SQLite's functions are called as documented: the original VFS and its copy live as long as the process,
    // and each replacement of a system call has its signature.
    unsafe {
        if ffi::sqlite3_initialize() != ffi::SQLITE_OK {
            return false;
        }
        let unix = ffi::sqlite3_vfs_find(c"unix".as_ptr());
        let Some(set) = unix.as_ref().and_then(|vfs| vfs.xSetSystemCall) else { return false };
        let calls: &[(&CStr, *const ())] = &[
            (c"open", open as *const ()),
            (c"close", close as *const ()),
            (c"fstat", fstat as *const ()),
            #[cfg(target_os = "linux")]
            (c"fcntl", fcntl as *const ()),
            (c"mmap", mmap as *const ()),
        ];
        for &(name, function) in calls {
            let function: ffi::sqlite3_syscall_ptr = Some(transmute::<*const (), unsafe extern "C" fn()>(function));
            if set(unix, name.as_ptr(), function) != ffi::SQLITE_OK {
                return false;
            }
        }
        let mut ours = *unix;
        ours.zName = VFS.as_ptr();
        ours.pNext = std::ptr::null_mut();
        ours.xSleep = Some(sleep);
        if ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 0) != ffi::SQLITE_OK {
            return false;
        }
    }
    sys::at_fork(nothing, nothing, close_inherited);
    true
}

extern "C" fn nothing() {}

/// In a forked child: closes the inherited descriptors, so that the parent's locks end with the parent.
extern "C" fn close_inherited() {
    // SAFETY: the child uses none of the parent's connections, so their descriptors are unused.
    unsafe { OURS.close_all() };
}

unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    if USING.get() == 0 {
        // SAFETY: SQLite's arguments are passed on.
        return unsafe { libc::open(path, flags, mode) };
    }
    // 0644 is SQLite's default for databases; files beside a database get the database's mode afterwards.
    let mode = if mode == 0o644 { 0o600 } else { mode };
    // SAFETY: SQLite's arguments are passed on, with another mode.
    let fd = unsafe { libc::open(path, flags | libc::O_CLOEXEC, mode) };
    let refused = fd >= 0 && !OURS.can_contain(fd);
    if refused {
        // SAFETY: the descriptor was just opened; `errno` belongs to this thread.
        unsafe {
            libc::close(fd);
            *sys::errno() = libc::EMFILE;
        }
    }
    if fd >= 0 && !refused {
        if fd > libc::STDERR_FILENO {
            OURS.add(fd);
        }
        return fd;
    }
    match std::io::Error::last_os_error().raw_os_error() {
        // SQLite opens files that need not exist.
        None | Some(libc::ENOENT) => {}
        Some(error) => OPEN_ERROR.set(error),
    }
    -1
}

unsafe extern "C" fn close(fd: c_int) -> c_int {
    OURS.remove(fd);
    // SAFETY: SQLite's argument is passed on.
    unsafe { libc::close(fd) }
}

unsafe extern "C" fn fstat(fd: c_int, state: *mut libc::stat) -> c_int {
    // SAFETY: SQLite's arguments are passed on.
    let result = unsafe { libc::fstat(fd, state) };
    if result == 0 && OURS.contains(fd) {
        let own = (u64::from(fork::generation()) + 1) << (libc::dev_t::BITS / 2);
        // SAFETY: `fstat` succeeded, so `state` is valid and initialized.
        unsafe { (*state).st_dev ^= own as libc::dev_t };
    }
    result
}

/// In C the third argument is variadic. On Linux such an argument is passed like any other. On macOS it is not, so
/// SQLite uses its own locks there, those of the process.
#[cfg(target_os = "linux")]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int {
    let of_file = match command {
        libc::F_SETLK => libc::F_OFD_SETLK,
        libc::F_SETLKW => libc::F_OFD_SETLKW,
        libc::F_GETLK => libc::F_OFD_GETLK,
        _ => command,
    };
    if of_file == command || !OURS.contains(fd) {
        // SAFETY: SQLite's arguments are passed on.
        return unsafe { libc::fcntl(fd, command, argument) };
    }
    // SAFETY: with these commands SQLite passes its own lock struct, and the system requires 0 as its process id.
    unsafe {
        (*argument.cast::<libc::flock>()).l_pid = 0;
        libc::fcntl(fd, of_file, argument)
    }
}

unsafe extern "C" fn mmap(
    address: *mut c_void,
    len: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    // SAFETY: SQLite's arguments are passed on.
    let start = unsafe { libc::mmap(address, len, protection, flags, fd, offset) };
    if start != libc::MAP_FAILED && OURS.contains(fd) {
        // SAFETY: the range was just mapped. A forked child does not inherit it, and does not use it: the mapping would
        // keep the open file description, and with it the parent's locks, alive in the child.
        unsafe { sys::keep_from_children(start, len) };
    }
    start
}

/// SQLite sleeps while another connection holds a lock. It holds no process-wide lock then.
unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    fork::unprotected(|| std::thread::sleep(Duration::from_micros(u64::from(microseconds.unsigned_abs()))));
    microseconds
}

/// SQLite's memory allocator in the C library, which wipes every block before freeing it.
#[cfg(feature = "wiping-allocator")]
mod memory {
    use super::*;

    /// # Safety
    /// No other code changes SQLite's settings at the same time.
    pub(super) unsafe fn install() {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(allocate),
            xFree: Some(free),
            xRealloc: Some(resize),
            xSize: Some(size),
            xRoundup: Some(round_up),
            xInit: Some(initialize),
            xShutdown: Some(shut_down),
            pAppData: std::ptr::null_mut(),
        };
        // SAFETY: SQLite copies the struct. If it is already in use, it rejects both settings, which is harmless.
        unsafe {
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods);
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int);
        }
    }

    unsafe extern "C" fn allocate(size: c_int) -> *mut c_void {
        // SAFETY: malloc accepts any size.
        unsafe { libc::malloc(usize::try_from(size).unwrap_or(usize::MAX)) }
    }

    unsafe extern "C" fn free(block: *mut c_void) {
        if block.is_null() {
            return;
        }
        // SAFETY: SQLite frees a block that `allocate` returned, which has as many bytes as `malloc` reports.
        unsafe {
            let size = sys::usable_size(block);
            block.cast::<u8>().write_bytes(0, size);
            // Keeps the compiler from removing writes to memory that is about to be freed.
            std::hint::black_box(block);
            libc::free(block);
        }
    }

    unsafe extern "C" fn resize(block: *mut c_void, new: c_int) -> *mut c_void {
        // SAFETY: `block` came from `allocate`; both blocks have at least as many bytes as are copied.
        unsafe {
            let old = sys::usable_size(block);
            let new = usize::try_from(new).unwrap_or(usize::MAX);
            if new <= old && new > old / 2 {
                return block;
            }
            let moved = libc::malloc(new);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast::<u8>(), old.min(new));
                free(block);
            }
            moved
        }
    }

    unsafe extern "C" fn size(block: *mut c_void) -> c_int {
        // SAFETY: SQLite passes a block that `allocate` returned.
        c_int::try_from(unsafe { sys::usable_size(block) }).unwrap_or(c_int::MAX)
    }

    unsafe extern "C" fn round_up(size: c_int) -> c_int {
        size.checked_add(7).map_or(c_int::MAX, |size| size & !7)
    }

    unsafe extern "C" fn initialize(_: *mut c_void) -> c_int {
        ffi::SQLITE_OK
    }

    unsafe extern "C" fn shut_down(_: *mut c_void) {}
}
