//! Finding secrets in KV engines of either version, and reading them.
//!
//! The version of a mount is detected once and remembered. Version 1 is tried only on a mount that is, or may be, of
//! version 1: on a mount of version 2 policies treat its path as another secret, so the response would mean nothing.

use std::sync::Arc;
use std::time::Duration;

use super::address::encoded;
use super::client::{VaultCall, VaultSession};
use super::response::{ServerMessages, VaultResponse};
use super::secret_path::SecretPath;
use super::settings::{KvVersion, VaultSettings};
use crate::clock::Instant;
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::secret_memory::SecretBytes;
use crate::secrets::document::Document;
use crate::secrets::entries::{Entries, Problem};
use crate::secrets::json;
use crate::secrets::json::JsonObject;
use crate::secrets::merge::merge;

/// How long a mount is trusted although the secret seems to be missing. If the mount was replaced by one of the other
/// version, every secret seems to be missing, so after this time its version is detected again.
const TRUST_MISSING: Duration = Duration::from_secs(60);

/// A KV engine, and the path of the secret in it.
#[derive(Clone)]
pub(super) struct KvMount {
    mount: String,
    path: String,
    pub(super) version: KvVersion,
    since: Instant,
}

impl KvMount {
    fn new(mount: &str, path: &str, version: KvVersion) -> KvMount {
        KvMount { mount: mount.to_owned(), path: path.to_owned(), version, since: Instant::now() }
    }

    /// The mount in the settings, with this version.
    pub(super) fn configured(secret: &SecretPath, version: KvVersion) -> KvMount {
        KvMount::new(&secret.mount, &secret.path, version)
    }

    /// The same mount, with the path of this secret, if it is in there. No mount is within another one.
    fn with(&self, secret: &SecretPath) -> Option<KvMount> {
        let full = secret.to_string();
        let path = full.strip_prefix(&self.mount)?.strip_prefix('/')?;
        Some(KvMount { path: path.to_owned(), ..self.clone() })
    }

    /// The path of the versions of the secret in the API, and in policies.
    pub(super) fn metadata_path(&self) -> String {
        format!("{}/metadata/{}", self.mount, self.path)
    }

    /// The path of the secret in the API, and in policies.
    pub(super) fn api_path(&self) -> String {
        let data = if self.version == KvVersion::V2 { "data/" } else { "" };
        format!("{}/{data}{}", self.mount, self.path)
    }
}

/// The outcome of one read.
enum ReadOutcome<T> {
    Found(T),
    /// There is no secret, or the engine has another version; the server does not say which.
    NotFound,
    /// The path is of version 1, and the mount is not.
    NotVersion1,
}

/// What is taken from the response with the secret. With status 404 its current version was deleted or destroyed.
type Parse<T> = fn(&VaultSession<'_>, KvVersion, &VaultResponse, &JsonObject<'_>) -> Result<T>;

/// Finds secrets, and remembers their mounts.
#[derive(Default)]
pub(super) struct KvReader {
    mounts: Mutex<Vec<KvMount>>,
}

impl KvReader {
    /// The mount of a secret, if it has been detected.
    fn detected(&self, secret: &SecretPath) -> Option<KvMount> {
        self.mounts.lock().iter().find_map(|mount| mount.with(secret))
    }

    /// The version of the mount of a secret, if it has been detected.
    pub(super) fn detected_version(&self, secret: &SecretPath) -> Option<KvVersion> {
        self.detected(secret).map(|mount| mount.version)
    }

    /// Makes the next read detect the mounts again.
    pub(super) fn forget_mounts(&self) {
        self.mounts.lock().clear();
    }

    fn remember(&self, mount: &KvMount) {
        let mut mounts = self.mounts.lock();
        mounts.retain(|other| other.mount != mount.mount);
        mounts.push(mount.clone());
    }

    fn forget(&self, mount: &KvMount) {
        self.mounts.lock().retain(|other| other.mount != mount.mount);
    }

