//! The TLS configuration: trusted roots, client certificate, TLS 1.2 or newer.

use std::fs;
use std::path::Path;
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
use crate::http::settings::{Roots, Settings};
use crate::http::transport::insecure::InsecureVerifier;

/// The longest file of certificates or keys. A file of all public authorities has 0.25 MB.
const MAX_FILE: usize = 16 << 20;

/// Builds the configuration, and reads the files that the settings name.
pub(super) fn config(settings: &Settings) -> Result<Arc<ClientConfig>> {
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

/// Reads a file that the settings name. The error says what the file is for.
fn read(path: &Path, what: &str) -> Result<files::Contents> {
    files::read(path, MAX_FILE)
        .map_err(|error| error.map_message(|message| format!("cannot read the {what}: {message}")))
}

fn roots(roots: &Roots) -> Result<RootCertStore> {
    match roots {
        Roots::Platform => platform_roots(),
        Roots::File(path) => {
            let contents = read(path, "CA certificates")?;
            store(certificates(&contents.bytes), &path.display().to_string())
        }
        Roots::Directory(path) => directory_roots(path),
        Roots::Pem(pem) => store(certificates(pem.as_bytes()), "the CA certificates in PEM"),
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
fn directory_roots(root: &Path) -> Result<RootCertStore> {
    if root.is_file() {
        return roots(&Roots::File(root.to_owned()));
    }
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        let failed = |error| Error::io("read the directory", &directory, &error);
        let entries = fs::read_dir(&directory).map_err(failed)?.collect::<std::result::Result<Vec<_>, _>>();
        let mut entries = entries.map_err(failed)?;
        // OpenSSL's links to the same certificates under other names are harmless: the store then contains a
        // certificate twice.
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                directories.push(path);
            } else if path.is_file() {
                let contents = files::read(&path, MAX_FILE)?;
                // Files that are not PEM are skipped.
                found.extend(certificates(&contents.bytes).unwrap_or_default());
            }
        }
    }
    store(Some(found), &root.display().to_string())
}

/// Parses the certificates of a PEM text; `None` if the text is damaged.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<_, _>>().ok()
}

/// `source` names the origin of the certificates for messages.
fn store(found: Option<Vec<CertificateDer<'static>>>, source: &str) -> Result<RootCertStore> {
    let invalid = |why: &str| Error::new(Status::Config, format!("cannot use {source}: {why}"));
    let found = found.ok_or_else(|| invalid("it is not valid PEM"))?;
    if found.is_empty() {
        return Err(invalid("it contains no certificate (-----BEGIN CERTIFICATE-----)"));
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in found.into_iter().enumerate() {
        store
            .add(certificate)
            .map_err(|error| invalid(&format!("its certificate {} is invalid: {error}", index + 1)))?;
    }
    Ok(store)
}

fn client_certificate(chain: &Path, key: &Path) -> Result<SingleCertAndKey> {
    let invalid = |path: &Path, why: String| {
        Error::new(Status::Config, format!("cannot use {} for a client certificate: {why}", path.display()))
    };
    let contents = read(chain, "client certificate")?;
    let certificates = certificates(&contents.bytes).filter(|found| !found.is_empty());
    let certificates = certificates.ok_or_else(|| invalid(chain, "it contains no certificate in PEM".to_owned()))?;
    let contents = read(key, "private key of the client certificate")?;
    let mut der = PrivateKeyDer::from_pem_slice(&contents.bytes)
        .map_err(|_| invalid(key, "it contains no private key in PEM, or an encrypted one".to_owned()))?;
    let signing_key = ring::sign::any_supported_type(&der);
    der.zeroize();
    let signing_key = signing_key.map_err(|error| invalid(key, error.to_string()))?;
    let certified = CertifiedKey::new(certificates, signing_key);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(invalid(key, format!("it is not the private key of {}", chain.display())))
        }
        // If rustls cannot parse the certificate, the server may still accept it.
        _ => Ok(certified.into()),
    }
}
