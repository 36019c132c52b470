//! One HTTP client over ureq: a deadline over everything, TLS roots, proxies, bounded bodies that are wiped.
//!
//! A [`Client`] lives for one load: its connections are reused within it and closed with it, so nothing stays open
//! between loads. One call of [`Client::send`] is one attempt; [`retry`] says when there is another.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::bytes::SecretBytes;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};

pub(crate) mod retry;

/// How requests are sent.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) roots: Roots,
    /// Shown to servers that ask for one: PEM files of the chain and of its key.
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must have, where it is not the host of the URL.
    pub(crate) server_name: Option<String>,
    /// Whether the server's certificate is not looked at.
    pub(crate) skip_verify: bool,
    pub(crate) proxy: Proxy,
    /// The longest body of an answer, in bytes.
    pub(crate) max_body: usize,
}

/// Whose signature on a server's certificate is trusted.
#[derive(Clone, Default)]
pub(crate) enum Roots {
    /// What the system trusts.
    #[default]
    Platform,
    /// The certificates of this PEM file alone.
    File(PathBuf),
    /// Those of all PEM files in this folder.
    Folder(PathBuf),
    /// These, as PEM.
    Pem(String),
}

/// How a proxy is chosen.
#[derive(Clone, Default)]
pub(crate) enum Proxy {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case.
    #[default]
    Environment,
    /// Never one.
    None,
    /// This one, whatever `NO_PROXY` says.
    Always(String),
}

/// One request. Headers and body may hold secrets.
pub(crate) struct Request<'a> {
    /// `GET`, `POST` or `PUT`.
    pub(crate) method: &'static str,
    /// Absolute, `http` or `https`; without user, password and fragment.
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(&'a str, Zeroizing<String>)],
    pub(crate) body: &'a [u8],
    /// The longest time for a connection, within the deadline.
    pub(crate) connect_timeout: Option<Duration>,
}

/// An answer with any status. The body is wiped when it goes.
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: SecretBytes,
}

impl Response {
    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Connections of one load.
pub(crate) struct Client {}

impl Client {
    /// A client with these settings. Files of certificates are read when the first `https` request needs them.
    pub(crate) fn new(_settings: Settings) -> Client {
        Client {}
    }

    /// Sends one request and reads the whole answer, outside the fork gate. Redirects are answers like any other.
    ///
    /// Errors: [`Status::Timeout`] where the deadline passed, [`Status::Unavailable`] (marked as worth retrying) where
    /// no connection could be had or it broke, [`Status::Config`] for what no retry mends (a URL, a certificate file, a
    /// header with CR or LF), [`Status::AccessDenied`] for a certificate that is not trusted, [`Status::Protocol`] for
    /// what is not HTTP or too long. The message names scheme, host and port of the URL, never its query.
    pub(crate) fn send(&self, _request: &Request<'_>, _deadline: Deadline) -> Result<Response> {
        Err(Error::new(Status::Unavailable, "not written yet"))
    }
}
