//! The memory of remote layers, over a source that does what the test says. Real servers are asked in `tests/aws.rs` and
//! `tests/vault.rs`.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{self, sleep};

use super::*;
use crate::bytes::SecretBytes;

/// Answers with what it is told to, and counts.
#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

type Entries = &'static [(&'static str, &'static str)];

#[derive(Default)]
struct Script {
    answer: Mutex<Option<Result<Entries>>>,
    delay: Mutex<Duration>,
    asked: AtomicUsize,
    /// Run in the middle of each load, once.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Scripted {
    fn has(&self, entries: Entries) {
        *self.0.answer.lock() = Some(Ok(entries));
    }

    fn fails(&self, status: Status) {
        *self.0.answer.lock() = Some(Err(Error::new(status, "it fails").with_retryable(true)));
    }

    fn is_deleted(&self) {
        *self.0.answer.lock() = None;
    }

    fn takes(&self, time: Duration) {
        *self.0.delay.lock() = time;
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

    fn load(&self, deadline: Deadline) -> Result<Document> {
        let number = self.0.asked.fetch_add(1, SeqCst) + 1;
        let (answer, delay) = (self.0.answer.lock().clone(), *self.0.delay.lock());
        let meanwhile = self.0.meanwhile.lock().take();
        fork::outside(|| {
            meanwhile.into_iter().for_each(|act| act());
            sleep(delay.min(deadline.remaining()));
        });
        if deadline.has_passed() {
            return Err(Error::new(Status::Timeout, "too slow").with_retryable(true));
        }
        let Some(answer) = answer else { return Ok(Document::missing("it was deleted")) };
        let version: Arc<str> = Arc::from(number.to_string());
        let mut document = Document::new(Some(version.clone()));
        let entry =
            |(key, value): &(&str, &str)| Ok((key.to_string(), Some(SecretBytes::copy_from(value.as_bytes())?)));
        document.add(answer?.iter().map(entry).collect::<Result<_>>()?, Some(version));
        Ok(document)
    }

    fn describe(&self) -> Map<String, Value> {
        Map::new()
    }

    fn check(&self, _: Deadline) -> Finding {
        Finding::new(super::super::layer::State::Ok, "scripted")
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Times that only a test would choose.
const TIMES: Times = Times {
    cache_ttl: Duration::from_millis(300),
    miss_ttl: Duration::from_millis(100),
    max_stale: Duration::from_millis(400),
    max_backoff: Duration::from_millis(50),
    fair: Duration::from_millis(50),
};

fn layer(times: Times) -> (Scripted, DocumentLayer<Scripted>) {
    let source = Scripted::default();
    (source.clone(), DocumentLayer::new(source, times).unwrap())
}

fn ask(layer: &DocumentLayer<Scripted>, key: &str) -> Result<Option<Held>> {
    layer.find(key, &within(Duration::from_secs(10)))
}

fn within(time: Duration) -> Request {
    Request::new(time, false)
}

fn text(answer: Result<Option<Held>>) -> (String, bool) {
    let held = answer.unwrap().unwrap();
    (String::from_utf8(held.value.to_vec()).unwrap(), held.stale)
}

#[test]
fn one_document_answers_every_key_for_its_time() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1"), ("B", "2")]);
    assert_eq!(text(ask(&layer, "A")), ("1".to_owned(), false));
    assert_eq!(text(ask(&layer, "B")), ("2".to_owned(), false));
    assert!(ask(&layer, "C").unwrap().is_none());
    assert_eq!(source.asked(), 1);
    sleep(TIMES.cache_ttl);
    let held = ask(&layer, "A").unwrap().unwrap();
    assert_eq!((held.origin.as_ref().unwrap().version.as_deref(), held.cached), (Some("2"), false));
}

#[test]
fn a_missing_key_is_looked_for_again_after_the_time_of_a_miss() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1")]);
    assert!(ask(&layer, "B").unwrap().is_none());
    source.has(&[("A", "1"), ("B", "2")]);
    assert!(ask(&layer, "B").unwrap().is_none());
    sleep(TIMES.miss_ttl);
    assert_eq!(text(ask(&layer, "B")).0, "2");
}

#[test]
fn many_callers_of_many_keys_cause_one_request() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1"), ("B", "2")]);
    source.takes(50 * MILLISECOND);
    thread::scope(|scope| {
        for number in 0..200 {
            let (key, value) = if number % 2 == 0 { ("A", "1") } else { ("B", "2") };
            let layer = &layer;
            scope.spawn(move || assert_eq!(text(ask(layer, key)).0, value));
        }
    });
    assert_eq!(source.asked(), 1);
}

#[test]
fn one_caller_refreshes_early_and_the_others_keep_the_old_value() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "old")]);
    ask(&layer, "A").unwrap();
    sleep(TIMES.cache_ttl * 9 / 10);
    source.has(&[("A", "new")]);
    source.takes(20 * MILLISECOND);
    let old = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| old.fetch_add((text(ask(&layer, "A")).0 == "old").into(), SeqCst));
        }
    });
    assert_eq!((source.asked(), old.load(SeqCst)), (2, 19));
    assert_eq!(text(ask(&layer, "A")), ("new".to_owned(), false));
}

#[test]
fn an_early_refresh_that_fails_changes_nothing() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1")]);
    ask(&layer, "A").unwrap();
    sleep(TIMES.cache_ttl * 9 / 10);
    source.fails(Status::Unavailable);
    assert_eq!(text(ask(&layer, "A")), ("1".to_owned(), false));
    assert_eq!(source.asked(), 2);
}

