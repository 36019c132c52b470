//! The redactor of the process.

use std::sync::Arc;

use once_cell::race::OnceBox;

use super::Redactor;
use crate::config::Config;
use crate::error::{Error, Result, Status};

/// It is opened once and never replaced, as it would lose its values.
static DEFAULT: OnceBox<Arc<Redactor>> = OnceBox::new();

impl Redactor {
    /// Opens the redactor of the process with these settings. It then receives each value that the library returns.
    ///
    /// [`Status::Config`]: it is already open, with other settings.
    pub fn open_default(config: &Config) -> Result<()> {
        let new = Redactor::open(config)?;
        let options = new.options.clone();
        let open = DEFAULT.get_or_init(|| Box::new(Arc::new(new)));
        if open.options != options {
            let message = "the redactor of the process is already open, with another `redact_min` or `redact_with`; \
                           open it once, at the start of the program";
            return Err(Error::new(Status::Config, message));
        }
        Ok(())
    }

    /// Returns the redactor of the process, which is opened with default settings on first use.
    pub fn default_instance() -> Result<Arc<Redactor>> {
        DEFAULT.get_or_try_init(|| Redactor::open(&Config::new()).map(|new| Box::new(Arc::new(new)))).cloned()
    }
}

/// Gives a value that is about to be returned to the redactor of the process, if that is open.
#[inline]
pub(crate) fn record(name: Option<&str>, value: &[u8]) {
    if let Some(redactor) = DEFAULT.get() {
        redactor.record(name, value);
    }
}
