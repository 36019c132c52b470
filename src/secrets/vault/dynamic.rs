//! Dynamic secrets: the server creates a credential for each request, and revokes it at the end of its lease.
//!
//! The document of the provider is one such credential. It is used until the lease ends. A load renews the lease when
//! that is due, and requests another credential if the server does not extend it. A lease ends with the token that
//! requested it, so it is also replaced when the token is.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Map, Value, json};

use super::dynamic_check;
use super::dynamic_settings::DynamicSettings;
use super::health;
use super::lease::{self, Renewal};
use super::secret_path::SecretPath;
use super::settings_reader::VaultCommon;
use super::source::Vault;
use crate::clock::{Deadline, Instant};
use crate::config::Config;
use crate::error::{Error, Result, Source};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::http::retry::Patience;
use crate::log::{self, Level};
use crate::secrets::document::{Document, DocumentLease, DocumentSource};
use crate::secrets::provider::{Health, HealthState};
use crate::secrets::secret::ProviderId;
use crate::share::Identity;

/// Reads dynamic secrets from a Vault server.
pub(crate) struct DynamicSource {
    id: ProviderId,
    settings: DynamicSettings,
    /// The error makes this provider fail, not the manager: an invalid variable, or no address.
    vault: Result<Vault>,
    /// The leases that this process has requested.
    issued: Mutex<Vec<Issued>>,
}

struct Issued {
    lease: DocumentLease,
    /// The process that requested it: a forked child does not revoke leases of its parent.
    fork: u32,
}

impl DynamicSource {
    /// The source that an element of `providers` describes. Nothing is sent yet.
    pub(crate) fn open(table: &Map<String, Value>, config: &Config, common: &VaultCommon) -> Result<DynamicSource> {
        let settings = DynamicSettings::read(table)?;
        let what = format!("the dynamic secret {:?} cannot be requested", settings.path);
        let vault = Vault::of_element(vec![SecretPath::of_api(&settings.path)], &what, config, common)?;
        let id = ProviderId::named(&settings.name, Source::Vault);
        Ok(DynamicSource { id, settings, vault, issued: Mutex::default() })
    }

    fn vault(&self) -> Result<&Vault> {
        self.vault.as_ref().map_err(Error::clone)
    }

    /// Renews the lease of the earlier document if that is due; if it cannot be renewed, requests another secret.
    fn read(
        &self,
        vault: &Vault,
        earlier: Option<&Document>,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<Document> {
        if let Some(reason) = vault.not_configured() {
            return Ok(Document::missing(reason));
        }
        let is_refresh = vault.is_refresh.swap(false, SeqCst);
        let session = vault.begin(deadline, patience, is_refresh);
        let valid = |document: &&Document| document.lease.as_ref().is_some_and(|lease| lease.end > Instant::now());
        if let Some((document, lease)) = earlier.filter(valid).and_then(|one| Some((one, one.lease.as_ref()?))) {
            // The lease ends with its token.
            vault.tokens.renew_token_if_due(&session);
            let token = vault.tokens.get(&session)?;
            if lease::owner(token.value.as_ref()) == lease.owner {
                if !is_refresh && lease.renew_at > Instant::now() {
                    return Ok(self.with_times(vault, document.clone(), lease.clone()));
                }
                if lease.renewable
                    && let Renewal::Renewed(lease) = lease::renew(&session, token.value.as_ref(), lease)?
                {
                    return Ok(self.with_times(vault, document.clone(), lease));
                }
            }
        }
        let document = vault.tokens.with_token(&session, |token| lease::request(&session, token, &self.settings))?;
        let Some(lease) = document.lease.clone() else { return Ok(document) };
        if self.settings.revoke && lease.id.is_some() {
            let mut issued = self.issued.lock();
            issued.retain(|one| one.lease.end > Instant::now());
            issued.push(Issued { lease: lease.clone(), fork: fork::generation() });
        }
        Ok(self.with_times(vault, document, lease))
    }

    /// The document with this lease, until the end of the lease or of the token.
    fn with_times(&self, vault: &Vault, mut document: Document, lease: DocumentLease) -> Document {
        for issued in self.issued.lock().iter_mut().filter(|issued| issued.lease.id == lease.id) {
            issued.lease.end = lease.end;
        }
        let now = Instant::now();
        let left = lease.end.since(now);
        document.ttl = Some(vault.tokens.remaining().map_or(left, |token| token.min(left)));
        let token = vault.tokens.until_load(&vault.settings);
        let until_renewal = lease.renew_at.since(now);
        // A lease that is due and was not renewed is tried some more times.
        let until_renewal = if until_renewal.is_zero() { left / 4 } else { until_renewal };
        document.refresh_after = Some(token.map_or(until_renewal, |token| token.min(until_renewal)));
        document.lease = Some(lease);
        document
    }

    fn identify(&self, vault: &Vault) -> Result<Identity> {
        let mut identity = vault.settings.login_identity("vault dynamic")?;
        self.settings.identify(&mut identity);
        if self.settings.revoke {
            // The last manager that uses the lease revokes it, and sees no manager of another namespace.
            identity.add_pid_namespace();
        }
        Ok(identity)
    }
}

impl DocumentSource for DynamicSource {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn serves(&self, key: &str) -> bool {
        self.settings.keys.serves(key)
    }

