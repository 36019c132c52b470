//! A cache that servers share: processes that store, look up, load and invalidate.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use st_secrets::cache::{Object, TtlCache, Value as Cached};
use st_secrets::{Error, Status, open_cache};

use crate::cluster::KEY;
use crate::common::fork::{fork, said_yes};
use crate::common::time::{advance, soon};
use crate::server::{Kind, PASSWORD, Server, on_each_server};
use crate::worker::{Worker, canary, configuration, merged, serve};

on_each_server! {
    value_of_one_process_is_found_by_another_with_its_ttl,
    value_is_loaded_once_for_all_processes,
    set_reaches_the_near_caches_of_others,
    delete_reaches_the_near_caches_of_others,
    prefix_reaches_the_near_caches_of_others_and_spares_other_keys,
    clear_reaches_all,
    near_hit_asks_once_in_an_interval,
    load_that_is_outdated_is_not_published,
    load_that_is_outdated_is_not_published_after_the_new_value_has_expired,
    value_that_was_stored_before_a_prefix_changed_is_not_used,
    process_that_was_idle_for_long_drops_what_it_has,
    names_and_keys_separate_caches,
    forked_child_has_connections_of_its_own,
    operator_sees_neither_keys_nor_values,
    cache_without_room_uses_the_tier,
}

/// The settings of a cache on this server.
pub(crate) fn settings(server: &dyn Server) -> Value {
    json!({"tier": server.url(), "share_key": KEY, "default_ttl": 3000})
}

/// A process with a cache.
pub(crate) fn process(settings: &Value) -> Worker {
    Worker::start_test("cache::cache_process", &[], settings)
}

pub(crate) fn processes<const N: usize>(server: &dyn Server) -> [Worker; N] {
    std::array::from_fn(|_| process(&settings(server)))
}

/// The body of a process. As a test it does nothing.
#[test]
fn cache_process() {
    let Some(config) = configuration() else { return };
    let messages: &'static Mutex<Vec<String>> = Box::leak(Box::default());
    st_secrets::log::set(st_secrets::log::Level::Info, |_, _, message| {
        messages.lock().unwrap().push(message.to_owned())
    });
    let cache = open_cache(&config).unwrap();
    serve(|command, argument| run(&cache, messages, command, argument));
}

