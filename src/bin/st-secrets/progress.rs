//! Progress bars.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that is done sooner has no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// The progress of long work, on stderr if that is a terminal.
pub(crate) struct Progress {
    what: &'static str,
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `what` is counted, such as `credentials`.
    pub(crate) fn new(what: &'static str) -> Progress {
        Progress { what, begun: Instant::now(), bar: None }
    }

    /// Always returns `true`, so the work continues.
    pub(crate) fn update(&mut self, done: u64, total: u64) -> bool {
        if self.bar.is_none() && self.begun.elapsed() >= PATIENCE && io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} left");
            let bar = ProgressBar::new(total).with_message(self.what);
            self.bar = Some(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
        true
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
