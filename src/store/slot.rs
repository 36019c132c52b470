//! The connections of this process: one to each database file, whoever asks for it, each used by one thread at a time.
//!
//! Locks of SQLite belong to an open file here, so two connections of one process would lock each other out. And a
//! connection is never closed while its file is there: closing any descriptor of a file takes away the locks that
//! another copy of SQLite in this process holds on it.
//!
//! What SQLite does happens inside the fork gate, so at the moment of a fork none of its own locks is held; only where
//! it waits for others, the gate is left. A forked child never touches a connection of its parent: it opens its own. Who
//! waits for a connection does so outside the gate, with std's lock and condition, and a child never looks at those of
//! its parent either.

use std::cell::{Cell, RefCell};
use std::ffi::{OsString, c_int, c_void};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex as StdMutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::failure::{check, error};
use super::pace::Pace;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::log::{self, Level};
use crate::sys::sqlite::{self, Using};

/// Waits are cut into pieces of this length at most: std's clock stands still while the machine is suspended.
const NAP: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);
/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 64;
/// How many steps of a statement there are between two looks at the deadline: some tens of microseconds.
const STEPS: c_int = 2000;
/// The longest value that is read, in bytes: far longer than any that is written, and far shorter than what a damaged
/// database may claim to have.
const LONGEST_VALUE: c_int = 16 << 20;

/// Which file it is, whatever it is called.
pub(super) type Identity = (u64, u64);

/// The head of the shared memory of a write-ahead log. Every commit changes it.
pub(super) type Header = [[u8; 24]; 4];

/// The one connection of this process to a file.
pub(super) struct Slot {
    pub(super) identity: Identity,
    path: PathBuf,
    generation: u32,
    /// What is known about the file: bits of its user's own.
    pub(super) known: AtomicU32,
    /// How often the log is written back.
    pub(super) pace: Mutex<Pace>,
    /// The shared memory of the log, which is closed no earlier than the connection, for the same reason.
    log: Mutex<Option<File>>,
    state: StdMutex<State>,
    freed: Condvar,
}

struct State {
    /// `None` while a thread uses it.
    connection: Option<Connection>,
    holder: Option<ThreadId>,
    /// How many threads wait for it.
    waiting: usize,
}

struct Registry {
    generation: u32,
    slots: Vec<Arc<Slot>>,
    /// Those of the parent: neither used nor closed.
    inherited: Vec<Arc<Slot>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { generation: 0, slots: Vec::new(), inherited: Vec::new() });

thread_local! {
    /// Until when the statements of this thread may run and wait for locks of other processes.
    static DEADLINE: Cell<Option<Deadline>> = const { Cell::new(None) };
    /// Whether what runs now is not cut short: a commit, or what undoes a change.
    static WHOLE: Cell<bool> = const { Cell::new(false) };
    /// How many connections this thread has.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    /// What the log is to be told when it has none any more.
    static TO_TELL: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Tells the log something, as soon as this thread has no connection: the program's sink may use the store, or fork.
pub(super) fn tell(level: Level, message: String) {
    if log::enabled(level) {
        // In the last moments of a thread there is nobody to tell any more.
        let _ = TO_TELL.try_with(|messages| messages.borrow_mut().push((level, message)));
        tell_if_free();
    }
}

fn tell_if_free() {
    if TAKEN.get() > 0 {
        return;
    }
    for (level, message) in TO_TELL.try_with(RefCell::take).unwrap_or_default() {
        log::emit(level, "store", || message);
    }
}

/// Which file is at this path; `None` if there is none.
pub(super) fn identity(path: &Path) -> Result<Option<Identity>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some((metadata.dev(), metadata.ino()))),
        Ok(_) => Err(error(Status::Io, format!("{} is no file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path, &error).with_source(Source::Store)),
    }
}

impl Slot {
    /// The slot of the file at `path`, which is created if there is none and `create` is set, else `None`.
    pub(super) fn of(path: &Path, create: bool) -> Result<Option<Arc<Slot>>> {
        sqlite::install()?;
        let mut registry = REGISTRY.lock();
        if registry.generation != fork::generation() {
            let slots = mem::take(&mut registry.slots);
            registry.inherited.extend(slots);
            registry.generation = fork::generation();
            sqlite::reseed();
        }
        match identity(path)? {
            Some(identity) => {
                if let Some(slot) = registry.slots.iter().find(|slot| slot.identity == identity) {
                    return Ok(Some(slot.clone()));
                }
            }
            None if create => {}
            None => return Ok(None),
        }
        let connection = open(path, create)?;
        let Some(identity) = identity(path)? else {
            return Err(error(Status::Io, format!("{} was removed while it was opened", path.display())));
        };
        // Databases that were removed or replaced, and that nobody uses any more.
        registry.slots.retain(|slot| Arc::strong_count(slot) > 1 || slot.is_in_place());
        let slot = Arc::new(Slot {
            identity,
            path: path.to_owned(),
            generation: registry.generation,
            known: AtomicU32::new(0),
            pace: Mutex::new(Pace::new()),
            log: Mutex::new(None),
            state: StdMutex::new(State { connection: Some(connection), holder: None, waiting: 0 }),
            freed: Condvar::new(),
        });
        registry.slots.push(slot.clone());
        Ok(Some(slot))
    }

    /// Whether the log has anything in it, written back or not.
    pub(super) fn has_log(&self) -> bool {
        self.beside("-wal").is_some_and(|log| fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0))
    }

    /// SQLite follows links, and has its files beside what they lead to.
    fn beside(&self, suffix: &str) -> Option<OsString> {
        let mut name: OsString = self.path.canonicalize().ok()?.into();
        name.push(suffix);
        Some(name)
    }

    /// The header of the log as it is now. `None` where there is no such log; there is one after the first read.
    pub(super) fn log_header(&self) -> Option<Header> {
        let mut log = self.log.lock();
        if log.is_none() {
            *log = Some(File::open(self.beside("-shm")?).ok()?);
        }
        let mut header = Header::default();
        log.as_ref()?.read_exact_at(header.as_flattened_mut(), 0).ok()?;
        Some(header)
    }

    fn is_in_place(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == Some(self.identity))
    }

    /// Whether it is of this process, not of its parent.
    pub(super) fn is_current(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Takes the connection for this thread. The caller is inside the gate and holds no lock.
    pub(super) fn take(self: &Arc<Slot>, deadline: Deadline) -> Result<Taken> {
        let me = std::thread::current().id();
        let mut connection = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.holder == Some(me) {
                let message =
                    format!("{} is in use by this very thread: a callback may not use it", self.path.display());
                return Err(error(Status::Busy, message));
            }
            state.take(me)
        };
        if connection.is_none() {
            connection = fork::unprotected(|| self.wait(me, deadline));
        }
        let Some(connection) = connection else {
            let message = format!("{} was in use by another thread for too long; try again", self.path.display());
            return Err(error(Status::Timeout, message).with_retryable(true));
        };
        sqlite::take_open_error();
        Ok(Taken {
            slot: self.clone(),
            connection: Some(connection),
            outer_deadline: DEADLINE.replace(Some(deadline)),
            _using: Using::begin(),
            _holding: Holding::begin(),
        })
    }

    /// Outside the gate.
    fn wait(&self, me: ThreadId, deadline: Deadline) -> Option<Connection> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.take(me) {
                return Some(connection);
            }
            if deadline.has_passed() {
                return None;
            }
            let nap = NAP.min(deadline.remaining());
            state.waiting += 1;
            state = self.freed.wait_timeout(state, nap).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }
}

