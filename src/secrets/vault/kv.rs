//! Reading the secret from a KV engine of either version.
//!
//! Which version a mount has is asked once and remembered. Version 1 is only tried where the mount is, or may be, of
//! version 1: its path on a mount of version 2 is another secret to policies, and asking for it tells nothing.

use std::sync::Arc;
use std::time::Duration;

use super::Vault;
use super::address::encoded;
use super::answer::{Answer, Object, Told};
use super::client::{Call, Session};
use super::settings::Version;
use super::token::Token;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::secrets::document::Document;
use crate::secrets::entries::{Entries, Problem};
use crate::secrets::json;

/// A mount may be replaced by one of the other version, after which secrets seem to be missing; then it is asked again.
const CERTAIN_FOR: Duration = Duration::from_secs(60);

/// A KV engine, and where the secret is in it.
#[derive(Clone)]
pub(super) struct Mounted {
    mount: String,
    path: String,
    pub(super) version: Version,
    since: Instant,
}

/// What one read brought.
enum Read {
    Document(Document),
    /// Nothing is there, or the engine has another version: the server's answer is the same.
    Nothing,
    /// The path is one of version 1, the mount is not.
    NotVersion1,
}

impl Vault {
    /// Reads the secret with this token.
    pub(super) fn read(&self, session: &Session<'_>, token: &Token) -> Result<Document> {
        let settings = &self.settings;
        let as_configured = |version| Mounted {
            mount: settings.mount.clone(),
            path: settings.path.clone(),
            version,
            since: Instant::now(),
        };
        let known = match settings.version {
            Some(version) => Some(as_configured(version)),
            None => self.memory.lock().mounted.clone(),
        };
        let known = match known {
            Some(known) => Some(known),
            None => self.ask_mount(session, token)?,
        };
        match known {
            Some(known) => self.read_known(session, token, known),
            None => self.read_unknown(session, token, as_configured),
        }
    }

    /// The secret of an engine whose version is known.
    fn read_known(&self, session: &Session<'_>, token: &Token, mut known: Mounted) -> Result<Document> {
        let mut read = self.read_as(session, token, &known)?;
        if matches!(read, Read::NotVersion1) {
            if self.settings.version.is_some() {
                return Err(self.wrong_version());
            }
            known.version = Version::V2;
            read = self.read_as(session, token, &known)?;
        }
        let is_certain = !matches!(read, Read::Nothing) || known.since.elapsed() < CERTAIN_FOR;
        self.memory.lock().mounted = is_certain.then_some(known);
        Ok(match read {
            Read::Document(document) => document,
            Read::Nothing | Read::NotVersion1 => self.nothing(),
        })
    }

    /// The secret of an engine that the token may not ask about: version 2 first, version 1 if nothing at all is there.
    fn read_unknown(
        &self,
        session: &Session<'_>,
        token: &Token,
        as_version: impl Fn(Version) -> Mounted,
    ) -> Result<Document> {
        for version in [Version::V2, Version::V1] {
            let mounted = as_version(version);
            if let Read::Document(document) = self.read_as(session, token, &mounted)? {
                self.memory.lock().mounted = Some(mounted);
                return Ok(document);
            }
        }
        Ok(self.nothing())
    }

    /// Asks the server where the mount begins and which version it has; `None` where the token may not know.
    fn ask_mount(&self, session: &Session<'_>, token: &Token) -> Result<Option<Mounted>> {
        let place = self.place();
        let path = format!("sys/internal/ui/mounts/{}", encoded(&place.secret()));
        let answer = session.ask(&Call::get(&path).with_token(token.value.as_ref()))?;
        let (secret, told) = (place.secret(), error_of(&answer));
        let mounted = |mount: &str, path: &str, version| {
            Some(Mounted { mount: mount.to_owned(), path: path.to_owned(), version, since: Instant::now() })
        };
        match answer.status {
            200 => {}
            _ if !told.is_error => return Err(place.not_vault(answer.status)),
            403 => return Ok(None),
            404 if told.says("namespace not found") => return Err(place.no_namespace(&answer)),
            // Servers before version 0.10 do not know the question, nor version 2.
            404 => return Ok(mounted(&self.settings.mount, &self.settings.path, Version::V1)),
            _ => return Err(place.refused(&answer, "asking for the version of the mount")),
        }
        let data = session.object(&answer)?.object("data");
        let engine = data.as_ref().and_then(|data| data.text("type"));
        let (Some(data), Some(engine)) = (data, engine) else { return Err(place.not_vault(answer.status)) };
        if engine != "kv" && engine != "generic" {
            let what = format!("the engine at {:?} is {engine:?}, not kv: set vault_mount", self.settings.mount);
            return Err(place.error(Status::Config, what));
        }
        let version = data.object("options").and_then(|options| options.text("version"));
        let version = if version.as_deref() == Some("2") { Version::V2 } else { Version::V1 };
        // The mount may be longer or shorter than what was taken for it: `kv/team` in `kv/team/app`.
        let mount = data.text("path").unwrap_or_default();
        let mount = mount.trim_matches('/');
        let rest = secret.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/'));
        let found = match rest.filter(|rest| !rest.is_empty() && !mount.is_empty()) {
            Some(rest) => mounted(mount, rest, version),
            None => mounted(&self.settings.mount, &self.settings.path, version),
        };
        self.memory.lock().mounted = found.clone();
        Ok(found)
    }

