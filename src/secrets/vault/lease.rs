//! A dynamic secret: requesting it, renewing its lease, and revoking it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::address::encoded;
use super::client::{VaultCall, VaultSession};
use super::dynamic_settings::DynamicSettings;
use super::kv::{messages_of_error, unusable};
use super::lifetime::Lifetime;
use super::response::VaultResponse;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::secrets::document::{Document, DocumentLease};
use crate::secrets::json;
use crate::secrets::json::JsonObject;

/// A renewal that results in a lease which is shorter by this has reached the maximum.
const MAXIMUM_MARGIN: Duration = Duration::from_secs(1);

/// The outcome of a renewal.
pub(super) enum Renewal {
    Renewed(DocumentLease),
    /// The server does not extend the lease.
    Refused,
}

/// The token that a lease ends with.
pub(super) fn owner(token: Option<&SecretBytes>) -> [u8; 16] {
    let hash = Sha256::digest(token.map_or(&b""[..], |token| token));
    std::array::from_fn(|at| hash[at])
}

/// Requests a new secret.
pub(super) fn request(
    session: &VaultSession<'_>,
    token: Option<&SecretBytes>,
    settings: &DynamicSettings,
) -> Result<Document> {
    let (began, path) = (Instant::now(), encoded(&settings.path));
    let body = settings.parameters.as_ref().map(|parameters| Zeroizing::new(json!(parameters).to_string()));
    let call = match &body {
        Some(body) => VaultCall::post(&path).with_body(body.as_bytes()),
        None => VaultCall::get(&path),
    };
    let response = session.send(&call.with_token(token))?;
    if response.status != 200 {
        return Err(refused(session, &response, settings));
    }
    fork::unprotected(|| {
        let object = session.object(&response)?;
        let data = object.raw("data").ok_or_else(|| session.errors().not_vault(response.status))?;
        let mut document = document(session, data, settings)?;
        let members = object.object("data");
        let lease = lease(&object, members.as_ref(), began, owner(token)).ok_or_else(|| no_lease(session))?;
        document.lease = Some(lease);
        Ok(document)
    })
}

/// The lease in a response. An engine without leases names the end of what it issues in the data: `expiration` of a
/// certificate, and `ttl` of a password that the server rotates.
fn lease(
    object: &JsonObject<'_>,
    data: Option<&JsonObject<'_>>,
    began: Instant,
    owner: [u8; 16],
) -> Option<DocumentLease> {
    let id = object.text("lease_id").filter(|id| !id.is_empty());
    let seconds = object.number("lease_duration").filter(|seconds| *seconds > 0);
    let length = match (&id, seconds) {
        (Some(_), Some(seconds)) => Duration::from_secs(seconds),
        _ => {
            let data = data?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let expiration = data.number("expiration").map(|end| Duration::from_secs(end).saturating_sub(now));
            expiration.or_else(|| data.number("ttl").map(|ttl| Duration::from_secs(ttl.max(1))))?
        }
    };
    let renewable = id.is_some() && object.flag("renewable");
    Some(of_lifetime(Lifetime::new(began, Some(length), renewable), id.map(Into::into), length, owner))
}

fn of_lifetime(
    lifetime: Lifetime,
    id: Option<std::sync::Arc<str>>,
    length: Duration,
    owner: [u8; 16],
) -> DocumentLease {
    let end = lifetime.start.after(lifetime.ttl.unwrap_or_default());
    DocumentLease {
        id,
        renewable: lifetime.renewable,
        length,
        end,
        renew_at: lifetime.start.after(lifetime.renew_at),
        owner,
    }
}

/// Renews a lease, with the token that it was obtained with.
pub(super) fn renew(session: &VaultSession<'_>, token: Option<&SecretBytes>, lease: &DocumentLease) -> Result<Renewal> {
    let Some(id) = &lease.id else { return Ok(Renewal::Refused) };
    let began = Instant::now();
    let body = json!({"lease_id": &**id, "increment": lease.length.as_secs()}).to_string();
    let response =
        session.send_once(&VaultCall::post("sys/leases/renew").with_token(token).with_body(body.as_bytes()))?;
    let (errors, messages) = (session.errors(), messages_of_error(&response));
    match response.status {
        200 => {
            let object = session.object(&response)?;
            let seconds = object.number("lease_duration").filter(|seconds| *seconds > 0);
            let Some(seconds) = seconds else { return Err(errors.not_vault(response.status)) };
            let length = Duration::from_secs(seconds);
            // A lease that is cut off has reached the maximum TTL: the next one is another one.
            let renewable = object.flag("renewable") && length + MAXIMUM_MARGIN > lease.length;
            log::emit(Level::Info, "vault", || format!("renewed the lease of {errors} for {seconds} s"));
            let lifetime = Lifetime::new(began, Some(length), renewable);
            Ok(Renewal::Renewed(of_lifetime(lifetime, Some(id.clone()), lease.length, lease.owner)))
        }
        400..=404 | 500 if messages.is_vault_error => {
            let why = messages.quoted();
            log::emit(Level::Warn, "vault", || format!("the server no longer renews the lease of {errors}{why}"));
            Ok(Renewal::Refused)
        }
        429 | 500.. => Err(errors.unavailable(&response)),
        _ => Err(errors.rejected(&response, "renewing the lease")),
    }
}

