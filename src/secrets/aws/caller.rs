//! Who the caller is at AWS, for logins at other servers: a signed call of GetCallerIdentity, which the other server
//! sends to AWS.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::credentials;
use super::endpoint::{Endpoint, Service, Variant, default_url};
use super::identifiers::checked_region;
use super::session::AwsSession;
use super::settings::ProviderSettings;
use super::state::{AwsCommon, AwsState};
use super::sts;
use super::target::AwsTarget;
use super::watched_files::WatchedFiles;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::Result;
use crate::http::retry::Patience;
use crate::secret_memory::SecretBytes;
use crate::settings::{Environment, InvalidSetting, Setting};
use crate::share::Identity;

/// The endpoint to which servers send the call by default, and the region that it belongs to.
const GLOBAL_ENDPOINT: (&str, &str) = ("https://sts.amazonaws.com/", "us-east-1");

/// Signs with the credentials that the settings of AWS select.
pub(in crate::secrets) struct Caller {
    state: AwsState,
    region: String,
    endpoint: Endpoint,
}

/// A call that another server sends, with POST.
pub(in crate::secrets) struct SignedCall {
    pub(in crate::secrets) url: String,
    pub(in crate::secrets) body: Zeroizing<String>,
    pub(in crate::secrets) headers: sts::SignedHeaders,
    /// The identifier of the key that it is signed with. It belongs to the same secret key always.
    pub(in crate::secrets) access_key_id: SecretBytes,
}

impl Caller {
    /// Reads the settings. `region` is that of the endpoint to which the call is sent, if it is not the global one.
    pub(in crate::secrets) fn open(
        config: &Config,
        common: &Arc<AwsCommon>,
        region: Option<&Setting>,
    ) -> Result<Caller, InvalidSetting> {
        let (url, region) = match region.map(checked_region).transpose()? {
            Some(region) => (default_url(Service::Sts, &region, Variant::default()), region),
            None => (GLOBAL_ENDPOINT.0.to_owned(), GLOBAL_ENDPOINT.1.to_owned()),
        };
        let state =
            AwsState::new(ProviderSettings::read(config, AwsTarget::Caller)?, Environment::Process, common.clone());
        Ok(Caller { state, region, endpoint: Endpoint { url, setting: None } })
    }

    /// Signs a call with these headers, which the signature covers. Credentials are fetched if there are none.
    pub(in crate::secrets) fn sign(
        &self,
        headers: &[(&str, Zeroizing<String>)],
        deadline: Deadline,
        is_refresh: bool,
    ) -> Result<SignedCall> {
        let files = WatchedFiles::default();
        self.state.is_refresh.store(is_refresh, Relaxed);
        let signed = self.sign_with(&files, headers, deadline);
        *self.state.files_of_failed_load.lock() = Some(files);
        signed
    }

    fn sign_with(
        &self,
        files: &WatchedFiles,
        headers: &[(&str, Zeroizing<String>)],
        deadline: Deadline,
    ) -> Result<SignedCall> {
        // Fetching credentials may need a region too.
        let region = self.state.settings()?.region()?.unwrap_or_else(|| self.region.clone());
        let session = AwsSession::open(&self.state, Some(&region), files, deadline, Patience::Brief)?;
        let cached = session.credentials()?;
        let time = session.client.clock_offsets.get(&self.endpoint.url).apply(SystemTime::now());
        let (body, headers) =
            sts::signed_caller_identity(&self.region, &self.endpoint, cached.credentials(), headers, time)?;
        let access_key_id = cached.credentials().access_key_id.clone();
        Ok(SignedCall { url: self.endpoint.url.clone(), body, headers, access_key_id })
    }

    /// Whether files with credentials have changed since the last call was signed.
    pub(in crate::secrets) fn has_new_credentials(&self) -> bool {
        self.state.files_of_failed_load.lock().as_ref().is_some_and(WatchedFiles::have_changed)
    }

    /// Adds who the caller is to the identity of a process.
    pub(in crate::secrets) fn identify(&self, identity: &mut Identity) -> Result<()> {
        let settings = self.state.settings()?;
        identity.add("signed for", &self.endpoint.url);
        settings.identify(settings.region()?.as_deref().unwrap_or(&self.region), identity)?;
        credentials::resolve(&settings)?.identify(&settings, identity)
    }
}
