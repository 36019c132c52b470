//! Where credentials come from, in the order of Google's clients: the setting or variable with a file, the file of
//! `gcloud auth application-default login`, the metadata server.

use std::path::{Path, PathBuf};

use super::aws::AwsIdentity;
use super::files::{CredentialFile, CredentialsFile, Subject};
use super::metadata::Metadata;
use super::settings::GoogleSettings;
use crate::error::{Error, Result, Status};
use crate::files;
use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::settings::Environment;
use crate::share::Identity;

const FILE_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const GCLOUD_FILE: &str = "application_default_credentials.json";
const MAX_TOKEN: usize = 64 << 10;

/// The credentials that are used now.
pub(super) enum CredentialSource {
    File(CredentialFile),
    Metadata(Metadata),
}

impl CredentialSource {
    pub(super) fn find(settings: &GoogleSettings, environment: &Environment) -> Result<CredentialSource> {
        if let Some(path) = file(settings, environment)? {
            return CredentialFile::read(&path, settings.has_endpoint()).map(CredentialSource::File);
        }
        if let Some(metadata) = Metadata::find(environment)? {
            return Ok(CredentialSource::Metadata(metadata));
        }
        let message = "no credentials for Google: set `google_credentials_file` or GOOGLE_APPLICATION_CREDENTIALS, or \
                       run `gcloud auth application-default login`";
        Err(Error::new(Status::Config, message))
    }

    /// Where the credentials are from, for messages.
    pub(super) fn origin(&self) -> String {
        match self {
            CredentialSource::File(file) => file.path.display().to_string(),
            CredentialSource::Metadata(metadata) => format!("the metadata server {}", metadata.host()),
        }
    }

    /// Adds which identity requests have.
    pub(super) fn identify(&self, aws: &AwsIdentity, identity: &mut Identity) -> Result<()> {
        let file = match self {
            CredentialSource::Metadata(metadata) => {
                identity.add("metadata", metadata.host());
                return Ok(());
            }
            CredentialSource::File(file) => file,
        };
        identity.add("file", file.path.as_os_str().as_encoded_bytes());
        identity.add_secret(&file.contents)?;
        match file.credentials.subject() {
            Some(Subject::File(path)) => identity.add_secret(&subject_token(path)?),
            Some(Subject::Executable(executable)) => identity
                .add_program(&executable.words, |name| name.starts_with(b"GOOGLE_"))
                .map_err(|error| Error::new(Status::Io, format!("cannot find the current directory: {error}"))),
            Some(Subject::Aws { .. }) => aws.identify(identity),
            Some(Subject::Url { .. }) | None => Ok(()),
        }
    }
}

impl CredentialsFile {
    /// Where the token is that is exchanged, if there is one.
    fn subject(&self) -> Option<&Subject> {
        match self {
            CredentialsFile::External(external) => Some(&external.subject),
            CredentialsFile::Impersonated { source, .. } => source.subject(),
            CredentialsFile::ServiceAccount { .. } | CredentialsFile::User { .. } => None,
        }
    }
}

/// The file with credentials, if there is one.
pub(super) fn file(settings: &GoogleSettings, environment: &Environment) -> Result<Option<PathBuf>> {
    let setting = match &settings.credentials_file {
        Some(setting) => Some(setting.clone()),
        None => environment.setting(FILE_VARIABLE)?,
    };
    if let Some(setting) = setting {
        return Ok(Some(setting.path()));
    }
    let directory = match environment.setting("CLOUDSDK_CONFIG")? {
        Some(setting) => Some(setting.path()),
        None => environment.home().map(|home| home.join(".config/gcloud")),
    };
    Ok(directory.map(|directory| directory.join(GCLOUD_FILE)).filter(|path| path.exists()))
}

/// Reads the token of another provider, or a JSON object with it.
pub(super) fn subject_token(path: &Path) -> Result<SecretBytes> {
    let contents = fork::unprotected(|| files::read(path, MAX_TOKEN))
        .map_err(|error| error.map_message(|message| format!("the token that Google exchanges: {message}")))?;
    Ok(contents.bytes.freeze())
}
