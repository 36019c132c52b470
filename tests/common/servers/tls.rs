//! TLS in front of any plain server, so moto and the proxies of the tests too.
//!
//! A client that trusts [`Tls::certificate`]`("ca.pem")` reaches, at [`Tls::url`], what listens at the address given.
//! In front of a fault proxy the faults happen inside TLS; behind [`super::super::proxy::Proxy::forward`] with a route,
//! a name of AWS leads here: name it in `names`, so that the certificate has it.

use super::process::Process;
use super::{python, python_script, root};

pub struct Tls {
    port: String,
    directory: tempfile::TempDir,
    _server: Process,
}

impl Tls {
    /// In front of host:port, for 127.0.0.1, localhost and `names`.
    pub fn to(upstream: &str, names: &[&str]) -> Tls {
        Tls::showing("server", upstream, names)
    }

    /// With another certificate of `tests/python/certificates.py`: `elsewhere` or `expired`.
    pub fn showing(certificate: &str, upstream: &str, names: &[&str]) -> Tls {
        let directory = crate::common::temp();
        python_script("certificates.py", &[&[directory.path().to_str().unwrap()], names].concat());
        let mut command = python();
        command.arg(root().join("tests/python/tls.py")).arg(upstream);
        command.arg(directory.path().join(format!("{certificate}.pem")));
        command.arg(directory.path().join(format!("{certificate}.key")));
        let mut server = Process::start(command, &directory.path().join("tls.log"));
        assert!(server.wait(|log| log.contains('.')), "{}", server.log());
        let port = server.log().trim().trim_start_matches("port ").trim_end_matches('.').to_owned();
        Tls { port, directory, _server: server }
    }

    /// host:port
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The path of a file that `tests/python/certificates.py` made.
    pub fn certificate(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().unwrap().to_owned()
    }
}
