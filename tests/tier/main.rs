//! Hosts that share through Redis or etcd: each has a directory and processes of its own, and the same OpenBao.

mod cache;
mod cache_faults;
mod cache_removal;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod data_key;
mod etcd;
mod faults;
#[allow(clippy::print_stdout, reason = "it says how many gets there were")]
mod invalidate;
mod loads;
mod members;
#[allow(clippy::print_stdout, reason = "it says what this machine does not allow")]
mod partition;
mod redis;
mod server;
mod settings;
mod sources;
#[path = "../share/worker.rs"]
#[allow(dead_code, reason = "the tests of the share use the rest")]
mod worker;
