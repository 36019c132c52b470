//! The order of use: a doubly linked list over the indices of the entries, which also hands those indices out.
//!
//! The links lie in an array of their own, so that changing the order does not touch the entries.

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    newer: u32,
    /// Also chains the indices that are free.
    older: u32,
}

pub(super) struct Order {
    links: Vec<Link>,
    newest: u32,
    oldest: u32,
    free: u32,
}

impl Order {
    /// `None` if there is no memory for this many links.
    pub(super) fn new(capacity: usize) -> Option<Order> {
        let mut links = Vec::new();
        links.try_reserve_exact(capacity).ok()?;
        Some(Order { links, newest: NONE, oldest: NONE, free: NONE })
    }

    /// An index that is not in use, now the newest: one that was removed, or else the next number.
    pub(super) fn add(&mut self) -> u32 {
        let index = self.free;
        let index = if index == NONE {
            self.links.push(Link { newer: NONE, older: NONE });
            (self.links.len() - 1) as u32
        } else {
            self.free = self.links[index as usize].older;
            index
        };
        self.put_first(index);
        index
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.unlink(index);
        self.links[index as usize].older = self.free;
        self.free = index;
    }

    /// Makes an index that is in the list the newest.
    pub(super) fn touch(&mut self, index: u32) {
        if self.newest != index {
            self.unlink(index);
            self.put_first(index);
        }
    }

    /// The least recently used one.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    fn unlink(&mut self, index: u32) {
        let Link { newer, older } = self.links[index as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
    }

    fn put_first(&mut self, index: u32) {
        self.links[index as usize] = Link { newer: NONE, older: self.newest };
        match self.newest {
            NONE => self.oldest = index,
            newest => self.links[newest as usize].newer = index,
        }
        self.newest = index;
    }

    /// All indices in use, the newest first.
    #[cfg(test)]
    pub(super) fn newest_first(&self) -> Vec<u32> {
        let used = |index| (index != NONE).then_some(index);
        std::iter::successors(used(self.newest), |at| used(self.links[*at as usize].older)).collect()
    }
}
