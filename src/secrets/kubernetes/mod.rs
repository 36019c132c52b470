//! The Kubernetes provider: Secrets of a namespace, read through the API server. The `data` of each is one document.
//!
//! | module | contains |
//! |---|---|
//! | `settings` | the settings, checked before anything is sent |
//! | `client` | requests, and the API server's errors |
//! | `reader` | Secrets by name or by label, as one document |
//! | `source` | the provider |

mod client;
mod reader;
mod settings;
mod source;

pub(crate) use source::{ID, KubernetesSource};
