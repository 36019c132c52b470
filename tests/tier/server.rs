//! Servers through which hosts share. Each test of [`on_each_server`] runs on all of them.

use std::any::Any;

use crate::common::servers::process::Process;
use crate::etcd::Etcd;
use crate::redis::Redis;

pub(crate) const PASSWORD: &str = "CANARY-tier-password";

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Redis,
    Etcd,
}

/// Runs each of these functions as a test on each kind of server.
macro_rules! on_each_server {
    ($($name:ident),+ $(,)?) => {
        mod redis {
            $(#[test]
            fn $name() {
                super::$name(crate::server::Kind::Redis);
            })+
        }
        mod etcd {
            $(#[test]
            fn $name() {
                super::$name(crate::server::Kind::Etcd);
            })+
        }
    };
}
pub(crate) use on_each_server;

impl Kind {
    pub(crate) fn start(self) -> Box<dyn Server> {
        match self {
            Kind::Redis => Box::new(Redis::start_with(&[])),
            Kind::Etcd => Box::new(Etcd::start_with(&[])),
        }
    }

    /// One that stores nothing more.
    pub(crate) fn start_full(self) -> Box<dyn Server> {
        match self {
            Kind::Redis => Box::new(Redis::start_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"])),
            Kind::Etcd => Box::new(Etcd::start_full()),
        }
    }

    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Kind::Redis => "redis",
            Kind::Etcd => "etcd",
        }
    }

    /// The URL of a tier at this address, for the user of the documentation.
    pub(crate) fn url(self, address: &str) -> String {
        format!("{}://st-secrets:{PASSWORD}@{address}", self.scheme())
    }

    /// Servers that answer what this kind does not: each with its address.
    pub(crate) fn impostors(self) -> Vec<(Box<dyn Any>, String)> {
        match self {
            Kind::Redis => crate::redis::impostors(),
            Kind::Etcd => crate::etcd::impostors(),
        }
    }
}

/// What the tests do with a server, as its administrator.
pub(crate) trait Server {
    fn kind(&self) -> Kind;

    fn process(&self) -> &Process;

    fn stop(&mut self);

    /// Starts a server that was stopped, with what it has stored on its disk.
    fn run(&mut self);

    /// Starts a server that was stopped, without anything that it had stored.
    fn run_empty(&mut self);

    fn address(&self) -> String;

    fn url(&self) -> String {
        self.kind().url(&self.address())
    }

    /// The URL of its socket, if it has one.
    fn socket(&self) -> Option<String> {
        None
    }

    /// The keys that end like this: `rev`, `doc`, `load`.
    fn keys(&self, end: &str) -> Vec<String>;

    fn count(&self, end: &str) -> usize {
        self.keys(end).len()
    }

    /// The name of the only one.
    fn key(&self, end: &str) -> String {
        let keys = self.keys(end);
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }

    fn copy(&self, from: &str, to: &str);

    /// Changes one byte of a document.
    fn damage(&self, key: &str);

    /// Removes all keys.
    fn flush(&self);

    /// Increases the revision as a script does.
    fn increase_revision(&self);

    /// Sets the revision back, as a server does that is restored from an old copy.
    fn lower_revision(&self);

    /// Makes it so many seconds since each host looked, in the records of the server.
    fn silence_hosts(&self, seconds: u64);

    /// Takes permissions from the user.
    fn forbid(&self);

    /// What the operator sees during an action, on the network and then on the disk.
    fn seen_during(&self, action: &mut dyn FnMut()) -> Vec<u8>;
}
