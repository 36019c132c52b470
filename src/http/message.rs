//! Requests and responses.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::secret_memory::SecretBytes;

/// The `User-Agent` of all requests.
pub(super) const USER_AGENT: &str = concat!("st-secrets/", env!("CARGO_PKG_VERSION"));

/// One request. Headers and body may contain secrets.
pub(crate) struct HttpRequest<'a> {
    /// `GET`, `POST` or `PUT`.
    pub(crate) method: &'static str,
    /// Absolute, `http` or `https`; without user, password and fragment.
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(&'a str, Zeroizing<String>)],
    pub(crate) body: &'a [u8],
    /// The time limit for establishing a connection, within the deadline.
    pub(crate) connect_timeout: Option<Duration>,
}

/// A response with any status. The body is wiped on drop; the body of an error is empty if it is longer than 64 KiB.
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(crate) body: SecretBytes,
}

impl HttpResponse {
    #[cfg(fuzzing)]
    pub(crate) fn new(status: u16, headers: Vec<(String, String)>, body: SecretBytes) -> HttpResponse {
        HttpResponse { status, headers, body }
    }

    /// Returns the first header with this name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
