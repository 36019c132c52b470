//! What the stores of clouds that are read over REST have in common: one value is one secret, and a request carries a
//! bearer token.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `server_error` | errors of servers |
//! | `url`, `credential`, `named`, `filter`, `target` | settings: URLs, credentials, which secrets are read |
//! | `jwt` | signed tokens |
//! | `session` | requests of one load |
//! | `token` | access tokens: caching, one login at a time |
//! | `store` | the interface of a cloud's store |
//! | `load` | one load as a document |
//! | `source` | the provider |

mod credential;
mod filter;
mod jwt;
mod load;
mod named;
mod server_error;
mod session;
mod source;
mod store;
mod target;
mod token;
mod url;

pub(super) use credential::Credential;
pub(super) use filter::{Filter, FilterWords};
pub(super) use jwt::{Algorithm, RsaSigningKey, base64url};
pub(super) use named::{Named, default_name, named};
pub(super) use server_error::{ServerError, cleaned};
pub(super) use session::{Call, Session, form, header, not_the_server};
pub(super) use source::{CloudSource, Common};
pub(super) use store::{CloudStore, Nouns, StoreLookup};
pub(super) use target::Target;
pub(super) use token::AccessToken;
pub(super) use url::{any as any_url, checked, is_safe};
