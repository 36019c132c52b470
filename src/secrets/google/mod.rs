//! Google Secret Manager: secrets of a project, each one value or a JSON object of keys and values.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `crc32c` | the checksum of values |
//! | `names` | which secrets are read |
//! | `settings` | the settings of the provider |
//! | `executable`, `files` | programs that print a token; credential files |
//! | `aws` | the identity at AWS |
//! | `credentials` | where credentials come from |
//! | `metadata`, `login` | the metadata server; access tokens |
//! | `manager` | requests to Secret Manager |
//! | `provider` | the provider |

mod aws;
mod crc32c;
mod credentials;
mod executable;
mod files;
mod login;
mod manager;
mod metadata;
mod names;
mod provider;
mod settings;

pub(super) use aws::AwsIdentity;
pub(super) use provider::{ID, open, open_table};
