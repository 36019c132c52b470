//! All kinds of credential providers.

use std::path::Path;

use super::container::Container;
use super::context::{FetchContext, FetchedCredentials};
use super::instance::Instance;
use super::login::Login;
use super::process::CredentialProcess;
use super::role::{AssumedRole, WebIdentity};
use super::sso::SsoLogin;
use super::static_keys::StaticCredentials;
use crate::error::Result;
use crate::secrets::aws::settings::AwsSettings;
use crate::share::Identity;

/// Where credentials come from, with all that is needed to fetch them. Credentials of equal providers can replace each
/// other.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) enum CredentialProvider {
    Static(StaticCredentials),
    Process(CredentialProcess),
    WebIdentity(WebIdentity),
    /// A role that is assumed with the credentials of another provider.
    AssumedRole {
        role: AssumedRole,
        source: Box<CredentialProvider>,
    },
    Sso(SsoLogin),
    Login(Login),
    Container(Container),
    Instance(Instance),
}

impl CredentialProvider {
    /// Returns where the credentials are from, for messages: ``profile `x` in /path, line 3``.
    pub(in crate::secrets::aws) fn origin(&self) -> &str {
        match self {
            CredentialProvider::Static(keys) => &keys.origin,
            CredentialProvider::Process(process) => &process.origin,
            CredentialProvider::WebIdentity(identity) => &identity.origin,
            CredentialProvider::AssumedRole { role, .. } => &role.origin,
            CredentialProvider::Sso(login) => &login.origin,
            CredentialProvider::Login(login) => &login.origin,
            CredentialProvider::Container(container) => &container.origin,
            CredentialProvider::Instance(instance) => &instance.origin,
        }
    }

    /// Whether this is the last provider of the chain: the instance metadata service.
    pub(in crate::secrets::aws) fn is_instance(&self) -> bool {
        matches!(self, CredentialProvider::Instance(_))
    }

    /// Returns the file that is read for credentials, besides those of the profiles.
    pub(in crate::secrets::aws) fn file(&self) -> Option<&Path> {
        match self {
            CredentialProvider::AssumedRole { source, .. } => source.file(),
            CredentialProvider::WebIdentity(identity) => Some(&identity.token_file),
            CredentialProvider::Sso(login) => Some(login.cache_file()),
            CredentialProvider::Login(login) => Some(login.cache_file()),
            CredentialProvider::Container(container) => container.token_file(),
            CredentialProvider::Static(_) | CredentialProvider::Process(_) | CredentialProvider::Instance(_) => None,
        }
    }

    /// Returns who would fetch the credentials; `None` if that needs no request and no program.
    pub(super) fn identity(&self, context: &FetchContext<'_>) -> Option<Identity> {
        if matches!(self, CredentialProvider::Static(_)) {
            return None;
        }
        let mut identity = Identity::new("aws credentials");
        // The fetch has the same failure, and returns it.
        context.settings.identify(context.region, &mut identity).ok()?;
        self.identify(context.settings, &mut identity).ok()?;
        Some(identity)
    }

    /// Adds where the credentials come from, and what they are fetched with.
    pub(in crate::secrets::aws) fn identify(&self, settings: &AwsSettings<'_>, identity: &mut Identity) -> Result<()> {
        match self {
            CredentialProvider::Static(keys) => keys.credentials.identify(identity),
            CredentialProvider::Process(process) => process.identify(identity),
            CredentialProvider::WebIdentity(web_identity) => web_identity.identify(identity),
            CredentialProvider::AssumedRole { role, source } => {
                role.session.identify(identity);
                source.identify(settings, identity)
            }
            CredentialProvider::Sso(login) => login.identify(settings, identity),
            CredentialProvider::Login(login) => login.identify(identity),
            CredentialProvider::Container(container) => container.identify(identity),
            CredentialProvider::Instance(instance) => {
                instance.identify(identity);
                Ok(())
            }
        }
    }

    /// Fetches new credentials.
    pub(super) fn fetch(&self, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        match self {
            CredentialProvider::Static(keys) => keys.fetch(),
            CredentialProvider::Process(process) => process.fetch(context.deadline),
            CredentialProvider::WebIdentity(identity) => identity.fetch(context),
            CredentialProvider::AssumedRole { role, source } => {
                role.fetch(&source.fetch(context)?.credentials, context)
            }
            CredentialProvider::Sso(login) => login.fetch(context),
            CredentialProvider::Login(login) => login.fetch(context),
            CredentialProvider::Container(container) => container.fetch(context),
            CredentialProvider::Instance(instance) => instance.fetch(context),
        }
    }
}
