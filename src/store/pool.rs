//! The connection pool: one SQLite connection per database file and process, used by one thread at a time.
//!
//! SQLite's locks belong to the open file here (see [`sqlite`]), so two connections of one process would lock each
//! other out. A connection is never closed while its file exists: closing any descriptor of a file releases the locks
//! that another copy of SQLite in this process holds on it.
//!
//! SQLite runs fork-protected, so at the moment of a fork none of its own locks is held. Only while it waits for other
//! processes, or a thread waits for a connection, are forks possible. A forked child never touches a connection of its
//! parent, nor the lock and condition variable of a pool entry; it opens its own connections.

use std::ffi::{OsString, c_int};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::mem;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex as StdMutex, Once, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::checkpoint::CheckpointThrottle;
use super::deferred_log::LogDeferral;
use super::error::{check, error};
use super::interrupt::{self, busy_handler, ignoring_deadline, progress_handler};
use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::fork_safe::Mutex;
use crate::fork_safe::sqlite::{self, Using};
use crate::{fork, sys};

/// The longest wait in one piece: std's clock stops while the machine is suspended.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How many prepared statements a connection keeps.
const CACHED_STATEMENTS: usize = 64;
/// How many steps of a statement run between two checks of the deadline: some tens of microseconds.
const STEPS: c_int = 2000;
/// The maximum length of a value that is read, in bytes. No value that is written comes close; a damaged database may
/// claim to contain a longer one.
const LONGEST_VALUE: c_int = 16 << 20;

/// Identifies a file by device and inode, whatever its path.
pub(super) type FileId = (u64, u64);

/// The header of the shared memory of a write-ahead log (the WAL index). Every commit changes it.
pub(super) type WalIndexHeader = [[u8; 24]; 4];

/// The connection of this process to a file.
pub(super) struct PoolEntry {
    pub(super) id: FileId,
    path: PathBuf,
    generation: u32,
    /// Facts about the file that were checked before; the bits are those of `database` and `schema`.
    flags: AtomicU32,
    pub(super) checkpoints: Mutex<CheckpointThrottle>,
    /// The WAL index. Like the connection, and for the same reason, it stays open.
    wal_index: Mutex<Option<File>>,
    state: StdMutex<PoolState>,
    released: Condvar,
}

struct PoolState {
    /// `None` while a thread uses it.
    connection: Option<Connection>,
    holder: Option<ThreadId>,
    /// How many threads wait for it.
    waiting: usize,
}

struct ConnectionPool {
    generation: u32,
    entries: Vec<Arc<PoolEntry>>,
    /// The parent's entries, which are neither used nor closed.
    inherited: Vec<Arc<PoolEntry>>,
}

static POOL: Mutex<ConnectionPool> =
    Mutex::new(ConnectionPool { generation: 0, entries: Vec::new(), inherited: Vec::new() });

/// The file at this path. `None` if there is none.
pub(super) fn file_id(path: &Path) -> Result<Option<FileId>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some((metadata.dev(), metadata.ino()))),
        Ok(_) => Err(error(Status::Io, format!("{} is not a file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("access", path, &error).with_source(Source::Store)),
    }
}

impl PoolEntry {
    /// The entry for the file at `path`. If the file does not exist, creates it if `create` is set, else returns
    /// `None`.
    pub(super) fn open(path: &Path, create: bool) -> Result<Option<Arc<PoolEntry>>> {
        sqlite::install()?;
        let mut pool = POOL.lock();
        if pool.generation != fork::generation() {
            let entries = mem::take(&mut pool.entries);
            pool.inherited.extend(entries);
            pool.generation = fork::generation();
            sqlite::reseed();
        }
        match file_id(path)? {
            Some(id) => {
                if let Some(entry) = pool.entries.iter().find(|entry| entry.id == id) {
                    return Ok(Some(entry.clone()));
                }
            }
            None if create => {}
            None => return Ok(None),
        }
        let connection = connect(path, create, LONGEST_VALUE)?;
        checkpoint_at_exit();
        let Some(id) = file_id(path)? else {
            return Err(error(Status::Io, format!("{} was removed while it was being opened", path.display())));
        };
        // Removes the unused entries of databases that were removed or replaced.
        pool.entries.retain(|entry| Arc::strong_count(entry) > 1 || entry.is_current_file());
        let entry = Arc::new(PoolEntry {
            id,
            path: path.to_owned(),
            generation: pool.generation,
            flags: AtomicU32::new(0),
            checkpoints: Mutex::new(CheckpointThrottle::new()),
            wal_index: Mutex::new(None),
            state: StdMutex::new(PoolState { connection: Some(connection), holder: None, waiting: 0 }),
            released: Condvar::new(),
        });
        pool.entries.push(entry.clone());
        Ok(Some(entry))
    }

    /// Whether the write-ahead log has any contents, checkpointed or not.
    pub(super) fn has_wal(&self) -> bool {
        self.sibling("-wal").is_some_and(|wal| fs::metadata(wal).is_ok_and(|metadata| metadata.len() > 0))
    }

    /// SQLite follows symbolic links, and places its files beside their target.
    fn sibling(&self, suffix: &str) -> Option<OsString> {
        let mut name: OsString = self.path.canonicalize().ok()?.into();
        name.push(suffix);
        Some(name)
    }

    /// The current header of the WAL index. `None` if there is no index; the first read of a database creates it.
    pub(super) fn wal_index_header(&self) -> Option<WalIndexHeader> {
        let mut wal_index = self.wal_index.lock();
        if wal_index.is_none() {
            *wal_index = Some(File::open(self.sibling("-shm")?).ok()?);
        }
        let mut header = WalIndexHeader::default();
        wal_index.as_ref()?.read_exact_at(header.as_flattened_mut(), 0).ok()?;
        Some(header)
    }

    fn is_current_file(&self) -> bool {
        file_id(&self.path).is_ok_and(|id| id == Some(self.id))
    }

    /// Whether the entry belongs to this process, not to its parent.
    pub(super) fn is_own(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Acquires the connection for this thread. The caller is fork-protected and holds no lock.
    pub(super) fn acquire(self: &Arc<PoolEntry>, deadline: Deadline) -> Result<ConnectionGuard> {
        let this_thread = std::thread::current().id();
        let mut connection = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.holder == Some(this_thread) {
                let message =
                    format!("{} is already in use by this thread; a callback must not use it", self.path.display());
                return Err(error(Status::Busy, message));
            }
            state.take(this_thread)
        };
        if connection.is_none() {
            connection = fork::unprotected(|| self.wait(this_thread, deadline));
        }
        let Some(connection) = connection else {
            let message = format!(
                "timed out waiting for another thread to finish with {}; try again or raise \"timeout\"",
                self.path.display()
            );
            return Err(error(Status::Timeout, message).with_retryable(true));
        };
        sqlite::take_open_error();
        Ok(ConnectionGuard {
            entry: self.clone(),
            connection: Some(connection),
            outer_deadline: interrupt::set_deadline(Some(deadline)),
            _using: Using::begin(),
            _log_deferral: LogDeferral::begin(),
        })
    }

    /// Waits for the connection. The caller is not fork-protected.
    fn wait(&self, this_thread: ThreadId, deadline: Deadline) -> Option<Connection> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.take(this_thread) {
                return Some(connection);
            }
            if deadline.has_passed() {
                return None;
            }
            let timeout = LONGEST_WAIT.min(deadline.remaining());
            state.waiting += 1;
            state = self.released.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }
}

