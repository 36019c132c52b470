//! Copies of the databases.

use std::ffi::c_char;
use std::path::Path;

use super::store::{st_store, with};
use super::{check_flags, guard, st_error, st_status, text};
use crate::error::{Error, Result};
use crate::store::StoreDatabase;

/// For `st_store_backup`: overwrites an existing database.
pub const ST_BACKUP_REPLACE: u32 = 1;
/// For `st_store_backup`: copies the audit trail.
pub const ST_BACKUP_AUDIT: u32 = 2;
/// For `st_store_backup`: copies the database of the credentials, where it is a file of its own.
pub const ST_BACKUP_CREDENTIALS: u32 = 4;

/// Writes a copy of a database to the file `path`, while other programs use the database. The copy is its state at one
/// point in time, and complete without other files. It is checked, and has mode 0600. Missing directories are created;
/// `~` is the home directory.
///
/// Without flags, the database of the provider configuration is copied, which normally contains the credentials too.
/// With `ST_BACKUP_AUDIT` it is the audit trail: copy it after the other one, since an entry is older than its change.
/// Keys are not copied.
///
/// The file is renamed to `path` when it is complete, so a failure or a killed process leaves at most a hidden file
/// beside it, which the next backup reuses. An existing database is overwritten only with `ST_BACKUP_REPLACE`, and a
/// file of any other kind never. Do not overwrite a database that a program has open. A `-wal` or `-journal` file that
/// an earlier database at `path` left behind is an error. The setting `timeout` limits the call; other calls of this
/// process that need the database wait meanwhile.
///
/// `ST_NOT_FOUND`: the database does not exist yet. `ST_IO`: the file exists (`detail` is `EEXIST`) or cannot be
/// written. `ST_CORRUPT`: the database is damaged. `ST_BUSY`: another backup to the same path is in progress.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_backup(
    store: *const st_store,
    path: *const c_char,
    path_len: usize,
    flags: u32,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives readable text of this length.
        let path = unsafe { text("path", path, path_len) }?;
        if path.is_empty() || path.contains('\0') {
            return Err(Error::invalid_argument("`path` is empty or contains a NUL"));
        }
        let which = database(flags)?;
        let replace = flags & ST_BACKUP_REPLACE != 0;
        // SAFETY: the caller gives NULL or a live store.
        unsafe { with(store, |store| store.backup(which, Path::new(path), replace)) }
    })
}

fn database(flags: u32) -> Result<StoreDatabase> {
    check_flags(flags, ST_BACKUP_REPLACE | ST_BACKUP_AUDIT | ST_BACKUP_CREDENTIALS)?;
    match (flags & ST_BACKUP_AUDIT != 0, flags & ST_BACKUP_CREDENTIALS != 0) {
        (false, false) => Ok(StoreDatabase::Main),
        (true, false) => Ok(StoreDatabase::Audit),
        (false, true) => Ok(StoreDatabase::Credentials),
        (true, true) => {
            Err(Error::invalid_argument("ST_BACKUP_AUDIT and ST_BACKUP_CREDENTIALS are mutually exclusive"))
        }
    }
}
