//! How a cache is set up.

use std::time::Duration;

use crate::config::Config;

/// How a cache is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long an entry lives unless it is stored with another time; [`Duration::MAX`] is forever.
    pub default_ttl: Duration,
    /// How many entries there are at most; 0 keeps none. Address space for all of them is reserved at once, memory is
    /// taken as they come.
    pub max_size: usize,
    /// How often expired entries are cleared away, above 0; [`Duration::MAX`] is never.
    pub cleanup_interval: Duration,
    /// By which part of its times an entry may expire earlier, so that what was stored together does not expire
    /// together: 0 is not at all, 1 is anything down to nothing.
    pub jitter: f64,
    /// After what time an entry that lives longer is to be loaded again while it is still served, unless it is stored
    /// with another; [`Duration::MAX`] is never.
    pub soft_ttl: Duration,
    /// How long a cache whose values can say so remembers that a load found none; zero is not at all.
    pub absent_ttl: Duration,
    /// Whether keys are hashed so that strangers who choose them cannot make many of them collide (SipHash-1-3, about 10
    /// ns more for each call); else only such keys are safe from that as are chosen without watching the process.
    pub keyed_hash: bool,
}

/// 1000 entries that live for 300 s, cleared away every 60 s.
impl Default for Options {
    fn default() -> Options {
        Options {
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

/// The keys `default_ttl`, `max_size`, `cleanup_interval`, `soft_ttl`, `ttl_jitter`, `absent_ttl` and `keyed_hash`.
impl From<&Config> for Options {
    fn from(config: &Config) -> Options {
        let default = Options::default();
        Options {
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