/// Revokes a lease, and waits until the server has done so.
pub(super) fn revoke(session: &VaultSession<'_>, token: Option<&SecretBytes>, id: &str) -> Result<()> {
    let body = json!({"lease_id": id, "sync": true}).to_string();
    let call = VaultCall::post("sys/leases/revoke").with_token(token).with_body(body.as_bytes());
    let response = session.send_once(&call)?;
    match response.status {
        200 | 204 => Ok(()),
        403 => Err(session.errors().write_denied(&response, "sys/leases/revoke")),
        429 | 500.. => Err(session.errors().unavailable(&response)),
        _ => Err(session.errors().rejected(&response, "revoking the lease")),
    }
}

/// The entries of a response. An unusable entry does not affect the others.
fn document(session: &VaultSession<'_>, raw: &str, settings: &DynamicSettings) -> Result<Document> {
    let read = json::parse_each(raw, || session.deadline().has_passed());
    let mut document = Document::new(None);
    let mut read: Vec<_> = read.map_err(|problem| unusable(session, problem))?.into_iter().map(Some).collect();
    let mut add = |key: &str, value| match value {
        Ok(Some(value)) => document.add_entry(key, value, None),
        Ok(None) => {}
        Err(problem) => document.add_broken(key, unusable(session, problem)),
    };
    match &settings.keys.0 {
        None => read.into_iter().flatten().for_each(|(name, value)| add(&name, value)),
        Some(keys) => {
            let has: Vec<String> = read.iter().flatten().map(|(name, _)| name.clone()).collect();
            let mut absent = Vec::new();
            for (member, key) in keys {
                let found = read.iter_mut().find(|each| each.as_ref().is_some_and(|(name, _)| name == member));
                match found.and_then(Option::take) {
                    Some((_, value)) => add(key, value),
                    None => absent.push((member, key)),
                }
            }
            for (member, key) in absent {
                let what = format!("\"as\" names {member:?}, which the response lacks; it has {}", has.join(", "));
                document.add_broken(key, session.errors().error(Status::Config, what));
            }
        }
    }
    Ok(document)
}

fn no_lease(session: &VaultSession<'_>) -> Error {
    let what = "the response has no lease; \"vault_dynamic\" is for paths that issue credentials. For a secret of a KV \
                engine use the provider \"vault\"";
    session.errors().error(Status::Config, what)
}

/// The server did not issue a secret.
fn refused(session: &VaultSession<'_>, response: &VaultResponse, settings: &DynamicSettings) -> Error {
    let (errors, messages) = (session.errors(), response.messages());
    let config = |what: String| errors.error(Status::Config, what).with_detail(response.status.into());
    let quoted = messages.quoted();
    match response.status {
        204 => config("the response is empty; check that the path is one that issues credentials".to_owned()),
        _ if !messages.is_vault_error => errors.not_vault(response.status),
        403 => errors.lease_denied(response, &settings.path, settings.parameters.is_some()),
        404 if messages.contain("namespace not found") => errors.no_namespace(response),
        404 if messages.contain("no handler for route") => {
            config(format!("there is no secrets engine at this path{quoted}; check it (`vault secrets list`)"))
        }
        404 if messages.is_empty_error() => config("there is no such role; check the end of the path".to_owned()),
        405 => {
            let remedy = match settings.parameters {
                Some(_) => "remove \"parameters\"",
                None => "it takes a request with \"parameters\", which may be {}",
            };
            config(format!("the path does not support this request{quoted}; {remedy}"))
        }
        400 => config(format!("the server rejects the request{quoted}; check the role and \"parameters\"")),
        _ => errors.rejected(response, "requesting the secret"),
    }
}

/// The request that says what the token may do at a path.
pub(super) fn capabilities(session: &VaultSession<'_>, token: Option<&SecretBytes>, path: &str) -> Result<Vec<String>> {
    let body = Value::from_iter([("paths", json!([path]))]).to_string();
    let call = VaultCall::post("sys/capabilities-self").with_token(token).with_body(body.as_bytes());
    let response = session.send_once(&call)?;
    if response.status != 200 {
        return Err(session.errors().rejected(&response, "querying the capabilities of the token"));
    }
    let object = session.object(&response)?;
    let data = object.object("data").ok_or_else(|| session.errors().not_vault(response.status))?;
    Ok(data.texts(path).or_else(|| data.texts("capabilities")).unwrap_or_default())
}