    fn read_as(&self, session: &Session<'_>, token: &Token, mounted: &Mounted) -> Result<Read> {
        let data = if mounted.version == Version::V2 { "data/" } else { "" };
        let path = format!("{}/{data}{}", mounted.mount, mounted.path);
        let answer = session.ask(&Call::get(&encoded(&path)).with_token(token.value.as_ref()))?;
        let (place, told) = (self.place(), error_of(&answer));
        match answer.status {
            200 => {}
            404 if told.says("Invalid path for a versioned K/V secrets engine") => return Ok(Read::NotVersion1),
            404 if told.is_nothing() => return Ok(Read::Nothing),
            404 if mounted.version == Version::V2 && !told.is_error => {}
            _ if !told.is_error => return Err(place.not_vault(answer.status)),
            403 => return Err(place.read_denied(&answer, &path)),
            404 if told.says("namespace not found") => return Err(place.no_namespace(&answer)),
            404 if told.says("no handler for route") => return Err(place.no_mount(&answer)),
            404 if told.says("unsupported path") => return Err(place.not_kv(&answer)),
            _ => return Err(place.refused(&answer, "reading")),
        }
        // A secret may be long, and the gate shut meanwhile.
        fork::unprotected(|| {
            let object = session.object(&answer)?;
            match mounted.version {
                Version::V2 => self.version2(session, &answer, &object),
                Version::V1 => self.version1(session, &answer, &object),
            }
        })
    }

    /// A secret, or with status 404 a version that was deleted or destroyed.
    fn version2(&self, session: &Session<'_>, answer: &Answer, object: &Object<'_>) -> Result<Read> {
        let not_vault = || self.place().not_vault(answer.status);
        let outer = object.object("data").ok_or_else(not_vault)?;
        let Some(metadata) = outer.object("metadata") else {
            if answer.status != 200 {
                return Err(not_vault());
            }
            let what = "the answer is not one of a KV engine of version 2: set vault_kv_version to 1, or vault_mount";
            return Err(self.place().error(Status::Protocol, what).with_detail(answer.status.into()));
        };
        let number = metadata.number("version").map(|number| number.to_string());
        let version: Option<Arc<str>> = number.as_deref().map(Arc::from);
        if answer.status == 200 {
            let data = outer.raw("data").ok_or_else(not_vault)?;
            return self.document(session, data, version).map(Read::Document);
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
        Ok(Read::Document(document))
    }

    fn version1(&self, session: &Session<'_>, answer: &Answer, object: &Object<'_>) -> Result<Read> {
        let raw = object.raw("data").ok_or_else(|| self.place().not_vault(answer.status))?;
        let mut document = self.document(session, raw, None)?;
        // Without a time of its own the secret has the mount's default, which says nothing about it.
        let data = object.object("data");
        if data.is_some_and(|data| data.has("ttl") || data.has("lease")) {
            let lease = object.number("lease_duration").filter(|seconds| *seconds > 0);
            document.ttl = lease.map(Duration::from_secs);
        }
        Ok(Read::Document(document))
    }

    /// The entries of a secret. One that cannot be used does not hide the others.
    fn document(&self, session: &Session<'_>, raw: &str, version: Option<Arc<str>>) -> Result<Document> {
        let place = self.place();
        let unusable =
            |problem: Problem| place.error(Status::Protocol, format!("the secret cannot be read: {}", problem.message));
        let read = json::parse_each(raw, || session.deadline().has_passed()).map_err(|problem| match problem {
            Some(problem) => unusable(problem),
            None => place.error(Status::Timeout, "timed out while parsing the secret").with_retryable(true),
        })?;
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

    fn nothing(&self) -> Document {
        let settings = &self.settings;
        let hint = match (settings.path.strip_prefix(&settings.mount), settings.version) {
            (Some(rest), _) if rest.starts_with('/') => {
                format!("; the path is within the mount {:?}: is it {:?}?", settings.mount, &rest[1..])
            }
            (_, Some(version)) => {
                format!(
                    "; vault_kv_version is {}: is {:?} the mount of a KV engine of that version? (`auto` asks the server)",
                    version.number(),
                    settings.mount
                )
            }
            _ => String::new(),
        };
        Document::missing(format!("it does not exist{hint}"))
    }

    fn wrong_version(&self) -> Error {
        let what = "the mount is of KV version 2: set vault_kv_version to 2, or leave it out";
        self.place().error(Status::Config, what)
    }
}

/// What the server says where it did not give what was asked for.
fn error_of(answer: &Answer) -> Told {
    if answer.status == 200 { Told::default() } else { answer.told() }
}
