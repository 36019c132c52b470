//! The search for many patterns at once.
//!
//! Nearly all text contains no pattern, so the search skips it: it looks only at every few bytes of the text, at four
//! bytes each, and in a table whether the first bytes of any pattern contain these four (Wu and Manber, "A fast
//! algorithm for multi-pattern searching", 1994). Where they do, another table shows whether a pattern begins with the
//! next 8 and 16 bytes. Only then are the sorted patterns searched.

use std::sync::Arc;

use super::value::Pattern;

/// How many bytes of the text are looked up in the table at once.
const GRAM: usize = 4;
/// How many bytes at the beginning of a pattern the table covers at most. The distance between two lookups is at most
/// `MAX_WINDOW - GRAM + 1`, 8, as a byte of the table has 8 bits.
const MAX_WINDOW: usize = 11;
/// Patterns of at least this many bytes are in the table with this many, too: many values begin alike, as URLs do.
const LONG: usize = 16;
/// In the table of beginnings: a pattern shorter than [`LONG`] begins with these bytes.
const SHORT_PATTERN: u8 = 1;
/// In the table of beginnings: a longer pattern begins with these bytes.
const LONG_PATTERN: u8 = 2;
/// In the table of beginnings: the first [`LONG`] bytes of a pattern are these.
const LONG_BEGINNING: u8 = 4;
/// The number of table slots for each entry. About one lookup in this many is a false positive.
const PLACES: usize = 32;
/// The numbers of bits of an index into a table.
const TABLE_BITS: std::ops::RangeInclusive<u32> = 12..=20;

/// Patterns, and the tables for their search. It is not changed.
pub(super) struct Index {
    /// From large to small.
    sets: Vec<Arc<Set>>,
    tables: Tables,
}

/// Patterns, sorted and without duplicates.
struct Set(Vec<Pattern>);

/// What a text begins with.
pub(super) enum Beginning<'a> {
    /// A pattern, of which this is the longest one.
    Pattern(&'a Pattern, usize),
    /// All of the text is the beginning of a longer pattern.
    Incomplete,
    Neither,
}

impl Index {
    /// An index without patterns. None that is added is shorter than `shortest`, at least [`GRAM`].
    pub(super) fn new(shortest: usize) -> Index {
        Index { sets: Vec::new(), tables: Tables::new(shortest.min(MAX_WINDOW), 0) }
    }

    /// Returns an index that has these patterns too; `None` if this one has all of them.
    ///
    /// Sizes of sets grow by a factor of two at least from the last to the first (the logarithmic method of Bentley and
    /// Saxe), so if values are added one by one, each pattern is sorted only a few times.
    pub(super) fn with(&self, mut new: Vec<Pattern>) -> Option<Index> {
        new.sort_by(|a, b| a.text().cmp(b.text()));
        new.dedup_by(|a, b| a.text() == b.text());
        new.retain(|pattern| !self.sets.iter().any(|set| set.contains(pattern.text())));
        if new.is_empty() {
            return None;
        }
        let count = new.len() + self.sets.iter().map(|set| set.0.len()).sum::<usize>();
        let tables = if self.tables.have_room_for(count) {
            let mut tables = self.tables.clone();
            new.iter().for_each(|pattern| tables.add(pattern.text()));
            tables
        } else {
            let mut tables = Tables::new(self.tables.window, 2 * count);
            self.sets.iter().flat_map(|set| &set.0).chain(&new).for_each(|pattern| tables.add(pattern.text()));
            tables
        };
        let mut sets = self.sets.clone();
        while let Some(last) = sets.pop_if(|last| last.0.len() < 2 * new.len()) {
            new.extend(last.0.iter().cloned());
        }
        new.sort_by(|a, b| a.text().cmp(b.text()));
        sets.push(Arc::new(Set(new)));
        Some(Index { sets, tables })
    }

    /// Returns the positions, in ascending order, at which a pattern may begin and at least a window of text follows.
    pub(super) fn candidates<'a>(&'a self, text: &'a [u8]) -> Candidates<'a> {
        let tables = &self.tables;
        Candidates { tables, text, at: tables.stride() - 1, offsets: tables.offsets_at(text, tables.stride() - 1) }
    }

    /// Returns the first position from which all of the rest, shorter than a window, is the beginning of a pattern.
    pub(super) fn incomplete_end(&self, text: &[u8]) -> usize {
        let from = (text.len() + 1).saturating_sub(self.tables.window);
        let is_incomplete = |at: &usize| {
            self.tables.first[usize::from(text[*at])] && self.sets.iter().any(|set| set.is_incomplete(&text[*at..]))
        };
        (from..text.len()).find(is_incomplete).unwrap_or(text.len())
    }

    /// Returns what the text begins with. `is_end`: no text follows, so nothing is incomplete.
    pub(super) fn beginning(&self, text: &[u8], is_end: bool) -> Beginning<'_> {
        let mut longest = Beginning::Neither;
        for set in &self.sets {
            match (set.beginning(text, is_end), &longest) {
                (Beginning::Incomplete, _) => return Beginning::Incomplete,
                (Beginning::Pattern(_, len), Beginning::Pattern(_, longer)) if len <= *longer => {}
                (Beginning::Neither, _) => {}
                (found, _) => longest = found,
            }
        }
        longest
    }

    #[cfg(test)]
    pub(super) fn sets(&self) -> usize {
        self.sets.len()
    }
}

impl Set {
    fn contains(&self, text: &[u8]) -> bool {
        self.0.binary_search_by(|pattern| pattern.text().cmp(text)).is_ok()
    }

