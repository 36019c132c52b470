//! The servers that can be a tier.

use std::sync::Arc;

use super::TlsSettings;
use super::address::{TierAddress, TierServer};
use super::engine::Engine;
use super::etcd::Etcd;
use super::gateway::Gateway;
use super::redis::Redis;
use crate::error::Result;
use crate::http;
use crate::settings::{InvalidSetting, Setting};

/// The server at this URL. The keys there begin with the name of the cluster.
pub(super) fn open_engine(url: &Setting, tls: TlsSettings, cluster: &str) -> Result<Box<dyn Engine>, InvalidSetting> {
    let TierAddress { place, name, user, password } = TierAddress::parse(url)?;
    let settings = http::ClientSettings {
        roots: tls.roots,
        client_certificate: tls.client_certificate,
        ..http::ClientSettings::default()
    };
    Ok(match place {
        TierServer::Redis { server, database } => {
            let (dialer, prefix) = (http::Dialer::new(server, name, settings), format!("sts1:{{{cluster}}}:"));
            Box::new(Redis { dialer, user, password, database, prefix })
        }
        TierServer::Etcd(members) => {
            let gateway = Arc::new(Gateway::new(name, members, settings, user.zip(password)));
            Box::new(Etcd { gateway, leases: Arc::default(), prefix: format!("sts1/{cluster}/") })
        }
    })
}