    fn place(&self) -> String {
        match &self.vault {
            Ok(vault) => format!("the dynamic secret {:?} at {}", self.settings.path, vault.settings.address),
            Err(_) => format!("the dynamic secret {:?}, whose settings are incomplete", self.settings.path),
        }
    }

    fn identity(&self) -> Option<Identity> {
        let _guard = fork::protect();
        // The load fails in the same way, and reports the error.
        self.identify(self.vault.as_ref().ok()?).ok()
    }

    fn before_refresh(&self) {
        if let Ok(vault) = &self.vault {
            vault.is_refresh.store(true, SeqCst);
        }
    }

    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        self.reload(None, deadline, patience)
    }

    fn reload(&self, earlier: Option<&Document>, deadline: Deadline, patience: Patience) -> Result<Document> {
        let _guard = fork::protect();
        let read = self.read(self.vault()?, earlier, deadline, patience);
        read.map_err(|error| error.with_source(Source::Vault))
    }

    fn is_leased(&self) -> bool {
        true
    }

    fn is_released_on_close(&self) -> bool {
        self.settings.revoke
    }

    fn release(&self, shared: Option<&Document>, deadline: Deadline) {
        let _guard = fork::protect();
        let Ok(vault) = &self.vault else { return };
        let issued = std::mem::take(&mut *self.issued.lock());
        let own = issued.iter().filter(|issued| issued.fork == fork::generation()).map(|issued| &issued.lease);
        let shared = shared.and_then(|document| document.lease.as_ref());
        let leases = own.chain(shared).filter(|lease| lease.end > Instant::now());
        let mut ids: Vec<&str> = leases.filter_map(|lease| lease.id.as_deref()).collect();
        ids.sort_unstable();
        ids.dedup();
        let session = vault.session(deadline, Patience::Brief, false);
        for id in ids {
            let revoked = vault.tokens.get(&session);
            match revoked.and_then(|token| lease::revoke(&session, token.value.as_ref(), id)) {
                Ok(()) => log::emit(Level::Info, "vault", || format!("revoked the lease of {}", session.errors())),
                Err(error) => log::emit(Level::Warn, "vault", || format!("the lease was not revoked: {error}")),
            }
        }
    }

    fn upkeep(&self, deadline: Deadline) {
        let _guard = fork::protect();
        if let Ok(vault) = &self.vault {
            vault.tokens.renew_token_if_due(&vault.session(deadline, Patience::Brief, false));
        }
    }

    fn has_new_credentials(&self) -> bool {
        let _guard = fork::protect();
        self.vault.as_ref().is_ok_and(Vault::has_new_credentials)
    }

    fn describe(&self) -> Map<String, Value> {
        let _guard = fork::protect();
        let parameters: Option<Vec<&String>> = self.settings.parameters.as_ref().map(|all| all.keys().collect());
        let mut fields = Map::from_iter([
            ("path".to_owned(), json!(self.settings.path)),
            ("as".to_owned(), self.settings.keys.describe()),
            // Their values may be secret.
            ("parameters".to_owned(), json!(parameters)),
            ("revoke".to_owned(), json!(self.settings.revoke)),
        ]);
        match &self.vault {
            Ok(vault) => {
                fields.insert("url".to_owned(), json!(vault.settings.address.to_string()));
                fields.insert("namespace".to_owned(), json!(vault.settings.namespace));
                fields.insert("auth".to_owned(), json!(vault.settings.auth.name()));
                if vault.not_configured().is_some() {
                    fields.insert("configured".to_owned(), json!(false));
                }
            }
            Err(error) => drop(fields.insert("error".to_owned(), json!(error.message()))),
        }
        fields
    }

    fn check(&self, deadline: Deadline) -> Health {
        let _guard = fork::protect();
        match &self.vault {
            Ok(vault) => match vault.not_configured() {
                Some(reason) => Health::new(HealthState::Absent, reason),
                None => {
                    let session = vault.session(deadline, Patience::Brief, true);
                    dynamic_check::check(&session, &vault.tokens, &self.settings)
                }
            },
            Err(error) => health::invalid_settings(error),
        }
    }
}
