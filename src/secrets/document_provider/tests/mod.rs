//! The memory of remote providers, over a source that does what the test says. Real servers are asked in `tests/aws` and
//! `tests/vault`. Time passes by [`age`]; nothing sleeps.

mod memory;
mod names;
mod partial;
mod patience;
mod resting;
mod waiting;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::entries::Entries;
use super::*;
use crate::bytes::SecretBytes;

/// Longer than anything takes; a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(60);

const TIMES: Times = Times {
    cache_ttl: Duration::from_secs(300),
    miss_ttl: LONG,
    max_stale: Duration::from_secs(3600),
    max_backoff: Duration::from_secs(15),
};

/// When a document of [`TIMES`] is loaded early.
const SOFT: Duration = Duration::from_secs(240);

type Pairs = &'static [(&'static str, &'static str)];
type Answer = Box<dyn Fn(u32) -> Result<Document> + Send>;
type Action = Box<dyn FnOnce() + Send>;

/// Answers as scripted, and counts.
#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    answer: Mutex<Option<Answer>>,
    asked: AtomicUsize,
    /// Run in the middle of the next load, and of the next upkeep, outside the gate.
    in_load: Mutex<Option<Action>>,
    in_upkeep: Mutex<Option<Action>>,
    upkeeps: AtomicUsize,
    has_new_credentials: Mutex<bool>,
    looks: AtomicUsize,
}

/// Keeps the source in the middle of what it does.
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

    /// A part of the document cannot be read.
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

    /// The next load stays in the middle.
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
}

impl DocumentSource for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn source(&self) -> Source {
        Source::Aws
    }

    fn place(&self) -> String {
        "the script".to_owned()
    }

    fn load(&self, _: Deadline) -> Result<Document> {
        let version = self.0.asked.fetch_add(1, SeqCst) + 1;
        // What was there when it was asked.
        let answer = match &*self.0.answer.lock() {
            Some(answer) => answer(version as u32),
            None => Ok(Document::missing("it does not exist")),
        };
        let action = self.0.in_load.lock().take();
        fork::outside(|| action.into_iter().for_each(|action| action()));
        answer
    }

    fn upkeep(&self, _: Deadline) {
        self.0.upkeeps.fetch_add(1, SeqCst);
        let action = self.0.in_upkeep.lock().take();
        fork::outside(|| action.into_iter().for_each(|action| action()));
    }

    fn has_new_credentials(&self) -> bool {
        self.0.looks.fetch_add(1, SeqCst);
        *self.0.has_new_credentials.lock()
    }

    fn describe(&self) -> Map<String, Value> {
        Map::new()
    }

    fn check(&self, _: Deadline) -> Finding {
        Finding::new(Health::Ok, "scripted")
    }
}

fn provider(times: Times) -> (Scripted, DocumentProvider<Scripted>) {
    let source = Scripted::default();
    (source.clone(), DocumentProvider::new(source, times).unwrap())
}

/// A provider that has loaded this document.
fn warm(pairs: Pairs) -> (Scripted, DocumentProvider<Scripted>) {
    let (source, provider) = provider(TIMES);
    source.has(pairs);
    provider.refresh(&within(LONG)).unwrap();
    (source, provider)
}

fn within(time: Duration) -> Request {
    Request::new(time, false)
}

/// What [`Provider::find`] answers. What [`Provider::peek`] knows is the same, and needs nobody to be asked.
fn ask(provider: &DocumentProvider<Scripted>, key: &str) -> Result<Option<Held>> {
    let (asked, known) = (provider.source.asked(), peek(provider, key));
    let answer = provider.find(key, &within(LONG));
    if let Some(known) = known {
        let found = answer.as_ref().unwrap().as_ref();
        assert!(found.is_none_or(|held| !held.stale));
        assert_eq!(found.map(|held| held.value.to_vec()), known);
        assert_eq!(provider.source.asked(), asked);
    }
    answer
}

/// What is known without asking: the value, or that there is none.
fn peek(provider: &DocumentProvider<Scripted>, key: &str) -> Option<Option<Vec<u8>>> {
    let (mut value, reading) = (None, fork::read().unwrap());
    match provider.peek(key, &reading, Tick::now(), &mut |peeked| value = Some(peeked.bytes().to_vec())) {
        Known::Found => Some(Some(value.unwrap())),
        Known::Absent => Some(None),
        Known::Unknown => None,
    }
}

fn ask_now(provider: &DocumentProvider<Scripted>, key: &str) -> Result<Option<Held>> {
    provider.find(key, &Request::new(LONG, true))
}

fn refresh(provider: &DocumentProvider<Scripted>) -> Result<()> {
    provider.refresh(&Request::new(LONG, true))
}

fn status(answer: Result<Option<Held>>) -> Status {
    answer.err().unwrap().status()
}

/// The value, and whether it is stale.
fn text(answer: Result<Option<Held>>) -> (String, bool) {
    let held = answer.unwrap().unwrap();
    (String::from_utf8(held.value.to_vec()).unwrap(), held.stale)
}

fn fresh(text: &str) -> (String, bool) {
    (text.to_owned(), false)
}

fn stale(text: &str) -> (String, bool) {
    (text.to_owned(), true)
}

/// Makes the document older by this much.
fn age(provider: &DocumentProvider<Scripted>, time: Duration) {
    let mut state = provider.state.lock();
    state.document = state.document.take().map(|loaded| Arc::new(loaded.aged(time)));
    provider.current.replace(state.document.clone().filter(|_| state.failing.is_none()));
}

fn set_rest(provider: &DocumentProvider<Scripted>, rest: Duration, look: Duration) {
    let mut state = provider.state.lock();
    state.failing = state.failing.take().map(|failing| Arc::new(failing.with(rest, look)));
}

/// Lets the rest of a failing source last.
fn hold_rest(provider: &DocumentProvider<Scripted>) {
    set_rest(provider, LONG, LONG);
}

/// Lets the rest of a failing source end.
fn end_rest(provider: &DocumentProvider<Scripted>) {
    set_rest(provider, Duration::ZERO, LONG);
}
