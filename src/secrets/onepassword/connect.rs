//! Requests to a Connect server: vaults and items by name, and one item.
//!
//! An error of the server is an object with its `status` and a `message`. Anything else comes from a gateway or another
//! program at that address.

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::item::ConnectItem;
use super::names::{check, is_id};
use crate::config::Config;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::http::HttpResponse;
use crate::http::url::percent_encode;
use crate::secrets::cloud::{Call, Credential, Named, Session, StoreLookup, any_url, cleaned, is_safe, not_the_server};
use crate::secrets::json::SecretObject;
use crate::settings::{Environment, InvalidSetting, Setting, SettingOrigin};

const URL_VARIABLE: &str = "OP_CONNECT_HOST";
const TOKEN_VARIABLE: &str = "OP_CONNECT_TOKEN";
const VAULT_VARIABLE: &str = "OP_VAULT";

/// A Connect server, and the token for it.
pub(super) struct Connect {
    url: Option<String>,
    vault: Option<Setting>,
    pub(super) token: Credential,
    pub(super) environment: Environment,
}

/// The requests of one lookup.
struct Requests<'a> {
    session: &'a Session<'a>,
    url: String,
    headers: [(&'static str, Zeroizing<String>); 1],
    what: String,
}

impl Connect {
    /// Reads the settings. An element of `providers` may name another vault.
    pub(super) fn of_config(config: &Config, vault: Option<&str>) -> Result<Connect, InvalidSetting> {
        let of_element = vault.map(|vault| Setting::new(SettingOrigin::Config("providers"), vault));
        let vault = config.setting("onepassword_vault")?;
        vault.as_ref().map_or(Ok(()), check)?;
        Ok(Connect {
            url: config.setting("onepassword_url")?.as_ref().map(any_url).transpose()?,
            vault: of_element.or(vault),
            token: Credential::of_config(config, "onepassword_token", "onepassword_token_file", TOKEN_VARIABLE)?,
            environment: Environment::Process,
        })
    }

    /// The URL of the server, without `/` at its end.
    pub(super) fn url(&self) -> Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        match self.environment.setting(URL_VARIABLE)? {
            Some(setting) => Ok(any_url(&setting)?),
            None => {
                let message =
                    format!("no server of 1Password Connect is named; set `onepassword_url` or {URL_VARIABLE}");
                Err(Error::new(Status::Config, message))
            }
        }
    }

    pub(super) fn is_cleartext(&self) -> bool {
        self.url().is_ok_and(|url| !is_safe(&url))
    }

    /// The vault of items whose setting does not name one.
    pub(super) fn vault(&self) -> Result<String> {
        let setting = match &self.vault {
            Some(setting) => Some(setting.clone()),
            None => self.environment.setting(VAULT_VARIABLE)?,
        };
        let Some(setting) = setting else {
            let message = format!("no vault of 1Password is named; set `onepassword_vault` or {VAULT_VARIABLE}");
            return Err(Error::new(Status::Config, message));
        };
        check(&setting)?;
        Ok(setting.text().to_owned())
    }

    /// The token now.
    pub(super) fn token(&self) -> Result<Zeroizing<String>> {
        let token = self.token.read(&self.environment, "the token of 1Password Connect")?;
        token.ok_or_else(|| {
            let message = format!(
                "no token for 1Password Connect: set {TOKEN_VARIABLE}, `onepassword_token` or `onepassword_token_file`"
            );
            Error::new(Status::Config, message)
        })
    }

    /// Reads an item, or one of its fields.
    pub(super) fn read_item(&self, session: &Session<'_>, item: &Named) -> Result<StoreLookup> {
        let vault = self.vault()?;
        let url = self.url()?;
        let requests = Requests {
            session,
            headers: [("Authorization", Zeroizing::new(format!("Bearer {}", *self.token()?)))],
            what: format!("item {:?} in the vault {vault:?} at {url}", item.name),
            url,
        };
        // Text in the form of an identifier may still be a name.
        if is_id(&vault)
            && let Some(found) = requests.in_vault(&vault, item)?
        {
            return Ok(found);
        }
        let absent = || StoreLookup::Missing("the vault does not exist, or the token has no access to it".to_owned());
        let ids = requests.ids("vaults", "name", &vault)?.unwrap_or_default();
        Ok(match requests.only(ids, "vault", &vault)? {
            Some(id) => requests.in_vault(&id, item)?.unwrap_or_else(absent),
            None => absent(),
        })
    }
}

