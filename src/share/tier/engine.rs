//! What a tier does, whichever server it is.

use std::time::Duration;

use crate::clock::Deadline;
use crate::error::Result;

/// How long a lead lasts unless it is released.
pub(super) const LEAD: Duration = Duration::from_secs(5);
/// How long a host is listed after its last look.
pub(super) const RECORD: Duration = Duration::from_secs(60);

/// How long a change of a cache is recorded at least.
pub(super) const CHANGE: Duration = Duration::from_secs(600);
/// How many changes of a cache are recorded.
pub(super) const CHANGES: u64 = 4096;

/// A server that hosts share documents through.
pub(super) trait Engine: Send + Sync {
    /// The server, for messages, without a password.
    fn name(&self) -> &str;

    fn connect(&self, deadline: Deadline) -> Result<Box<dyn TierConnection>>;
}

/// The lower bound for the revision of the tier. A tier that was flushed or replaced gets a new, higher revision.
#[derive(Clone, Copy)]
pub(super) struct Floor {
    /// The highest revision that this host has seen.
    pub(super) seen: u64,
    /// The revision that a tier gets that has none, or a lower one than `seen`: higher than any before.
    pub(super) fresh: u64,
}

/// What the tier has of a document.
pub(super) struct FetchedDocument {
    pub(super) revision: u64,
    /// The sealed document, and how long it remains in the tier.
    pub(super) document: Option<(Vec<u8>, Duration)>,
    /// Whether a host is loading it.
    pub(super) is_loading: bool,
}

/// A host that has looked at the tier.
pub(super) struct Host {
    pub(super) name: String,
    /// The time since its last look.
    pub(super) silent_for: Duration,
    pub(super) confirmed: u64,
}

/// What the tier has of a key of a cache. The value is sealed; there is the time for which it remains.
pub(super) struct FetchedValue {
    pub(super) value: Option<(Vec<u8>, Duration)>,
    /// The revision of the last change of a prefix; `None` if the tier was flushed.
    pub(super) floor: Option<u64>,
    pub(super) revision: u64,
    /// What [`TierConnection::cache_fill`] compares with the last change of the key.
    pub(super) since: u64,
}

pub(super) type SealedChanges = Vec<(u64, Vec<u8>)>;

/// The changes in the cache after a revision.
pub(super) struct CacheLog {
    pub(super) revision: u64,
    pub(super) floor: u64,
    /// The sealed changes with their revisions, the oldest first; `None` if some of them are no longer there.
    pub(super) changes: Option<SealedChanges>,
}

/// A change in the cache.
pub(super) struct NewChange<'a> {
    /// What differs between changes of different keys.
    pub(super) id: &'a str,
    pub(super) sealed: &'a [u8],
    pub(super) target: ChangeTarget<'a>,
}

pub(super) enum ChangeTarget<'a> {
    Prefix,
    /// The key with this id, and its new value if there is one: sealed, and how long it lasts.
    Key(&'a str, Option<(&'a [u8], Duration)>),
}

/// A connection to the server. Each method is one exchange with it, which ends by the deadline.
pub(super) trait TierConnection: Send {
    fn set_deadline(&mut self, deadline: Deadline);

    /// Records that this host is alive and has dropped what is older than `confirmed`. Returns the revision.
    fn look(&mut self, host: &str, confirmed: u64, floor: Floor) -> Result<u64>;

    fn fetch(&mut self, id: &str, floor: Floor) -> Result<FetchedDocument>;

    /// Whether this load is the only one of the cluster for some seconds.
    fn try_lead(&mut self, id: &str, token: &str) -> Result<bool>;

    /// Stores a document, unless a later one is there. The lead of this load ends.
    fn publish(&mut self, id: &str, token: &str, document: &[u8], lifetime: Duration) -> Result<()>;

    /// Ends the lead of this load; removes the document too, unless it is later than this revision and number.
    fn release(&mut self, id: &str, token: &str, remove: Option<(u64, u64)>) -> Result<()>;

    /// Increases the revision, and returns it.
    fn bump(&mut self, floor: Floor) -> Result<u64>;

    fn hosts(&mut self) -> Result<Vec<Host>>;

    /// Returns the wrapped data key of the cluster, after storing this one if there is none.
    fn data_key(&mut self, new: Option<&[u8]>, lifetime: Duration) -> Result<Option<Vec<u8>>>;

    fn cache_fetch(&mut self, id: &str, floor: Floor) -> Result<FetchedValue>;

    /// Stores a loaded value, unless the key has changed since. That is known for [`CHANGE`] at least, even if what the
    /// change stored has expired.
    fn cache_fill(&mut self, id: &str, since: u64, value: &[u8], lifetime: Duration) -> Result<()>;

    /// Stores or removes, and records that. Returns the revision, and that of the last change of a prefix.
    fn cache_change(&mut self, change: &NewChange<'_>, floor: Floor) -> Result<(u64, u64)>;

    /// Returns the changes after a revision; 0 is that of a process without any.
    fn cache_log(&mut self, position: u64, floor: Floor) -> Result<CacheLog>;
}
