//! Redaction of a text that arrives in pieces.

use std::ops::Deref;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Redactor;
use super::index::{Beginning, Index};

/// The redaction of one text, which arrives in pieces.
///
/// A piece of text that may be the beginning of a value is held back until the next call shows whether it is.
pub struct Stream<'a> {
    redactor: Reference<'a>,
    /// The end of the text so far that may be the beginning of a value.
    held: Zeroizing<Vec<u8>>,
    /// How many bytes of it belong to an occurrence whose mask was written.
    masked: usize,
}

enum Reference<'a> {
    Borrowed(&'a Redactor),
    Shared(Arc<Redactor>),
}

impl Deref for Reference<'_> {
    type Target = Redactor;

    fn deref(&self) -> &Redactor {
        match self {
            Reference::Borrowed(redactor) => redactor,
            Reference::Shared(redactor) => redactor,
        }
    }
}

impl Redactor {
    /// Starts the redaction of a text that arrives in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(Reference::Borrowed(self))
    }

    /// As [`Redactor::stream`]; the stream keeps the redactor.
    pub fn into_stream(self: Arc<Redactor>) -> Stream<'static> {
        Stream::new(Reference::Shared(self))
    }
}

impl<'a> Stream<'a> {
    fn new(redactor: Reference<'a>) -> Stream<'a> {
        Stream { redactor, held: Zeroizing::default(), masked: 0 }
    }

    /// Takes the next piece of the text, and appends what is certain to `redacted`.
    pub fn write(&mut self, text: &[u8], redacted: &mut Vec<u8>) {
        let index = self.redactor.index();
        if self.held.is_empty() {
            let end = self.pass(&index, text, false, redacted);
            self.held = Zeroizing::new(text[end..].to_vec());
            return;
        }
        // At their final size, as a vector that grows leaves a copy behind.
        let mut joined = Zeroizing::new(Vec::with_capacity(self.held.len() + text.len()));
        joined.extend_from_slice(&self.held);
        joined.extend_from_slice(text);
        let end = self.pass(&index, &joined, false, redacted);
        self.held = Zeroizing::new(joined[end..].to_vec());
    }

    /// Returns how many bytes are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Appends what was held back to `redacted`. A caller whose input pauses does this, so that a prompt that looks
    /// like the beginning of a value is seen. A value that is split by such a pause is then not replaced.
    pub fn flush(&mut self, redacted: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.pass(&self.redactor.index(), &held, true, redacted);
        }
    }

    /// Ends the text: appends what was held back to `redacted`. The stream can be used for another text.
    pub fn end(&mut self, redacted: &mut Vec<u8>) {
        self.flush(redacted);
    }

    /// Redacts the text up to where a value begins that is not complete, and returns that position. `is_end`: no text
    /// follows, so there is none.
    fn pass(&mut self, index: &Index, text: &[u8], is_end: bool, redacted: &mut Vec<u8>) -> usize {
        // Everything before this position was written, or belongs to an occurrence whose mask was.
        let mut done = std::mem::take(&mut self.masked);
        let mut incomplete = None;
        for start in index.candidates(text) {
            match index.beginning(&text[start..], is_end) {
                Beginning::Neither => {}
                Beginning::Incomplete => {
                    incomplete = Some(start);
                    break;
                }
                Beginning::Pattern(pattern, len) => {
                    if start >= done {
                        redacted.extend_from_slice(&text[done..start]);
                        self.redactor.options.write_mask(pattern.value.name.as_deref(), redacted);
                    }
                    done = done.max(start + len);
                }
            }
        }
        let end = match incomplete {
            Some(start) => start,
            None if is_end => text.len(),
            None => index.incomplete_end(text),
        };
        if done < end {
            redacted.extend_from_slice(&text[done..end]);
            done = end;
        }
        self.masked = done - end;
        end
    }
}
