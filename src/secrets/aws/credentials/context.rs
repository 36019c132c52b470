//! What fetching credentials needs and returns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::metadata::MetadataClient;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::http::retry::Patience;
use crate::secret_memory::SecretBytes;
use crate::secrets::aws::client::AwsClient;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::settings::AwsSettings;
use crate::secrets::shared_login::LoginResult;
use crate::share::fields::{FieldReader, FieldWriter};
use crate::share::{NewRecord, SharedDocument};

/// What fetching needs.
pub(in crate::secrets::aws) struct FetchContext<'a> {
    pub(in crate::secrets::aws) settings: &'a AwsSettings<'a>,
    /// The region of STS.
    pub(in crate::secrets::aws) region: &'a str,
    pub(in crate::secrets::aws) client: &'a AwsClient<'a>,
    pub(in crate::secrets::aws) metadata: &'a MetadataClient<'a>,
    pub(in crate::secrets::aws) deadline: Deadline,
    /// Whether credentials are fetched although that failed a moment ago.
    pub(in crate::secrets::aws) forced: bool,
    pub(in crate::secrets::aws) patience: Patience,
}

/// Credentials with their lifetime.
pub(super) struct FetchedCredentials {
    pub(super) credentials: AwsCredentials,
    /// How long they are valid; `None` if they do not expire.
    pub(super) lifetime: Option<Duration>,
    pub(super) at: Instant,
}

impl FetchedCredentials {
    /// `now` is the time by the clock of the server that issued them.
    pub(super) fn new(credentials: AwsCredentials, now: SystemTime) -> FetchedCredentials {
        let lifetime = credentials.expires.map(|expires| expires.duration_since(now).unwrap_or_default());
        FetchedCredentials { credentials, lifetime, at: Instant::now() }
    }

    pub(super) fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

impl LoginResult for FetchedCredentials {
    const NAME: &'static str = "AWS credentials";

    fn encode(&self) -> Result<NewRecord> {
        let AwsCredentials { access_key_id, secret_access_key, session_token, expires } = &self.credentials;
        let mut fields = FieldWriter::new()?;
        fields.bytes(access_key_id)?;
        fields.bytes(secret_access_key)?;
        fields.optional(session_token.as_deref())?;
        fields.time(expires.map_or(Duration::MAX, |time| time.duration_since(UNIX_EPOCH).unwrap_or_default()))?;
        let (payload, ttl) = (fields.into_buffer(), Some(self.lifetime.unwrap_or(UNLIMITED)));
        Ok(NewRecord { requested_at: self.at, ttl, refresh_after: None, payload })
    }

    fn decode(record: &SharedDocument) -> Option<FetchedCredentials> {
        let copy = |bytes: &[u8]| SecretBytes::copy_from(bytes).ok();
        let mut fields = FieldReader::new(&record.payload);
        let (access_key_id, secret_access_key) = (copy(fields.bytes()?)?, copy(fields.bytes()?)?);
        let session_token = match fields.optional()? {
            Some(token) => Some(copy(token)?),
            None => None,
        };
        let expires = Some(fields.time()?).filter(|time| *time != Duration::MAX).map(|time| UNIX_EPOCH + time);
        let credentials = AwsCredentials { access_key_id, secret_access_key, session_token, expires };
        Some(FetchedCredentials { credentials, lifetime: record.ttl, at: record.requested_at })
    }
}

/// How long other processes use credentials that do not expire. Only a new fetch notices that they were replaced.
const UNLIMITED: Duration = Duration::from_secs(15 * 60);

/// Returns the earlier one of this deadline and the end of this time.
pub(super) fn limited(deadline: Deadline, time: Duration) -> Deadline {
    Deadline::after(deadline.remaining().min(time))
}

/// An error of a credential provider.
pub(super) fn failed(status: Status, origin: &str, what: impl AsRef<str>) -> Error {
    Error::new(status, format!("no AWS credentials from {origin}: {}", what.as_ref()))
        .with_retryable(matches!(status, Status::Unavailable | Status::Timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_do_not_expire_are_shared_for_a_while() {
        let text = |text: &str| SecretBytes::copy_from(text.as_bytes()).unwrap();
        let credentials = AwsCredentials {
            access_key_id: text("id"),
            secret_access_key: text("key"),
            session_token: None,
            expires: None,
        };
        let fetched = FetchedCredentials::new(credentials, SystemTime::now());
        assert_eq!(fetched.lifetime, None);
        assert_eq!(fetched.encode().unwrap().ttl, Some(UNLIMITED));
    }
}
