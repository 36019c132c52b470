//! The format of the files, with Python's `cryptography` as the other side.

use std::fs;

use serde_json::{Value, json};

use crate::common::python::Python;
use crate::worker::{Host, canary};

#[test]
fn python_opens_a_document_and_seals_another() {
    let host = Host::start();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let material: String = b"0123456789abcdef0123456789abcdef".iter().map(|byte| format!("{byte:02x}")).collect();
    host.worker_with(json!({"share_key": key})).get("A");
    let file = host.files(".doc").remove(0);
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let identity = json!([
        ["format", "1"],
        ["kind", "vault"],
        ["time namespace", namespace("time")],
        ["net namespace", namespace("net")],
        ["address", host.vault.url()],
        ["auth", "token"],
        ["mount", "secret"],
        ["path", host.path],
        ["version", "\u{2}"],
    ]);
    let mut python = Python::start("shared_file.py", &[]);
    let opened = python.ask(&json!({"do": "open", "file": file, "material": material, "identity": identity}));
    assert_eq!(opened["id"], file.file_stem().unwrap().to_str().unwrap());
    let header = &opened["header"];
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().replace('-', "");
    assert_eq!((&header[0], &header[1], &header[5]), (&json!("STDOC001"), &json!(0), &json!(boot)), "{header}");
    assert_eq!(header[3], u64::MAX, "Vault sets no time to live");
    let entries = opened["entries"].as_str().unwrap();
    assert_eq!(entries, encoded(&canary("first"), "1"));
    // In the other order.
    let sealed = json!({"do": "seal", "file": file, "material": material, "identity": identity, "header": header,
        "entries": encoded("from Python", "7")});
    python.ask(&sealed);
    let answer = host.worker_with(json!({"share_key": key})).ask("get A");
    assert_eq!((&answer["value"], &answer["version"]), (&json!("from Python"), &json!("7")));
    assert_eq!((&answer["shared"], host.loads()), (&Value::Bool(true), 1));
}

/// The entries of a document with one value, in hex.
fn encoded(value: &str, version: &str) -> String {
    let mut entries = Vec::new();
    let number = |entries: &mut Vec<u8>, number: u32| entries.extend(number.to_le_bytes());
    let text = |entries: &mut Vec<u8>, text: &str| {
        entries.extend((text.len() as u32).to_le_bytes());
        entries.extend(text.bytes());
    };
    // The version of the document; it is not missing; one entry: its key, version and value.
    number(&mut entries, 1);
    text(&mut entries, version);
    number(&mut entries, 0);
    number(&mut entries, 1);
    text(&mut entries, "A");
    number(&mut entries, 1);
    text(&mut entries, version);
    text(&mut entries, value);
    // Nothing is unusable, nothing could not be read, and there is no lease.
    number(&mut entries, 0);
    number(&mut entries, 0);
    number(&mut entries, 0);
    entries.iter().map(|byte| format!("{byte:02x}")).collect()
}
