//! Documents that are shared with other processes. A provider, or a slot, behaves as that of another process.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::Config;
use crate::settings::Environment;
use crate::share::Turn;

struct Host {
    directory: tempfile::TempDir,
    share: Arc<Share>,
}

impl Host {
    fn new() -> Host {
        let directory = tempfile::Builder::new().prefix("st-secrets-test-").tempdir_in("/dev/shm").unwrap();
        let mut config = Config::new();
        config.set("share", "host").unwrap();
        config.set("share_dir", directory.path().join("share").to_str().unwrap()).unwrap();
        let share = Share::open(&config, &Environment::fixed(&[])).unwrap().unwrap();
        Host { directory, share }
    }

    fn provider(&self) -> (Scripted, DocumentProvider<Scripted>) {
        let source = Scripted::default();
        *source.0.login.lock() = Some("first");
        (source.clone(), DocumentProvider::new(Box::new(source), TIMES, Some(self.share.clone())).unwrap())
    }

    /// The files whose names end like this.
    fn files(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("share")).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.to_str().unwrap().ends_with(end)).collect()
    }

    /// Makes the document older by `time`. The one in the share, which does not become older, is removed.
    fn age(&self, provider: &DocumentProvider<Scripted>, time: Duration) {
        self.files(".doc").iter().for_each(|path| fs::remove_file(path).unwrap());
        age(provider, time);
    }
}

#[test]
fn expired_document_is_loaded_although_a_loader_is_stopped() {
    let host = Host::new();
    let (source, provider) = host.provider();
    source.has(&[("A", "1")]);
    refresh(&provider).unwrap();
    source.has(&[("A", "2")]);
    let slot = host.share.slot(source.identity().unwrap()).unwrap();
    let Turn::Load(stopped) = slot.turn(None, |_| None::<()>, |_| false) else { panic!("nothing loads") };
    host.age(&provider, TIMES.cache_ttl * 3);
    assert!(ask(&provider, "A").unwrap().unwrap().is_stale());
    provider.age_other_loaders(LONG / 2);
    assert!(ask(&provider, "A").unwrap().unwrap().is_stale());
    assert_eq!(source.asked(), 1, "the other process has the time of a call");
    provider.age_other_loaders(LONG);
    assert_eq!((text(ask(&provider, "A")), source.asked()), (fresh("2"), 2));
    host.age(&provider, REFRESH_AFTER);
    assert_eq!((text(ask(&provider, "A")), source.asked()), (fresh("2"), 2), "it is still fresh");
    drop(stopped);
}

#[test]
fn one_process_at_a_time_queries_a_source_that_fails() {
    let host = Host::new();
    let (source, provider) = host.provider();
    source.has(&[("A", "1")]);
    refresh(&provider).unwrap();
    source.fails(Status::Unavailable);
    host.age(&provider, TIMES.cache_ttl * 3);
    assert!(ask(&provider, "A").unwrap().unwrap().is_stale());
    assert_eq!(source.asked(), 2);
    let slot = host.share.slot(source.identity().unwrap()).unwrap();
    let Turn::Load(other) = slot.turn(None, |_| None::<()>, |_| false) else { panic!("nothing loads") };
    end_backoff(&provider);
    assert!(ask(&provider, "A").unwrap().unwrap().is_stale());
    assert_eq!(source.asked(), 2, "another process is querying it");
    drop(other);
}

#[test]
fn backoff_grows_with_each_partial_document_of_another_process() {
    let host = Host::new();
    let ((source, one), (_, other)) = (host.provider(), host.provider());
    source.has_part(&[("A", "1")], outage(Status::Unavailable));
    for failures in 1..=3 {
        assert_eq!(refresh(&one).unwrap_err().status(), Status::Unavailable);
        assert_eq!(text(ask(&other, "A")), fresh("1"));
        assert_eq!(other.state().outage.unwrap().failures(), failures);
    }
    assert_eq!(other.source.asked(), 0);
}

#[test]
fn document_is_not_shared_if_the_login_changed_during_its_load() {
    let host = Host::new();
    let ((source, provider), (_, other)) = (host.provider(), host.provider());
    source.has(&[("A", "1")]);
    let script = source.0.clone();
    *source.0.in_load.lock() = Some(Box::new(move || *script.login.lock() = Some("second")));
    assert_eq!(text(ask_now(&provider, "A")), fresh("1"));
    assert!(host.files(".doc").is_empty());
    other.source.has(&[("A", "2")]);
    assert_eq!((text(ask(&other, "A")), other.source.asked()), (fresh("2"), 1));
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    assert_eq!(text(ask_now(&provider, "A")), fresh("1"));
    assert_eq!((host.files(".doc").len(), source.asked()), (2, 2), "the next one is");
}
