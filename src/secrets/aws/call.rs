//! A call of an AWS service.

use zeroize::Zeroizing;

use super::endpoint::Service;
use super::keys::AwsCredentials;

/// One call, which may be sent several times.
pub(super) struct AwsCall<'a> {
    pub(super) service: Service,
    pub(super) region: &'a str,
    pub(super) method: &'static str,
    /// Absolute.
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, Zeroizing<String>)],
    pub(super) body: &'a [u8],
    /// What the call is signed with; `None` for unsigned calls.
    pub(super) credentials: Option<&'a AwsCredentials>,
    /// What else must not appear in an error.
    pub(super) secrets: &'a [&'a [u8]],
    /// Whether it is repeated if AWS throttles it. A call that has an alternative is not.
    pub(super) waits_if_throttled: bool,
}

impl AwsCall<'_> {
    /// What must not appear in an error.
    pub(super) fn secrets(&self) -> Vec<&[u8]> {
        self.secrets.iter().copied().chain(self.credentials.iter().flat_map(|keys| keys.parts())).collect()
    }
}