fn run(cache: &TtlCache<Cached>, messages: &Mutex<Vec<String>>, command: &str, argument: &str) -> Value {
    let (key, value) = argument.split_once(' ').unwrap_or((argument, ""));
    let text = |bytes: &[u8]| json!(String::from_utf8_lossy(bytes));
    match command {
        "get" => cache.get_bytes(key.as_bytes()).unwrap().map_or(Value::Null, |bytes| text(&bytes)),
        "set" => json!(cache.set_bytes(key.as_bytes(), value.as_bytes(), None).is_ok()),
        "set-large" => json!(cache.set_bytes(key.as_bytes(), &vec![b'x'; value.parse().unwrap()], None).is_ok()),
        "set-briefly" => {
            json!(cache.set_bytes(key.as_bytes(), value.as_bytes(), Some(Duration::from_secs(20))).is_ok())
        }
        "set-for-a-moment" => {
            json!(cache.set_bytes(key.as_bytes(), value.as_bytes(), Some(Duration::from_millis(20))).is_ok())
        }
        "load" => {
            let load = |_| match value {
                "" => Err(Error::new(Status::NotFound, "none")),
                value => Cached::copy_from(value.as_bytes()),
            };
            let loaded = cache.get_or_load(key.as_bytes(), Duration::from_secs(60), load);
            loaded.map_or(Value::Null, |value| text(&value.into_bytes().unwrap()))
        }
        "load-denied" => {
            let load = |_| Err::<Cached, _>(Error::new(Status::AccessDenied, "denied"));
            json!(cache.get_or_load(key.as_bytes(), Duration::from_secs(60), load).ok().map(|_| "a value"))
        }
        "load-nothing" => {
            let loaded = cache.get_or_load(key.as_bytes(), Duration::from_secs(60), |_| cache.nothing());
            json!(loaded.ok().filter(Cached::is_present).map(|_| "a value"))
        }
        "load-object" => {
            let load = |_| Ok(Cached::Object(Object::new(1)));
            json!(cache.get_or_load(key.as_bytes(), Duration::from_secs(60), load).is_ok())
        }
        "set-object" => json!(cache.set(key.as_bytes(), Cached::Object(Object::new(1)), None).is_ok()),
        "is-object" => json!(cache.get(key.as_bytes()).is_some_and(|value| value.into_object().is_ok())),
        // Ends the load of the command before it.
        "begin" => match cache.acquire(key.as_bytes(), Duration::ZERO, Duration::MAX).unwrap() {
            st_secrets::cache::Acquired::Lead(lease, _) => json!(lease.into_number()),
            _ => Value::Null,
        },
        "finish" => {
            json!(cache.load_finish(key.parse().unwrap(), Cached::copy_from(value.as_bytes()).unwrap()).is_ok())
        }
        "delete" => json!(cache.delete(key.as_bytes())),
        "prefix" => json!(cache.invalidate_prefix(key.as_bytes())),
        "clear" => json!(cache.clear()),
        "advance" => {
            advance(Duration::from_secs(key.parse().unwrap()));
            Value::Null
        }
        "loads" => json!([cache.stats().loads, cache.stats().load_failures]),
        "child" => {
            let own = key.to_owned();
            json!(said_yes(fork(|| cache
                .get_bytes(own.as_bytes())
                .unwrap()
                .is_some_and(|bytes| *bytes == *value.as_bytes()))))
        }
        "log" => json!(*messages.lock().unwrap()),
        _ => panic!("unknown command {command}"),
    }
}

/// Lets the time pass after which a process asks for changes.
pub(crate) fn pass(process: &mut Worker) {
    process.ask("advance 2");
}

#[track_caller]
pub(crate) fn assert_get(process: &mut Worker, key: &str, expected: Option<&str>) {
    assert_eq!(process.ask(&format!("get {key}")), json!(expected), "{key}");
}

fn value_of_one_process_is_found_by_another_with_its_ttl(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set-briefly a first");
    assert_get(&mut other, "a", Some("first"));
    assert_get(&mut other, "b", None);
    other.ask("advance 21");
    // The near cache has dropped it; the server has it for longer by its own clock.
    let before = other.ask("log");
    other.ask("get a");
    assert_eq!(other.ask("log"), before);
    one.ask("set c ");
    assert_get(&mut other, "c", Some(""));
    one.ask(&format!("set d {}", "long".repeat(5000)));
    assert_get(&mut other, "d", Some(&"long".repeat(5000)));
}

fn value_is_loaded_once_for_all_processes(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    assert_eq!(one.ask("load a first"), "first");
    assert_eq!(other.ask("load a second"), "first");
    assert_eq!((one.ask("loads"), other.ask("loads")), (json!([1, 0]), json!([0, 0])));
    // A load does not invalidate what others have.
    assert_eq!(server.count("value") + server.keys("log").len(), 1);
    assert_eq!(other.ask("load b"), Value::Null);
    assert_eq!(other.ask("loads"), json!([1, 1]));
}

fn set_reaches_the_near_caches_of_others(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    assert_get(&mut other, "a", Some("first"));
    one.ask("set a second");
    pass(&mut other);
    assert_get(&mut other, "a", Some("second"));
    other.ask("set a third");
    pass(&mut one);
    assert_get(&mut one, "a", Some("third"));
    // Its own change costs nothing.
    pass(&mut other);
    assert_get(&mut other, "a", Some("third"));
}

