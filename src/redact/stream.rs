//! Redaction of a text that arrives in pieces.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Automaton, Range, Redactor};

/// The redaction of one text, which arrives in pieces.
///
/// A piece of text that may be the beginning of a value is held back until the next call shows whether it is.
pub struct Stream<'a> {
    redactor: &'a Redactor,
    /// The end of the text so far that may be the beginning of a value.
    held: Zeroizing<Vec<u8>>,
    /// How many bytes of it belong to an occurrence whose mask was written.
    masked: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(redactor: &'a Redactor) -> Stream<'a> {
        Stream { redactor, held: Zeroizing::default(), masked: 0 }
    }

    /// Takes the next piece of the text, and appends what is certain to `redacted`.
    pub fn write(&mut self, text: &[u8], redacted: &mut Vec<u8>) {
        let automatons = self.redactor.automatons();
        let beginning = |text: &[u8]| automatons.iter().map(|automaton| automaton.sorted.beginning_at_end(text)).min();
        if self.held.is_empty() {
            let end = beginning(text).unwrap_or(text.len());
            self.pass(&automatons, text, end, redacted);
            self.held = Zeroizing::new(text[end..].to_vec());
            return;
        }
        // At their final size, as a vector that grows leaves a copy behind.
        let mut joined = Zeroizing::new(Vec::with_capacity(self.held.len() + text.len()));
        joined.extend_from_slice(&self.held);
        joined.extend_from_slice(text);
        let end = beginning(&joined).unwrap_or(joined.len());
        self.pass(&automatons, &joined, end, redacted);
        self.held = Zeroizing::new(joined[end..].to_vec());
    }

    /// Returns how many bytes are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Appends what was held back to `redacted`. A caller whose input pauses does this, so that a prompt that looks like
    /// the beginning of a value is seen. A value that is split by such a pause is then not replaced.
    pub fn flush(&mut self, redacted: &mut Vec<u8>) {
        self.end(redacted);
    }

    /// Ends the text: appends what was held back to `redacted`. The stream can be used for another text.
    pub fn end(&mut self, redacted: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.pass(&self.redactor.automatons(), &held, held.len(), redacted);
    }

    /// Redacts the text up to `end`. No occurrence that is not complete begins before it.
    fn pass(&mut self, automatons: &Arc<Vec<Automaton>>, text: &[u8], end: usize, redacted: &mut Vec<u8>) {
        let mut ranges = Vec::new();
        automatons.iter().for_each(|automaton| automaton.find(text, &mut ranges));
        ranges.sort_unstable_by_key(|range| range.start);
        // Everything before this position was written, or belongs to an occurrence whose mask was.
        let mut done = std::mem::take(&mut self.masked);
        for Range { start, end: to } in ranges {
            if start >= end {
                break;
            }
            if start >= done {
                redacted.extend_from_slice(&text[done..start]);
                redacted.extend_from_slice(self.redactor.options.mask.as_bytes());
            }
            done = done.max(to);
        }
        if done < end {
            redacted.extend_from_slice(&text[done..end]);
            done = end;
        }
        self.masked = done - end;
    }
}
