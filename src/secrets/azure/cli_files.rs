//! The login of the user of the Azure CLI in its files: the default subscription, and the cache of Microsoft's library
//! with the refresh token. They are used where the CLI itself is not installed.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::read;
use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBytes;
use crate::secrets::json::SecretObject;

const PROFILE: &str = "azureProfile.json";
const CACHE: &str = "msal_token_cache.json";
const ENCRYPTED: &str = "msal_token_cache.bin";
/// The identifier of the Azure CLI as a client.
pub(super) const CLIENT_ID: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// The family of Microsoft's clients, which accept each other's refresh tokens.
const FAMILY: &str = "1";

/// The directory of the Azure CLI.
pub(super) struct CliFiles {
    directory: PathBuf,
    /// The tenant to log in to instead of that of the default subscription.
    tenant: Option<String>,
    /// The login server instead of that of the cache.
    authority: Option<String>,
}

/// What a login needs.
pub(super) struct CliLogin {
    pub(super) authority: String,
    pub(super) tenant: String,
    pub(super) refresh_token: Zeroizing<String>,
}

impl CliFiles {
    /// `None` if nobody has logged in there.
    pub(super) fn find(directory: PathBuf, tenant: Option<String>, authority: Option<String>) -> Option<CliFiles> {
        let is_there = [CACHE, ENCRYPTED].iter().any(|name| directory.join(name).exists());
        is_there.then_some(CliFiles { directory, tenant, authority })
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.directory.join(CACHE)
    }

    pub(super) fn read(&self) -> Result<CliLogin> {
        let cache = self.parsed(&self.cache())?;
        let profile = self.directory.join(PROFILE);
        let profile = if profile.exists() { Some(self.parsed(&profile)?) } else { None };
        let subscription = profile.and_then(|profile| profile.objects("subscriptions")).and_then(|subscriptions| {
            subscriptions.into_iter().find(|subscription| subscription.text("isDefault") == Some("true"))
        });
        let user = subscription.as_ref().and_then(|subscription| subscription.object("user"));
        if user.as_ref().and_then(|user| user.text("type")).is_some_and(|kind| kind != "user") {
            return Err(self.unusable("is that of an application or managed identity; set `azure_auth` to its kind"));
        }
        let name = user.as_ref().and_then(|user| user.text("name"));
        let is_user = |account: &SecretObject| {
            name.is_none_or(|name| account.text("username").is_some_and(|own| own.eq_ignore_ascii_case(name)))
        };
        let account = entries(&cache, "Account").into_iter().find(is_user);
        let of_account = account.as_ref().and_then(|account| refresh_token(&cache, account));
        let (Some(account), Some(refresh_token)) = (&account, of_account) else {
            return Err(self.unusable("has no refresh token of its user; run `az login`"));
        };
        let own_tenant = || subscription.as_ref()?.text("tenantId").or_else(|| account.text("realm"));
        let tenant = self.tenant.as_deref().or_else(own_tenant).or_else(|| account.text("realm"));
        let environment = account.text("environment").filter(|host| is_plain(host));
        match (tenant.filter(|tenant| is_plain(tenant)), &self.authority, environment) {
            (Some(tenant), Some(authority), _) => {
                Ok(CliLogin { authority: authority.clone(), tenant: tenant.to_owned(), refresh_token })
            }
            (Some(tenant), None, Some(host)) => {
                Ok(CliLogin { authority: format!("https://{host}"), tenant: tenant.to_owned(), refresh_token })
            }
            _ => Err(self.unusable("names no tenant or login server; run `az login`")),
        }
    }

    fn parsed(&self, path: &Path) -> Result<SecretObject> {
        if !path.exists() {
            let what = format!(
                "is encrypted ({}), and `az` is not in PATH; install the Azure CLI, or set its \
                 core.encrypt_token_cache to false and run `az login`",
                self.directory.join(ENCRYPTED).display()
            );
            return Err(self.unusable(&what));
        }
        let contents = read(path, "the login of the Azure CLI")?;
        // The CLI writes a byte order mark.
        let text = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&contents);
        SecretObject::parse(text).ok_or_else(|| {
            let what = format!("is unusable: {} is not JSON, so it is encrypted or damaged", path.display());
            self.unusable(&format!("{what}; install the Azure CLI, or run `az login` again"))
        })
    }

    fn unusable(&self, what: &str) -> Error {
        Error::new(Status::Config, format!("the login of the Azure CLI in {} {what}", self.directory.display()))
    }
}

/// The entries of a section of the cache.
fn entries(cache: &SecretObject, section: &str) -> Vec<SecretObject> {
    let Some(section) = cache.object(section) else { return Vec::new() };
    section.texts().filter_map(|(_, entry)| SecretObject::parse(entry.as_bytes())).collect()
}

/// The refresh token of an account that the CLI may use.
fn refresh_token(cache: &SecretObject, account: &SecretObject) -> Option<Zeroizing<String>> {
    let is_own = |token: &SecretObject| {
        token.text("home_account_id") == account.text("home_account_id")
            && token.text("environment") == account.text("environment")
            && (token.text("client_id") == Some(CLIENT_ID) || token.text("family_id") == Some(FAMILY))
    };
    let token = entries(cache, "RefreshToken").into_iter().find(is_own)?;
    let token: &SecretBytes = token.get("secret")?;
    let token = std::str::from_utf8(token).ok().filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    token.filter(|token| !token.is_empty()).map(|token| Zeroizing::new(token.to_owned()))
}

/// Whether this can be a tenant or a host.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}