    /// Whether all of the text is the beginning of a longer pattern.
    fn is_incomplete(&self, text: &[u8]) -> bool {
        let next = self.0.partition_point(|pattern| pattern.text() <= text);
        self.0.get(next).is_some_and(|pattern| pattern.text().starts_with(text))
    }

    /// As [`Index::beginning`], for these patterns.
    fn beginning(&self, mut text: &[u8], is_end: bool) -> Beginning<'_> {
        let next = self.0.partition_point(|pattern| pattern.text() <= text);
        if !is_end && self.0.get(next).is_some_and(|pattern| pattern.text().starts_with(text)) {
            return Beginning::Incomplete;
        }
        let mut patterns = &self.0[..next];
        while let Some(last) = patterns.last() {
            let common = common_prefix(last.text(), text);
            if common == last.text().len() {
                return Beginning::Pattern(last, common);
            }
            // A shorter one is also a beginning of `last`, as it is sorted before it.
            text = &text[..common];
            patterns = &patterns[..patterns.partition_point(|pattern| pattern.text() <= text)];
        }
        Beginning::Neither
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Tables of the beginnings of patterns. They contain hashes, and a place may belong to several entries.
#[derive(Clone)]
struct Tables {
    /// How many bytes at the beginning of each pattern are in the tables.
    window: usize,
    /// For how many patterns the tables are large enough.
    room: usize,
    /// By the hash of four bytes: a bit for each offset from the beginning of a pattern at which they are.
    grams: Vec<u8>,
    /// By the hash of the first eight or sixteen bytes: a combination of the bits above.
    beginnings: Vec<u8>,
    /// Whether a pattern begins with this byte.
    first: [bool; 256],
}

impl Tables {
    fn new(window: usize, room: usize) -> Tables {
        let size = |entries: usize| {
            let bits = (entries * PLACES).next_power_of_two().trailing_zeros();
            1_usize << bits.clamp(*TABLE_BITS.start(), *TABLE_BITS.end())
        };
        let (grams, beginnings) = (vec![0; size(room * (window - GRAM + 1))], vec![0; size(2 * room)]);
        Tables { window, room, grams, beginnings, first: [false; 256] }
    }

    /// The largest tables are used for any number of patterns.
    fn have_room_for(&self, patterns: usize) -> bool {
        patterns <= self.room || self.beginnings.len() == 1 << TABLE_BITS.end()
    }

    /// The distance between two lookups: every window contains all bytes of one of them.
    fn stride(&self) -> usize {
        self.window - GRAM + 1
    }

    fn add(&mut self, pattern: &[u8]) {
        for offset in 0..self.stride() {
            if let Some(place) = place_of_gram(pattern, offset, self.grams.len()) {
                self.grams[place] |= 1 << offset;
            }
        }
        let place = self.place_of_beginning(&pattern[..self.window.min(8)]);
        match pattern.first_chunk::<LONG>() {
            None => self.beginnings[place] |= SHORT_PATTERN,
            Some(beginning) => {
                self.beginnings[place] |= LONG_PATTERN;
                let place = self.place_of_beginning(beginning);
                self.beginnings[place] |= LONG_BEGINNING;
            }
        }
        self.first[usize::from(pattern[0])] = true;
    }

    /// Returns the offsets at which patterns have the four bytes at `at`; none behind the end of the text.
    #[inline]
    fn offsets_at(&self, text: &[u8], at: usize) -> u8 {
        place_of_gram(text, at, self.grams.len()).map_or(0, |place| self.grams[place])
    }

    /// Whether a pattern may begin where this text does. It has at least a window of bytes.
    fn may_begin(&self, text: &[u8]) -> bool {
        let patterns = self.beginnings[self.place_of_beginning(&text[..self.window.min(8)])];
        match (patterns & (SHORT_PATTERN | LONG_PATTERN), text.first_chunk::<LONG>()) {
            (LONG_PATTERN, Some(beginning)) => {
                self.beginnings[self.place_of_beginning(beginning)] & LONG_BEGINNING != 0
            }
            (patterns, _) => patterns != 0,
        }
    }

    fn place_of_beginning(&self, beginning: &[u8]) -> usize {
        let mut hash = 0_u64;
        for part in beginning.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 32;
        }
        hash as usize & (self.beginnings.len() - 1)
    }
}

/// Returns where in a table of this size, a power of two, the four bytes at `at` are. They are multiplied as in
/// Fibonacci hashing (Knuth, volume 3, section 6.4).
#[inline]
fn place_of_gram(text: &[u8], at: usize, size: usize) -> Option<usize> {
    let gram = text.get(at..)?.first_chunk::<GRAM>()?;
    let hash = u32::from_le_bytes(*gram).wrapping_mul(0x9E37_79B1);
    Some((hash >> 12) as usize & (size - 1))
}

/// The positions in a text at which a pattern may begin.
pub(super) struct Candidates<'a> {
    tables: &'a Tables,
    text: &'a [u8],
    /// The position of the last lookup.
    at: usize,
    /// What it found and was not returned yet.
    offsets: u8,
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            while self.offsets != 0 {
                let offset = self.offsets.ilog2();
                self.offsets &= !(1 << offset);
                let start = self.at - offset as usize;
                let text = &self.text[start..];
                if text.len() >= self.tables.window && self.tables.may_begin(text) {
                    return Some(start);
                }
            }
            // The loop over text without patterns.
            let (stride, size) = (self.tables.stride(), self.tables.grams.len());
            loop {
                self.at += stride;
                let place = place_of_gram(self.text, self.at, size)?;
                if self.tables.grams[place] != 0 {
                    self.offsets = self.tables.grams[place];
                    break;
                }
            }
        }
    }
}
