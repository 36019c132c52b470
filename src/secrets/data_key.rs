//! The data key of the cluster tier, unwrapped once for all processes of a host.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBytes;
use crate::share::fields::{FieldReader, FieldWriter};
use crate::share::{DATA_KEY_LEN, DataKey, DataKeySource, Identity, KEY_AGE, NewRecord, SharedDocument, WrappedKey};

use super::shared_login::{LoginRequest, LoginResult, SharedLogins};

const REMEDY: &str = "if the key was replaced, remove the entry of the tier that ends in `key`";

/// A service that generates and unwraps data keys.
pub(super) trait KeyService: Send + Sync {
    /// Which key it uses, with which login.
    fn identity(&self) -> Option<Identity>;

    /// Returns a new data key in base64, and what it is wrapped in.
    fn generate(&self, deadline: Deadline) -> Result<(SecretBytes, String)>;

    /// Returns the data key in base64.
    fn unwrap(&self, wrapped: &str, deadline: Deadline) -> Result<SecretBytes>;
}

/// A key service whose results are shared on this host.
pub(super) struct SharedKeyService {
    service: Box<dyn KeyService>,
    logins: SharedLogins,
}

impl SharedKeyService {
    pub(super) fn shared(service: impl KeyService + 'static, logins: SharedLogins) -> Arc<dyn DataKeySource> {
        Arc::new(SharedKeyService { service: Box::new(service), logins })
    }

    fn request(&self, wrapped: &mut WrappedKey<'_>, deadline: Deadline) -> Result<DataKey> {
        let unwrapped_at = Instant::now();
        let existing = match wrapped(None)? {
            Some(existing) => existing,
            None => {
                let (key, new) = self.service.generate(deadline)?;
                match wrapped(Some(new.as_bytes()))? {
                    // Another host was first.
                    Some(other) if other != new.as_bytes() => other,
                    _ => return Ok(DataKey { key: decoded(&key)?, unwrapped_at }),
                }
            }
        };
        let text = String::from_utf8(existing).map_err(|_| invalid())?;
        let key = self.service.unwrap(&text, deadline).map_err(|error| match error.status() {
            // It was wrapped with a key, or a version of it, that the service no longer uses.
            Status::Protocol => error.map_message(|message| format!("{message}; {REMEDY}")),
            _ => error,
        })?;
        Ok(DataKey { key: decoded(&key)?, unwrapped_at })
    }
}

impl DataKeySource for SharedKeyService {
    fn obtain(&self, wrapped: &mut WrappedKey<'_>, deadline: Deadline) -> Result<DataKey> {
        let accepts = |key: &DataKey| key.unwrapped_at.elapsed() < KEY_AGE;
        let request = LoginRequest { deadline, forced: false, replaces: false, accepts: &accepts };
        let login = self.logins.open(|| self.service.identity());
        login.obtain(&request, || self.request(wrapped, deadline))
    }
}

impl LoginResult for DataKey {
    const NAME: &'static str = "the data key of the tier";

    fn encode(&self) -> Result<NewRecord> {
        let mut fields = FieldWriter::new()?;
        fields.bytes(&self.key)?;
        let (requested_at, payload) = (self.unwrapped_at, fields.into_buffer());
        Ok(NewRecord { requested_at, ttl: Some(KEY_AGE), refresh_after: None, payload })
    }

    fn decode(record: &SharedDocument) -> Option<DataKey> {
        let mut fields = FieldReader::new(&record.payload);
        let key = SecretBytes::copy_from(fields.bytes()?).ok().filter(|key| key.len() == DATA_KEY_LEN)?;
        Some(DataKey { key, unwrapped_at: record.requested_at })
    }
}

fn decoded(base64: &[u8]) -> Result<SecretBytes> {
    let key = STANDARD.decode(base64).map(Zeroizing::new);
    let key = key.ok().filter(|key| key.len() == DATA_KEY_LEN).ok_or_else(invalid)?;
    SecretBytes::copy_from(&key)
}

fn invalid() -> Error {
    Error::new(Status::Protocol, format!("the data key of the tier is invalid; {REMEDY}"))
}
