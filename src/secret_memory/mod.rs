//! Memory for secrets: excluded from core files, locked against swapping where possible, and wiped when it is freed.
//!
//! [`SecretBytes`] and [`SecretBox`] live in the [`arena`]. [`SharedBytes`] live on the heap: they are for cached
//! values, which may be too many for the arena, and are wiped too.

#[cfg(feature = "wiping-allocator")]
mod allocator;
pub(crate) mod arena;
mod bytes;
mod copy;
mod ref_count;
mod secret_box;
mod shared;
mod spare;
mod stack;

pub(crate) use bytes::SecretBuffer;
pub use bytes::SecretBytes;
pub(crate) use copy::{copy, copy_to};
pub(crate) use secret_box::SecretBox;
pub use shared::SharedBytes;
pub(crate) use stack::{wipe_stack, wipe_stack_below};
