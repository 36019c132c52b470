//! Values, files, databases and locks that remain safe to use in a process that forks, by means of
//! [`fork`](crate::fork).

mod close_on_fork;
mod descriptors;
mod locks;
mod published;
pub(crate) mod sqlite;

pub(crate) use close_on_fork::CloseOnForkFile;
pub(crate) use locks::{Mutex, RwLock, RwLockWriteGuard};
pub(crate) use published::Published;
