//! Writing one key of a secret.
//!
//! The secret is read, changed and written as a whole. In a KV engine of version 2 no write of another client is lost:
//! the new version is accepted only if the current one is still that which was read (check-and-set); otherwise the
//! change is made again in the newer one. Version 1 has nothing of this kind.

use zeroize::Zeroizing;

use super::address::encoded;
use super::client::{VaultCall, VaultSession};
use super::kv::{KvMount, KvReader, messages_of_error, parts, unusable, unusable_path};
use super::response::VaultResponse;
use super::secret_path::SecretPath;
use super::settings::KvVersion;
use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBytes;
use crate::secrets::entries::Problem;
use crate::secrets::json;
use crate::secrets::json::JsonObject;

/// How often the change is made again because of other writers.
const MAX_TURNS: usize = 16;

/// What a change is made in.
struct Base {
    /// The secret as JSON.
    text: SecretBytes,
    /// The number of the current version, 0 if there is none; of no meaning in an engine of version 1.
    version: u64,
}

/// Gives a key a new value, or with `None` removes it, in the first secret that has the key; if none has it, in the
/// first one. Returns whether it had a value.
pub(super) fn write(
    kv: &KvReader,
    session: &VaultSession<'_>,
    token: Option<&SecretBytes>,
    key: &str,
    value: Option<&str>,
) -> Result<bool> {
    let secrets = &session.settings().secrets;
    let mut target = &secrets[0];
    for secret in secrets.iter().filter(|_| secrets.len() > 1) {
        let (_, base) = kv.find(session, secret, token, base_of)?;
        if base.map_or(Ok(false), |base| has_key(&session.about(secret), &base, key))? {
            target = secret;
            break;
        }
    }
    write_to(target, kv, &session.about(target), token, key, value)
}

fn has_key(session: &VaultSession<'_>, base: &Base, key: &str) -> Result<bool> {
    has(text_of(session, base)?, key).map_err(|problem| unusable(session, problem))
}

fn write_to<'a>(
    secret: &'a SecretPath,
    kv: &KvReader,
    session: &VaultSession<'a>,
    token: Option<&SecretBytes>,
    key: &str,
    value: Option<&str>,
) -> Result<bool> {
    let mut existed = None;
    for _ in 0..MAX_TURNS {
        let (mount, base) = kv.find(session, secret, token, base_of)?;
        let mount = mount.ok_or_else(|| unknown_version(session))?;
        let base = match base {
            Some(base) => base,
            None => Base { text: SecretBytes::copy_from(b"{}")?, version: 0 },
        };
        let unusable = |problem| unusable(session, problem);
        let text = text_of(session, &base)?;
        // What an earlier turn has written, whose response was lost, does not count.
        let existed = *existed.get_or_insert(has(text, key).map_err(unusable)?);
        let edited = match value {
            Some(value) => json::set(text, key, value).map(Some),
            None => json::delete(text, key),
        };
        match edited.map_err(unusable)?.filter(|edited| edited.as_str() != text) {
            Some(edited) if !put(session, token, &mount, &base, &edited)? => {}
            _ => return Ok(existed),
        }
    }
    let what = "other clients keep changing the secret; try again";
    Err(session.errors().error(Status::Busy, what).with_retryable(true))
}

fn base_of(
    session: &VaultSession<'_>,
    version: KvVersion,
    response: &VaultResponse,
    object: &JsonObject<'_>,
) -> Result<Base> {
    let not_vault = || session.errors().not_vault(response.status);
    if version == KvVersion::V1 {
        let text = object.raw("data").ok_or_else(not_vault)?;
        return Ok(Base { text: SecretBytes::copy_from(text.as_bytes())?, version: 0 });
    }
    let (outer, metadata) = parts(session, response, object)?;
    // A version that was deleted has no data.
    let text = outer.raw("data").unwrap_or("{}");
    let version = metadata.number("version").ok_or_else(not_vault)?;
    Ok(Base { text: SecretBytes::copy_from(text.as_bytes())?, version })
}

fn text_of<'a>(session: &VaultSession<'_>, base: &'a Base) -> Result<&'a str> {
    std::str::from_utf8(&base.text).map_err(|_| session.errors().not_vault(200))
}

fn has(text: &str, key: &str) -> Result<bool, Problem> {
    let entries = json::parse_each(text, || false)?;
    let entry = entries.into_iter().find(|(name, _)| name == key);
    entry.map_or(Ok(false), |(_, value)| Ok(value?.is_some()))
}

/// Writes the secret. Returns whether `base` was still the current version.
fn put(
    session: &VaultSession<'_>,
    token: Option<&SecretBytes>,
    mount: &KvMount,
    base: &Base,
    text: &Zeroizing<String>,
) -> Result<bool> {
    let path = mount.api_path();
    let mut body = Zeroizing::new(String::with_capacity(text.len() + 64));
    match mount.version {
        KvVersion::V1 => body.push_str(text),
        KvVersion::V2 => {
            let head = format!("{{\"options\":{{\"cas\":{}}},\"data\":", base.version);
            [&head, text.as_str(), "}"].iter().for_each(|part| body.push_str(part));
        }
    }
    let call = encoded(&path);
    let response = session.send(&VaultCall::post(&call).with_token(token).with_body(body.as_bytes()))?;
    let (errors, messages) = (session.errors(), messages_of_error(&response));
    match response.status {
        200 | 204 => Ok(true),
        _ if !messages.is_vault_error => Err(errors.not_vault(response.status)),
        400 if mount.version == KvVersion::V2 && messages.contain("check-and-set parameter did not match") => Ok(false),
        403 => Err(errors.write_denied(&response, &path)),
        _ => Err(unusable_path(session, &response, &messages, "writing the secret")),
    }
}

fn unknown_version(session: &VaultSession<'_>) -> Error {
    let what = "the secret does not exist, and the token may not read the KV version of the mount; to create the secret, \
                set vault_kv_version";
    session.errors().error(Status::Config, what)
}