impl Requests<'_> {
    /// Reads an item of a vault; `None` if there is no vault with this identifier.
    fn in_vault(&self, vault_id: &str, item: &Named) -> Result<Option<StoreLookup>> {
        let lookup = |found: ConnectItem| found.lookup(item.field.as_deref());
        let absent = || StoreLookup::Missing("it does not exist".to_owned());
        let items = format!("vaults/{vault_id}/items");
        if is_id(&item.name)
            && let Some(found) = self.item(&format!("{items}/{}", item.name))?
        {
            return Ok(Some(lookup(found)));
        }
        let Some(ids) = self.ids(&items, "title", &item.name)? else { return Ok(None) };
        let Some(id) = self.only(ids, "item", &item.name)? else { return Ok(Some(absent())) };
        Ok(Some(self.item(&format!("{items}/{id}"))?.map_or_else(absent, lookup)))
    }

    /// The identifiers of the vaults or items with this name; `None` if the server reports that there is no such list.
    fn ids(&self, path: &str, attribute: &str, name: &str) -> Result<Option<Vec<String>>> {
        let filter = format!("{attribute} eq \"{name}\"");
        let Some(response) = self.get(&format!("{path}?filter={}", percent_encode(&filter)))? else { return Ok(None) };
        fork::unprotected(|| ids(&response.body)).map(Some).ok_or_else(|| self.not_connect(200))
    }

    /// The only one of these identifiers; `None` if there is none.
    fn only(&self, mut ids: Vec<String>, kind: &str, name: &str) -> Result<Option<String>> {
        match ids.len() {
            0 | 1 => Ok(ids.pop()),
            count => {
                let message =
                    format!("{}: {count} {kind}s are named {name:?}; use the identifier of the {kind}", self.what);
                Err(Error::new(Status::Config, message))
            }
        }
    }

    /// Reads an item; `None` if the server reports that there is none.
    fn item(&self, path: &str) -> Result<Option<ConnectItem>> {
        let Some(response) = self.get(path)? else { return Ok(None) };
        ConnectItem::parse(&response.body).map(Some).ok_or_else(|| self.not_connect(200))
    }

    /// Sends a request; `None` if the server reports that there is no such thing.
    fn get(&self, path: &str) -> Result<Option<HttpResponse>> {
        let url = format!("{}/v1/{path}", self.url);
        let call = Call { method: "GET", url: &url, headers: &self.headers, body: b"", is_local: false };
        let response = self.session.send(&self.what, &call)?;
        let status = response.status;
        if status == 200 {
            return Ok(Some(response));
        }
        let what = &self.what;
        if matches!(status, 300..=399) {
            let message =
                format!("{what}: HTTP status {status}: redirects are not followed; correct `onepassword_url`");
            return Err(Error::new(Status::Protocol, message).with_detail(status.into()));
        }
        let Some(quoted) = own_message(&response) else { return Err(self.not_connect(status)) };
        let denied = |advice: &str| {
            let message = format!("{what}: HTTP status {status}{quoted}; {advice}");
            Err(Error::new(Status::AccessDenied, message).with_detail(status.into()).authoritative())
        };
        match status {
            404 => Ok(None),
            401 => denied("the server does not accept the token; replace it, as it may have expired or been revoked"),
            403 => denied("give the token access to the vault: op connect vault grant"),
            _ => {
                let message = format!("{what}: HTTP status {status}{quoted}");
                Err(Error::new(Status::Protocol, message).with_detail(status.into()))
            }
        }
    }

    fn not_connect(&self, status: u16) -> Error {
        not_the_server(&self.what, status, "1Password Connect")
    }
}

/// The identifiers in a list of vaults or items; `None` if it is not one.
fn ids(body: &[u8]) -> Option<Vec<String>> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
    let id = |item: &&RawValue| {
        SecretObject::parse(item.get().as_bytes())?.text("id").filter(|id| is_id(id)).map(str::to_owned)
    };
    items.iter().map(id).collect()
}

/// The server's own message, in a form to append to a sentence; `None` if the response is not in the server's form.
fn own_message(response: &HttpResponse) -> Option<String> {
    let object = SecretObject::parse(&response.body)?;
    object.number("status").filter(|status| *status == u64::from(response.status))?;
    let message = cleaned(object.text("message")?);
    Some(format!(" (the server says: {message})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_an_identifier_for_each_element() {
        assert_eq!(ids(br#"[{"id": "ftz4pm2xxwmwrsd7rjqn7grzfz", "name": "x"}]"#).unwrap().len(), 1);
        assert_eq!(ids(b"[]").unwrap().len(), 0);
        for body in [&b"{}"[..], b"", b"[{}]", br#"[{"id": "../x"}]"#, b"[1]"] {
            assert!(ids(body).is_none(), "{}", String::from_utf8_lossy(body));
        }
    }
}
