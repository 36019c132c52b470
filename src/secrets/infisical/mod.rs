//! Infisical: secrets of a project, at paths of an environment.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `names` | which paths and secrets are read |
//! | `settings` | the server, the project and the credentials |
//! | `login` | access tokens |
//! | `client` | requests for secrets |
//! | `provider` | the provider |

mod client;
mod login;
mod names;
mod provider;
mod settings;

pub(super) use provider::{ID, open, open_table};