impl PoolState {
    fn take(&mut self, thread: ThreadId) -> Option<Connection> {
        let connection = self.connection.take();
        if connection.is_some() {
            self.holder = Some(thread);
        }
        connection
    }
}

/// Opens a connection whose statements end by the deadline of the thread, and whose values have at most this length.
pub(super) fn connect(path: &Path, create: bool, longest_value: c_int) -> Result<Connection> {
    let _using = Using::begin();
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    sqlite::take_open_error();
    let mut connection = check(path, None, Connection::open_with_flags_and_vfs(path, flags, sqlite::VFS))?;
    check(path, None, connection.busy_handler(Some(busy_handler)))?;
    sqlite::limit(&connection, longest_value, STEPS, progress_handler);
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(connection)
}

/// Makes the write-ahead logs be checkpointed when the process exits: many programs never free the process's store.
fn checkpoint_at_exit() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| sys::at_exit(checkpoint_idle));
}

/// Checkpoints the logs of connections that no thread uses, as far as other processes allow. Waits for nothing.
extern "C" fn checkpoint_idle() {
    let _guard = fork::protect();
    let Some(pool) = POOL.try_lock() else { return };
    for entry in pool.entries.iter().filter(|entry| entry.is_own() && entry.has_wal()) {
        let Ok(state) = entry.state.try_lock() else { continue };
        if let Some(connection) = &state.connection {
            let _using = Using::begin();
            let _ = ignoring_deadline(|| connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
        }
    }
}

/// Exclusive use of a connection until it is dropped, which rolls back an open transaction.
pub(super) struct ConnectionGuard {
    pub(super) entry: Arc<PoolEntry>,
    connection: Option<Connection>,
    outer_deadline: Option<Deadline>,
    _using: Using,
    // Dropped last: the log function may then use the store as if this guard had never existed.
    _log_deferral: LogDeferral,
}

impl ConnectionGuard {
    /// Runs a callback of the program, or something that logs, without fork protection. An error means that the
    /// callback forked and this is the child.
    pub(super) fn unprotected<T>(&self, body: impl FnOnce() -> T) -> Result<T> {
        let result = fork::unprotected(|| Using::pause(body));
        if self.entry.is_own() {
            return Ok(result);
        }
        Err(error(Status::Abandoned, "the callback forked, and the transaction belongs to the parent process"))
    }

    /// Sets a new deadline for the following statements.
    pub(super) fn extend_deadline(&self, deadline: Deadline) {
        interrupt::set_deadline(Some(deadline));
    }

    pub(super) fn has_flag(&self, flag: u32) -> bool {
        self.entry.flags.load(Relaxed) & flag != 0
    }

    pub(super) fn set_flag(&self, flag: u32) {
        self.entry.flags.fetch_or(flag, Relaxed);
    }
}

impl Deref for ConnectionGuard {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("only `drop` removes the connection"),
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        interrupt::set_deadline(self.outer_deadline);
        let Some(connection) = self.connection.take() else { return };
        if !self.entry.is_own() {
            return mem::forget(connection);
        }
        if !connection.is_autocommit() {
            let _ = ignoring_deadline(|| connection.execute_batch("ROLLBACK"));
        }
        let mut state = self.entry.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.connection = Some(connection);
        state.holder = None;
        let has_waiters = state.waiting > 0;
        drop(state);
        if has_waiters {
            self.entry.released.notify_one();
        }
    }
}
