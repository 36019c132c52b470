//! Azure Key Vault with its login server, of `tests/python/clouds/azure_server.py`.
//!
//! [`Azure::real_names`] makes the names of Azure lead to it, through a proxy and with TLS, for this process and for
//! the programs that it starts: so Microsoft's own client, which wants these names, and the library ask the same.

use std::ops::Deref;

use serde_json::Value;

use super::cloud::{CloudServer, peer};
use super::{Tls, Variables};
use crate::common::proxy::Proxy;

pub const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
pub const READER: &str = "11111111-aaaa-4bbb-8ccc-000000000001";
pub const STRANGER: &str = "11111111-aaaa-4bbb-8ccc-000000000002";
pub const SECRET: &str = "CANARY-client-secret~0001";
/// The refresh token in the directory `cli`.
pub const REFRESH: &str = "CANARY-refresh-token-of-the-cli";
pub const IDENTITY_HEADER: &str = "CANARY-identity-header-1";
pub const VAULT: &str = "https://train.vault.azure.net";
const LOGIN: &str = "login.microsoftonline.com";

/// The files are `certificate.pem`, `token` and `bad_token`, and the directories of the Azure CLI `cli` and
/// `cli_expired`.
pub struct Azure(CloudServer);

/// The names of Azure on the way to a server.
pub struct RealNames {
    pub variables: Variables,
    pub proxy: Proxy,
    _tls: Tls,
}

impl Azure {
    pub fn start() -> Azure {
        Azure(CloudServer::start("azure"))
    }

    /// Variables with which the names of Azure lead here.
    pub fn real_names(&self) -> RealNames {
        let hosts = ["train.vault.azure.net", LOGIN];
        let tls = Tls::to(&self.address(), &hosts);
        let proxy = Proxy::forward();
        for host in hosts {
            proxy.route(&format!("{host}:443"), &tls.address());
        }
        let authority = tls.certificate("ca.pem");
        let variables = vec![
            ("HTTPS_PROXY".to_owned(), proxy.url()),
            ("SSL_CERT_FILE".to_owned(), authority.clone()),
            ("REQUESTS_CA_BUNDLE".to_owned(), authority),
        ];
        RealNames { variables, proxy, _tls: tls }
    }
}

impl Deref for Azure {
    type Target = CloudServer;

    fn deref(&self) -> &CloudServer {
        &self.0
    }
}

/// What Microsoft's own client reads: see `tests/python/clouds/azure_peer.py`.
pub fn azure_peer(kind: &str, variables: &[(&str, String)], asked: &Value) -> Value {
    let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
    let arguments: Vec<String> = variables.chain([VAULT.to_owned(), kind.to_owned()]).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    peer("azure", &arguments, asked)
}
