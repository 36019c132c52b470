//! Versions of secrets in KV engines of version 2, for calls that listen: whether a secret has changed, without reading
//! it.

use super::address::encoded;
use super::client::{VaultCall, VaultSession};
use super::kv::{KvMount, KvReader, messages_of_error, unusable_path};
use super::secret_path::SecretPath;
use super::settings::KvVersion;
use crate::error::Result;
use crate::fork_safe::Mutex;
use crate::secret_memory::SecretBytes;

/// The number of the current version of each secret. That of a secret which does not exist is 0; `None` if the engine
/// has no versions.
type Versions = Vec<Option<u64>>;

/// The versions that this process has seen.
#[derive(Default)]
pub(super) struct SeenVersions {
    /// The versions that were announced to all processes that share the documents; empty at first.
    known: Mutex<Versions>,
    found: Mutex<Versions>,
}

impl SeenVersions {
    /// Whether a secret has another version than those that were known. `loaded` is the version of the document.
    pub(super) fn differ(&self, now: Versions, loaded: Option<u64>) -> bool {
        let mut known = self.known.lock();
        if known.is_empty() {
            known.clone_from(&now);
            if let ([_], Some(loaded)) = (&now[..], loaded) {
                known[0] = Some(loaded);
            }
        }
        // A standby server may be behind.
        let is_newer = |(now, known): (&Option<u64>, &Option<u64>)| now > known || (*now == Some(0) && now != known);
        let differ = now.iter().zip(known.iter()).any(is_newer);
        *self.found.lock() = now;
        differ
    }

    /// Records that the versions found were announced to all processes that share the documents.
    pub(super) fn note_announced(&self) {
        let found = self.found.lock().clone();
        *self.known.lock() = found;
    }
}

/// Reads the versions of all secrets. Calls `each` with the result for every one.
pub(super) fn versions(
    session: &VaultSession<'_>,
    kv: &KvReader,
    token: Option<&SecretBytes>,
    mut each: impl FnMut(&SecretPath, &Result<Option<u64>>),
) -> Result<Versions> {
    let read = |secret: &SecretPath| {
        let version = version(&session.about(secret), kv, secret, token);
        each(secret, &version);
        version
    };
    session.settings().secrets.iter().map(read).collect()
}

fn version(
    session: &VaultSession<'_>,
    kv: &KvReader,
    secret: &SecretPath,
    token: Option<&SecretBytes>,
) -> Result<Option<u64>> {
    let mount = kv.mount(session, secret, token)?.unwrap_or_else(|| KvMount::configured(secret, KvVersion::V2));
    if mount.version == KvVersion::V1 {
        return Ok(None);
    }
    let path = mount.metadata_path();
    let response = session.send(&VaultCall::get(&encoded(&path)).with_token(token))?;
    let (errors, messages) = (session.errors(), messages_of_error(&response));
    match response.status {
        200 => {}
        404 if messages.is_empty_error() => return Ok(Some(0)),
        _ if !messages.is_vault_error => return Err(errors.not_vault(response.status)),
        403 => return Err(errors.read_denied(&response, &path)),
        _ => return Err(unusable_path(session, &response, &messages, "reading the versions of the secret")),
    }
    let data = session.object(&response)?.object("data");
    let version = data.and_then(|data| data.number("current_version"));
    version.map(Some).ok_or_else(|| errors.not_vault(response.status))
}
