//! What replaces or ends a shared value without being shared itself. After it, no process gets the older value.

use serde_json::{Value, json};

use crate::cache::{assert_get, pass, process, processes, settings};
use crate::server::{Kind, Server, on_each_server};
use crate::worker::{Worker, merged};

on_each_server! {
    answer_of_the_source_ends_the_value_for_all,
    answer_of_the_source_ends_a_value_that_only_the_tier_has,
    cached_absence_ends_the_value_for_all,
    object_replaces_the_bytes_of_all,
    objects_of_one_key_are_independent,
}

/// Processes with these settings too. With a `soft_ttl` of 0, each load is a reload.
fn with<const N: usize>(server: &dyn Server, more: Value) -> [Worker; N] {
    std::array::from_fn(|_| process(&merged(settings(server), more.clone())))
}

fn answer_of_the_source_ends_the_value_for_all(kind: Kind) {
    let server = kind.start();
    for load in ["load a", "load-denied a"] {
        let [mut one, mut other] = with(&*server, json!({"soft_ttl": 0}));
        one.ask("set a first");
        assert_get(&mut other, "a", Some("first"));
        assert_eq!(one.ask(load), Value::Null);
        assert_get(&mut one, "a", None);
        pass(&mut other);
        assert_get(&mut other, "a", None);
    }
}

fn answer_of_the_source_ends_a_value_that_only_the_tier_has(kind: Kind) {
    let server = kind.start();
    let [mut one] = processes(&*server);
    one.ask("set a first");
    let [mut other] = with(&*server, json!({"soft_ttl": 0}));
    assert_eq!(other.ask("load a"), Value::Null);
    assert_get(&mut other, "a", None);
    pass(&mut one);
    assert_get(&mut one, "a", None);
}

fn cached_absence_ends_the_value_for_all(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = with(&*server, json!({"soft_ttl": 0, "absent_ttl": 100}));
    one.ask("set a first");
    assert_get(&mut other, "a", Some("first"));
    assert_eq!(one.ask("load-nothing a"), Value::Null);
    pass(&mut other);
    assert_get(&mut other, "a", None);
    one.ask("advance 101");
    assert_get(&mut one, "a", None);
}

fn object_replaces_the_bytes_of_all(kind: Kind) {
    let server = kind.start();
    for store in ["set-object a", "load-object a"] {
        let [mut one, mut other] = with(&*server, json!({"soft_ttl": 0}));
        one.ask("set a first");
        assert_get(&mut other, "a", Some("first"));
        one.ask(store);
        pass(&mut other);
        assert_get(&mut other, "a", None);
        if store == "set-object a" {
            // Its own changes do not remove the object.
            pass(&mut one);
            assert_eq!(one.ask("is-object a"), true);
        }
        one.ask("advance 3000");
        assert_get(&mut one, "a", None);
    }
}

fn objects_of_one_key_are_independent(kind: Kind) {
    let server = kind.start();
    let [mut one, mut other] = processes(&*server);
    other.ask("set-object a");
    one.ask("set-object a");
    pass(&mut other);
    assert_eq!(other.ask("is-object a"), true);
    // But other changes reach them.
    one.ask("delete a");
    pass(&mut other);
    assert_eq!(other.ask("is-object a"), false);
}
