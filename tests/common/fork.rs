//! Forked children that say whether all was well.

use std::thread;
use std::time::{Duration, Instant};

use super::time::PATIENCE;

/// Forks; the child ends with what `child` says. Its number.
pub fn fork(child: impl FnOnce() -> bool) -> libc::pid_t {
    // SAFETY: the child calls `child`, which uses this library alone, and ends without running anything of the
    // parent's.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        let code = i32::from(!child());
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(code) };
    }
    pid
}

/// Whether the child said yes. One that hangs is killed.
pub fn said_yes(pid: libc::pid_t) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut status = 0;
        // SAFETY: `pid` is a child of ours that was not waited for yet.
        if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == pid {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        }
        if Instant::now() > end {
            // SAFETY: as above; it hangs and has to go.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, &mut status, 0);
            }
            panic!("a child hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
}
