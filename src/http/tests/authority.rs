//! Certificates created with `openssl`, and servers that use them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::peer::Peer;

/// A certificate authority in a directory of its own.
pub(super) struct Authority(tempfile::TempDir);

impl Authority {
    pub(super) fn new() -> Authority {
        Authority::named("test-ca")
    }

    pub(super) fn named(name: &str) -> Authority {
        let authority = Authority(tempfile::tempdir().unwrap());
        fs::write(authority.path("index.txt"), "").unwrap();
        let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n\
                      default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n\
                      [req]\ndistinguished_name=n\n[n]\n[ca_extensions]\nbasicConstraints=critical,CA:TRUE\n";
        fs::write(authority.path("ca.cnf"), config).unwrap();
        authority.openssl(&format!(
            "req -x509 -config ca.cnf -extensions ca_extensions -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
             -keyout ca.key -out ca.pem -days 2 -subj /CN={name}"
        ));
        authority
    }

    /// Creates `NAME.pem` and `NAME.key` for these hosts (`DNS:localhost,IP:127.0.0.1`).
    pub(super) fn issue(&self, name: &str, hosts: &str) {
        self.issue_until(name, hosts, "20990101000000Z");
    }

    pub(super) fn issue_until(&self, name: &str, hosts: &str, end: &str) {
        fs::write(self.path("extensions"), format!("subjectAltName={hosts}\n")).unwrap();
        self.openssl(&format!(
            "req -config ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr \
             -subj /CN={name}"
        ));
        self.openssl(&format!(
            "ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -out {name}.pem -notext \
             -startdate 20200101000000Z -enddate {end} -extfile extensions"
        ));
    }

    /// Runs a command of `openssl` in the directory.
    pub(super) fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let done = command.args(arguments.split_whitespace()).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A server in this process with the certificate of this name. It calls `serve` with each TLS stream.
    pub(super) fn peer(&self, name: &str, serve: impl Fn(TlsStream<TcpStream>) + Send + Sync + 'static) -> Peer {
        let config = self.server_config(name);
        Peer::new(move |stream| serve(secured(&config, stream)))
    }

    pub(super) fn server_config(&self, name: &str) -> Arc<ServerConfig> {
        self.server_config_with(name, Arc::new(NoClientAuth))
    }

    /// The configuration of a server that requires client certificates of this authority.
    pub(super) fn strict_server_config(&self, name: &str) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        self.server_config_with(
            name,
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap(),
        )
    }

    fn server_config_with(&self, name: &str, clients: Arc<dyn ClientCertVerifier>) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients);
        Arc::new(config.with_single_cert(vec![certificate], key).unwrap())
    }

    /// Starts `openssl s_server` with the certificate of this name and further arguments. It responds to every GET.
    pub(super) fn serve(&self, name: &str, arguments: &str) -> Server {
        let mut command = Command::new("openssl");
        command.args(
            format!("s_server -accept 127.0.0.1:0 -www -cert {name}.pem -key {name}.key {arguments}")
                .split_whitespace(),
        );
        command.current_dir(self.0.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok()).unwrap();
        // Its further output must be read, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, port }
    }
}

pub(super) type TlsStream<S> = StreamOwned<ServerConnection, S>;

/// The server's side of TLS over a stream.
pub(super) fn secured<S: Read + Write>(config: &Arc<ServerConfig>, stream: S) -> TlsStream<S> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

/// A TLS server, until it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
