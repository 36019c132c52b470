//! The actor of recorded changes.

use super::error::error;
use crate::error::{Result, Status};

const MAX_USERNAME: usize = 255;
const MAX_IP: usize = 64;

/// The actor in entries of the audit trail. `None` means unknown.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// The id of a user.
    pub user_id: Option<i64>,
    /// The name of a user or of a service.
    pub username: Option<String>,
    /// The address from which a request came.
    pub ip: Option<String>,
}

impl Actor {
    pub(super) fn check(&self) -> Result<()> {
        for (name, text, max_len) in [("username", &self.username, MAX_USERNAME), ("ip", &self.ip, MAX_IP)] {
            if let Some(text) = text {
                check_text(name, text, max_len)?;
            }
        }
        Ok(())
    }
}

/// Checks text that is stored as a name.
pub(super) fn check_text(name: &str, text: &str, max_len: usize) -> Result<()> {
    if text.is_empty() || text.len() > max_len || text.contains(char::is_control) {
        let message = format!("`{name}` must have 1 to {max_len} bytes and no control characters");
        return Err(error(Status::InvalidArgument, message));
    }
    Ok(())
}
