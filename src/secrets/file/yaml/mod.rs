//! Secrets files in YAML: scalars are read as written, whatever their YAML type.
//!
//! The values of a YAML library do not keep that text (`1.50`, `0123`), and its errors quote it. So a text is parsed
//! three times: once to check the syntax, once for the shape of each value, and once, with the shapes, for the text of
//! each scalar.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::de::{Deserialize, DeserializeSeed, IgnoredAny};
use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::secret_memory::{SecretBuffer, SecretBytes};
use crate::secrets::entries::{Entries, Position, Problem};

mod edit;
mod node;

pub(super) use edit::{delete, set};
use node::{BAD_KEY, Budget, CUSTOM_TAG, NodeSeed, Shape, ShapeSeed, TOO_LARGE, UNSTABLE};
pub(super) use node::{Node, Pair, YamlKey};

const BOM: char = '\u{feff}';
/// The most brackets that may be open. serde allows 128 levels, but brackets in scalars are counted too.
const MAX_OPEN: usize = 1000;
/// How often libyaml may examine open brackets, which takes some tenths of a second.
const MAX_EXAMINED: usize = 1 << 28;
const TOO_DEEP: &str = "values are nested too deeply";

/// Parses a document: one map of keys and values.
pub(in crate::secrets) fn parse(text: &str, deadline: Deadline) -> Result<Entries, Problem> {
    entries(&read(text, deadline)?)
}

/// The pairs of the top level, including merge keys.
fn read(text: &str, deadline: Deadline) -> Result<Vec<Pair>, Problem> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    check_nesting(text)?;
    let parser = || serde_yaml::Deserializer::from_str(text);
    // A pass that the deadline interrupted says nothing about the text.
    let unless_timed_out = |problem: Problem| Problem::check_deadline(deadline).err().unwrap_or(problem);
    Problem::check_deadline(deadline)?;
    IgnoredAny::deserialize(parser()).map_err(|error| syntax_problem(&error))?;
    Problem::check_deadline(deadline)?;
    // Without aliases a text has at most as many nodes as bytes. With them a small text could exhaust the memory.
    let budget = Budget::new(text.len() * 4 + (1 << 20), deadline);
    let shape =
        ShapeSeed { budget: &budget }.deserialize(parser()).map_err(|error| unless_timed_out(problem(&error)))?;
    match &shape {
        Shape::Null => return Ok(Vec::new()),
        Shape::Map(_) => {}
        _ => return Err(Problem::at(Position::START, "the file must contain a map of keys and values")),
    }
    Problem::check_deadline(deadline)?;
    let seed = NodeSeed { shape: &shape, source: text, budget: &budget };
    match seed.deserialize(parser()).map_err(|error| unless_timed_out(problem(&error)))? {
        Node::Map(pairs) => Ok(pairs),
        _ => Err(Problem::new(UNSTABLE)),
    }
}

/// Refuses texts that libyaml would parse for hours: it examines every open bracket at each token.
fn check_nesting(text: &str) -> Result<(), Problem> {
    let (mut open, mut examined) = (0_usize, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b',' | b':' | b'?' | b'-' | b'\n' | b' ' => {}
            _ => continue,
        }
        examined += open;
        if open > MAX_OPEN || examined > MAX_EXAMINED {
            return Err(Problem::at(Position::of(text, at), TOO_DEEP));
        }
    }
    Ok(())
}

/// The entries of a map, lists and maps as compact JSON.
pub(super) fn entries(pairs: &[Pair]) -> Result<Entries, Problem> {
    let text_of = |node: &Node| match node {
        Node::Null => Ok(None),
        Node::Bool(text) | Node::Number(text) | Node::Text(text) => {
            SecretBytes::copy_from(text.as_bytes()).map(Some).map_err(Problem::OutOfMemory)
        }
        Node::List(_) | Node::Map(_) => {
            let mut json = SecretBuffer::with_capacity(256).map_err(Problem::OutOfMemory)?;
            write_json(node, &mut json)?;
            Ok(Some(json.freeze()))
        }
    };
    with_merged(pairs)?.into_iter().map(|(key, node)| Ok((key.to_owned(), text_of(node)?))).collect()
}

