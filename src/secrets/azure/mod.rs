//! Azure Key Vault: secrets of a vault, each one value or a JSON object of keys and values.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `names` | which secrets are read |
//! | `credentials` | where credentials come from |
//! | `challenge` | what a vault says about tokens |
//! | `login` | access tokens |
//! | `vault` | requests to Key Vault |
//! | `provider` | the provider |

mod challenge;
mod credentials;
mod login;
mod names;
mod provider;
mod vault;

pub(super) use provider::{ID, open, open_table};
