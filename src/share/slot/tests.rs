//! Tests of a slot within one process: two slots of one identity behave as those of two processes.

use std::cell::Cell;
use std::fs;
use std::thread;

use super::super::fields::nanoseconds;
use super::*;
use crate::error::{Error, Status};

const LONG: Duration = Duration::from_secs(60);

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("st-secrets-test-").tempdir_in("/dev/shm").unwrap()
}

fn identity(secret: Option<&[u8]>) -> Identity {
    let mut identity = Identity::new("test");
    secret.map_or(Ok(()), |secret| identity.add_secret(secret)).unwrap();
    identity
}

fn open(directory: &tempfile::TempDir, secret: Option<&[u8]>) -> Slot {
    Slot::open(directory.path().join("share"), None, identity(secret), false).unwrap()
}

fn record(text: &[u8]) -> Result<NewRecord> {
    let mut payload = SecretBuffer::with_capacity(text.len())?;
    payload.push(text)?;
    Ok(NewRecord { requested_at: Instant::now(), ttl: Some(LONG), refresh_after: None, payload })
}

fn failure(error: Error) -> Failure {
    let (time_limit, lost, retry_at) = (LONG, Duration::ZERO, Instant::now().after(LONG));
    Failure { error, failures: 3, time_limit, lost, pause: lost, retry_at }
}

fn outage() -> Failure {
    failure(Error::new(Status::Unavailable, "it fails"))
}

/// The turn of a call that waits and takes everything.
fn turn(slot: &Slot) -> Turn<'_, Vec<u8>> {
    slot.turn(Some(Deadline::after(LONG)), |record| Some(record.payload.to_vec()), |_| true)
}

#[track_caller]
fn load(slot: &Slot) -> Loading<'_> {
    match turn(slot) {
        Turn::Load(loading) => loading,
        _ => panic!("it is not this call's turn"),
    }
}

/// The load of a call that neither waits nor takes anything.
#[track_caller]
fn load_now(slot: &Slot) -> Loading<'_> {
    match slot.turn(None, |_| None::<()>, |_| false) {
        Turn::Load(loading) => loading,
        _ => panic!("it is not this call's turn"),
    }
}

#[track_caller]
fn taken(slot: &Slot) -> Vec<u8> {
    match turn(slot) {
        Turn::Taken(payload) => payload,
        _ => panic!("nothing was taken"),
    }
}

#[test]
fn published_document_is_taken_by_others() {
    let directory = directory();
    for secret in [None, Some(&b"secret"[..])] {
        let (one, other) = (open(&directory, secret), open(&directory, secret));
        let stamp = load(&one).publish(record(b"first"));
        assert_eq!((taken(&other), taken(&one)), (b"first".to_vec(), b"first".to_vec()));
        let read = other.read().unwrap();
        assert_eq!((read.ttl, read.refresh_after), (Some(LONG), None));
        assert!(stamp.is_current(CoarseInstant::now()) && read.stamp.is_current(CoarseInstant::now()));
        one.invalidate();
        assert!(!stamp.is_valid() && !read.stamp.is_current(CoarseInstant::now()));
        assert!(matches!(turn(&other), Turn::Load(_)));
    }
}

#[test]
fn caller_that_does_not_wait_gets_no_turn_while_another_loads() {
    let directory = directory();
    let (one, other) = (open(&directory, None), open(&directory, None));
    let loading = load(&one);
    assert!(matches!(other.turn(None, |_| Some(()), |_| true), Turn::Busy));
    let state = other.state().unwrap();
    assert_eq!((state.is_loading, state.loader), (true, Some(std::process::id())));
    drop(loading);
    let state = other.state().unwrap();
    assert_eq!((state.is_loading, state.loader), (false, None));
    assert!(matches!(other.turn(None, |_| Some(()), |_| true), Turn::Load(_)));
}

#[test]
fn waiting_callers_get_what_is_published() {
    let directory = directory();
    let one = open(&directory, None);
    let loading = load(&one);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..10).map(|_| scope.spawn(|| taken(&open(&directory, None)))).collect();
        loading.publish(record(b"first"));
        assert!(waiting.into_iter().all(|one| one.join().unwrap() == b"first"));
    });
}

