//! Who does what is recorded.

use super::error::error;
use crate::error::{Result, Status};

const MAX_USERNAME: usize = 255;
const MAX_IP: usize = 64;

/// Who acts, as the audit trail names them. What is not known is `None`.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// The number of a user.
    pub user_id: Option<i64>,
    /// The name of a user or of a service.
    pub username: Option<String>,
    /// The address that a request came from.
    pub ip: Option<String>,
}

impl Actor {
    pub(super) fn check(&self) -> Result<()> {
        for (name, text, longest) in [("username", &self.username, MAX_USERNAME), ("ip", &self.ip, MAX_IP)] {
            if let Some(text) = text {
                check_text(name, text, longest)?;
            }
        }
        Ok(())
    }
}

/// Text that goes into the databases as a name.
pub(super) fn check_text(name: &str, text: &str, longest: usize) -> Result<()> {
    if text.is_empty() || text.len() > longest || text.contains(char::is_control) {
        let message = format!("`{name}` has 1 to {longest} bytes and no control characters");
        return Err(error(Status::InvalidArgument, message));
    }
    Ok(())
}
