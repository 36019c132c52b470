//! Redaction: removes secret values from text that is printed or logged.
//!
//! A [`Redactor`] replaces each occurrence of a value with a mask, in the forms in which programs print values: raw,
//! escaped (JSON, Python's `repr`, shells), percent-encoded, hexadecimal, base64 and base64url at any alignment,
//! UTF-16LE. For a value of several lines, each line that is long enough is replaced too. Where occurrences overlap,
//! all of them are replaced, by one mask.
//!
//! [`Redactor::stream`] redacts text that arrives in pieces, with the same result however the text is divided.
//!
//! Values shorter than [`Options::shortest`] are not replaced: they would match ordinary text.
//!
//! The search uses Aho-Corasick automatons (Aho and Corasick, CACM 1975), which hold copies of the values on the heap.
//! The C library wipes them when they are freed.

use std::collections::HashSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use parking_lot::Mutex;
use zeroize::Zeroize;

use crate::error::{Error, Result, Status};
use crate::fork;

mod patterns;
mod stream;

pub use stream::Stream;

/// Up to this size of all patterns of an automaton it is a table of all transitions, which is faster.
const DENSE: usize = 128 * 1024;

/// The settings of a [`Redactor`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The length of the shortest value that is replaced, in bytes; at least 4.
    pub shortest: usize,
    /// What replaces a value.
    pub mask: String,
}

/// Values of at least 8 bytes are replaced with `***`.
impl Default for Options {
    fn default() -> Options {
        Options { shortest: 8, mask: "***".to_owned() }
    }
}

/// Replaces secret values in text. It can be shared between threads.
pub struct Redactor {
    options: Options,
    automatons: Mutex<Arc<Vec<Automaton>>>,
}

/// Finds a set of patterns.
#[derive(Clone)]
struct Automaton {
    search: AhoCorasick,
    /// All patterns, sorted; used to find the beginning of a pattern at the end of a text.
    sorted: Arc<Patterns>,
}

struct Patterns {
    sorted: Vec<Vec<u8>>,
    longest: usize,
    /// Whether a pattern begins with this byte.
    first: [bool; 256],
}

impl Drop for Patterns {
    fn drop(&mut self) {
        self.sorted.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// A range of a text that is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    start: usize,
    end: usize,
}

impl Redactor {
    /// Creates a redactor that replaces nothing yet.
    pub fn new(options: Options) -> Result<Redactor> {
        if options.shortest < 4 {
            let shortest = options.shortest;
            return Err(Error::invalid_argument(format!("`shortest` is {shortest}; it must be at least 4")));
        }
        Ok(Redactor { options, automatons: Mutex::new(Arc::default()) })
    }

    /// Adds values. From now on they are replaced. Values that are too short are ignored; returns the number of others.
    ///
    /// An error of status [`Status::NoMemory`] means that the values are too many or too long for an automaton.
    pub fn add<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<usize> {
        let (mut added, mut forms) = (0, HashSet::new());
        for value in values {
            if value.len() >= self.options.shortest {
                added += 1;
                forms.extend(patterns::patterns(value, self.options.shortest));
            }
        }
        let _guard = fork::protect();
        let mut current = self.automatons.lock();
        forms.retain(|form| !current.iter().any(|automaton| automaton.sorted.contains(form)));
        if forms.is_empty() {
            return Ok(added);
        }
        // Sizes grow by a factor of two at least from the last to the first (Bentley and Saxe's logarithmic method), so
        // adding values one by one costs each pattern a few rebuilds.
        let mut automatons = (**current).clone();
        while let Some(last) = automatons.pop_if(|last| last.sorted.sorted.len() < 2 * forms.len()) {
            forms.extend(last.sorted.sorted.iter().cloned());
        }
        automatons.push(Automaton::new(forms)?);
        *current = Arc::new(automatons);
        Ok(added)
    }

    /// Returns the text with every value replaced.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut redacted = Vec::with_capacity(text.len());
        let mut stream = self.stream();
        stream.write(text, &mut redacted);
        stream.end(&mut redacted);
        redacted
    }

    /// Starts the redaction of a text that arrives in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(self)
    }

    fn automatons(&self) -> Arc<Vec<Automaton>> {
        let _guard = fork::protect();
        self.automatons.lock().clone()
    }
}

impl Automaton {
    fn new(forms: HashSet<Vec<u8>>) -> Result<Automaton> {
        let mut sorted: Vec<Vec<u8>> = forms.into_iter().collect();
        sorted.sort_unstable();
        let mut first = [false; 256];
        sorted.iter().for_each(|pattern| first[usize::from(pattern[0])] = true);
        let size: usize = sorted.iter().map(Vec::len).sum();
        let kind = if size <= DENSE { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let search = AhoCorasick::builder().match_kind(MatchKind::Standard).kind(Some(kind)).build(&sorted);
        let search =
            search.map_err(|_| Error::new(Status::NoMemory, "the values to redact are too many or too long"))?;
        let longest = sorted.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Automaton { search, sorted: Arc::new(Patterns { sorted, longest, first }) })
    }

    /// Adds the ranges of all occurrences, which may overlap.
    fn find(&self, text: &[u8], ranges: &mut Vec<Range>) {
        // This search can skip text without a match; the other one, of matches that overlap, cannot.
        let Some(first) = self.search.find(text) else { return };
        let start = first.end().saturating_sub(self.sorted.longest);
        let found = self.search.find_overlapping_iter(&text[start..]);
        ranges.extend(found.map(|found| Range { start: start + found.start(), end: start + found.end() }));
    }
}

impl Patterns {
    fn contains(&self, pattern: &[u8]) -> bool {
        self.sorted.binary_search_by(|other| other.as_slice().cmp(pattern)).is_ok()
    }

    /// Returns where the longest end of the text begins that is the beginning of a pattern, but not all of it.
    fn beginning_at_end(&self, text: &[u8]) -> usize {
        let from = (text.len() + 1).saturating_sub(self.longest);
        let begins = |at: &usize| {
            let rest = &text[*at..];
            let next = self.sorted.partition_point(|pattern| pattern.as_slice() <= rest);
            self.sorted.get(next).is_some_and(|pattern| pattern.starts_with(rest))
        };
        (from..text.len()).filter(|at| self.first[usize::from(text[*at])]).find(begins).unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests;