#[test]
fn one_more_process_loads_after_each_half_of_the_time() {
    let directory = directory();
    let [one, other, third] = [(); 3].map(|()| open(&directory, None));
    let first = load(&one);
    let brief = |slot| Slot::turn(slot, Some(Deadline::after(Duration::from_secs(4))), |_| None::<()>, |_| true);
    let Turn::Load(second) = brief(&other) else { panic!("a second process loads") };
    let waits = Instant::now();
    assert!(matches!(brief(&third), Turn::Load(_)));
    assert!(waits.elapsed() >= Duration::from_secs(3), "the third one has a quarter of its time left");
    // The first one continues at last. What the second one published is newer.
    let old = record(b"first");
    second.publish(record(b"second"));
    first.publish(old.map(|old| NewRecord { requested_at: waits, ..old }));
    assert_eq!(taken(&one), b"second");
}

/// Two processes that load at the same time.
fn load_both<'a>(one: &'a Slot, other: &'a Slot) -> (Loading<'a>, Loading<'a>) {
    let first = load(one);
    match other.turn_now(2, |_| None::<()>, |_| true) {
        Turn::Load(second) => (first, second),
        _ => panic!("a second process loads"),
    }
}

#[test]
fn late_document_does_not_hide_a_newer_one() {
    let directory = directory();
    let (one, other) = (open(&directory, None), open(&directory, None));
    let (first, second) = load_both(&one, &other);
    let old = record(b"first");
    let newer = second.publish(record(b"second"));
    let stamp = first.publish(old);
    assert!(!stamp.is_current(CoarseInstant::now()), "the process looks for the newer one");
    assert!(newer.is_current(CoarseInstant::now()));
    assert_eq!(taken(&one), b"second");
}

#[test]
fn late_failure_does_not_replace_a_newer_document() {
    for error in [Error::new(Status::Timeout, "it hung"), Error::new(Status::AccessDenied, "no").authoritative()] {
        let directory = directory();
        let (one, other) = (open(&directory, None), open(&directory, None));
        let (first, second) = load_both(&one, &other);
        let newer = second.publish(record(b"second"));
        let stamp = first.fail(&failure(error));
        assert!(!stamp.is_current(CoarseInstant::now()), "the process looks for the document");
        assert!(newer.is_current(CoarseInstant::now()));
        assert_eq!(taken(&one), b"second");
        assert!(one.state().unwrap().failure.is_none());
    }
}

#[test]
fn loaders_write_to_files_of_their_own() {
    let directory = directory();
    let (one, other) = (open(&directory, None), open(&directory, None));
    let (first, second) = load_both(&one, &other);
    // What the first one has written so far.
    let unfinished = ["", "0"].map(|end| directory.path().join("share").join(format!("{}.doc.tmp{end}", one.id())));
    unfinished.iter().for_each(|path| fs::write(path, b"STDOC").unwrap());
    second.publish(record(b"second"));
    assert!(unfinished.iter().all(|path| fs::read(path).unwrap() == b"STDOC"));
    first.publish(record(b"first"));
    assert_eq!(taken(&other), b"first");
}

#[test]
fn process_that_is_denied_sees_the_next_document() {
    let directory = directory();
    let (one, other) = (open(&directory, None), open(&directory, None));
    let stamp = load(&one).fail(&failure(Error::new(Status::AccessDenied, "it is denied").authoritative()));
    assert!(stamp.is_valid() && stamp.is_current(CoarseInstant::now()));
    load_now(&other).publish(record(b"first"));
    assert!(stamp.is_valid() && !stamp.is_current(CoarseInstant::now()));
}

#[test]
fn failure_applies_to_all_until_a_load_succeeds() {
    let directory = directory();
    let (one, other) = (open(&directory, None), open(&directory, None));
    load(&one).fail(&outage());
    match turn(&other) {
        Turn::Resting(failure, _) => {
            assert_eq!((failure.error.message(), failure.failures), ("it fails", 3));
            assert!(failure.retry_at.since(Instant::now()) > LONG / 2);
        }
        _ => panic!("it does not rest"),
    }
    // One for which the failure does not count, as for a refresh.
    match other.turn(Some(Deadline::after(LONG)), |_| Some(()), |_| false) {
        Turn::Load(loading) => {
            assert_eq!(loading.failure().unwrap().failures, 3);
            loading.publish(record(b"first"));
        }
        _ => panic!("it is not this call's turn"),
    }
    assert_eq!(taken(&one), b"first");
    assert!(one.state().unwrap().failure.is_none());
}

#[test]
fn outage_keeps_the_document_and_a_denial_removes_it() {
    let directory = directory();
    let one = open(&directory, None);
    let stamp = load(&one).publish(record(b"first"));
    let take_none = |slot: &Slot, failure: &Failure| match slot.turn(None, |_| None::<()>, |_| false) {
        Turn::Load(loading) => drop(loading.fail(failure)),
        _ => panic!("it is not this call's turn"),
    };
    take_none(&one, &outage());
    assert!(stamp.is_valid() && one.read().is_some());
    take_none(&one, &failure(Error::new(Status::AccessDenied, "it is denied").authoritative()));
    assert!(!stamp.is_valid() && one.read().is_none());
}