fn delete_reaches_the_near_caches_of_others(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    one.ask("set b first");
    assert_get(&mut other, "a", Some("first"));
    assert_get(&mut other, "b", Some("first"));
    assert_eq!(one.ask("delete a"), true);
    pass(&mut other);
    assert_get(&mut other, "a", None);
    assert_get(&mut other, "b", Some("first"));
    assert_eq!(other.ask("load a second"), "second");
    assert_get(&mut one, "a", Some("second"));
}

fn prefix_reaches_the_near_caches_of_others_and_spares_other_keys(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    for key in ["user:1:a", "user:1:b", "user:2:a"] {
        one.ask(&format!("set {key} first"));
        assert_get(&mut other, key, Some("first"));
    }
    one.ask("prefix user:1:");
    pass(&mut other);
    assert_get(&mut other, "user:1:a", None);
    assert_get(&mut other, "user:1:b", None);
    assert_get(&mut other, "user:2:a", Some("first"));
    // Not from the tier either, where the other key still is.
    assert_get(&mut one, "user:1:a", None);
    other.ask("delete nothing");
    let [mut third] = processes(&*server);
    assert_get(&mut third, "user:1:a", None);
    one.ask("set user:1:a second");
    assert_get(&mut third, "user:1:a", Some("second"));
    assert_get(&mut other, "user:1:a", Some("second"));
}

fn clear_reaches_all(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    assert_get(&mut other, "a", Some("first"));
    one.ask("clear");
    assert_get(&mut one, "a", None);
    pass(&mut other);
    assert_get(&mut other, "a", None);
}

fn near_hit_asks_once_in_an_interval(kind: Kind) {
    let server = kind.start();
    let mut other = process(&merged(settings(&*server), json!({"tier_interval": 1000})));
    let [mut one] = processes(&*server);
    one.ask("set a first");
    assert_get(&mut other, "a", Some("first"));
    one.ask("set a second");
    // Within the interval, it is not asked.
    assert_get(&mut other, "a", Some("first"));
    other.ask("advance 1001");
    assert_get(&mut other, "a", Some("second"));
}

fn load_that_is_outdated_is_not_published(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other, mut third] = processes(&*server);
    let lease = one.ask("begin a");
    other.ask("set a second");
    one.ask(&format!("finish {lease} first"));
    assert_get(&mut third, "a", Some("second"));
    pass(&mut one);
    assert_get(&mut one, "a", Some("second"));
    for change in ["delete b", "prefix b"] {
        let lease = one.ask("begin b");
        other.ask(change);
        one.ask(&format!("finish {lease} first"));
        assert_get(&mut third, "b", None);
        pass(&mut one);
        assert_get(&mut one, "b", None);
    }
}

fn load_that_is_outdated_is_not_published_after_the_new_value_has_expired(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other, mut third] = processes(&*server);
    let older = one.ask("begin a");
    other.ask("set-for-a-moment a second");
    soon(|| other.ask("get a").is_null() && third.ask("get a").is_null());
    one.ask(&format!("finish {older} first"));
    assert_get(&mut third, "a", None);
    // A load that began later is published.
    assert_eq!(other.ask("load a third"), "third");
    assert_get(&mut third, "a", Some("third"));
}

fn value_that_was_stored_before_a_prefix_changed_is_not_used(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a:1 first");
    one.ask("set b:1 first");
    other.ask("prefix a:");
    // It has not asked for changes since, and gets a key that it does not have.
    let [mut late] = processes(&*server);
    assert_get(&mut late, "a:1", None);
    assert_get(&mut other, "a:1", None);
    // It has seen all changes since this was stored.
    assert_get(&mut other, "b:1", Some("first"));
    // It cannot know.
    assert_get(&mut late, "b:1", None);
}

fn process_that_was_idle_for_long_drops_what_it_has(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    one.ask("set a first");
    assert_get(&mut other, "a", Some("first"));
    one.ask("delete a");
    other.ask("advance 2000");
    assert_get(&mut other, "a", None);
}

