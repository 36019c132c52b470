//! Invalidation of all hosts, with confirmation.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use serde_json::json;

use crate::cluster::Cluster;
use crate::common::time::PATIENCE;
use crate::server::{Kind, on_each_server};
use crate::worker::{Worker, canary, merged};

on_each_server! {
    hosts_confirm_and_return_nothing_older,
    listening_host_notices_without_a_get,
    stopped_host_is_named_and_nothing_older_is_returned_later,
    host_that_is_silent_for_long_is_named_and_not_waited_for,
    stopped_process_keeps_its_host_from_confirming,
    anyone_may_increase_the_revision,
    document_from_before_a_clear_is_not_taken_with_the_first_revision,
    document_from_before_an_invalidation_of_the_host_is_not_taken_with_a_new_revision,
}

fn count(report: &serde_json::Value, member: &str) -> usize {
    report[member].as_array().unwrap_or_else(|| panic!("{report}")).len()
}

/// How many gets there are after invalidations; `make soak` sets more.
fn reads() -> Option<u64> {
    std::env::var("ST_TEST_FENCE_READS").ok().map(|text| text.parse().expect("ST_TEST_FENCE_READS is a number"))
}

fn hosts_confirm_and_return_nothing_older(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    one.get("A");
    other.get("A");
    let begun = AtomicBool::new(false);
    let (rounds, reads_of_host) = reads().map_or((3, 200_000), |reads| (20, reads / 40));
    for round in 1..=rounds {
        std::thread::scope(|scope| {
            // A host that makes calls confirms in one of them.
            let other = &mut other;
            let begun = &begun;
            begun.store(false, Relaxed);
            let reader = scope.spawn(move || {
                while !begun.load(Relaxed) {
                    other.ask("least 10000");
                }
            });
            cluster.put(&round.to_string());
            let report = one.ask("invalidate-cluster");
            begun.store(true, Relaxed);
            assert_eq!((count(&report, "confirmed"), count(&report, "silent")), (2, 0), "{report}");
            assert_eq!(report["scope"], "cluster");
            reader.join().unwrap();
        });
        // Both at the same time.
        let mut hosts = [&mut one, &mut other];
        hosts.iter_mut().for_each(|host| host.send(&format!("least {reads_of_host}")));
        hosts.iter_mut().for_each(|host| assert_eq!(host.answer().unwrap().as_u64(), Some(round)));
        if reads().is_none() {
            assert_eq!(cluster.loads() as u64, 1 + round, "one load for the cluster after each invalidation");
        }
    }
    println!("{} gets after {rounds} invalidations, none with an older value", 2 * rounds * reads_of_host);
}

fn listening_host_notices_without_a_get(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    one.get("A");
    other.get("A");
    let before = other.ask("generation").as_u64().unwrap();
    other.send(&format!("listen {before}"));
    cluster.put("second");
    let report = one.ask("invalidate-cluster");
    assert_eq!((count(&report, "confirmed"), count(&report, "silent")), (2, 0), "{report}");
    assert!(other.answer().unwrap().as_u64().unwrap() > before);
    assert_eq!(other.get("A"), canary("second"));
}

fn stopped_host_is_named_and_nothing_older_is_returned_later(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    one.get("A");
    other.get("A");
    other.signal(libc::SIGSTOP);
    cluster.put("second");
    let report = one.ask("invalidate-cluster-briefly");
    assert_eq!((count(&report, "confirmed"), count(&report, "silent")), (1, 1), "{report}");
    assert!(one.ask("share")["tier"]["retry_in"].is_null(), "the tier counts as failed because the time ended");
    other.signal(libc::SIGCONT);
    // Its next look at the tier is due within a second.
    other.ask("advance 2");
    assert_eq!(other.get("A"), canary("second"));
}

fn host_that_is_silent_for_long_is_named_and_not_waited_for(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    one.get("A");
    other.get("A");
    other.signal(libc::SIGSTOP);
    for (seconds, silent) in [(20, 1), (100, 0)] {
        cluster.server.silence_hosts(seconds);
        let begun = Instant::now();
        let report = one.ask("invalidate-cluster");
        assert_eq!((count(&report, "confirmed"), count(&report, "silent")), (1, silent), "{report}");
        assert!(begun.elapsed() < PATIENCE, "it waited until its time was over");
    }
    // It is back, and is waited for.
    other.signal(libc::SIGCONT);
    other.ask("advance 2");
    other.get("A");
    other.signal(libc::SIGSTOP);
    let report = one.ask("invalidate-cluster-briefly");
    assert_eq!((count(&report, "confirmed"), count(&report, "silent")), (1, 1), "{report}");
    other.signal(libc::SIGCONT);
}

fn stopped_process_keeps_its_host_from_confirming(kind: Kind) {
    let cluster = Cluster::start(kind);
    let mut one = cluster.host();
    let settings = cluster.settings();
    let (mut working, mut stopped) = (Worker::start(&settings), Worker::start(&merged(settings, json!({}))));
    for worker in [&mut one, &mut working, &mut stopped] {
        worker.get("A");
    }
    stopped.signal(libc::SIGSTOP);
    one.send("invalidate-cluster-briefly");
    let report = std::thread::scope(|scope| {
        let asked = scope.spawn(|| one.answer().unwrap());
        while !asked.is_finished() {
            working.ask("least 1000");
        }
        asked.join().unwrap()
    });
    assert_eq!((count(&report, "confirmed"), count(&report, "silent")), (1, 1), "{report}");
    stopped.signal(libc::SIGCONT);
}

fn anyone_may_increase_the_revision(kind: Kind) {
    let cluster = Cluster::start(kind);
    let mut host = cluster.host();
    host.get("A");
    cluster.put("second");
    cluster.server.increase_revision();
    host.ask("advance 2");
    assert_eq!(host.get("A"), canary("second"));
}

fn document_from_before_a_clear_is_not_taken_with_the_first_revision(kind: Kind) {
    let cluster = Cluster::start(kind);
    cluster.host().get("A");
    cluster.put("second");
    let mut other = cluster.host();
    other.ask("clear");
    assert_eq!(other.get("A"), canary("second"));
}

fn document_from_before_an_invalidation_of_the_host_is_not_taken_with_a_new_revision(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, settings) = (cluster.host(), cluster.settings());
    let mut other = Worker::start(&settings);
    one.get("A");
    other.get("A");
    cluster.server.increase_revision();
    one.ask("advance 2");
    assert_eq!((one.get("A"), cluster.loads()), (canary("first"), 2));
    cluster.put("second");
    // A process of the host that has no document of its own.
    let mut operator = Worker::start(&merged(settings, json!({"providers": ["env"]})));
    assert_eq!(operator.ask("invalidate")["silent"], json!([]));
    assert_eq!(other.get("A"), canary("second"));
}