#[test]
fn a_denial_of_an_early_refresh_counts_at_once() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1")]);
    ask(&layer, "A").unwrap();
    sleep(TIMES.cache_ttl * 9 / 10);
    source.fails(Status::AccessDenied);
    assert_eq!(ask(&layer, "A").err().unwrap().status(), Status::AccessDenied);
    assert_eq!(ask(&layer, "A").err().unwrap().status(), Status::AccessDenied);
}

#[test]
fn a_load_that_asks_its_own_layer_does_not_wait_for_itself() {
    let (source, layer) = layer(TIMES);
    let layer = Arc::new(layer);
    source.has(&[("A", "1")]);
    for early in [false, true] {
        if early {
            sleep(TIMES.cache_ttl * 9 / 10);
        }
        let (inner, answer) = (layer.clone(), Arc::new(Mutex::new(None)));
        let told = answer.clone();
        *source.0.meanwhile.lock() = Some(Box::new(move || *told.lock() = Some(ask(&inner, "B").map(drop))));
        let begin = Instant::now();
        assert_eq!(text(ask(&layer, "A")).0, "1");
        assert_eq!(answer.lock().take().unwrap().unwrap_err().status(), Status::Busy, "early: {early}");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn who_waits_for_another_gets_what_is_stale_when_its_own_time_is_up() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1")]);
    ask(&layer, "A").unwrap();
    sleep(TIMES.cache_ttl);
    source.takes(Duration::from_millis(400));
    thread::scope(|scope| {
        scope.spawn(|| layer.find("A", &within(Duration::from_millis(300))));
        sleep(50 * MILLISECOND);
        assert_eq!(text(layer.find("A", &within(100 * MILLISECOND))), ("1".to_owned(), true));
    });
}

#[test]
fn a_source_that_fails_rests_and_a_refresh_asks_at_once() {
    let (source, layer) = layer(TIMES);
    source.fails(Status::Unavailable);
    for _ in 0..5 {
        assert_eq!(ask(&layer, "A").err().unwrap().status(), Status::Unavailable);
    }
    assert_eq!(source.asked(), 1);
    assert!(ask(&layer, "A").err().unwrap().message().contains("asked again in"));
    layer.refresh(&within(Duration::from_secs(1))).unwrap_err();
    assert_eq!(source.asked(), 2);
    source.has(&[("A", "back")]);
    sleep(TIMES.max_backoff);
    assert_eq!(text(ask(&layer, "A")), ("back".to_owned(), false));
}

#[test]
fn the_last_document_serves_over_an_outage_for_a_bounded_time() {
    for status in [Status::Unavailable, Status::Timeout] {
        let (source, layer) = layer(TIMES);
        source.has(&[("A", "1")]);
        ask(&layer, "A").unwrap();
        source.fails(status);
        sleep(TIMES.cache_ttl);
        assert_eq!(text(ask(&layer, "A")), ("1".to_owned(), true));
        assert_eq!(ask(&layer, "B").err().unwrap().status(), status, "a key that it lacks is not thereby missing");
        sleep(TIMES.max_stale);
        assert_eq!(ask(&layer, "A").err().unwrap().status(), status);
    }
}

#[test]
fn a_denial_ends_the_use_of_the_last_document() {
    for status in [Status::AccessDenied, Status::Protocol, Status::Config] {
        let (source, layer) = layer(TIMES);
        source.has(&[("A", "1")]);
        let held = ask(&layer, "A").unwrap().unwrap();
        assert!(!held.origin.as_ref().unwrap().is_superseded());
        source.fails(status);
        layer.refresh(&within(Duration::from_secs(1))).unwrap_err();
        assert_eq!(ask(&layer, "A").err().unwrap().status(), status);
        assert!(held.origin.unwrap().is_superseded());
        source.fails(Status::Unavailable);
        layer.refresh(&within(Duration::from_secs(1))).unwrap_err();
        assert_eq!(ask(&layer, "A").err().unwrap().status(), Status::Unavailable, "it must not come back");
    }
}

#[test]
fn a_deleted_document_has_no_keys() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1")]);
    ask(&layer, "A").unwrap();
    source.is_deleted();
    layer.refresh(&within(Duration::from_secs(1))).unwrap();
    assert!(ask(&layer, "A").unwrap().is_none());
    assert_eq!(layer.place("A"), "the script: it was deleted");
    source.has(&[("A", "2")]);
    sleep(TIMES.miss_ttl);
    assert_eq!(text(ask(&layer, "A")).0, "2");
}

#[test]
fn a_caller_in_a_hurry_does_not_spoil_it_for_others() {
    let (source, layer) = layer(Times { max_backoff: Duration::from_secs(15), ..TIMES });
    source.has(&[("A", "1")]);
    source.takes(100 * MILLISECOND);
    thread::scope(|scope| {
        let hurried = scope.spawn(|| layer.find("A", &within(20 * MILLISECOND)));
        sleep(5 * MILLISECOND);
        assert_eq!(text(ask(&layer, "A")), ("1".to_owned(), false));
        assert_eq!(hurried.join().unwrap().err().unwrap().status(), Status::Timeout);
    });
}

#[test]
fn what_it_remembers_can_be_forgotten() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1")]);
    assert!(layer.at_hand("A").is_none());
    ask(&layer, "A").unwrap();
    assert!(layer.at_hand("A").unwrap().is_some());
    layer.forget();
    assert!(layer.at_hand("A").is_none());
}