impl State {
    fn take(&mut self, me: ThreadId) -> Option<Connection> {
        let connection = self.connection.take();
        if connection.is_some() {
            self.holder = Some(me);
        }
        connection
    }
}

fn open(path: &Path, create: bool) -> Result<Connection> {
    let _using = Using::begin();
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    sqlite::take_open_error();
    let mut connection = check(path, None, Connection::open_with_flags_and_vfs(path, flags, sqlite::VFS))?;
    check(path, None, connection.busy_handler(Some(wait_for_others)))?;
    sqlite::limit(&connection, LONGEST_VALUE, STEPS, is_over);
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Called by SQLite every [`STEPS`] of a statement; whether it is to end. Statements on a damaged database may not end
/// by themselves, and forks wait no longer than this.
extern "C" fn is_over(_: *mut c_void) -> c_int {
    fork::unprotected(|| ());
    (!WHOLE.get() && DEADLINE.get().is_some_and(Deadline::has_passed)).into()
}

/// Runs `body`, whose statements end by themselves, without regard to the deadline.
pub(super) fn whole<T>(body: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WHOLE.set(self.0);
        }
    }
    let _restore = Restore(WHOLE.replace(true));
    body()
}

/// Called by SQLite while another process is in the way, for the n-th time; whether to try again.
fn wait_for_others(tries: i32) -> bool {
    let Some(deadline) = DEADLINE.get() else { return false };
    let remaining = deadline.remaining();
    if remaining.is_zero() {
        return false;
    }
    let pause = SHORTEST_PAUSE * (1 << tries.clamp(0, 10));
    fork::unprotected(|| std::thread::sleep(pause.min(LONGEST_PAUSE).min(remaining)));
    true
}

/// A connection, of this thread alone until it is dropped. What is left of a transaction then is undone.
pub(super) struct Taken {
    pub(super) slot: Arc<Slot>,
    connection: Option<Connection>,
    outer_deadline: Option<Deadline>,
    _using: Using,
    // The last one to be dropped: what is told then finds all else as if there had been no connection.
    _holding: Holding,
}

/// While it lives, the log is told nothing. It stays on its thread.
struct Holding(PhantomData<*const ()>);

impl Holding {
    fn begin() -> Holding {
        TAKEN.set(TAKEN.get() + 1);
        Holding(PhantomData)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get() - 1);
        tell_if_free();
    }
}

impl Taken {
    /// Runs a callback of the program, outside the gate. An error means that it forked and this is the child.
    pub(super) fn call_out<T>(&self, body: impl FnOnce() -> T) -> Result<T> {
        let result = fork::unprotected(|| Using::pause(body));
        if self.slot.is_current() {
            return Ok(result);
        }
        let message = "the callback forked, and the transaction is the parent's";
        Err(error(Status::Abandoned, message))
    }

    /// Gives what follows this much time.
    pub(super) fn renew(&self, deadline: Deadline) {
        DEADLINE.set(Some(deadline));
    }

    /// Whether this bit is set in what is known of the file.
    pub(super) fn knows(&self, bit: u32) -> bool {
        self.slot.known.load(Relaxed) & bit != 0
    }

    pub(super) fn learn(&self, bit: u32) {
        self.slot.known.fetch_or(bit, Relaxed);
    }
}

impl Deref for Taken {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("a connection is taken out by drop alone"),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        DEADLINE.set(self.outer_deadline);
        let Some(connection) = self.connection.take() else { return };
        if !self.slot.is_current() {
            return mem::forget(connection);
        }
        if !connection.is_autocommit() {
            let _ = whole(|| connection.execute_batch("ROLLBACK"));
        }
        let mut state = self.slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.connection = Some(connection);
        state.holder = None;
        let is_wanted = state.waiting > 0;
        drop(state);
        if is_wanted {
            self.slot.freed.notify_one();
        }
    }
}
