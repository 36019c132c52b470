//! Azure Key Vault: secrets of a vault, each one value or a JSON object of keys and values.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `names` | which secrets are read |
//! | `files`, `cli_files` | files with credentials; those of the Azure CLI |
//! | `credentials` | where credentials come from |
//! | `challenge` | what a vault says about tokens |
//! | `login` | access tokens |
//! | `vault` | requests to Key Vault |
//! | `provider` | the provider |

mod challenge;
mod cli_files;
mod credentials;
mod files;
mod login;
mod names;
mod provider;
mod vault;

pub(super) use provider::{ID, open, open_table};
