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
