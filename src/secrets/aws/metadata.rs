//! Endpoints on the machine itself: never through a proxy, with small answers and little patience.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::http::{self, Client, Proxy, Request, Response};
use crate::secret_memory::SecretBytes;

/// Credentials and their tokens are small.
pub(super) const MAX_BODY: usize = 64 << 10;
/// What is known of this machine, from load to load.
#[derive(Default)]
pub(super) struct Machine {
    answered: AtomicBool,
    pub(super) region: Mutex<Option<String>>,
}

impl Machine {
    /// Whether it has ever answered, so that its silence is an outage.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn set_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

/// The connections of one load to this machine's endpoints.
pub(super) struct Metadata<'a> {
    client: Client,
    pub(super) machine: &'a Machine,
    /// The instance's token of this load.
    pub(super) token: RefCell<Option<Zeroizing<String>>>,
    /// Whether the instance's service did not answer this load.
    pub(super) is_absent: Cell<bool>,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(machine: &'a Machine) -> Metadata<'a> {
        let settings = http::Settings { proxy: Proxy::None, max_body: MAX_BODY, ..http::Settings::default() };
        Metadata { client: Client::new(settings), machine, token: RefCell::default(), is_absent: Cell::new(false) }
    }

    pub(super) fn send(
        &self,
        method: &'static str,
        url: &str,
        headers: &[(&str, Zeroizing<String>)],
        connect_timeout: Duration,
        deadline: Deadline,
    ) -> Result<Response> {
        let request = Request { method, url, headers, body: &[], connect_timeout: Some(connect_timeout) };
        self.client.send(&request, deadline)
    }
}

/// A file with a token, which is read each time, without the white space around it.
pub(super) fn token_file(path: &std::path::Path, place: &str) -> Result<Zeroizing<String>> {
    let named = |error: Error| error.map_message(|message| format!("{place}: {message}"));
    let contents = crate::files::read(path, MAX_BODY).map_err(named)?;
    let text = std::str::from_utf8(&contents.bytes).map(str::trim).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        let message = format!("{place}: {} holds no token, which is one line of ASCII", path.display());
        return Err(super::names::config(message));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Keys in the form that both kinds of endpoints have.
pub(super) struct Parts<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) expires: Option<SystemTime>,
}

impl<'a> Parts<'a> {
    /// `None` where one is missing.
    pub(super) fn of(fields: &'a super::fields::Fields) -> Option<Parts<'a>> {
        let (id, secret) = (fields.text("AccessKeyId")?, fields.text("SecretAccessKey")?);
        Some(Parts { id, secret, token: fields.text("Token"), expires: fields.time("Expiration") })
    }
}

/// One line of an answer, as text.
pub(super) fn line(body: &SecretBytes) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.lines().next()?.trim();
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}
