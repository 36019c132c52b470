//! AWS credential providers: resolution, caching, refresh.
//!
//! | module | contains |
//! |---|---|
//! | `chain`, `profile` | which provider the settings select |
//! | `provider` | [`CredentialProvider`]: all kinds of providers |
//! | `cache` | [`CredentialCache`]: keeps credentials from load to load and refreshes them before they expire |
//! | `variables`, `static_keys` | keys in environment variables and profiles |
//! | `role` | AssumeRole, AssumeRoleWithWebIdentity |
//! | `sso`, `process` | IAM Identity Center, `credential_process` |
//! | `login`, `dpop` | `aws login`, and the proofs that its requests carry |
//! | `container`, `instance`, `metadata` | endpoints of ECS, EKS and EC2 |
//! | `context` | what fetching needs and returns |

mod cache;
mod chain;
mod container;
mod context;
mod dpop;
mod instance;
mod login;
mod metadata;
mod process;
mod profile;
mod provider;
mod role;
mod sso;
mod static_keys;
mod variables;

pub(super) use cache::{CachedCredentials, CredentialCache};
pub(super) use chain::{resolve, source};
pub(super) use context::FetchContext;
pub(super) use instance::region as region_of_instance;
pub(super) use metadata::{InstanceState, MetadataClient, read_token};
pub(super) use provider::CredentialProvider;
