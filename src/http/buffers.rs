//! The bytes of a connection on their way, in memory that is wiped.

use ureq::unversioned::transport::Buffers;
use zeroize::Zeroizing;

/// The longest head of an answer that is read.
pub(super) const LONGEST_HEAD: usize = 64 * 1024;
/// The longest line of the head of a request: one has to fit into the output as a whole.
pub(super) const LONGEST_LINE: usize = OUTPUT - 1024;
/// A head has to fit as a whole, with one byte more to see that it is too long.
const INPUT: usize = LONGEST_HEAD + 8 * 1024;
const OUTPUT: usize = 32 * 1024;

/// One buffer for each direction, of fixed sizes: one that grows would leave copies behind.
pub(super) struct WipedBuffers {
    input: Zeroizing<Vec<u8>>,
    consumed: usize,
    filled: usize,
    output: Zeroizing<Vec<u8>>,
    /// Whether the last look at the input took something out of it.
    progress: bool,
}

impl WipedBuffers {
    pub(super) fn new() -> WipedBuffers {
        WipedBuffers {
            input: Zeroizing::new(vec![0; INPUT]),
            consumed: 0,
            filled: 0,
            output: Zeroizing::new(vec![0; OUTPUT]),
            progress: false,
        }
    }

    /// Moves what is not consumed to the front.
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