/// The entries as in PyYAML: those of merge keys come first, without the keys that the map itself has.
fn with_merged(pairs: &[Pair]) -> Result<Vec<(&str, &Node)>, Problem> {
    let own: Vec<_> =
        pairs.iter().filter(|pair| !pair.key.merge).map(|pair| (pair.key.text.as_str(), &pair.value)).collect();
    if own.len() == pairs.len() {
        return Ok(own);
    }
    let mut merged = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.key.merge) {
        let maps = match &pair.value {
            Node::List(nodes) => nodes.as_slice(),
            node => std::slice::from_ref(node),
        };
        // The first map of a list has precedence, so it comes last.
        for node in maps.iter().rev() {
            let Node::Map(pairs) = node else {
                return Err(Problem::new("the value of `<<` must be a map or a list of maps"));
            };
            merged.extend(with_merged(pairs)?);
        }
    }
    let names: HashSet<&str> = own.iter().map(|(key, _)| *key).collect();
    merged.retain(|(key, _)| !names.contains(key));
    let mut all = last_of_each(merged);
    all.extend(own);
    Ok(all)
}

/// Keeps the last value of each key, as Python does.
fn last_of_each<'a>(pairs: Vec<(&'a str, &'a Node)>) -> Vec<(&'a str, &'a Node)> {
    let mut places = HashMap::new();
    let mut kept: Vec<(&str, &Node)> = Vec::new();
    for (key, node) in pairs {
        let place = *places.entry(key).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(pair) => pair.1 = node,
            None => kept.push((key, node)),
        }
    }
    kept
}

/// Writes compact JSON. A number that is not one in JSON (`0x1F`, `.inf`) becomes a string.
fn write_json(node: &Node, json: &mut SecretBuffer) -> Result<(), Problem> {
    match node {
        Node::Null => put(json, "null"),
        Node::Bool(text) => put(json, if text.starts_with(['t', 'T']) { "true" } else { "false" }),
        Node::Number(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => put(json, text),
        Node::Number(text) | Node::Text(text) => write_json_text(text, json),
        Node::List(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                put(json, if index == 0 { "[" } else { "," })?;
                write_json(node, json)?;
            }
            put(json, if nodes.is_empty() { "[]" } else { "]" })
        }
        Node::Map(pairs) => {
            let pairs = last_of_each(with_merged(pairs)?);
            for (index, (key, node)) in pairs.iter().enumerate() {
                put(json, if index == 0 { "{" } else { "," })?;
                write_json_text(key, json)?;
                put(json, ":")?;
                write_json(node, json)?;
            }
            put(json, if pairs.is_empty() { "{}" } else { "}" })
        }
    }
}

fn write_json_text(text: &str, json: &mut SecretBuffer) -> Result<(), Problem> {
    put(json, "\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(|char: char| char < ' ' || char == '"' || char == '\\') {
        put(json, &rest[..at])?;
        match rest.as_bytes()[at] {
            b'\n' => put(json, "\\n")?,
            b'\r' => put(json, "\\r")?,
            b'\t' => put(json, "\\t")?,
            b'"' => put(json, "\\\"")?,
            b'\\' => put(json, "\\\\")?,
            other => put(json, &format!("\\u{other:04x}"))?,
        }
        rest = &rest[at + 1..];
    }
    put(json, rest)?;
    put(json, "\"")
}

fn put(json: &mut SecretBuffer, text: &str) -> Result<(), Problem> {
    json.push(text.as_bytes()).map_err(Problem::OutOfMemory)
}

/// An error of the first pass. Its message is libyaml's, which quotes nothing.
fn syntax_problem(error: &serde_yaml::Error) -> Problem {
    let shown = error.to_string();
    let message = [" at line ", " at position "]
        .into_iter()
        .fold(shown.as_str(), |message, place| message.split_once(place).map_or(message, |(before, _)| before));
    if message.contains("more than one document") {
        located(error, "the file contains more than one document")
    } else {
        located(error, format!("not valid YAML: {message}"))
    }
}

/// An error of a later pass. Its message may quote a value, and is never shown.
fn problem(error: &serde_yaml::Error) -> Problem {
    let shown = Zeroizing::new(error.to_string());
    let known = [
        (CUSTOM_TAG, CUSTOM_TAG),
        (BAD_KEY, BAD_KEY),
        (TOO_LARGE, TOO_LARGE),
        ("repetition limit exceeded", TOO_LARGE),
        ("recursion limit exceeded", TOO_DEEP),
        (UNSTABLE, UNSTABLE),
    ];
    let message = known.into_iter().find(|(part, _)| shown.contains(part));
    located(error, message.map_or("a value does not match its tag", |(_, message)| message))
}

fn located(error: &serde_yaml::Error, message: impl Into<Cow<'static, str>>) -> Problem {
    let position = error.location().map(|location| Position { line: location.line(), column: location.column() });
    Problem::Text { position, message: message.into() }
}

#[cfg(test)]
mod tests;
