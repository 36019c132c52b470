//! The identity at AWS that Google exchanges: a signed call, which Google sends to AWS.

#[cfg(feature = "aws")]
use std::sync::Arc;

#[cfg(feature = "aws")]
use serde_json::json;
use zeroize::Zeroizing;

#[cfg(feature = "aws")]
use crate::config::Config;
use crate::error::Result;
#[cfg(not(feature = "aws"))]
use crate::error::{Error, Status};
#[cfg(feature = "aws")]
use crate::http::url::{Url, percent_encode};
#[cfg(feature = "aws")]
use crate::secrets::aws::{AwsCommon, Caller};
use crate::secrets::cloud::Session;
use crate::share::Identity;

/// The header with the provider of the pool that the call is for.
#[cfg(feature = "aws")]
const TARGET: &str = "x-goog-cloud-target-resource";

/// Signs with the credentials that the settings of AWS select.
#[cfg(feature = "aws")]
pub(in crate::secrets) struct AwsIdentity(Result<Caller>);

#[cfg(feature = "aws")]
impl AwsIdentity {
    /// Invalid settings of AWS are an error only where they are used.
    pub(in crate::secrets) fn open(config: &Config, common: &Arc<AwsCommon>) -> AwsIdentity {
        AwsIdentity(Caller::open(config, common, None).map_err(|invalid| invalid.error))
    }

    /// Returns the call as Google's security token service wants it.
    pub(super) fn token(&self, url: &str, audience: &str, session: &Session<'_>) -> Result<Zeroizing<String>> {
        let caller = self.0.as_ref().map_err(Clone::clone)?;
        let headers = [(TARGET, Zeroizing::new(audience.to_owned()))];
        let call = caller.sign_url(url, &headers, session.deadline, session.is_refresh)?;
        let host = Url::parse(&call.url).map_or_else(|_| String::new(), |url| url.origin.host);
        let headers = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = headers.chain([("host", host.as_str())]);
        let headers: Vec<_> = headers.map(|(key, value)| json!({"key": key, "value": value})).collect();
        let text = Zeroizing::new(json!({"headers": headers, "method": "POST", "url": call.url}).to_string());
        Ok(Zeroizing::new(percent_encode(&text).to_string()))
    }

    /// Adds which identity at AWS the calls have.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        self.0.as_ref().map_err(Clone::clone)?.identify(identity)
    }
}

/// Without the provider of AWS, there is no identity.
#[cfg(not(feature = "aws"))]
pub(in crate::secrets) struct AwsIdentity;

#[cfg(not(feature = "aws"))]
impl AwsIdentity {
    pub(super) fn token(&self, _: &str, _: &str, _: &Session<'_>) -> Result<Zeroizing<String>> {
        Err(AwsIdentity::missing())
    }

    pub(super) fn identify(&self, _: &mut Identity) -> Result<()> {
        Err(AwsIdentity::missing())
    }

    fn missing() -> Error {
        let message = "the credentials for Google take the identity of AWS, which needs a library that is built with \
                       the cargo feature `aws`";
        Error::new(Status::Config, message)
    }
}
