//! The key builder against the examples that all bindings share.

use std::collections::HashSet;

use serde_json::Value;
use st_secrets::cache::{Arg, function_key, packed_function_key};

fn arg(value: &Value) -> Arg<'_> {
    match value {
        Value::Null => Arg::Null,
        Value::Bool(value) => Arg::Bool(*value),
        Value::Number(value) => Arg::Int(value.to_string().parse().unwrap()),
        Value::String(text) => Arg::Text(text),
        Value::Array(items) => Arg::List(items.iter().map(arg).collect()),
        Value::Object(typed) => {
            let (kind, value) = typed.iter().next().unwrap();
            match (kind.as_str(), value) {
                ("float", Value::String(text)) => Arg::Float(text.parse().unwrap()),
                ("float", value) => Arg::Float(value.as_f64().unwrap()),
                ("bytes", Value::String(text)) => Arg::Bytes(bytes(text)),
                ("map", Value::Object(items)) => Arg::Map(named(items)),
                _ => panic!("an unknown type: {kind}"),
            }
        }
    }
}

fn named(items: &serde_json::Map<String, Value>) -> Vec<(&str, Arg<'_>)> {
    items.iter().map(|(name, value)| (name.as_str(), arg(value))).collect()
}

fn bytes(text: &str) -> &'static [u8] {
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
    bytes.collect::<Vec<_>>().leak()
}

/// Packs an argument, as the bindings do.
fn packed(arg: &Arg<'_>) -> String {
    match arg {
        Arg::Null => "n".to_owned(),
        Arg::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
        Arg::Int(value) => format!("i{value};"),
        Arg::Float(value) => format!("d{value};"),
        Arg::Text(text) => format!("s{}:{text}", text.len()),
        Arg::Bytes(bytes) => format!("x{};", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Arg::List(items) => format!("[{}]", items.iter().map(packed).collect::<String>()),
        Arg::Map(items) => format!("{{{}}}", packed_named(items)),
    }
}

fn packed_named(items: &[(&str, Arg<'_>)]) -> String {
    items.iter().map(|(name, item)| format!("={}:{name}{}", name.len(), packed(item))).collect()
}

#[test]
fn every_vector_gives_its_key() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/function_keys.json")).unwrap();
    let mut keys = HashSet::new();
    for vector in vectors["vectors"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap();
        let args: Vec<_> = vector["args"].as_array().unwrap().iter().map(arg).collect();
        let empty = serde_json::Map::new();
        let mut by_name = named(vector.get("named").map_or(&empty, |named| named.as_object().unwrap()));
        assert_eq!(function_key(text("prefix"), text("function"), &args, &by_name), text("key"));
        by_name.reverse();
        assert_eq!(function_key(text("prefix"), text("function"), &args, &by_name), text("key"));
        let packed = args.iter().map(packed).collect::<String>() + &packed_named(&by_name);
        assert_eq!(packed_function_key(text("prefix"), text("function"), &packed).unwrap(), text("key"));
        assert!(keys.insert(text("key")), "two vectors have the key {}", text("key"));
    }
}

/// All lists of up to two arguments out of a set of tricky ones, by position and by name: no two share a key.
#[test]
fn no_two_argument_lists_meet() {
    let texts = [
        "", "a", "b", "a:b", "a=b", ":", "=", "\"", "\\", "\"a\"", "\\\"", "1", "true", "null", "1e0", "x\"61\"",
        "[1]", "[", "]",
    ];
    let mut args: Vec<Arg<'_>> = texts.iter().map(|text| Arg::Text(text)).collect();
    args.extend([Arg::Null, Arg::Bool(true), Arg::Int(1), Arg::Float(1.0), Arg::Bytes(b"a"), Arg::List(vec![])]);
    args.extend([Arg::List(vec![Arg::Int(1)]), Arg::List(vec![Arg::Text("1")]), Arg::Map(vec![("a", Arg::Text("b"))])]);
    args.extend([Arg::List(vec![Arg::Text("a"), Arg::Text("b")]), Arg::List(vec![Arg::Text("a,b")])]);
    let mut keys = HashSet::from([function_key("p", "f", &[], &[])]);
    for first in &args {
        assert!(keys.insert(function_key("p", "f", std::slice::from_ref(first), &[])));
        for name in texts {
            assert!(keys.insert(function_key("p", "f", &[], &[(name, first.clone())])));
        }
        for second in &args {
            assert!(keys.insert(function_key("p", "f", &[first.clone(), second.clone()], &[])));
            for name in texts {
                let key = function_key("p", "f", std::slice::from_ref(first), &[(name, second.clone())]);
                assert!(keys.insert(key.clone()), "{key}");
            }
        }
    }
}
