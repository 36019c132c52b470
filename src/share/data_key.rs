//! The key of the cluster tier: `share_key`, or a data key that a key service wraps.
//!
//! The first host generates the data key and stores it in the tier, wrapped. Each host asks the service to unwrap it,
//! and asks again after [`KEY_AGE`]. It expires after [`KEY_LIFETIME`]; the next host that loads generates another one.
//! The revision and the list of hosts do not depend on it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::secret_memory::SecretBytes;

/// How long a host uses a data key before it has it unwrapped again.
pub(crate) const KEY_AGE: Duration = Duration::from_secs(3600);
/// How long a data key is in the tier.
pub(super) const KEY_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// The length of a data key.
pub(crate) const KEY_LEN: usize = 32;

/// What a key service returns: the data key, and when it was unwrapped.
#[derive(Clone)]
pub(crate) struct DataKey {
    pub(crate) key: SecretBytes,
    pub(crate) unwrapped_at: Instant,
}

/// Returns the wrapped data key in the tier, after storing this one if there is none.
pub(crate) type WrappedKey<'a> = dyn FnMut(Option<&[u8]>) -> Result<Option<Vec<u8>>> + 'a;

/// A key service, with a login of its own.
pub(crate) trait DataKeySource: Send + Sync {
    /// Returns the data key of the tier, or generates it.
    fn obtain(&self, wrapped: &mut WrappedKey<'_>, deadline: Deadline) -> Result<DataKey>;
}

/// The key of a tier.
pub(super) enum TierKey {
    Given(SecretBytes),
    Wrapped { name: String, source: OnceLock<Arc<dyn DataKeySource>>, current: Mutex<Option<DataKey>> },
}

impl TierKey {
    /// The data key that a service wraps with the key of this name.
    pub(super) fn wrapped(name: String) -> TierKey {
        TierKey::Wrapped { name, source: OnceLock::new(), current: Mutex::default() }
    }

    /// What the name of the cluster is derived from.
    pub(super) fn cluster(&self) -> &[u8] {
        match self {
            TierKey::Given(key) => key,
            TierKey::Wrapped { name, .. } => name.as_bytes(),
        }
    }

    pub(super) fn set_source(&self, new: Arc<dyn DataKeySource>) {
        if let TierKey::Wrapped { source, .. } = self {
            // It is set once.
            let _ = source.set(new);
        }
    }

    pub(super) fn get(&self, wrapped: &mut WrappedKey<'_>, deadline: Deadline) -> Result<SecretBytes> {
        let (source, current) = match self {
            TierKey::Given(key) => return Ok(key.clone()),
            TierKey::Wrapped { source, current, .. } => (source, current),
        };
        let _guard = fork::protect();
        let known = current.lock().clone();
        if let Some(known) = known.filter(|known| known.unwrapped_at.elapsed() < KEY_AGE) {
            return Ok(known.key);
        }
        let source = source.get().ok_or_else(|| Error::new(Status::Config, "there is no key service"))?;
        let new = source.obtain(wrapped, deadline)?;
        *current.lock() = Some(new.clone());
        Ok(new.key)
    }
}
