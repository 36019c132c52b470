//! How a client connects: TLS, proxies and limits.

use std::path::PathBuf;

use crate::settings::Setting;

/// The settings of a client.
#[derive(Clone, Default)]
pub(crate) struct ClientSettings {
    pub(crate) roots: Roots,
    /// PEM files of the certificate chain and of its key, or their contents, for servers that request a client
    /// certificate.
    pub(crate) client_certificate: Option<(Setting, Setting)>,
    /// The name that the server's certificate must have, if it is not the host of the URL.
    pub(crate) server_name: Option<String>,
    /// Accepts any server certificate.
    pub(crate) skip_verify: bool,
    pub(crate) proxy: Proxy,
    /// The socket in the file system to which all requests go, whatever their host. No proxy is used.
    pub(crate) socket: Option<PathBuf>,
    /// The longest response body, in bytes.
    pub(crate) max_body: usize,
    /// Whether paths are secrets too, and so are not logged.
    pub(crate) secret_paths: bool,
}

impl ClientSettings {
    /// The files of certificates and keys.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let roots = match &self.roots {
            Roots::File(setting) => Some(setting),
            Roots::Platform | Roots::Directory(_) | Roots::Pem(_) => None,
        };
        let certificate = self.client_certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        roots.into_iter().chain(certificate).filter(|setting| !is_pem(setting)).map(Setting::path).collect()
    }

    /// The settings on which it depends which server answers, by name.
    pub(crate) fn trust(&self) -> Vec<(&'static str, &str)> {
        let mut trust = Vec::new();
        match &self.roots {
            Roots::Platform => {}
            Roots::File(setting) => trust.push(("roots file", setting.text())),
            Roots::Directory(setting) => trust.push(("roots directory", setting.text())),
            Roots::Pem(setting) => trust.push(("roots", setting.text())),
        }
        if let Some((certificate, key)) = self.client_certificate.as_ref().filter(|(_, key)| !is_pem(key)) {
            trust.extend([("client certificate", certificate.text()), ("client key", key.text())]);
        }
        trust.extend(self.server_name.as_deref().map(|name| ("server name", name)));
        trust.extend(self.skip_verify.then_some(("skip verify", "")));
        if let Proxy::Always(setting) = &self.proxy {
            trust.push(("proxy", setting.text()));
        }
        trust
    }
}

/// Whether a setting has the contents of a file in PEM, not its path.
pub(crate) fn is_pem(setting: &Setting) -> bool {
    setting.text().starts_with("-----BEGIN")
}

/// The certificate authorities that are trusted.
#[derive(Clone, Default)]
pub(crate) enum Roots {
    /// Those of the system.
    #[default]
    Platform,
    /// Only the certificates in this PEM file.
    File(Setting),
    /// Those of all PEM files in this directory and its subdirectories. The path may also be that of a file.
    Directory(Setting),
    /// Those of this text, in PEM.
    Pem(Setting),
}

/// How a proxy is chosen.
#[derive(Clone, Default)]
pub(crate) enum Proxy {
    /// By `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case.
    #[default]
    Environment,
    /// No proxy is used.
    None,
    /// This proxy is used for all requests, whatever `NO_PROXY` says.
    Always(Setting),
}
