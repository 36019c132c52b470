//! Sizes that several modules share.

/// The longest response header that is read, status line included.
pub(super) const MAX_HEADER: usize = 64 * 1024;
/// The output buffer of a connection.
pub(super) const OUTPUT_BUFFER: usize = 32 * 1024;
/// The longest line of a request header: each line must fit into the output buffer.
pub(super) const MAX_LINE: usize = OUTPUT_BUFFER - 1024;
