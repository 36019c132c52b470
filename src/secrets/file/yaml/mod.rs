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
use node::{BAD_KEY, Budget, CUSTOM_TAG, Node, NodeSeed, Pair, Shape, ShapeSeed, TOO_LARGE, UNSTABLE};

const BOM: char = '\u{feff}';
/// The most brackets that may be open. serde allows 128 levels, but brackets in scalars are counted too.
const MAX_OPEN: usize = 1000;
/// How often libyaml may examine open brackets, which takes some tenths of a second.
const MAX_EXAMINED: usize = 1 << 28;
const TOO_DEEP: &str = "values are nested too deeply";

/// Parses a document: one map of keys and values.
pub(super) fn parse(text: &str, deadline: Deadline) -> Result<Entries, Problem> {
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

fn entries(pairs: &[Pair]) -> Result<Entries, Problem> {
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
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<Entries, Problem> {
        super::parse(text, Deadline::after(Duration::MAX))
    }

    /// The line and column, 0 if unknown, and the message of the problem with this text.
    fn problem(text: &str) -> (usize, usize, String) {
        let Problem::Text { position, message } = parse(text).unwrap_err() else { panic!("{text}") };
        let (line, column) = position.map_or((0, 0), |position| (position.line, position.column));
        (line, column, message.into_owned())
    }

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        let text_of = |bytes: SecretBytes| String::from_utf8(bytes.to_vec()).unwrap();
        parse(text).unwrap().into_iter().map(|(key, value)| (key, value.map(text_of))).collect()
    }

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect()
    }

    #[test]
    fn values_are_read_as_written() {
        for (written, expected) in [
            ("r8_token", "r8_token"),
            ("1.50", "1.50"),
            ("12345678901234567890", "12345678901234567890"),
            ("1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890"),
            ("0123", "0123"),
            ("+1", "+1"),
            ("1_000", "1_000"),
            ("0x1F", "0x1F"),
            ("0o17", "0o17"),
            ("1e3", "1e3"),
            (".inf", ".inf"),
            ("no", "no"),
            ("True", "True"),
            ("2026-01-01", "2026-01-01"),
            ("12:30:45", "12:30:45"),
            ("a b # comment", "a b"),
            ("https://x/#y?z=1", "https://x/#y?z=1"),
            ("'it''s'", "it's"),
            ("\"a\\nb \\u00e9 \\U0001F600\"", "a\nb é 😀"),
            ("\"1.50\"", "1.50"),
            ("''", ""),
            ("\"null\"", "null"),
            ("'~'", "~"),
            ("!!str 1.50", "1.50"),
            ("!!str", ""),
            ("!!int 7", "7"),
            ("|\n  one\n  two", "one\ntwo"),
            ("|\n  one\n  two\n", "one\ntwo\n"),
            ("|-\n  one\n  two\n", "one\ntwo"),
            ("|+\n  one\n\n", "one\n\n"),
            (">\n  one\n  two\n", "one two\n"),
            ("one\n  two", "one two"),
            ("\"one\n  two\"", "one two"),
        ] {
            assert_eq!(read(&format!("KEY: {written}")), named(&[("KEY", expected)]), "{written}");
        }
    }

    #[test]
    fn null_without_quotes_is_absent() {
        for written in ["", " ", " ~", " null", " Null", " NULL", " # comment", " !!null null"] {
            assert_eq!(read(&format!("KEY:{written}\n")), [("KEY".to_owned(), None)], "{written:?}");
        }
    }

    #[test]
    fn keys_are_strings_whatever_their_yaml_type() {
        let text = "1.0: a\n~: b\nno: c\n'q k': d\n\"e\\x41\": e\n\"\": f\n";
        let expected = [("1.0", "a"), ("~", "b"), ("no", "c"), ("q k", "d"), ("eA", "e"), ("", "f")];
        assert_eq!(read(text), named(&expected));
        assert_eq!(read("A: 1\nB: 2\nA: 3\n"), named(&[("A", "1"), ("B", "2"), ("A", "3")]));
    }

    #[test]
    fn lists_and_maps_become_compact_json() {
        for (written, expected) in [
            ("[a, 1, 1.50, true, no, null, ~, '1']", r#"["a",1,1.50,true,"no",null,null,"1"]"#),
            ("[0x1F, +1, .5, .inf, 0123, 1e3, -0]", r#"["0x1F","+1",".5",".inf","0123",1e3,-0]"#),
            ("\n  - a: 1\n    b: [x]\n  - {}\n  - []\n", r#"[{"a":1,"b":["x"]},{},[]]"#),
            ("{1: 'say \"hi\"\\', ~: \"\\t\\0\"}", r#"{"1":"say \"hi\"\\","~":"\t\u0000"}"#),
            ("{a: 1, b: 2, a: 3}", r#"{"a":3,"b":2}"#),
        ] {
            assert_eq!(read(&format!("KEY: {written}")), named(&[("KEY", expected)]), "{written}");
        }
    }

    #[test]
    fn aliases_are_resolved() {
        let text = "A: &x 1.50\nB: *x\nC: &l [1, *x]\nD: *l\n";
        assert_eq!(read(text), named(&[("A", "1.50"), ("B", "1.50"), ("C", "[1,1.50]"), ("D", "[1,1.50]")]));
    }

    #[test]
    fn merge_keys_add_keys_that_the_map_lacks() {
        let base = "base: &b {A: 1, B: 2}\nmore: &m\n  B: 3\n  C: 0x4\n";
        let shown = [("base", r#"{"A":1,"B":2}"#), ("more", r#"{"B":3,"C":"0x4"}"#)];
        let merged = |text: &str| {
            let mut all = read(&format!("{base}{text}"));
            all.retain(|(key, _)| !shown.iter().any(|(name, _)| name == key));
            all
        };
        assert_eq!(read(base), named(&shown));
        assert_eq!(merged("<<: *b\n"), named(&[("A", "1"), ("B", "2")]));
        assert_eq!(merged("A: own\n<<: *b\n"), named(&[("B", "2"), ("A", "own")]));
        assert_eq!(merged("<<: [*m, *b]\n"), named(&[("A", "1"), ("B", "3"), ("C", "0x4")]));
        assert_eq!(merged("<<: {<<: *m, C: 5}\n"), named(&[("B", "3"), ("C", "5")]));
        assert_eq!(merged("'<<': no merge\n"), named(&[("<<", "no merge")]));
        assert_eq!(merged("N: {<<: *b, B: 9}\n"), named(&[("N", r#"{"A":1,"B":9}"#)]));
        for broken in ["<<: CANARY\n", "<<: [CANARY]\n", "<<:\n"] {
            assert_eq!(problem(broken), (0, 0, "the value of `<<` must be a map or a list of maps".to_owned()));
        }
    }

    #[test]
    fn document_without_entries_is_valid() {
        for text in ["", "\n", "# only a comment\n", "---\n", "---\n...\n", "\u{feff}", "{}"] {
            assert_eq!(read(text), [], "{text:?}");
        }
        assert_eq!(read("\u{feff}A: 1\r\nB: 2\r\n"), named(&[("A", "1"), ("B", "2")]));
    }

    #[test]
    fn invalid_document_is_located_and_not_quoted() {
        let deep = format!("A: {}CANARY{}", "[".repeat(200), "]".repeat(200));
        for (text, line, column, message) in [
            ("A: 1\nB: \"CANARY\n", 3, 1, "not valid YAML: found unexpected end of stream"),
            ("A: CANARY: x\n", 1, 10, "not valid YAML: mapping values are not allowed in this context"),
            ("A: 1\n CANARY\nB\n", 4, 1, "not valid YAML: could not find expected ':'"),
            ("A: [CANARY\n", 2, 1, "not valid YAML: did not find expected ',' or ']'"),
            ("A: *CANARY\n", 1, 4, "not valid YAML: unknown anchor"),
            ("A: CANARY\n---\nB: 1\n", 0, 0, "the file contains more than one document"),
            ("A: 1\nB: !CANARY CANARY\n", 2, 4, CUSTOM_TAG),
            ("A: !vault [CANARY]\n", 1, 4, CUSTOM_TAG),
            ("A: !vault {CANARY: CANARY}\n", 1, 4, CUSTOM_TAG),
            ("A: !!int CANARY\n", 1, 4, "a value does not match its tag"),
            ("A: !!bool CANARY\n", 1, 4, "a value does not match its tag"),
            ("A: !!float CANARY\n", 1, 4, "a value does not match its tag"),
            ("A: [!!null CANARY]\n", 1, 5, "a value does not match its tag"),
            ("? [CANARY]\n: 1\n", 1, 1, BAD_KEY),
            ("A: {{CANARY: 1}: 1}\n", 1, 4, BAD_KEY),
            ("CANARY\n", 1, 1, "the file must contain a map of keys and values"),
            ("- CANARY\n", 1, 1, "the file must contain a map of keys and values"),
            ("A: \"\\qCANARY\"\n", 1, 5, "not valid YAML: found unknown escape character"),
            ("A: CANARY\n\tB: 1\n", 0, 0, ""),
            ("A: @CANARY\n", 1, 4, "not valid YAML: found character that cannot start any token"),
            ("A: %CANARY\n", 1, 4, "not valid YAML: found character that cannot start any token"),
            ("A: CANARY\u{1}\n", 0, 0, ""),
            ("A: 'CANARY' CANARY\n", 0, 0, ""),
            ("A: >CANARY\n", 0, 0, ""),
            (deep.as_str(), 1, 131, TOO_DEEP),
        ] {
            let found = problem(text);
            assert!(!found.2.contains("CANARY"), "{}", found.2);
            if !message.is_empty() {
                assert_eq!(found, (line, column, message.to_owned()), "{text}");
            }
        }
    }

    #[test]
    fn many_open_brackets_are_refused_at_once() {
        let started = std::time::Instant::now();
        for bracket in ["[", "{a: ", "[{? "] {
            let (line, _, message) = problem(&format!("A: 1\nB: {}", bracket.repeat(500_000)));
            assert_eq!((line, message.as_str()), (2, TOO_DEEP), "{bracket}");
        }
        // If each took time in proportion to those before it, this would take far longer.
        assert!(started.elapsed() < std::time::Duration::from_secs(60));
        // Brackets in strings do not nest.
        let text = "[{".repeat(MAX_OPEN / 2);
        assert_eq!(read(&format!("A: '{text}'\n")), named(&[("A", &text)]));
    }

    #[test]
    fn aliases_cannot_exhaust_the_memory() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert_eq!(problem(&text).2, TOO_LARGE);
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(1000));
        assert_eq!(problem(&long).2, TOO_LARGE);
    }
}