#[test]
fn process_with_other_secrets_neither_reads_nor_ends_a_document() {
    let directory = directory();
    let (one, other) = (open(&directory, Some(b"one")), open(&directory, Some(b"other")));
    assert_eq!(one.id(), other.id());
    let stamp = load(&one).publish(record(b"first"));
    assert!(other.read().is_none());
    load(&other).fail(&failure(Error::new(Status::AccessDenied, "it is denied").authoritative()));
    assert!(stamp.is_valid());
    assert_eq!(taken(&one), b"first");
    // A key of the configuration replaces the secrets.
    let key = SecretBytes::copy_from(&[1; 32]).unwrap();
    let keyed = |secret| Slot::open(directory.path().join("share"), Some(&key), identity(Some(secret)), false).unwrap();
    load(&keyed(b"one")).publish(record(b"second"));
    assert_eq!(taken(&keyed(b"other")), b"second");
}

#[test]
fn process_with_other_secrets_neither_waits_for_a_load_nor_ends_a_failure() {
    let directory = directory();
    let [one, same, other] = [b"one", b"one", b"two"].map(|secret| open(&directory, Some(secret)));
    let loading = load(&one);
    assert!(matches!(same.turn(None, |_| Some(()), |_| true), Turn::Busy));
    load_now(&other).publish(record(b"other"));
    loading.fail(&outage());
    load_now(&other).publish(record(b"newer"));
    assert!(matches!(turn(&same), Turn::Resting(..)));
    load_now(&same).publish(record(b"first"));
    assert!(one.state().unwrap().failure.is_none());
}

#[test]
fn document_requested_before_an_invalidation_is_not_used() {
    let directory = directory();
    let (one, other) = (open(&directory, None), open(&directory, None));
    let loading = load(&one);
    other.invalidate();
    let stamp = loading.publish(record(b"first"));
    assert!(other.read().is_none() && !stamp.is_current(CoarseInstant::now()));
}

#[test]
fn document_of_another_boot_or_from_the_future_is_not_used() {
    let directory = directory();
    let one = open(&directory, None);
    let seal = |header: DocumentHeader| {
        let file = sealed::seal(&header, record(b"first").unwrap().payload, &one.key_source(&one.material)).unwrap();
        fs::write(directory.path().join("share").join(format!("{}.doc", one.id())), file).unwrap();
    };
    let now = nanoseconds(Some(Instant::now().since_boot()));
    let header = DocumentHeader {
        kind: SealedKind::Document,
        revision: 0,
        requested_at: now,
        ttl: 0,
        refresh_after: 0,
        boot: one.page.boot(),
    };
    seal(header);
    assert!(one.read().is_some());
    seal(DocumentHeader { boot: [0; 16], ..header });
    assert!(one.read().is_none());
    seal(DocumentHeader { requested_at: now + 3_600_000_000_000, ..header });
    assert!(one.read().is_none());
}

#[test]
fn each_document_is_looked_at_once_while_waiting() {
    let directory = directory();
    let (one, other) = (open(&directory, None), open(&directory, None));
    load(&one).publish(record(b"first"));
    let _loading = match one.turn(None, |_| None::<()>, |_| false) {
        Turn::Load(loading) => loading,
        _ => panic!("it is not this call's turn"),
    };
    let looks = Cell::new(0);
    let look = |_| {
        looks.set(looks.get() + 1);
        None::<()>
    };
    assert!(matches!(other.turn(Some(Deadline::after(Duration::from_millis(100))), look, |_| true), Turn::Load(_)));
    assert_eq!(looks.get(), 2, "once at the beginning, and once under the lock");
}

#[test]
fn page_without_its_name_is_noticed() {
    let directory = directory();
    let one = open(&directory, None);
    let stamp = one.stamp();
    fs::remove_dir_all(directory.path().join("share")).unwrap();
    let end = std::time::Instant::now() + LONG;
    while one.has_name() {
        assert!(std::time::Instant::now() < end);
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!stamp.is_current(CoarseInstant::now()) && !one.is_for(&identity(None)));
    stamp.detach();
    assert!(stamp.is_current(CoarseInstant::now()));
    load(&open(&directory, None)).publish(record(b"first"));
    assert_eq!(taken(&open(&directory, None)), b"first");
}
