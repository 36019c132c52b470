//! Secrets and their providers. A [`Manager`] queries its providers in order; the first that has the key returns the
//! value.
//!
//! | provider | reads | writable |
//! |---|---|---|
//! | `env` | environment variables, on every get | no |
//! | `credentials` | the credentials that systemd passes to a service | no |
//! | `file` | a JSON or YAML file, or a directory of files, checked for changes at most once a second | if it is a file |
//! | `aws` | AWS Secrets Manager: all keys of a secret at once, or one value, cached for `cache_ttl` | with `set_provider` |
//! | `aws_parameters` | parameters of AWS Systems Manager below a path, in the same way | no |
//! | `kubernetes` | Secrets of a Kubernetes API server, in the same way | no |
//! | `vault` | HashiCorp Vault or OpenBao, in the same way | with `set_provider` |
//! | `google`, `azure` | Google Secret Manager, Azure Key Vault, in the same way | no |
//! | `onepassword` | items of 1Password, through a Connect server, in the same way | no |
//! | `infisical` | secrets of Infisical, in the same way | no |
//! | `huggingface` | the secret `HF_TOKEN` under other names, and in the token file of Hugging Face's tools | no |
//! | `exec` | the output of a program that the configuration names, cached in the same way | no |
//! | custom | a callback of the program, whose answers are cached for `cache_ttl` | no |
//!
//! ```
//! use st_secrets::{Config, Manager, Status};
//!
//! # fn main() -> st_secrets::Result<()> {
//! let mut config = Config::new();
//! config.set("providers", r#"["env"]"#)?;
//! config.set("env_prefix", "MYAPP")?;
//! let secrets = Manager::open(&config)?;
//! match secrets.get("hf-token") {
//!     Ok(secret) => println!("{} bytes from {}", secret.value().len(), secret.provider()),
//!     Err(error) if error.status() == Status::NotFound => println!("{error}"),
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
mod changes;
#[cfg(any(feature = "azure", feature = "google", feature = "infisical", feature = "onepassword"))]
mod cloud;
#[cfg(any(feature = "azure", feature = "google", feature = "kubernetes"))]
mod credential_program;
mod credentials;
mod custom;
#[cfg(any(feature = "aws", feature = "vault"))]
mod data_key;
mod document;
mod document_provider;
mod entries;
mod env;
#[cfg(feature = "exec")]
mod exec;
mod file;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
#[cfg(feature = "google")]
mod google;
mod huggingface;
#[cfg(feature = "infisical")]
mod infisical;
mod json;
mod key;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod listen;
mod lookup;
mod lookup_cache;
mod manager;
#[cfg(any(
    feature = "aws",
    feature = "azure",
    feature = "google",
    feature = "infisical",
    feature = "kubernetes",
    feature = "onepassword",
    feature = "vault"
))]
mod merge;
mod names;
mod not_configured;
#[cfg(feature = "onepassword")]
mod onepassword;
mod opening;
mod peek;
mod provider;
mod provider_table;
mod providers;
mod remote_group;
mod report;
mod secret;
mod shared_login;
mod single_flight;
mod stats;
#[cfg(feature = "vault")]
mod vault;
mod watches;
pub mod well_known;

pub(crate) use key::is_plain;
pub use listen::Scope;
pub use manager::{GetOptions, Manager};
pub use names::ProviderNames;
pub use secret::Secret;
