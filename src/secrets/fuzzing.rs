//! Entry points of the fuzzers, see [`crate::fuzzing`].

pub use super::aws::fuzzing::{aws_response, credential_file};
pub use super::document_provider::fuzzing::shared_document;
pub use super::exec::fuzzing::exec_output;
pub use super::file::fuzzing::{json_file, yaml_file};
pub use super::vault::fuzzing::vault_response;
