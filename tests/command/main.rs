//! The program `st-secrets`, run as users and scripts run it.

mod bad_use;
mod cipher;
#[path = "../common/mod.rs"]
mod common;
mod export;
mod home;
mod memory_file;
mod names;
mod piped;
mod programs;
mod redact;
mod redact_terminal;
mod report;
mod run;
mod session;
mod share;
mod store;
mod terminal;
mod tree;
mod value;
mod watch;
