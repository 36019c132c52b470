//! The program `st-secrets`, run as people and scripts run it.

mod bad_use;
mod cipher;
mod export;
mod home;
mod names;
mod report;
mod run;
mod store;
mod terminal;
mod tree;
mod value;