    /// Reads all secrets with this token, as one document. Calls `each` for every secret that was read.
    pub(super) fn read_all(
        &self,
        session: &VaultSession<'_>,
        token: Option<&SecretBytes>,
        mut each: impl FnMut(&Result<Document>),
    ) -> Result<Document> {
        let parts = session.settings().secrets.iter().map(|secret| {
            let read = self.read(session, secret, token);
            each(&read);
            (secret.to_string(), read)
        });
        merge("vault", Source::Vault, parts)
    }

    /// Reads a secret with this token.
    fn read<'a>(
        &self,
        session: &VaultSession<'a>,
        secret: &'a SecretPath,
        token: Option<&SecretBytes>,
    ) -> Result<Document> {
        let (_, document) = self.find(session, secret, token, document_of)?;
        Ok(document.unwrap_or_else(|| not_found(session.settings(), secret)))
    }

    /// Returns the mount, if its version is known, and what is read there, if the secret exists.
    pub(super) fn find<'a, T>(
        &self,
        session: &VaultSession<'a>,
        secret: &'a SecretPath,
        token: Option<&SecretBytes>,
        parse: Parse<T>,
    ) -> Result<(Option<KvMount>, Option<T>)> {
        let session = &session.about(secret);
        match self.mount(session, secret, token)? {
            Some(known) => self.find_in_known(session, token, known, parse),
            None => self.find_in_unknown(session, secret, token, parse),
        }
    }

    /// The mount of a secret, if the settings or the server say which version it has.
    pub(super) fn mount(
        &self,
        session: &VaultSession<'_>,
        secret: &SecretPath,
        token: Option<&SecretBytes>,
    ) -> Result<Option<KvMount>> {
        let known = match session.settings().version {
            Some(version) => Some(KvMount::configured(secret, version)),
            None => self.detected(secret),
        };
        match known {
            Some(known) => Ok(Some(known)),
            None => self.detect_mount(session, secret, token),
        }
    }

    /// Reads the secret from a mount of known version.
    fn find_in_known<T>(
        &self,
        session: &VaultSession<'_>,
        token: Option<&SecretBytes>,
        mut mount: KvMount,
        parse: Parse<T>,
    ) -> Result<(Option<KvMount>, Option<T>)> {
        let mut outcome = read_once(session, token, &mount, parse)?;
        if matches!(outcome, ReadOutcome::NotVersion1) {
            if session.settings().version.is_some() {
                return Err(wrong_version(session));
            }
            mount.version = KvVersion::V2;
            outcome = read_once(session, token, &mount, parse)?;
        }
        let is_trusted = !matches!(outcome, ReadOutcome::NotFound) || mount.since.elapsed() < TRUST_MISSING;
        if is_trusted {
            self.remember(&mount);
        } else {
            self.forget(&mount);
        }
        match outcome {
            ReadOutcome::Found(found) => Ok((Some(mount), Some(found))),
            ReadOutcome::NotFound | ReadOutcome::NotVersion1 => Ok((Some(mount), None)),
        }
    }

    /// Reads the secret from a mount whose version the token may not read: version 2 first, version 1 if nothing is
    /// found.
    fn find_in_unknown<T>(
        &self,
        session: &VaultSession<'_>,
        secret: &SecretPath,
        token: Option<&SecretBytes>,
        parse: Parse<T>,
    ) -> Result<(Option<KvMount>, Option<T>)> {
        for version in [KvVersion::V2, KvVersion::V1] {
            let mount = KvMount::configured(secret, version);
            if let ReadOutcome::Found(found) = read_once(session, token, &mount, parse)? {
                self.remember(&mount);
                return Ok((Some(mount), Some(found)));
            }
        }
        Ok((None, None))
    }

    /// Queries the path and version of the mount; `None` if the token may not read that.
    fn detect_mount(
        &self,
        session: &VaultSession<'_>,
        secret: &SecretPath,
        token: Option<&SecretBytes>,
    ) -> Result<Option<KvMount>> {
        let errors = session.errors();
        let full = secret.to_string();
        let path = format!("sys/internal/ui/mounts/{}", encoded(&full));
        let response = session.send(&VaultCall::get(&path).with_token(token))?;
        let messages = messages_of_error(&response);
        match response.status {
            200 => {}
            _ if !messages.is_vault_error => return Err(errors.not_vault(response.status)),
            403 => return Ok(None),
            404 if messages.contain("namespace not found") => return Err(errors.no_namespace(&response)),
            // Servers before version 0.10 have neither this path nor KV version 2.
            404 => return Ok(Some(KvMount::configured(secret, KvVersion::V1))),
            _ => return Err(errors.rejected(&response, "reading the version of the mount")),
        }
        let data = session.object(&response)?.object("data");
        let engine = data.as_ref().and_then(|data| data.text("type"));
        let (Some(data), Some(engine)) = (data, engine) else { return Err(errors.not_vault(response.status)) };
        if engine != "kv" && engine != "generic" {
            return Err(errors.wrong_mount(format!("the engine at {:?} is {engine:?}, not kv", secret.mount)));
        }
        let version = data.object("options").and_then(|options| options.text("version"));
        let version = if version.as_deref() == Some("2") { KvVersion::V2 } else { KvVersion::V1 };
        // The mount may be longer or shorter than the configured one: `kv/team` in `kv/team/app`.
        let mount = data.text("path").unwrap_or_default();
        let mount = mount.trim_matches('/');
        let rest = full.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/'));
        let detected = match rest.filter(|rest| !rest.is_empty() && !mount.is_empty()) {
            Some(rest) => KvMount::new(mount, rest, version),
            None => KvMount::configured(secret, version),
        };
        self.remember(&detected);
        Ok(Some(detected))
    }
}

