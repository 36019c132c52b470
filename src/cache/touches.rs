//! What readers leave behind: which entries they used, and how often they hit and missed.
//!
//! Readers write into such a list, which is theirs alone for the moment; a writer brings all lists into the order of
//! use before it does anything that depends on it.

/// Up to this capacity a list may grow so long that throwing out repetitions always makes room in it: then hits alone
/// never need the writer's side.
const SMALL: usize = 2048;
/// How many notes a list of a larger cache holds before a writer applies them: so few that this is no stall.
const FEW: usize = 1024;

/// How long the lists of a cache may get.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    notes: usize,
    compacts: bool,
}

impl Limit {
    pub(super) fn of(capacity: usize) -> Limit {
        if capacity <= SMALL {
            Limit { notes: (capacity * 4).max(16), compacts: true }
        } else {
            Limit { notes: FEW, compacts: false }
        }
    }
}

/// Notes of a reader, the oldest first.
#[derive(Default)]
pub(super) struct Touches {
    notes: Vec<u32>,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl Touches {
    /// Notes a hit. `false` means that the list is full and should be applied at once.
    #[inline]
    pub(super) fn hit(&mut self, index: u32, limit: Limit) -> bool {
        self.hits += 1;
        if self.notes.last() == Some(&index) {
            return true;
        }
        if self.notes.len() < self.notes.capacity() {
            self.notes.push(index);
            return true;
        }
        self.make_room_and_push(index, limit)
    }

    #[cold]
    fn make_room_and_push(&mut self, index: u32, limit: Limit) -> bool {
        let len = self.notes.len();
        if len >= limit.notes && limit.compacts {
            self.compact();
        }
        let fits = self.notes.len() < limit.notes;
        if self.notes.len() == self.notes.capacity() {
            // Lists grow with their use. A full one that could not be applied yet takes some notes more.
            let more = if fits { len.clamp(16, limit.notes - len) } else { 16 };
            if self.notes.try_reserve_exact(more).is_err() {
                return false;
            }
        }
        self.notes.push(index);
        fits
    }

    /// Keeps the newest note of each entry only. The entries' indices are below [`SMALL`].
    fn compact(&mut self) {
        let mut seen = [0u8; SMALL];
        let notes = &mut self.notes[..];
        let mut keep = notes.len();
        for from in (0..notes.len()).rev() {
            let index = notes[from];
            let seen = &mut seen[index as usize % SMALL];
            // No branch: whether an entry was seen is a coin toss. What is written in vain is overwritten by the next.
            notes[keep - 1] = index;
            keep -= usize::from(1 - *seen);
            *seen = 1;
        }
        self.notes.drain(..keep);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.hits == 0 && self.misses == 0
    }

    /// Hands the notes to `touch`, the oldest first, and forgets them.
    pub(super) fn take(&mut self, limit: Limit, touch: impl FnMut(u32)) {
        // So many notes hold repetitions for sure; without them the caller is done sooner.
        if limit.compacts && self.notes.len() > limit.notes / 4 {
            self.compact();
        }
        self.notes.drain(..).for_each(touch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(touches: &mut Touches, limit: Limit) -> Vec<u32> {
        let mut notes = Vec::new();
        touches.take(limit, |index| notes.push(index));
        notes
    }

    #[test]
    fn a_small_list_never_fills_and_keeps_the_order() {
        let limit = Limit::of(100);
        let mut touches = Touches::default();
        for round in 0..10_000u32 {
            assert!(touches.hit(round * 7 % 100, limit));
        }
        assert!(touches.notes.capacity() <= 400);
        let order: Vec<u32> = (9_900..10_000).map(|round| round * 7 % 100).collect();
        assert_eq!(notes(&mut touches, limit), order);
        assert_eq!(touches.hits, 10_000);
    }

    #[test]
    fn a_large_list_asks_to_be_applied() {
        let limit = Limit::of(100_000);
        let mut touches = Touches::default();
        let full = (0..).find(|index| !touches.hit(*index, limit)).unwrap();
        assert_eq!(full as usize, FEW);
        // Nothing is lost until that has happened.
        assert!(!touches.hit(77, limit) || touches.notes.last() == Some(&77));
        assert_eq!(notes(&mut touches, limit).len(), FEW + 2);
    }
}
