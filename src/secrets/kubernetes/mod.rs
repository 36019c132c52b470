//! The Kubernetes provider: Secrets of a namespace, read through the API server. The `data` of each is one document.
//!
//! | module | contains |
//! |---|---|
//! | `exec_plugin`, `server` | programs that print credentials; an API server and its credentials |
//! | `kubeconfig` | the server and the user of the current context |
//! | `settings` | the settings, checked before anything is sent |
//! | `client` | requests, and the API server's errors |
//! | `reader` | Secrets by name or by label, as one document |
//! | `source` | the provider |

mod client;
mod exec_plugin;
mod kubeconfig;
mod reader;
mod server;
mod settings;
mod source;

pub(crate) use source::{ID, KubernetesSource};