/// Reads the secret from this mount.
fn read_once<T>(
    session: &VaultSession<'_>,
    token: Option<&SecretBytes>,
    mount: &KvMount,
    parse: Parse<T>,
) -> Result<ReadOutcome<T>> {
    let path = mount.api_path();
    let response = session.send(&VaultCall::get(&encoded(&path)).with_token(token))?;
    let (errors, messages) = (session.errors(), messages_of_error(&response));
    match response.status {
        200 => {}
        404 if messages.contain("Invalid path for a versioned K/V secrets engine") => {
            return Ok(ReadOutcome::NotVersion1);
        }
        404 if messages.is_empty_error() => return Ok(ReadOutcome::NotFound),
        404 if mount.version == KvVersion::V2 && !messages.is_vault_error => {}
        _ if !messages.is_vault_error => return Err(errors.not_vault(response.status)),
        403 => return Err(errors.read_denied(&response, &path)),
        _ => return Err(unusable_path(session, &response, &messages, "reading the secret")),
    }
    // A large secret is not parsed while forks are blocked.
    fork::unprotected(|| {
        let object = session.object(&response)?;
        parse(session, mount.version, &response, &object).map(ReadOutcome::Found)
    })
}

/// The server refused what `action` names, not because of a policy.
pub(super) fn unusable_path(
    session: &VaultSession<'_>,
    response: &VaultResponse,
    messages: &ServerMessages,
    action: &str,
) -> Error {
    let errors = session.errors();
    match response.status {
        404 if messages.contain("namespace not found") => errors.no_namespace(response),
        404 if messages.contain("no handler for route") => errors.no_mount(response),
        404 if messages.contain("unsupported path") => errors.not_kv(response),
        _ => errors.rejected(response, action),
    }
}

fn document_of(
    session: &VaultSession<'_>,
    version: KvVersion,
    response: &VaultResponse,
    object: &JsonObject<'_>,
) -> Result<Document> {
    match version {
        KvVersion::V2 => version2(session, response, object),
        KvVersion::V1 => version1(session, response, object),
    }
}

/// The parts of a response of version 2: what holds the secret, and its metadata.
pub(super) fn parts<'a>(
    session: &VaultSession<'_>,
    response: &VaultResponse,
    object: &JsonObject<'a>,
) -> Result<(JsonObject<'a>, JsonObject<'a>)> {
    let not_vault = || session.errors().not_vault(response.status);
    let outer = object.object("data").ok_or_else(not_vault)?;
    let Some(metadata) = outer.object("metadata") else {
        if response.status != 200 {
            return Err(not_vault());
        }
        let what =
            "the response is not from a KV engine of version 2; set vault_kv_version to 1, or correct vault_mount";
        return Err(session.errors().error(Status::Protocol, what).with_detail(response.status.into()));
    };
    Ok((outer, metadata))
}

