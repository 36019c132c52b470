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
//! Values cannot be removed again. The search uses Aho-Corasick automatons (Aho and Corasick, CACM 1975). Their tables
//! are copies of the values on the heap; only a program whose allocator wipes memory wipes these when they are freed.
//! All other copies that are kept are wiped.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::fork;

mod patterns;
mod stream;

pub use stream::Stream;

/// Up to this size of all patterns, in bytes, an automaton is a table of all transitions: faster, and up to 512 bytes
/// of memory for each byte of a pattern. Above it the automaton takes about 30.
const DENSE: usize = 16 * 1024;

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

/// One form of a value.
type Pattern = Zeroizing<Vec<u8>>;

struct Patterns {
    sorted: Vec<Pattern>,
    longest: usize,
    /// Whether a pattern begins with this byte.
    first: [bool; 256],
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
        let (mut added, mut forms) = (0, Vec::new());
        for value in values {
            if value.len() >= self.options.shortest {
                added += 1;
                forms.extend(patterns::patterns(value, self.options.shortest));
            }
        }
        forms.sort_unstable_by(|a, b| a.as_slice().cmp(b));
        forms.dedup();
        // Automatons are built without the lock, as that takes long.
        loop {
            let current = self.automatons();
            let Some(extended) = extended(&current, &forms)? else { return Ok(added) };
            if self.replace(&current, extended) {
                return Ok(added);
            }
        }
    }

    /// Replaces the automatons, unless another thread did so first.
    fn replace(&self, expected: &Arc<Vec<Automaton>>, new: Vec<Automaton>) -> bool {
        let _guard = fork::protect();
        let mut current = self.automatons.lock();
        let is_expected = Arc::ptr_eq(&current, expected);
        if is_expected {
            // The caller drops the old ones.
            *current = Arc::new(new);
        }
        is_expected
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

/// Returns automatons for these patterns too; `None` if the present ones have all of them. The patterns are sorted.
///
/// Sizes grow by a factor of two at least from the last automaton to the first (the logarithmic method of Bentley and
/// Saxe), so adding values one by one rebuilds each pattern only a few times.
fn extended(current: &[Automaton], forms: &[Pattern]) -> Result<Option<Vec<Automaton>>> {
    let is_new = |form: &&Pattern| !current.iter().any(|automaton| automaton.sorted.contains(form));
    let mut sorted: Vec<Pattern> = forms.iter().filter(is_new).cloned().collect();
    if sorted.is_empty() {
        return Ok(None);
    }
    let mut automatons = current.to_vec();
    while let Some(last) = automatons.pop_if(|last| last.sorted.sorted.len() < 2 * sorted.len()) {
        sorted.extend(last.sorted.sorted.iter().cloned());
    }
    sorted.sort_unstable_by(|a, b| a.as_slice().cmp(b));
    automatons.push(Automaton::new(sorted)?);
    Ok(Some(automatons))
}

impl Automaton {
    /// `sorted` is sorted and has no duplicates.
    fn new(sorted: Vec<Pattern>) -> Result<Automaton> {
        let mut first = [false; 256];
        sorted.iter().for_each(|pattern| first[usize::from(pattern[0])] = true);
        let size: usize = sorted.iter().map(|pattern| pattern.len()).sum();
        let kind = if size <= DENSE { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(sorted.iter().map(|pattern| pattern.as_slice()));
        let search =
            search.map_err(|_| Error::new(Status::NoMemory, "the values to redact are too many or too long"))?;
        let longest = sorted.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
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
