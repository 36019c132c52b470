//! Data keys of the transit engine.

use std::sync::Arc;

use serde_json::json;

use super::address::encoded;
use super::client::{VaultCall, VaultSession};
use super::settings_reader::VaultCommon;
use super::source::Vault;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::http::retry::Patience;
use crate::secret_memory::SecretBytes;
use crate::secrets::data_key::{KeyService, SharedKeyService};
use crate::settings::Setting;
use crate::share::{DataKeySource, Identity};

/// A key of a transit engine.
struct TransitKey {
    /// An error is that of an invalid variable, or the absence of an address.
    vault: Result<Vault>,
    mount: String,
    name: String,
}

/// The key that this setting names: `MOUNT/NAME`.
pub(crate) fn open(setting: &Setting, config: &Config, common: &VaultCommon) -> Result<Arc<dyn DataKeySource>> {
    let parts =
        setting.text().trim_matches('/').rsplit_once('/').filter(|(mount, name)| !mount.is_empty() && !name.is_empty());
    let (mount, name) = parts.ok_or_else(|| setting.invalid("must be MOUNT/NAME, such as transit/st-secrets").error)?;
    let vault = Vault::of_element(Vec::new(), "the data key of the tier cannot be unwrapped", config, common)?;
    let key = TransitKey { vault, mount: mount.to_owned(), name: name.to_owned() };
    Ok(SharedKeyService::shared(key, common.logins.clone()))
}

impl TransitKey {
    /// Calls the engine. Returns this member of the data.
    fn call(&self, path: &str, body: &[u8], names: [&str; 2], deadline: Deadline) -> Result<[Option<SecretBytes>; 2]> {
        let vault = self.vault.as_ref().map_err(Error::clone)?;
        let session = vault.session(deadline, Patience::Brief, false);
        vault.tokens.renew_if_expiring(&session);
        let send = |token: Option<&SecretBytes>| self.send(&session, path, body, names, token);
        vault.tokens.with_token(&session, send).map_err(|error| error.with_source(Source::Vault))
    }

    fn send(
        &self,
        session: &VaultSession<'_>,
        path: &str,
        body: &[u8],
        names: [&str; 2],
        token: Option<&SecretBytes>,
    ) -> Result<[Option<SecretBytes>; 2]> {
        let (path, call) = (format!("{}/{path}/{}", self.mount, self.name), VaultCall::post);
        let url = encoded(&path);
        let response = session.send(&call(&url).with_token(token).with_body(body))?;
        let errors = session.errors();
        match response.status {
            200 => {}
            403 => return Err(errors.write_denied(&response, &path)),
            _ => return Err(errors.rejected(&response, &format!("calling {path}"))),
        }
        let object = session.object(&response)?;
        let data = object.object("data").ok_or_else(|| errors.not_vault(response.status))?;
        let [first, second] = names.map(|name| data.secret(name).map(|text| SecretBytes::copy_from(text.as_bytes())));
        Ok([first.transpose()?, second.transpose()?])
    }

    fn malformed(&self) -> Error {
        let message = format!("the response of {} has no data key; check `share_transit`", self.mount);
        Error::new(Status::Protocol, message).with_source(Source::Vault)
    }
}

impl KeyService for TransitKey {
    fn identity(&self) -> Option<Identity> {
        let mut identity = self.vault.as_ref().ok()?.settings.login_identity("vault transit").ok()?;
        identity.add("mount", &self.mount);
        identity.add("name", &self.name);
        Some(identity)
    }

    fn generate(&self, deadline: Deadline) -> Result<(SecretBytes, String)> {
        let _guard = fork::protect();
        match self.call("datakey/plaintext", b"{}", ["plaintext", "ciphertext"], deadline)? {
            [Some(key), Some(wrapped)] => Ok((key, String::from_utf8_lossy(&wrapped).into_owned())),
            _ => Err(self.malformed()),
        }
    }

    fn unwrap(&self, wrapped: &str, deadline: Deadline) -> Result<SecretBytes> {
        let _guard = fork::protect();
        let body = json!({"ciphertext": wrapped}).to_string();
        let [key, _] = self.call("decrypt", body.as_bytes(), ["plaintext", "plaintext"], deadline)?;
        key.ok_or_else(|| self.malformed())
    }
}
