//! Input and output buffers of a connection, which are wiped.

use ureq::unversioned::transport::Buffers;
use zeroize::Zeroizing;

use crate::http::limits::{MAX_HEADER, OUTPUT_BUFFER};

/// A whole response header must fit, and at least one byte more, which shows that a header is too long.
const INPUT_BUFFER: usize = MAX_HEADER + 8 * 1024;

/// One buffer for each direction. Their sizes are fixed, because a buffer that grows leaves copies behind.
pub(super) struct WipedBuffers {
    input: Zeroizing<Vec<u8>>,
    consumed: usize,
    filled: usize,
    output: Zeroizing<Vec<u8>>,
    /// Whether the last call of `input_consume` consumed something.
    progress: bool,
}

impl WipedBuffers {
    pub(super) fn new() -> WipedBuffers {
        WipedBuffers {
            input: Zeroizing::new(vec![0; INPUT_BUFFER]),
            consumed: 0,
            filled: 0,
            output: Zeroizing::new(vec![0; OUTPUT_BUFFER]),
            progress: false,
        }
    }

    /// Moves the unconsumed input to the front.
    fn make_room(&mut self) {
        if self.consumed > 0 {
            self.input.copy_within(self.consumed..self.filled, 0);
            self.filled -= self.consumed;
            self.consumed = 0;
        }
    }
}

impl Buffers for WipedBuffers {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.make_room();
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.consumed += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.make_room();
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.filled > self.consumed && self.progress
    }
}
