//! An API server, and with what requests log in there.

use std::fs;
use std::path::{Path, PathBuf};

use super::exec_plugin::{ExecPlugin, KubernetesCredentials};
use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::files;
use crate::http::url::Url;
use crate::http::{self, Roots};
use crate::secret_memory::SecretBytes;
use crate::settings::{InvalidSetting, Setting};
use crate::share::Identity;

/// A Secret has at most 1 MiB; a page of a list has several.
const MAX_BODY: usize = 64 << 20;
const MAX_FILE: usize = 64 << 10;

pub(super) enum Namespace {
    Given(String),
    /// The one of the pod.
    File(PathBuf),
}

/// With what requests log in, besides the client certificate of the transport.
pub(super) enum KubernetesLogin {
    None,
    /// A bearer token in a file, which is read for each load.
    TokenFile(PathBuf),
    Token(SecretBytes),
    /// A program that prints a token or a client certificate at each load.
    Program(ExecPlugin),
}

/// An API server.
pub(super) struct ApiServer {
    /// Without a slash at the end.
    pub(super) url: String,
    pub(super) is_cleartext: bool,
    pub(super) namespace: Namespace,
    pub(super) login: KubernetesLogin,
    /// The impersonation headers.
    pub(super) impersonation: Vec<(String, String)>,
    pub(super) transport: http::ClientSettings,
    /// Where the credentials are, for messages: `the token in /x`.
    pub(super) origin: String,
}

impl ApiServer {
    /// Checks the address, and sets the transport to these roots and this certificate.
    pub(super) fn new(
        address: &Setting,
        namespace: Namespace,
        login: KubernetesLogin,
        roots: Roots,
        client_certificate: Option<(Setting, Setting)>,
    ) -> Result<ApiServer, InvalidSetting> {
        let url = Url::parse(address.text()).map_err(|error| address.invalid(format!("is not usable: {error}")))?;
        if url.uri.query().is_some() {
            return Err(address.invalid("contains `?`; it must end with the host, port or path"));
        }
        let origin = match &login {
            KubernetesLogin::TokenFile(path) => format!("the token in {}", path.display()),
            _ => "the certificate of kubernetes_client_cert".to_owned(),
        };
        Ok(ApiServer {
            url: address.text().trim_end_matches('/').to_owned(),
            is_cleartext: url.origin.is_cleartext(),
            namespace,
            login,
            impersonation: Vec::new(),
            transport: http::ClientSettings {
                roots,
                client_certificate,
                max_body: MAX_BODY,
                ..http::ClientSettings::default()
            },
            origin,
        })
    }

    /// The namespace; that of a pod is read from its file.
    pub(super) fn namespace(&self) -> Result<String> {
        match &self.namespace {
            Namespace::Given(name) => Ok(name.clone()),
            Namespace::File(path) => {
                let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))?;
                let name = text.trim();
                is_namespace(name).then(|| name.to_owned()).ok_or_else(|| {
                    let what = format!("{} does not contain a namespace; set kubernetes_namespace", path.display());
                    Error::new(Status::Config, what).with_source(Source::Kubernetes)
                })
            }
        }
    }

    /// The file with the token, if there is one.
    pub(super) fn token_file(&self) -> Option<&PathBuf> {
        match &self.login {
            KubernetesLogin::TokenFile(path) => Some(path),
            _ => None,
        }
    }

    /// What requests are sent with now: Kubernetes replaces the file of a pod before its token expires.
    pub(super) fn credentials(&self, deadline: Deadline) -> Result<KubernetesCredentials> {
        let token = match &self.login {
            KubernetesLogin::None => None,
            KubernetesLogin::Token(token) => Some(token.clone()),
            KubernetesLogin::TokenFile(path) => Some(read_token(path)?),
            KubernetesLogin::Program(program) => return program.run(deadline),
        };
        Ok(KubernetesCredentials { token, certificate: self.transport.client_certificate.clone() })
    }

    /// Adds where requests go and as which identity. No program is run.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("url", &self.url);
        self.transport.trust().into_iter().for_each(|(name, value)| identity.add(name, value));
        self.impersonation.iter().for_each(|(name, value)| identity.add(name, value));
        match &self.login {
            KubernetesLogin::None => {}
            KubernetesLogin::Token(token) => identity.add_secret(token)?,
            KubernetesLogin::TokenFile(path) => {
                identity.add("file", path.as_os_str().as_encoded_bytes());
                // A rotated token is of the same account, but that is not known here.
                identity.add_secret(&read_token(path)?)?;
            }
            KubernetesLogin::Program(program) => program.identify(identity)?,
        }
        match &self.transport.client_certificate {
            Some((_, key)) if http::is_pem(key) => identity.add_secret(key.text().as_bytes()),
            Some((_, key)) => identity.add_secret(&files::read(&key.path(), MAX_FILE)?.bytes),
            None => Ok(()),
        }
    }
}

fn read_token(path: &Path) -> Result<SecretBytes> {
    let contents = files::read(path, MAX_FILE)?;
    let token = contents.bytes.trim_ascii();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        let what = format!("{} does not contain a token: one line of ASCII without spaces", path.display());
        return Err(Error::new(Status::Config, what));
    }
    SecretBytes::copy_from(token)
}

/// Whether this can be the name of a Secret.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(|byte| is_plain(*byte))
                && bytes.last().is_some_and(|byte| is_plain(*byte))
                && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
        })
}

pub(super) fn is_namespace(name: &str) -> bool {
    is_name(name) && name.len() <= 63 && !name.contains('.')
}
