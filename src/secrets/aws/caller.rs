//! Who the caller is at AWS, for logins at other servers: a signed call of GetCallerIdentity, which the other server
//! sends to AWS. Vault sends the call of a fixed endpoint, Google that of a URL in the caller's region.

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
#[cfg_attr(not(feature = "vault"), allow(dead_code))]
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
        self.watched(is_refresh, &|files| {
            // Fetching credentials may need a region too.
            let region = self.state.settings()?.region()?.unwrap_or_else(|| self.region.clone());
            let session = AwsSession::open(&self.state, Some(&region), files, deadline, Patience::Brief)?;
            let url = &self.endpoint.url;
            let (body, content_type) = sts::caller_identity_form(&self.region, &self.endpoint);
            let headers = [&[content_type], headers].concat();
            signed(&session, &self.region, url, body, headers)
        })
    }

    /// Signs a call without a body of a URL in which `{region}` is replaced with the region of the settings or of this
    /// machine.
    #[cfg(feature = "google")]
    pub(in crate::secrets) fn sign_url(
        &self,
        url: &str,
        headers: &[(&str, Zeroizing<String>)],
        deadline: Deadline,
        is_refresh: bool,
    ) -> Result<SignedCall> {
        self.watched(is_refresh, &|files| {
            let session = AwsSession::open(&self.state, None, files, deadline, Patience::Brief)?;
            let url = url.replace("{region}", &session.region);
            signed(&session, &session.region, &url, Zeroizing::default(), headers.to_vec())
        })
    }

    /// Signs a call, and remembers the files that it depends on.
    fn watched(&self, is_refresh: bool, sign: &dyn Fn(&WatchedFiles) -> Result<SignedCall>) -> Result<SignedCall> {
        let files = WatchedFiles::default();
        self.state.is_refresh.store(is_refresh, Relaxed);
        let signed = sign(&files);
        *self.state.files_of_failed_load.lock() = Some(files);
        signed
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

fn signed(
    session: &AwsSession<'_>,
    region: &str,
    url: &str,
    body: Zeroizing<String>,
    headers: Vec<(&str, Zeroizing<String>)>,
) -> Result<SignedCall> {
    let cached = session.credentials()?;
    let time = session.client.clock_offsets.get(url).apply(SystemTime::now());
    let headers = sts::signed_headers(region, url, &body, headers, cached.credentials(), time)?;
    let access_key_id = cached.credentials().access_key_id.clone();
    Ok(SignedCall { url: url.to_owned(), body, headers, access_key_id })
}
