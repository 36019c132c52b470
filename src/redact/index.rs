//! The search for many patterns at once.
//!
//! Nearly all text contains no pattern, so the search skips it: it looks only at every few bytes of the text, at four
//! bytes each, and in a table whether the first bytes of any pattern contain these four (Wu and Manber, "A fast
//! algorithm for multi-pattern searching", 1994). Only where they do are the sorted patterns searched.

use std::sync::Arc;

use super::value::Value;

/// How many bytes of the text are looked up in the table at once.
const GRAM: usize = 4;
/// How many bytes at the beginning of a pattern the table covers at most. The distance between two lookups is at most
/// `MAX_WINDOW - GRAM + 1`, 8, as a byte of the table has 8 bits.
const MAX_WINDOW: usize = 11;
/// Places of a table for each of its entries. One in this many lookups finds an entry by chance.
const PLACES: usize = 32;
/// The numbers of bits of an index into a table.
const TABLE_BITS: std::ops::RangeInclusive<u32> = 12..=20;

/// Patterns, and the tables for their search. It is not changed.
pub(super) struct Index {
    /// From large to small.
    sets: Vec<Arc<Set>>,
    tables: Tables,
}

/// One form of a value.
#[derive(Clone)]
pub(super) struct Pattern {
    pub(super) value: Arc<Value>,
    /// Its range in the forms of the value.
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Pattern {
    fn text(&self) -> &[u8] {
        &self.value.forms[self.start as usize..self.end as usize]
    }
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

    /// Returns the positions at which a pattern may begin of which at least a window of bytes is in the text.
    /// Ascending.
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
        if !is_end && self.sets.iter().any(|set| set.is_incomplete(text)) {
            return Beginning::Incomplete;
        }
        let longest = self.sets.iter().filter_map(|set| set.longest(text)).max_by_key(|pattern| pattern.text().len());
        longest.map_or(Beginning::Neither, |pattern| Beginning::Pattern(pattern, pattern.text().len()))
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

    /// Returns the longest pattern that the text begins with.
    fn longest(&self, mut text: &[u8]) -> Option<&Pattern> {
        let mut patterns = &self.0[..];
        loop {
            patterns = &patterns[..patterns.partition_point(|pattern| pattern.text() <= text)];
            let last = patterns.last()?;
            let common = common_prefix(last.text(), text);
            if common == last.text().len() {
                return Some(last);
            }
            // A shorter one is also a beginning of `last`, as it is sorted before it.
            text = &text[..common];
        }
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
    /// By the hash of the first eight bytes: whether a pattern begins with them.
    beginnings: Vec<bool>,
    /// Whether a pattern begins with this byte.
    first: [bool; 256],
}

impl Tables {
    fn new(window: usize, room: usize) -> Tables {
        let size = |entries: usize| {
            let bits = (entries * PLACES).next_power_of_two().trailing_zeros();
            1_usize << bits.clamp(*TABLE_BITS.start(), *TABLE_BITS.end())
        };
        let (grams, beginnings) = (vec![0; size(room * (window - GRAM + 1))], vec![false; size(room)]);
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
        let place = self.place_of_beginning(&pattern[..self.window]);
        self.beginnings[place] = true;
        self.first[usize::from(pattern[0])] = true;
    }

    /// Returns the offsets at which patterns have the four bytes at `at`; none behind the end of the text.
    #[inline]
    fn offsets_at(&self, text: &[u8], at: usize) -> u8 {
        place_of_gram(text, at, self.grams.len()).map_or(0, |place| self.grams[place])
    }

    fn place_of_beginning(&self, window: &[u8]) -> usize {
        let mut bytes = [0; 8];
        let len = window.len().min(8);
        bytes[..len].copy_from_slice(&window[..len]);
        let hash = u64::from_le_bytes(bytes).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> 32) as usize & (self.beginnings.len() - 1)
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
                let window = self.text.get(start..start + self.tables.window);
                if window.is_some_and(|window| self.tables.beginnings[self.tables.place_of_beginning(window)]) {
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
