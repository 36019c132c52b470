//! Data keys of the Key Management Service.

use std::sync::Arc;

use serde_json::{Value, json};

use super::endpoint::Service;
use super::identifiers::is_aws_region;
use super::session::AwsSession;
use super::settings::ProviderSettings;
use super::state::{AwsCommon, AwsState};
use super::target::AwsTarget;
use super::watched_files::WatchedFiles;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::http::retry::Patience;
use crate::secret_memory::SecretBytes;
use crate::secrets::data_key::{KeyService, SharedKeyService};
use crate::secrets::json::SecretObject;
use crate::secrets::shared_login::SharedLogins;
use crate::settings::{Environment, Setting};
use crate::share::{DataKeySource, Identity};

/// A key of KMS.
struct KmsKey {
    state: AwsState,
    /// Its id, ARN or alias.
    id: String,
}

/// The key that this setting names.
pub(crate) fn open(
    setting: &Setting,
    config: &Config,
    common: &Arc<AwsCommon>,
    logins: SharedLogins,
) -> Result<Arc<dyn DataKeySource>> {
    let provider_settings =
        ProviderSettings::read(config, AwsTarget::Caller).map_err(|invalid| invalid.error.with_source(Source::Aws))?;
    let state = AwsState::new(provider_settings, Environment::Process, common.clone());
    Ok(SharedKeyService::shared(KmsKey { state, id: setting.text().to_owned() }, logins))
}

impl KmsKey {
    fn call(&self, action: &str, parameters: Value, deadline: Deadline) -> Result<SecretObject> {
        let _guard = fork::protect();
        let files = WatchedFiles::default();
        let session = AwsSession::open(&self.state, None, &files, deadline, Patience::Brief)?;
        let mut cached = session.credentials()?;
        // An ARN has a region.
        let region = self.id.split(':').nth(3).filter(|region| is_aws_region(region)).unwrap_or(&session.region);
        let mut body = json!({"KeyId": self.id, "EncryptionContext": {"st-secrets": "tier"}});
        if let (Some(members), Value::Object(more)) = (body.as_object_mut(), parameters) {
            members.extend(more);
        }
        let what = format!("key {:?}", self.id);
        let asked = session.ask(
            Service::Kms,
            region,
            &mut cached,
            |service| service.ask(&what, action, &body),
            |asked| asked.as_mut().err(),
        )?;
        asked.map_err(|failed| failed.error)
    }

    fn malformed(&self) -> Error {
        Error::new(Status::Protocol, format!("the response of KMS about {:?} has no data key", self.id))
    }
}

impl KeyService for KmsKey {
    fn identity(&self) -> Option<Identity> {
        let _guard = fork::protect();
        let mut identity = self.state.identity().ok()?;
        identity.add("kms key", &self.id);
        Some(identity)
    }

    fn generate(&self, deadline: Deadline) -> Result<(SecretBytes, String)> {
        let fields = self.call("GenerateDataKey", json!({"KeySpec": "AES_256"}), deadline);
        let fields = fields.map_err(|error| error.with_source(Source::Aws))?;
        match (fields.get("Plaintext"), fields.text("CiphertextBlob")) {
            (Some(key), Some(wrapped)) => Ok((key.clone(), wrapped.to_owned())),
            _ => Err(self.malformed()),
        }
    }

    fn unwrap(&self, wrapped: &str, deadline: Deadline) -> Result<SecretBytes> {
        let fields = self.call("Decrypt", json!({"CiphertextBlob": wrapped}), deadline);
        let fields = fields.map_err(|error| error.with_source(Source::Aws))?;
        fields.get("Plaintext").cloned().ok_or_else(|| self.malformed())
    }
}
