//! What TLS connections are made with: trusted roots, our own certificate, TLS 1.2 or newer.

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
use crate::http::unverified::Unverified;
use crate::http::{Roots, Settings};

/// The longest file of certificates or keys; that of all public authorities has 0.25 MB.
const LONGEST_FILE: usize = 16 << 20;

/// Reads the files that the settings name.
pub(super) fn config(settings: &Settings) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| Error::new(Status::Config, format!("TLS cannot be set up: {error}")))?;
    let builder = if settings.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified::new(provider.clone())))
    } else {
        builder.with_root_certificates(roots(&settings.roots)?)
    };
    let mut config = match &settings.client_certificate {
        Some((chain, key)) => builder.with_client_cert_resolver(Arc::new(client_certificate(chain, key)?)),
        None => builder.with_no_client_auth(),
    };
    // Connections are reused, not resumed: nothing of a session is kept.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A name as it stands in certificates.
pub(super) fn host_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.trim_end_matches('.').to_owned())
        .map_err(|_| Error::new(Status::Config, format!("{name:?} can be the name of no TLS server")))
}

/// A file that the settings name; an error tells what it is wanted for, as it names no setting.
fn read(path: &Path, what: &str) -> Result<files::Contents> {
    files::read(path, LONGEST_FILE)
        .map_err(|error| error.map_message(|message| format!("the {what} cannot be read: {message}")))
}

fn roots(roots: &Roots) -> Result<RootCertStore> {
    match roots {
        Roots::Platform => platform_roots(),
        Roots::File(path) => {
            let contents = read(path, "CA certificates")?;
            store(certificates(&contents.bytes), &path.display().to_string())
        }
        Roots::Directory(path) => directory_roots(path),
        Roots::Pem(pem) => store(certificates(pem.as_bytes()), "the PEM text of CA certificates"),
    }
}

/// What OpenSSL would trust here, with `SSL_CERT_FILE` and `SSL_CERT_DIR` in place of the usual files.
fn platform_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // A certificate that cannot be parsed is one authority less, as everywhere.
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(store);
    }
    let why = match found.errors.first() {
        Some(error) => format!("no CA certificate can be read on this system: {error}"),
        None => "no CA certificate was found on this system; SSL_CERT_FILE can name a file of them".to_owned(),
    };
    Err(Error::new(Status::Config, why))
}

/// The certificates of a directory and of those in it. Links to directories are not followed: they may lead round.
fn directory_roots(root: &Path) -> Result<RootCertStore> {
    if root.is_file() {
        return roots(&Roots::File(root.to_owned()));
    }
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        let failed = |error| Error::io("read the directory", &directory, &error);
        let entries = fs::read_dir(&directory).map_err(failed)?.collect::<std::result::Result<Vec<_>, _>>();
        let mut entries = entries.map_err(failed)?;
        // OpenSSL's links to the same certificates under other names come to nothing: the store holds each certificate
        // once more, which costs some bytes.
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                directories.push(path);
            } else if path.is_file() {
                let contents = files::read(&path, LONGEST_FILE)?;
                // Other files may be there.
                found.extend(certificates(&contents.bytes).unwrap_or_default());
            }
        }
    }
    store(Some(found), &root.display().to_string())
}

/// The certificates of a PEM text; `None` if the text is damaged.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<_, _>>().ok()
}

/// `place` is where the certificates come from.
fn store(found: Option<Vec<CertificateDer<'static>>>, place: &str) -> Result<RootCertStore> {
    let refused = |why: &str| Error::new(Status::Config, format!("{place} cannot be used: {why}"));
    let found = found.ok_or_else(|| refused("it is not PEM, or it is damaged"))?;
    if found.is_empty() {
        return Err(refused("it holds no certificate (-----BEGIN CERTIFICATE-----)"));
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in found.into_iter().enumerate() {
        store
            .add(certificate)
            .map_err(|error| refused(&format!("its certificate {} is not one: {error}", index + 1)))?;
    }
    Ok(store)
}

fn client_certificate(chain: &Path, key: &Path) -> Result<SingleCertAndKey> {
    let refused = |path: &Path, why: String| {
        Error::new(Status::Config, format!("{} cannot be used for a client certificate: {why}", path.display()))
    };
    let contents = read(chain, "client certificate")?;
    let certificates = certificates(&contents.bytes).filter(|found| !found.is_empty());
    let certificates = certificates.ok_or_else(|| refused(chain, "it holds no certificate as PEM".to_owned()))?;
    let contents = read(key, "key of the client certificate")?;
    let mut der = PrivateKeyDer::from_pem_slice(&contents.bytes)
        .map_err(|_| refused(key, "it holds no private key as PEM, or one under a password".to_owned()))?;
    let signing_key = ring::sign::any_supported_type(&der);
    der.zeroize();
    let signing_key = signing_key.map_err(|error| refused(key, error.to_string()))?;
    let certified = CertifiedKey::new(certificates, signing_key);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(refused(key, format!("it is not the key of {}", chain.display())))
        }
        // A certificate of a kind that rustls does not read may still be one that the server wants.
        _ => Ok(certified.into()),
    }
}
