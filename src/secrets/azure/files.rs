//! Files with a certificate, a token or a login.

use std::path::Path;

use crate::error::Result;
use crate::files;
use crate::fork;
use crate::secret_memory::SecretBytes;

/// The cache of the Azure CLI has the tokens of all tenants and resources.
const MAX_FILE: usize = 4 << 20;

/// Reads a file; `what` it contains is for messages.
pub(super) fn read(path: &Path, what: &str) -> Result<SecretBytes> {
    let contents = fork::unprotected(|| files::read(path, MAX_FILE))
        .map_err(|error| error.map_message(|message| format!("{what}: {message}")))?;
    Ok(contents.bytes.freeze())
}
