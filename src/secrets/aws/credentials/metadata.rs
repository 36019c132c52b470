//! A client for metadata endpoints of instances and containers: no proxy, small responses, short timeouts.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::files;
use crate::fork_safe::Mutex;
use crate::http::{self, Client, HttpRequest, HttpResponse, Proxy};
use crate::secret_memory::SecretBytes;
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::times;
use crate::secrets::json::SecretObject;

/// The limit for responses and token files. Credentials and their tokens are shorter.
pub(super) const MAX_BODY: usize = 64 << 10;

/// What is known of this instance, from load to load.
#[derive(Default)]
pub(in crate::secrets::aws) struct InstanceState {
    responded: AtomicBool,
    pub(super) region: Mutex<Option<String>>,
}

impl InstanceState {
    /// Whether the metadata service has ever responded. If so, no response is an outage.
    pub(super) fn has_responded(&self) -> bool {
        self.responded.load(Ordering::Relaxed)
    }

    pub(super) fn set_responded(&self) {
        self.responded.store(true, Ordering::Relaxed);
    }
}

/// The connections of one load to the instance metadata service.
pub(in crate::secrets::aws) struct MetadataClient<'a> {
    client: Client,
    pub(super) state: &'a InstanceState,
    /// The session token of this load.
    pub(super) token: RefCell<Option<Zeroizing<String>>>,
    /// Whether the service did not respond during this load.
    pub(super) is_absent: Cell<bool>,
}

impl<'a> MetadataClient<'a> {
    pub(in crate::secrets::aws) fn new(state: &'a InstanceState) -> MetadataClient<'a> {
        let settings =
            http::ClientSettings { proxy: Proxy::None, max_body: MAX_BODY, ..http::ClientSettings::default() };
        MetadataClient { client: Client::new(settings), state, token: RefCell::default(), is_absent: Cell::new(false) }
    }

    pub(super) fn send(
        &self,
        method: &'static str,
        url: &str,
        headers: &[(&str, Zeroizing<String>)],
        connect_timeout: Duration,
        deadline: Deadline,
    ) -> Result<HttpResponse> {
        let request = HttpRequest { method, url, headers, body: &[], connect_timeout: Some(connect_timeout) };
        self.client.send(&request, deadline)
    }
}

/// Reads a token from a file, without the white space around it. `origin` names the setting for messages.
pub(in crate::secrets::aws) fn read_token(path: &Path, origin: &str) -> Result<Zeroizing<String>> {
    let named = |error: Error| error.map_message(|message| format!("{origin}: {message}"));
    let contents = files::read(path, MAX_BODY).map_err(named)?;
    let text = std::str::from_utf8(&contents.bytes).map(str::trim).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        let message = format!("{origin}: {} contains no token; a token is one line of ASCII", path.display());
        return Err(config_error(message));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Credentials in the JSON form of both kinds of endpoints.
pub(super) struct CredentialFields<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) expires: Option<SystemTime>,
}

impl<'a> CredentialFields<'a> {
    /// Returns the fields; `None` if id or secret is missing.
    pub(super) fn of(fields: &'a SecretObject) -> Option<CredentialFields<'a>> {
        let (id, secret) = (fields.text("AccessKeyId")?, fields.text("SecretAccessKey")?);
        Some(CredentialFields { id, secret, token: fields.text("Token"), expires: times::time(fields, "Expiration") })
    }
}

/// Returns the first line of a response.
pub(super) fn first_line(body: &SecretBytes) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.lines().next()?.trim();
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}
