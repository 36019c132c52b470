//! The settings of a cache.

use std::time::Duration;

use crate::config::Config;

/// The settings of a cache.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// The time to live of an entry that is stored without one; [`Duration::MAX`] means that it never expires.
    pub default_ttl: Duration,
    /// The largest number of entries; a cache of size 0 stores nothing. Address space for all entries is reserved
    /// when the cache is created; memory is used as entries are stored.
    pub max_size: usize,
    /// How often expired entries are removed, greater than 0; [`Duration::MAX`] means never.
    pub cleanup_interval: Duration,
    /// The largest fraction by which the times of an entry are shortened at random, so that entries stored together
    /// do not expire together: 0 shortens nothing, 1 shortens to any time down to 0.
    pub jitter: f64,
    /// The time after which an entry is stale: it is still served, but the next caller that can load reloads it.
    /// [`Duration::MAX`] means never.
    pub soft_ttl: Duration,
    /// How long the cache remembers that a load found no value, if its value type can represent that; 0 means not at
    /// all.
    pub absent_ttl: Duration,
    /// Whether the hash of the keys withstands an attacker who chooses keys (SipHash-1-3, about 10 ns slower per
    /// call). The default hash is only safe if the attacker cannot observe the process.
    pub keyed_hash: bool,
}

/// 1000 entries that live for 300 s; expired entries are removed every 60 s.
impl Default for CacheOptions {
    fn default() -> CacheOptions {
        CacheOptions {
            default_ttl: Duration::from_secs(300),
            max_size: 1000,
            cleanup_interval: Duration::from_secs(60),
            jitter: 0.0,
            soft_ttl: Duration::MAX,
            absent_ttl: Duration::ZERO,
            keyed_hash: false,
        }
    }
}

/// Reads the keys `default_ttl`, `max_size`, `cleanup_interval`, `soft_ttl`, `ttl_jitter`, `absent_ttl` and
/// `keyed_hash`.
impl From<&Config> for CacheOptions {
    fn from(config: &Config) -> CacheOptions {
        let default = CacheOptions::default();
        CacheOptions {
            default_ttl: config.time("default_ttl", default.default_ttl),
            max_size: config.count("max_size", default.max_size as u32) as usize,
            cleanup_interval: config.time("cleanup_interval", default.cleanup_interval),
            jitter: config.fraction("ttl_jitter", default.jitter),
            soft_ttl: config.time("soft_ttl", default.soft_ttl),
            absent_ttl: config.time("absent_ttl", default.absent_ttl),
            keyed_hash: config.flag("keyed_hash").unwrap_or(default.keyed_hash),
        }
    }
}
