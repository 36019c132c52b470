//! The AWS providers: secrets of AWS Secrets Manager, each a JSON object of names and values, or one value; parameters
//! of Systems Manager, by path.
//!
//! | module | contains |
//! |---|---|
//! | `settings`, `identifiers` | settings, secret ids and regions, checked before anything is sent |
//! | `target`, `selection`, `filter`, `parameter_paths` | what is read: which secrets and parameters |
//! | `ini`, `profiles` | the files that the AWS tools share |
//! | `watched_files` | whether those files have changed since a load failed |
//! | `endpoint` | the hosts of services in each partition |
//! | `keys` | AWS key pairs |
//! | `credentials` | credential providers: resolution, caching, refresh |
//! | `call`, `client`, `signer`, `clock_offsets` | signed calls with retries, corrected for clock skew |
//! | `service_error`, `errors` | error responses, error messages |
//! | `fields`, `xml` | the JSON and XML of responses |
//! | `json_service`, `secrets_manager`, `sts` | the services |
//! | `batch_calls` | whether secrets are read in one call or one by one |
//! | `secrets`, `listed`, `parameters` | documents of each kind of target |
//! | `agent`, `agent_token`, `agent_load` | the same secrets from AWS's agent on this machine |
//! | `session`, `load`, `health` | one load of everything, one health check |
//! | `queue` | changes of secrets that EventBridge reports |
//! | `write`, `uuid` | a change of one key of a secret; random identifiers |
//! | `caller` | who the caller is, for logins at other servers |
//! | `state`, `source` | what is kept from load to load; the provider itself |

mod agent;
mod agent_load;
mod agent_token;
mod batch_calls;
mod call;
#[cfg(any(feature = "google", feature = "vault"))]
mod caller;
mod client;
mod clock_offsets;
mod credentials;
mod endpoint;
mod errors;
mod filter;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod health;
mod identifiers;
mod ini;
mod json_service;
mod keys;
pub(super) mod kms;
mod listed;
mod load;
mod parameter_paths;
mod parameters;
mod profiles;
mod queue;
mod secrets;
mod secrets_manager;
mod selection;
mod service_error;
mod session;
mod settings;
mod signer;
mod source;
mod state;
mod sts;
mod target;
mod times;
mod uuid;
mod watched_files;
mod write;
mod xml;

#[cfg(any(feature = "google", feature = "vault"))]
pub(super) use caller::Caller;
#[cfg(feature = "vault")]
pub(super) use caller::SignedCall;
pub(crate) use source::{AwsSource, ID, PARAMETERS_ID};
pub(crate) use state::AwsCommon;
