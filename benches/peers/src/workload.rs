//! Keys, and the order in which they are asked for: all of it computed before anything is timed.

use crate::subjects::{Subject, VALUE_MAX};

pub type Key = [u8; 32];

/// In an item of a sequence: write instead of read.
const WRITE: u32 = 1 << 31;

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn shuffle(&mut self, items: &mut [u32]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// The first eight bytes name a group of one hundredth of the keys.
pub fn key(number: usize) -> Key {
    let text = format!("group{:02}:{:08}-a-key-of-32-byt", number % 100, number);
    text.as_bytes()[..32].try_into().expect("32 bytes")
}

pub fn keys(count: usize) -> Vec<Key> {
    (0..count).map(key).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Uniform,
    /// Few keys are asked for most of the time: the frequencies of Zipf's law, exponent 0.99.
    Zipf,
    /// As `Zipf`, over twice as many keys as fit: sets evict, and some reads miss.
    ZipfEvicting,
}

impl Order {
    pub fn name(self) -> &'static str {
        match self {
            Order::Uniform => "uniform",
            Order::Zipf => "Zipf 0.99",
            Order::ZipfEvicting => "Zipf 0.99 over twice the keys that fit",
        }
    }

    pub fn keys(self, capacity: usize) -> usize {
        if self == Order::ZipfEvicting { capacity * 2 } else { capacity }
    }
}

/// Sequences of keys' numbers for `capacity` entries.
pub struct Sequences {
    order: Order,
    capacity: usize,
    /// For Zipf's law: sums of the frequencies, and which key has which rank.
    sums: Vec<f64>,
    ranks: Vec<u32>,
}

impl Sequences {
    pub fn new(order: Order, capacity: usize) -> Sequences {
        let (mut sums, mut ranks) = (Vec::new(), Vec::new());
        if order != Order::Uniform {
            let mut sum = 0.0;
            for rank in 1..=order.keys(capacity) {
                sum += (rank as f64).powf(-0.99);
                sums.push(sum);
            }
            ranks = (0..sums.len() as u32).collect();
            Random::new(7).shuffle(&mut ranks);
        }
        Sequences { order, capacity, sums, ranks }
    }

    /// A sequence of items, of which a part writes.
    pub fn make(&self, writes: f64, seed: u64) -> Vec<u32> {
        let mut random = Random::new(seed);
        let number = |random: &mut Random| match self.sums.last() {
            None => random.below(self.order.keys(self.capacity)) as u32,
            Some(total) => {
                let drawn = random.share() * total;
                self.ranks[self.sums.partition_point(|sum| *sum < drawn).min(self.ranks.len() - 1)]
            }
        };
        let len = (self.capacity * 2).next_power_of_two().clamp(1 << 14, 1 << 20);
        (0..len)
            .map(|_| {
                let number = number(&mut random);
                if random.share() < writes { number | WRITE } else { number }
            })
            .collect()
    }
}

/// Each number from `from` to `to` once, in random order.
pub fn permutation(from: usize, to: usize) -> Vec<u32> {
    let mut all: Vec<u32> = (from as u32..to as u32).collect();
    Random::new(5).shuffle(&mut all);
    all
}

#[inline(always)]
pub fn run_item(subject: &Subject, keys: &[Key], item: u32, buffer: &mut [u8; VALUE_MAX], value: &[u8]) {
    let key = &keys[(item & !WRITE) as usize];
    if item & WRITE == 0 {
        std::hint::black_box(subject.get(key, buffer));
    } else {
        subject.set(key, value);
    }
}

pub fn fill(subject: &Subject, keys: &[Key], value: &[u8]) {
    // Twice: some peers admit a key only when they see it again.
    for _ in 0..2 {
        keys.iter().for_each(|key| subject.set(key, value));
    }
}

/// The part of the items that is found. Peers that are not LRU caches do not keep all their keys.
pub fn share_found(subject: &Subject, keys: &[Key], sequence: &[u32]) -> f64 {
    let mut buffer = [0; VALUE_MAX];
    let checked = &sequence[..sequence.len().min(1 << 16)];
    let found = checked.iter().filter(|item| subject.get(&keys[(**item & !WRITE) as usize], &mut buffer).is_some());
    found.count() as f64 / checked.len() as f64
}
