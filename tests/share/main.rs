//! Processes of one host share what one of them has loaded: from OpenBao and moto, behind proxies that count requests,
//! and from programs.

mod aws_logins;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod directory;
mod failures;
mod format;
mod kills;
mod loads;
mod programs;
mod sources;
mod vault_logins;
mod worker;
