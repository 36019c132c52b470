//! The cache of remote providers, with a scripted source. `tests/aws` and `tests/vault` use real servers. Time passes
//! by [`age`]; nothing sleeps.

mod backoff;
mod caching;
mod names;
mod partial;
mod sharing;
mod time_limits;
mod waiting;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::document::Document;
use super::super::entries::Entries;
use super::*;
use crate::error::{Source, Status};
use crate::http::retry::Patience;
use crate::jitter::tests::with_random;
use crate::secret_memory::SecretBytes;
use crate::share::Identity;

/// Longer than any step takes; a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(60);

const TIMES: CacheTimes = CacheTimes {
    cache_ttl: Duration::from_secs(300),
    miss_ttl: LONG,
    max_stale: Duration::from_secs(3600),
    max_backoff: Duration::from_secs(15),
};

/// Until this age a document with [`TIMES`] is not refreshed; a random age after it begins the refreshes.
const CURRENT_UNTIL: Duration = Duration::from_secs(210);
/// The latest age from which it is refreshed.
const REFRESH_AFTER: Duration = Duration::from_secs(285);

type Pairs = &'static [(&'static str, &'static str)];
type Answer = Box<dyn Fn(u32) -> Result<Document> + Send>;
type Action = Box<dyn FnOnce() + Send>;

/// A source that answers as scripted, and counts its loads.
#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    answer: Mutex<Option<Answer>>,
    asked: AtomicUsize,
    /// If it has a single value: its key.
    only_key: Mutex<Option<&'static str>>,
    /// How much time each load had.
    limits: Mutex<Vec<Duration>>,
    patience: Mutex<Vec<Patience>>,
    /// Called during the next load, and during the next upkeep, while forks are allowed.
    in_load: Mutex<Option<Action>>,
    in_upkeep: Mutex<Option<Action>>,
    upkeeps: AtomicUsize,
    has_new_credentials: Mutex<bool>,
    credential_checks: AtomicUsize,
    /// With which login it shares its documents.
    login: Mutex<Option<&'static str>>,
}

/// Holds the source during a load or upkeep.
struct Gate {
    entered: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    fn new() -> (Gate, Action) {
        let ((enter, entered), (open, opened)) = (channel(), channel());
        let action = move || {
            enter.send(()).unwrap();
            opened.recv_timeout(LONG).ok();
        };
        (Gate { entered, open }, Box::new(action))
    }

    fn wait_until_entered(&self) {
        self.entered.recv_timeout(LONG).unwrap();
    }

    fn open(&self) {
        self.open.send(()).unwrap();
    }
}

fn entries(pairs: Pairs) -> Result<Entries> {
    pairs.iter().map(|(key, value)| Ok((key.to_string(), Some(SecretBytes::copy_from(value.as_bytes())?)))).collect()
}

fn document(pairs: Pairs, version: u32) -> Result<Document> {
    let version: Arc<str> = Arc::from(version.to_string());
    let mut document = Document::new(Some(version.clone()));
    document.add(entries(pairs)?, Some(version));
    Ok(document)
}

/// An outage.
fn outage(status: Status) -> Error {
    Error::new(status, "it fails").with_retryable(true)
}

impl Scripted {
    fn answers(&self, answer: impl Fn(u32) -> Result<Document> + Send + 'static) {
        *self.0.answer.lock() = Some(Box::new(answer));
    }

    fn has(&self, pairs: Pairs) {
        self.answers(move |version| document(pairs, version));
    }

    /// From now on a part of the document cannot be read.
    fn has_part(&self, pairs: Pairs, error: Error) {
        self.answers(move |version| {
            let mut document = document(pairs, version)?;
            document.set_incomplete(error.clone());
            Ok(document)
        });
    }

    fn fails(&self, status: Status) {
        self.answers(move |_| Err(outage(status)));
    }

    fn denies(&self, status: Status) {
        self.answers(move |_| Err(Error::new(status, "it is denied").authoritative()));
    }

    fn is_deleted(&self) {
        self.answers(|_| Ok(Document::missing("it was deleted")));
    }

    /// The next load waits for the gate.
    fn holds_load(&self) -> Gate {
        let (gate, action) = Gate::new();
        *self.0.in_load.lock() = Some(action);
        gate
    }

    fn holds_upkeep(&self) -> Gate {
        let (gate, action) = Gate::new();
        *self.0.in_upkeep.lock() = Some(action);
        gate
    }

    fn asked(&self) -> usize {
        self.0.asked.load(SeqCst)
    }

    /// Whether the last load had nearly all of the time of its call, not just that of a probe.
    fn had_whole_time(&self) -> bool {
        self.0.limits.lock().last().is_some_and(|limit| *limit > LONG / 2)
    }

    /// Whether the last load repeated failed requests.
    fn had_retries(&self) -> bool {
        self.0.patience.lock().last().is_some_and(|patience| *patience != Patience::Probing)
    }
}

