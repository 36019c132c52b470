//! A failed load, as it is shared.

use std::time::Duration;

use super::fields::{FieldReader, FieldWriter};
use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::secret_memory::SecretBuffer;

/// How the last load failed. All processes wait together until the source is queried again.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The number of consecutive loads that failed.
    pub(crate) failures: u32,
    /// How much time the call had that failed.
    pub(crate) time_limit: Duration,
    /// How long the longest load took that timed out.
    pub(crate) lost: Duration,
    /// The back-off after it.
    pub(crate) pause: Duration,
    /// When the source is queried again.
    pub(crate) retry_at: Instant,
}

impl Failure {
    pub(super) fn write(&self) -> Result<SecretBuffer> {
        let mut fields = FieldWriter::new()?;
        fields.number(self.failures)?;
        fields.time(self.time_limit)?;
        fields.time(self.lost)?;
        fields.time(self.pause)?;
        fields.time(self.retry_at.since_boot())?;
        fields.error(&self.error)?;
        Ok(fields.into_buffer())
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Failure> {
        let mut fields = FieldReader::new(bytes);
        let failures = fields.number()?;
        let (time_limit, lost, pause) = (fields.time()?, fields.time()?, fields.time()?);
        let retry_at = Instant::after_boot(fields.time()?);
        Some(Failure { error: fields.error()?, failures, time_limit, lost, pause, retry_at })
    }
}
