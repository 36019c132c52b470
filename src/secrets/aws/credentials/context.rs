//! What fetching credentials needs and returns.

use std::time::{Duration, SystemTime};

use super::metadata::MetadataClient;
use crate::clock::Deadline;
use crate::error::{Error, Status};
use crate::http::retry::Patience;
use crate::secrets::aws::client::AwsClient;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::settings::Settings;

/// What fetching needs.
pub(in crate::secrets::aws) struct Context<'a> {
    pub(in crate::secrets::aws) settings: &'a Settings<'a>,
    /// The region of STS.
    pub(in crate::secrets::aws) region: &'a str,
    pub(in crate::secrets::aws) client: &'a AwsClient<'a>,
    pub(in crate::secrets::aws) metadata: &'a MetadataClient<'a>,
    pub(in crate::secrets::aws) deadline: Deadline,
    pub(in crate::secrets::aws) patience: Patience,
}

/// Credentials that were just fetched.
pub(super) struct Fetched {
    pub(super) credentials: AwsCredentials,
    /// How long they are valid; `None` if they do not expire.
    pub(super) lifetime: Option<Duration>,
}

impl Fetched {
    /// `now` is the time by the clock of the server that issued them.
    pub(super) fn new(credentials: AwsCredentials, now: SystemTime) -> Fetched {
        let lifetime = credentials.expires.map(|expires| expires.duration_since(now).unwrap_or_default());
        Fetched { credentials, lifetime }
    }
}

/// Returns the earlier one of this deadline and the end of this time.
pub(super) fn limited(deadline: Deadline, time: Duration) -> Deadline {
    Deadline::after(deadline.remaining().min(time))
}

/// An error of a credential provider.
pub(super) fn failed(status: Status, origin: &str, what: impl AsRef<str>) -> Error {
    Error::new(status, format!("no AWS credentials from {origin}: {}", what.as_ref()))
        .with_retryable(matches!(status, Status::Unavailable | Status::Timeout))
}