impl DocumentSource for Scripted {
    fn id(&self) -> &'static ProviderId {
        static ID: ProviderId = ProviderId::builtin("scripted", Source::Aws);
        &ID
    }

    fn serves(&self, key: &str) -> bool {
        self.0.only_key.lock().is_none_or(|only_key| key == only_key)
    }

    fn place(&self) -> String {
        "the script".to_owned()
    }

    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        self.0.patience.lock().push(patience);
        self.0.limits.lock().push(deadline.remaining());
        let version = self.0.asked.fetch_add(1, SeqCst) + 1;
        // The answer is that of the time of the request.
        let answer = match &*self.0.answer.lock() {
            Some(answer) => answer(version as u32),
            None => Ok(Document::missing("it does not exist")),
        };
        let action = self.0.in_load.lock().take();
        fork::unprotected(|| action.into_iter().for_each(|action| action()));
        answer
    }

    fn identity(&self) -> Option<Identity> {
        let mut identity = Identity::new("scripted");
        identity.add("login", (*self.0.login.lock())?);
        Some(identity)
    }

    fn upkeep(&self, _: Deadline) {
        self.0.upkeeps.fetch_add(1, SeqCst);
        let action = self.0.in_upkeep.lock().take();
        fork::unprotected(|| action.into_iter().for_each(|action| action()));
    }

    fn has_new_credentials(&self) -> bool {
        self.0.credential_checks.fetch_add(1, SeqCst);
        *self.0.has_new_credentials.lock()
    }

    fn describe(&self) -> Map<String, Value> {
        Map::new()
    }

    fn check(&self, _: Deadline) -> Health {
        Health::new(HealthState::Ok, "scripted")
    }
}

fn provider(times: CacheTimes) -> (Scripted, DocumentProvider<Scripted>) {
    let source = Scripted::default();
    (source.clone(), DocumentProvider::new(Box::new(source), times, None).unwrap())
}

/// A provider that has loaded this document.
fn warm(pairs: Pairs) -> (Scripted, DocumentProvider<Scripted>) {
    let (source, provider) = provider(TIMES);
    source.has(pairs);
    provider.refresh(&within(LONG)).unwrap();
    (source, provider)
}

fn within(time: Duration) -> LookupLimits {
    LookupLimits::new(time, false)
}

/// Returns what [`SecretProvider::find`] returns, and checks that [`SecretProvider::peek`] agrees without a query.
fn ask(provider: &DocumentProvider<Scripted>, key: &str) -> Result<Option<Secret>> {
    let (asked, known) = (provider.source.asked(), peek(provider, key));
    let answer = provider.find(key, &within(LONG));
    if let Some(known) = known {
        let found = answer.as_ref().unwrap().as_ref();
        assert!(found.is_none_or(|secret| !secret.stale));
        assert_eq!(found.map(|secret| secret.value.to_vec()), known);
        assert_eq!(provider.source.asked(), asked);
    }
    answer
}

/// Returns what is known without a query: the value, or that there is none.
fn peek(provider: &DocumentProvider<Scripted>, key: &str) -> Option<Option<Vec<u8>>> {
    let (mut value, reading) = (None, fork::read().unwrap());
    match provider.peek(key, &reading, CoarseInstant::now(), &mut |peeked| value = Some(peeked.bytes().to_vec())) {
        Known::Found => Some(Some(value.unwrap())),
        Known::Absent => Some(None),
        Known::Unknown => None,
    }
}

fn ask_now(provider: &DocumentProvider<Scripted>, key: &str) -> Result<Option<Secret>> {
    provider.find(key, &LookupLimits::new(LONG, true))
}

fn refresh(provider: &DocumentProvider<Scripted>) -> Result<()> {
    provider.refresh(&LookupLimits::new(LONG, true))
}

fn status(answer: Result<Option<Secret>>) -> Status {
    answer.err().unwrap().status()
}

/// The value, and whether it is stale.
fn text(answer: Result<Option<Secret>>) -> (String, bool) {
    let secret = answer.unwrap().unwrap();
    (String::from_utf8(secret.value.to_vec()).unwrap(), secret.stale)
}

fn fresh(text: &str) -> (String, bool) {
    (text.to_owned(), false)
}

fn stale(text: &str) -> (String, bool) {
    (text.to_owned(), true)
}

/// Makes the document older by `time`.
fn age(provider: &DocumentProvider<Scripted>, time: Duration) {
    let mut state = provider.state.lock();
    state.document = state.document.take().map(|loaded| Arc::new(loaded.aged(time)));
    provider.current.replace(state.document.clone().filter(|_| state.outage.is_none()));
}

fn set_backoff(provider: &DocumentProvider<Scripted>, backoff: Duration, credential_check: Duration) {
    let mut state = provider.state.lock();
    state.outage = state.outage.take().map(|outage| Arc::new(outage.with(backoff, credential_check)));
}

/// Extends the back-off of a failing source.
fn hold_backoff(provider: &DocumentProvider<Scripted>) {
    set_backoff(provider, LONG, LONG);
}

/// Ends the back-off of a failing source.
fn end_backoff(provider: &DocumentProvider<Scripted>) {
    set_backoff(provider, Duration::ZERO, LONG);
}
