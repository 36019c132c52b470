//! A tier that fails costs a cache nothing but what it shares.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cache::{process, processes, settings};
use crate::common::proxy::{Fault, Proxy};
use crate::server::{Kind, PASSWORD, Server, on_each_server};
use crate::worker::{Worker, merged};

on_each_server! {
    tier_that_is_down_is_reported_once_and_left_alone,
    stopped_tier_costs_half_a_second_once,
    wrong_password_is_reported,
    missing_permission_is_reported,
    garbage_is_refused,
    connection_that_is_cut_is_reported_once_and_replaced,
    reply_that_is_cut_is_never_a_wrong_value,
    distant_tier_is_used,
    full_tier_is_reported,
    change_during_an_outage_is_sent_later,
    restarted_tier_is_used_on,
    replaced_tier_is_used_on,
    flushed_tier_drops_what_processes_have,
    lowered_revision_drops_what_processes_have,
    damaged_value_is_loaded,
    connection_that_became_silent_is_replaced,
}

/// The cache works alone, and says why.
#[track_caller]
fn assert_alone(process: &mut Worker, reason: &str) {
    process.ask("set a first");
    assert_eq!(process.ask("get a"), "first");
    assert_eq!(process.ask("load b second"), "second");
    assert_eq!(process.ask("get b"), "second");
    process.ask("delete a");
    assert_eq!(process.ask("get a"), Value::Null);
    let log = process.ask("log");
    let messages = log.as_array().unwrap();
    assert_eq!(messages.len(), 1, "{log}");
    assert!(messages[0].as_str().unwrap().contains(reason), "{log}");
    assert!(!log.to_string().contains(PASSWORD), "{log}");
}

fn with_tier(server: &dyn Server, url: &str) -> Worker {
    process(&merged(settings(server), json!({"tier": url})))
}

fn tier_that_is_down_is_reported_once_and_left_alone(kind: Kind) {
    let mut server = kind.start();
    server.stop();
    assert_alone(&mut process(&settings(&*server)), "Connection refused");
}

fn stopped_tier_costs_half_a_second_once(kind: Kind) {
    let server = kind.start();
    server.process().pause();
    assert_alone(&mut process(&settings(&*server)), "timed out");
    server.process().resume();
}

fn wrong_password_is_reported(kind: Kind) {
    let server = kind.start();
    let url = server.url().replace('@', "-wrong@");
    assert_alone(&mut with_tier(&*server, &url), "rejects the user or the password");
}

fn missing_permission_is_reported(kind: Kind) {
    let server = kind.start();
    server.forbid();
    assert_alone(&mut process(&settings(&*server)), "does not permit");
}

fn garbage_is_refused(kind: Kind) {
    let server = kind.start();
    for (impostor, address) in kind.impostors() {
        assert_alone(&mut with_tier(&*server, &kind.url(&address)), "check `share_url`");
        drop(impostor);
    }
}

fn connection_that_is_cut_is_reported_once_and_replaced(kind: Kind) {
    let server = kind.start();
    let [mut direct] = processes(&*server);
    direct.ask("set shared by-all");
    // Cut(20): in the middle of a reply.
    for fault in [Fault::Cut(20), Fault::Cut(0), Fault::ResetBefore, Fault::Hang] {
        let proxy = Proxy::tcp(&server.address());
        proxy.always(fault);
        let mut process = with_tier(&*server, &kind.url(proxy.address()));
        assert_alone(&mut process, proxy.address());
        proxy.heal();
        process.ask("advance 20");
        assert_eq!(process.ask("get shared"), "by-all");
    }
}

fn reply_that_is_cut_is_never_a_wrong_value(kind: Kind) {
    let server = kind.start();
    let [mut direct] = processes(&*server);
    let value = "v".repeat(300);
    direct.ask(&format!("set a {value}"));
    // In the replies to the login, to the first look, and to the lookup.
    let mut found = Vec::new();
    for bytes in (30..1500).step_by(70).chain((2_000..12_000).step_by(1_000)) {
        let proxy = Proxy::tcp(&server.address());
        proxy.always(Fault::Cut(bytes));
        let mut process = with_tier(&*server, &kind.url(proxy.address()));
        let seen = process.ask("get a");
        assert!(seen == json!(value) || seen == Value::Null, "{bytes}: {seen}");
        process.ask("set b own");
        assert_eq!(process.ask("get b"), "own", "{bytes}");
        found.push(!seen.is_null());
    }
    assert!(found.contains(&true) && found.contains(&false), "{found:?}");
}

fn distant_tier_is_used(kind: Kind) {
    let server = kind.start();
    let [mut direct] = processes(&*server);
    direct.ask("set a first");
    let proxy = Proxy::tcp(&server.address());
    proxy.always(Fault::Delay(Duration::from_millis(100)));
    let mut process = with_tier(&*server, &kind.url(proxy.address()));
    assert_eq!(process.ask("get a"), "first", "{}", process.ask("log"));
}

fn full_tier_is_reported(kind: Kind) {
    let server = kind.start_full();
    assert_alone(&mut process(&settings(&*server)), "is full");
}

