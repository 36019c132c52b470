//! The TLS configuration: trusted roots, client certificate, TLS 1.2 or newer.

use std::fs;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use zeroize::Zeroize;

use crate::error::{Error, Result, Status};
use crate::files;
use crate::http::settings::{ClientSettings, Roots, is_pem};
use crate::http::transport::insecure::InsecureVerifier;
use crate::secret_memory::SecretBytes;
use crate::settings::Setting;

/// The longest file of certificates or keys. A file of all public authorities has 0.25 MB.
const MAX_FILE: usize = 16 << 20;

/// Builds the configuration, and reads the files that the settings name.
pub(super) fn config(settings: &ClientSettings) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| Error::new(Status::Config, format!("cannot set up TLS: {error}")))?;
    let builder = if settings.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(InsecureVerifier::new(provider.clone())))
    } else {
        builder.with_root_certificates(roots(&settings.roots)?)
    };
    let mut config = match &settings.client_certificate {
        Some((chain, key)) => builder.with_client_cert_resolver(Arc::new(client_certificate(chain, key)?)),
        None => builder.with_no_client_auth(),
    };
    // Connections are reused, so sessions need not be resumed, and their keys are not kept.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Parses the name of a server, as in certificates.
pub(super) fn host_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.trim_end_matches('.').to_owned())
        .map_err(|_| Error::new(Status::Config, format!("{name:?} is not a valid TLS server name")))
}

/// Reads a file that a setting names, unless the setting has its contents.
fn read(setting: &Setting) -> Result<SecretBytes> {
    match is_pem(setting) {
        true => SecretBytes::copy_from(setting.text().as_bytes()),
        false => files::read(&setting.path(), MAX_FILE)
            .map(|contents| contents.bytes.freeze())
            .map_err(|error| named(setting, error)),
    }
}

/// The file of a setting, for messages.
fn shown(setting: &Setting) -> String {
    if is_pem(setting) { "its value".to_owned() } else { setting.path().display().to_string() }
}

fn named(setting: &Setting, error: Error) -> Error {
    error.map_message(|message| format!("{}: {message}", setting.origin))
}

/// The error for a file that a setting names: `why` is `is not …`, `contains …`.
fn unusable(setting: &Setting, why: &str) -> Error {
    Error::new(Status::Config, format!("{}: {} {why}", setting.origin, shown(setting)))
}

fn roots(roots: &Roots) -> Result<RootCertStore> {
    match roots {
        Roots::Platform => platform_roots(),
        Roots::File(file) => store(certificates(&read(file)?), |why| unusable(file, why)),
        Roots::Directory(directory) => directory_roots(directory),
        Roots::Pem(pem) => store(certificates(pem.text().as_bytes()), |why| pem.invalid(why).into()),
    }
}

/// Returns the roots that OpenSSL trusts on this system. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the usual files.
fn platform_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // A certificate that cannot be parsed is skipped, as by other clients.
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(store);
    }
    let why = match found.errors.first() {
        Some(error) => format!("cannot read any CA certificate on this system: {error}"),
        None => "there is no CA certificate on this system; set SSL_CERT_FILE to a file with some".to_owned(),
    };
    Err(Error::new(Status::Config, why))
}

/// Reads the certificates in a directory and its subdirectories. Links to directories are not followed: they may form
/// a loop.
fn directory_roots(setting: &Setting) -> Result<RootCertStore> {
    let root = setting.path();
    if root.is_file() {
        return roots(&Roots::File(setting.clone()));
    }
    let (mut found, mut directories) = (Vec::new(), vec![root]);
    while let Some(directory) = directories.pop() {
        let failed = |error| named(setting, Error::io("read the directory", &directory, &error));
        let entries = fs::read_dir(&directory).map_err(failed)?.collect::<Result<Vec<_>, _>>();
        let mut entries = entries.map_err(failed)?;
        // OpenSSL's links to the same certificates under other names are harmless: the store then contains a
        // certificate twice.
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                directories.push(path);
            } else if path.is_file() {
                let contents = files::read(&path, MAX_FILE).map_err(|error| named(setting, error))?;
                // Files that are not PEM are skipped.
                found.extend(certificates(&contents.bytes).unwrap_or_default());
            }
        }
    }
    store(Some(found), |why| unusable(setting, why))
}

/// Parses the certificates of a PEM text; `None` if the text is damaged.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

/// `invalid` makes the error for the certificates: `is not …`, `contains …`.
fn store(found: Option<Vec<CertificateDer<'static>>>, invalid: impl Fn(&str) -> Error) -> Result<RootCertStore> {
    let found = found.ok_or_else(|| invalid("is not valid PEM"))?;
    if found.is_empty() {
        return Err(invalid("contains no certificate (-----BEGIN CERTIFICATE-----)"));
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in found.into_iter().enumerate() {
        store
            .add(certificate)
            .map_err(|error| invalid(&format!("contains an invalid certificate (number {}): {error}", index + 1)))?;
    }
    Ok(store)
}

fn client_certificate(chain: &Setting, key: &Setting) -> Result<SingleCertAndKey> {
    let certificates = certificates(&read(chain)?).filter(|found| !found.is_empty());
    let certificates = certificates.ok_or_else(|| unusable(chain, "contains no certificate in PEM"))?;
    let mut der = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| unusable(key, "contains no private key in PEM, or an encrypted one"))?;
    let signing_key = ring::sign::any_supported_type(&der);
    der.zeroize();
    let signing_key = signing_key.map_err(|error| unusable(key, &format!("cannot be used: {error}")))?;
    let certified = CertifiedKey::new(certificates, signing_key);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(unusable(key, &format!("is not the private key of {}", shown(chain))))
        }
        // If rustls cannot parse the certificate, the server may still accept it.
        _ => Ok(certified.into()),
    }
}