fn names_and_keys_separate_caches(kind: Kind) {
    let server = kind.start();
    let [mut one] = processes(&*server);
    one.ask("set a first");
    for more in [json!({"tier_name": "other"}), json!({"share_key": KEY.replace("Q0FO", "T1RI")})] {
        let mut other = process(&merged(settings(&*server), more));
        assert_get(&mut other, "a", None);
        other.ask("clear");
        other.ask("set a second");
        pass(&mut one);
        assert_get(&mut one, "a", Some("first"));
    }
}

fn forked_child_has_connections_of_its_own(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    for number in 0..5 {
        one.ask(&format!("set a{number} first"));
        assert_eq!(other.ask(&format!("child a{number} first")), true);
        assert_get(&mut other, &format!("a{number}"), Some("first"));
    }
    assert_eq!(other.ask("log"), json!([]));
}

fn operator_sees_neither_keys_nor_values(kind: Kind) {
    let server = kind.start();
    let (key, value) = (canary("key"), canary("value"));
    let seen = server.seen_during(&mut || {
        let [mut one, mut other] = processes(&*server);
        one.ask(&format!("set {key} {value}"));
        assert_get(&mut other, &key, Some(&value));
        other.ask(&format!("load {key}-loaded {value}"));
        one.ask(&format!("delete {key}"));
        one.ask(&format!("prefix {key}"));
    });
    assert!(seen.len() > 1000);
    let encoded = |bytes: &str| {
        use base64::Engine;
        let all = base64::engine::general_purpose::STANDARD.encode(bytes);
        all[4..all.len() - 4].to_owned()
    };
    for text in ["canary-".to_owned(), encoded(&key), encoded(&value), PASSWORD.to_owned() + "-never"] {
        assert!(!seen.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

fn cache_without_room_uses_the_tier(kind: Kind) {
    let server = kind.start();
    let mut one = process(&merged(settings(&*server), json!({"max_size": 0})));
    let [mut other] = processes(&*server);
    other.ask("set a first");
    assert_get(&mut one, "a", Some("first"));
    one.ask("set a second");
    assert_get(&mut one, "a", Some("second"));
    pass(&mut other);
    assert_get(&mut other, "a", Some("second"));
}

#[test]
fn cache_has_one_connection_which_ends_with_it() {
    let server = crate::redis::Redis::start_with(&[]);
    let mut one = process(&settings(&server));
    for number in 0..20 {
        one.ask(&format!("set a{number} x"));
        one.ask(&format!("get b{number}"));
    }
    assert_eq!(server.clients(), 1);
    drop(one);
    soon(|| server.clients() == 0);
}

#[test]
fn stored_values_share_leases() {
    let server = crate::etcd::Etcd::start_with(&[]);
    let mut one = process(&settings(&server));
    let store = |one: &mut Worker, server: &crate::etcd::Etcd| {
        for number in 0..5 {
            one.ask("set a value");
            one.ask(&format!("load b{number} value"));
            one.ask(&format!("set-briefly c{number} value"));
        }
        // Those of changes, which are recorded for 10 minutes, and of values. Each may be used for half of its time.
        assert_eq!((server.leases(), one.ask("log")), (vec![1200, 6000], json!([])));
    };
    store(&mut one, &server);
    // Another connection, which is opened after a minute, uses the same ones.
    one.ask("advance 61");
    store(&mut one, &server);
}

#[test]
fn settings_are_checked() {
    let refused = |settings: Value| {
        let mut config = st_secrets::Config::new();
        config.parse(&settings.to_string()).unwrap();
        open_cache(&config).err().unwrap().message().to_owned()
    };
    assert!(refused(json!({"tier": "redis://x"})).contains("needs `share_key`"));
    assert!(refused(json!({"tier": "http://x", "share_key": KEY})).contains("`tier` must be redis://"));
    assert!(!refused(json!({"tier": "http://CANARY@x", "share_key": KEY})).contains("CANARY"));
}