fn change_during_an_outage_is_sent_later(kind: Kind) {
    let mut server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    one.ask("set b first");
    assert_eq!((other.ask("get a"), other.ask("get b")), (json!("first"), json!("first")));
    server.process().pause();
    one.ask("set a second");
    one.ask("delete b");
    assert_eq!((one.ask("get a"), one.ask("get b")), (json!("second"), Value::Null));
    assert_eq!(other.ask("get a"), "first");
    server.process().resume();
    one.ask("advance 20");
    one.ask("get a");
    other.ask("advance 20");
    assert_eq!((other.ask("get a"), other.ask("get b")), (Value::Null, Value::Null));
    server.stop();
}

fn restarted_tier_is_used_on(kind: Kind) {
    let mut server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    server.stop();
    server.run();
    one.ask("advance 20");
    one.ask("set b second");
    assert_eq!(other.ask("get b"), "second");
    assert!(other.ask("log").as_array().unwrap().len() <= 1);
}

fn replaced_tier_is_used_on(kind: Kind) {
    let mut server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    assert_eq!(other.ask("get a"), "first");
    server.stop();
    server.run_empty();
    for process in [&mut one, &mut other] {
        // The first exchange may fail: etcd does not answer a token of its predecessor.
        for _ in 0..2 {
            process.ask("advance 20");
            process.ask("get a");
        }
    }
    one.ask("set b second");
    assert_eq!(other.ask("get b"), "second", "{} {}", one.ask("log"), other.ask("log"));
    one.ask("set a third");
    other.ask("advance 2");
    assert_eq!(other.ask("get a"), "third");
}

fn flushed_tier_drops_what_processes_have(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    assert_eq!(other.ask("get a"), "first", "{} {}", one.ask("log"), other.ask("log"));
    server.flush();
    other.ask("advance 2");
    assert_eq!(other.ask("get a"), Value::Null);
    assert_eq!(other.ask("load a second"), "second");
    one.ask("advance 2");
    assert_eq!(one.ask("get a"), "second");
    one.ask("set a third");
    other.ask("advance 2");
    assert_eq!(other.ask("get a"), "third");
}

fn lowered_revision_drops_what_processes_have(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    one.ask("set b first");
    assert_eq!(other.ask("get a"), "first");
    server.lower_revision();
    other.ask("advance 2");
    assert_eq!(other.ask("get a"), Value::Null);
    one.ask("set a second");
    other.ask("advance 2");
    assert_eq!(other.ask("get a"), "second");
}

fn damaged_value_is_loaded(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a value-of-some-length");
    server.damage(&server.key("value"));
    assert_eq!(other.ask("load a second"), "second");
    let [mut third] = processes(&*server);
    assert_eq!(third.ask("get a"), "second");
}

#[test]
fn changes_during_an_outage_are_not_all_sent_by_one_call() {
    let server = Kind::Etcd.start();
    let proxy = Proxy::to(&server.address());
    let mut one = with_tier(&*server, &Kind::Etcd.url(proxy.address()));
    let [mut other] = processes(&*server);
    other.ask("set user:7 first");
    other.ask("set b first");
    proxy.always(Fault::Refuse);
    for number in 0..60 {
        one.ask(&format!("set user:{} second", number % 30));
    }
    proxy.always(Fault::Delay(Duration::from_millis(40)));
    let before = proxy.requests().len();
    one.ask("advance 20");
    one.ask("get a");
    let requests = proxy.requests().len() - before;
    assert!(requests < 20, "{requests} requests: {}", one.ask("log"));
    other.ask("advance 2");
    assert_eq!((other.ask("get user:7"), other.ask("get b")), (Value::Null, json!("first")));
    // The changes have reached the tier, so it is used.
    other.ask("set c first");
    assert_eq!(one.ask("get c"), "first");
}

/// Passes bytes on, but nothing more on connections from before the last call of [`Router::forget`].
struct Router {
    address: String,
    forgotten: Arc<AtomicUsize>,
}

impl Router {
    fn to(server: String) -> Router {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, forgotten) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
        let router = Router { address, forgotten: forgotten.clone() };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // At the end of the test, the server is gone.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let ends = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
                let (before, forgotten) = (forgotten.load(SeqCst), &forgotten);
                for (mut from, mut to) in ends {
                    let is_known = {
                        let forgotten = forgotten.clone();
                        move || forgotten.load(SeqCst) == before
                    };
                    thread::spawn(move || {
                        let mut bytes = [0; 65536];
                        while let Ok(count @ 1..) = from.read(&mut bytes) {
                            if is_known() && to.write_all(&bytes[..count]).is_err() {
                                break;
                            }
                        }
                        if is_known() {
                            let _ = to.shutdown(Shutdown::Both);
                        }
                    });
                }
            }
        });
        router
    }

    fn forget(&self) {
        self.forgotten.fetch_add(1, SeqCst);
    }
}

fn connection_that_became_silent_is_replaced(kind: Kind) {
    let server = kind.start();
    let router = Router::to(server.address());
    let mut one = with_tier(&*server, &kind.url(&router.address));
    let [mut other] = processes(&*server);
    // A busy machine may need several attempts to connect in time.
    let is_found = |attempt: usize| {
        one.ask("advance 20");
        one.ask("set a first");
        other.ask(&format!("set b{attempt} first"));
        router.forget();
        one.ask(&format!("get b{attempt}")) == "first"
    };
    assert!((0..10).any(is_found), "{}", one.ask("log"));
}
