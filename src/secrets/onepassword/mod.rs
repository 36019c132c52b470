//! 1Password: items of a vault, read through a Connect server. The fields of each item are keys and values.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `names` | which items and fields are read |
//! | `item` | the fields of an item |
//! | `connect` | requests to the Connect server |
//! | `provider` | the provider |

mod connect;
mod item;
mod names;
mod provider;

pub(super) use provider::{ID, open, open_table};
