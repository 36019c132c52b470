//! Hosts of a cluster.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::common::temp_in_memory;
use crate::server::{Kind, Server};
use crate::worker::{Host, Worker, merged};

/// A key for the tests.
pub(crate) const KEY: &str = "Q0FOQVJZLWtleS1vZi10aGUtY2x1c3Rlci0zMmJ5dGU=";

/// A document in OpenBao, a server of the tier, and hosts that share through it.
pub(crate) struct Cluster {
    /// One host, which has the document and the proxy that counts its requests.
    pub(crate) source: Host,
    pub(crate) server: Box<dyn Server>,
    directories: RefCell<Vec<tempfile::TempDir>>,
}

impl Cluster {
    pub(crate) fn start(kind: Kind) -> Cluster {
        Cluster::with(kind.start())
    }

    pub(crate) fn with(server: Box<dyn Server>) -> Cluster {
        Cluster { source: Host::start(), server, directories: RefCell::default() }
    }

    /// The settings of a new host.
    pub(crate) fn settings(&self) -> Value {
        let directory = temp_in_memory();
        let settings = json!({
            "share_dir": directory.path().join("share"), "share_url": self.server.url(), "share_key": KEY,
            "timeout": 120,
        });
        self.directories.borrow_mut().push(directory);
        merged(self.source.settings(), settings)
    }

    /// A process of a new host.
    pub(crate) fn host(&self) -> Worker {
        Worker::start(&self.settings())
    }

    pub(crate) fn host_with(&self, more: Value) -> Worker {
        Worker::start(&merged(self.settings(), more))
    }

    pub(crate) fn put(&self, value: &str) {
        self.source.put(value);
    }

    pub(crate) fn loads(&self) -> usize {
        self.source.loads()
    }
}