/// A secret, or with status 404 a version that was deleted or destroyed.
fn version2(session: &VaultSession<'_>, response: &VaultResponse, object: &JsonObject<'_>) -> Result<Document> {
    let not_vault = || session.errors().not_vault(response.status);
    let (outer, metadata) = parts(session, response, object)?;
    let number = metadata.number("version").map(|number| number.to_string());
    let version: Option<Arc<str>> = number.as_deref().map(Arc::from);
    if response.status == 200 {
        let data = outer.raw("data").ok_or_else(not_vault)?;
        return document(session, data, version);
    }
    let number = number.filter(|_| !outer.has("data")).ok_or_else(not_vault)?;
    let time = metadata.text("deletion_time").filter(|time| !time.is_empty());
    let reason = match time {
        _ if metadata.flag("destroyed") => format!("version {number} was destroyed"),
        Some(time) => format!("version {number} was deleted on {time}"),
        None => return Err(not_vault()),
    };
    let mut document = Document::missing(reason);
    document.version = version;
    Ok(document)
}

fn version1(session: &VaultSession<'_>, response: &VaultResponse, object: &JsonObject<'_>) -> Result<Document> {
    let raw = object.raw("data").ok_or_else(|| session.errors().not_vault(response.status))?;
    let mut document = document(session, raw, None)?;
    // Without a TTL of its own the secret has the default of the mount, which says nothing about the secret.
    let data = object.object("data");
    if data.is_some_and(|data| data.has("ttl") || data.has("lease")) {
        let lease = object.number("lease_duration").filter(|seconds| *seconds > 0);
        document.ttl = lease.map(Duration::from_secs);
    }
    Ok(document)
}

/// The entries of a secret. An unusable entry does not affect the others.
fn document(session: &VaultSession<'_>, raw: &str, version: Option<Arc<str>>) -> Result<Document> {
    let unusable = |problem: Problem| unusable(session, problem);
    let read = json::parse_each(raw, || session.deadline().has_passed()).map_err(unusable)?;
    let mut document = Document::new(version.clone());
    let mut entries = Entries::new();
    for (key, value) in read {
        match value {
            Ok(value) => entries.push((key, value)),
            Err(problem) => document.add_broken(&key, unusable(problem)),
        }
    }
    document.add(entries, version);
    Ok(document)
}

/// What is at the path cannot be used.
pub(super) fn unusable(session: &VaultSession<'_>, problem: Problem) -> Error {
    let errors = session.errors();
    match problem {
        // A position would be one in the response, which users do not see.
        Problem::Text { message, .. } => {
            errors.error(Status::Protocol, format!("the secret cannot be read: {message}"))
        }
        Problem::TimedOut => errors.error(Status::Timeout, "timed out while parsing the secret").with_retryable(true),
        Problem::OutOfMemory(error) => error.map_message(|message| format!("{errors}: {message}")),
    }
}

fn not_found(settings: &VaultSettings, secret: &SecretPath) -> Document {
    let SecretPath { mount, path, .. } = secret;
    let hint = match (path.strip_prefix(mount.as_str()), settings.version) {
        (Some(rest), _) if rest.starts_with('/') => {
            format!("; its path is relative to the mount {mount:?}: is it {:?}?", &rest[1..])
        }
        (_, Some(version)) => {
            format!(
                "; vault_kv_version is {}: is {mount:?} the mount of a KV engine of that version? (`auto` detects it)",
                version.number(),
            )
        }
        _ => match path.strip_prefix("data/") {
            Some(rest) => format!("; without the `data/` of the API, its path is {rest:?}"),
            None => String::new(),
        },
    };
    Document::missing(format!("it does not exist{hint}"))
}

fn wrong_version(session: &VaultSession<'_>) -> Error {
    let what = "the mount is of KV version 2; set vault_kv_version to 2, or leave it out";
    session.errors().error(Status::Config, what)
}

/// The server's messages in a response with an error.
pub(super) fn messages_of_error(response: &VaultResponse) -> ServerMessages {
    if response.status == 200 { ServerMessages::default() } else { response.messages() }
}
