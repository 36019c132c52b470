use std::time::Duration;

use super::super::Entries;
use super::*;
use crate::secrets::entries::Position;
use crate::secrets::file::document::{EntryChange, FileFormat};

const FOREVER: Duration = Duration::MAX;

fn parse(text: &str) -> Result<Entries, Problem> {
    super::super::parse(text, Deadline::after(FOREVER))
}

// With the comparison that is part of each change.
fn set(text: &str, key: &str, value: &str) -> Result<Zeroizing<String>, Problem> {
    Ok(EntryChange::Set(value).apply(FileFormat::Yaml, text.as_bytes(), key, Deadline::after(FOREVER))?.unwrap())
}

fn delete(text: &str, key: &str) -> Result<Option<Zeroizing<String>>, Problem> {
    EntryChange::Delete.apply(FileFormat::Yaml, text.as_bytes(), key, Deadline::after(FOREVER))
}

const FILE: &str = "\
# Secrets of the cluster
HF_TOKEN: hf_old   # rotate in May
\"WANDB\": 'one'

# a certificate
PEM: |
  -----BEGIN-----
  # not a comment

# the end
LAST: {a: [1, 2]}
";

fn set_ok(text: &str, key: &str) -> String {
    set(text, key, "v").unwrap_or_else(|problem| panic!("{text:?}: {problem:?}")).to_string()
}

fn delete_ok(text: &str, key: &str) -> String {
    delete(text, key).unwrap_or_else(|problem| panic!("{text:?}: {problem:?}")).unwrap().to_string()
}

#[test]
fn set_changes_one_value_and_nothing_else() {
    for (key, before, after) in [
        ("HF_TOKEN", "HF_TOKEN: hf_old   #", "HF_TOKEN: \"v\"   #"),
        ("WANDB", "'one'", "\"v\""),
        ("PEM", "|\n  -----BEGIN-----\n  # not a comment\n", "\"v\"\n"),
        ("LAST", "{a: [1, 2]}", "\"v\""),
        ("NEW", "1, 2]}\n", "1, 2]}\nNEW: \"v\"\n"),
    ] {
        assert_eq!(set_ok(FILE, key), FILE.replace(before, after), "{key}");
    }
}

#[test]
fn delete_removes_the_lines_of_one_entry() {
    for (key, lines) in [
        ("HF_TOKEN", "HF_TOKEN: hf_old   # rotate in May\n"),
        ("WANDB", "\"WANDB\": 'one'\n"),
        ("PEM", "PEM: |\n  -----BEGIN-----\n  # not a comment\n"),
        ("LAST", "LAST: {a: [1, 2]}\n"),
    ] {
        assert_eq!(delete_ok(FILE, key), FILE.replace(lines, ""), "{key}");
    }
    assert!(delete(FILE, "OTHER").unwrap().is_none());
}

#[test]
fn value_of_any_form_is_replaced() {
    for (before, after) in [
        ("K: 1", "K: \"v\""),
        ("K:\n", "K: \"v\"\n"),
        ("K: # note\nA: 1\n", "K: \"v\" # note\nA: 1\n"),
        ("K:\n  # note\nA: 1\n", "K: \"v\"\n  # note\nA: 1\n"),
        ("K: one\n  two # note\nA: 1\n", "K: \"v\" # note\nA: 1\n"),
        ("K: \"one\n  # two\" # note\nA: 1\n", "K: \"v\" # note\nA: 1\n"),
        ("K: 'it''s # no'\n", "K: \"v\"\n"),
        ("K: [a, 'b]', # c]\n  d]  # note\n", "K: \"v\"  # note\n"),
        ("K: a#b: c\n".replace(": c", "").as_str(), "K: \"v\"\n"),
        ("K: >- # note\n  one\n # in\n# out\nA: 1\n", "K: \"v\" # note\n# out\nA: 1\n"),
        ("K: # note\n  a: 1\n  # in\n  b: 2\n\n# out\nA: 1\n", "K: \"v\" # note\n\n# out\nA: 1\n"),
        ("K:\n- 1\n# in\n- 2\nA: 1\n", "K: \"v\"\nA: 1\n"),
        ("K: !!str 1\n", "K: \"v\"\n"),
        ("K: &x # note\n  a: 1\n", "K: \"v\" # note\n"),
        ("A: &x 1\nK: *x\n", "A: &x 1\nK: \"v\"\n"),
        ("'K' : 1\nA: 1\n", "'K' : \"v\"\nA: 1\n"),
        ("\"\\x4b\": 1\n", "\"\\x4b\": \"v\"\n"),
        ("---\n  K: 1\n  A: 1\n...\n# end\n", "---\n  K: \"v\"\n  A: 1\n...\n# end\n"),
        ("K: 1\nA: 1\nK: 2\n", "K: 1\nA: 1\nK: \"v\"\n"),
        ("K: |\r\n  a\r\n  b\r\nA: 1\r\n", "K: \"v\"\r\nA: 1\r\n"),
        ("K: 1 # note\r\nA: 1", "K: \"v\" # note\r\nA: 1"),
        ("\u{feff}K: 1\nA: 1\n", "\u{feff}K: \"v\"\nA: 1\n"),
        ("base: &b {K: 1}\n<<: *b\nK: 2\n", "base: &b {K: 1}\n<<: *b\nK: \"v\"\n"),
    ] {
        assert_eq!(set_ok(before, "K"), after, "{before:?}");
    }
}

#[test]
fn new_entry_goes_to_the_end() {
    for (before, after) in [
        ("", "K: \"v\"\n"),
        ("# note", "# note\nK: \"v\"\n"),
        ("---\n", "---\nK: \"v\"\n"),
        ("---\n...\n", "---\nK: \"v\"\n...\n"),
        ("A: 1", "A: 1\nK: \"v\"\n"),
        ("A: 1\r\nB: 2", "A: 1\r\nB: 2\r\nK: \"v\"\r\n"),
        ("  A: 1\n  B: 2\n", "  A: 1\n  B: 2\n  K: \"v\"\n"),
        ("A: 1\n... # end\n", "A: 1\nK: \"v\"\n... # end\n"),
        ("A: |\n  ...\n  text\n", "A: |\n  ...\n  text\nK: \"v\"\n"),
        ("A:\n- 1\n", "A:\n- 1\nK: \"v\"\n"),
        ("A:\n", "A:\nK: \"v\"\n"),
    ] {
        assert_eq!(set_ok(before, "K"), after, "{before:?}");
    }
}

#[test]
fn all_of_a_duplicated_key_are_deleted() {
    assert_eq!(delete_ok("K: 1\n# a\nA: 1\n'K': |\n  2\n# b\nK: 3", "K"), "# a\nA: 1\n# b\n");
    assert_eq!(delete_ok("---\nK: 1\n...\n", "K"), "---\n...\n");
    assert_eq!(delete_ok("K: 1", "K"), "");
    assert_eq!(delete_ok("K: 1 # note\r\nA: 1\r\n", "K"), "A: 1\r\n");
}

#[test]
fn key_is_quoted_if_a_reader_could_take_it_for_another_type() {
    for (key, line) in [
        ("A_b-1", "A_b-1: \"v\"\n"),
        ("_x", "_x: \"v\"\n"),
        ("Yes", "\"Yes\": \"v\"\n"),
        ("null", "\"null\": \"v\"\n"),
        ("y", "\"y\": \"v\"\n"),
        ("1a", "\"1a\": \"v\"\n"),
        ("<<", "\"<<\": \"v\"\n"),
        ("a.b", "\"a.b\": \"v\"\n"),
        ("a: #\"\n", "\"a: #\\\"\\n\": \"v\"\n"),
        ("", "\"\": \"v\"\n"),
    ] {
        assert_eq!(set_ok("", key), line);
        assert_eq!(set_ok(line, key), line);
        assert_eq!(delete_ok(line, key), "");
    }
}

#[test]
fn every_character_is_read_back() {
    let mut value: String = ('\0'..='\u{2ff}').collect();
    value.push_str("\u{2028}\u{2029}\u{feff}\u{fffd}\u{fffe}\u{ffff}\u{d7ff}\u{e000}é漢😀\u{10ffff} end ");
    for value in [value.as_str(), "", " ", "# no comment", "null", "|", "a: b", "\\n", "\r\n", "'\"", "%"] {
        assert!(set("A: 1\nK: 2\nB: 3\n", "K", value).is_ok());
    }
}

#[test]
fn unsupported_layout_is_refused() {
    let canary = "CANARY";
    for text in [
        "{K: CANARY}\n",
        "{\n  K: CANARY,\n  A: 1\n}\n",
        "{}\n",
        "? K\n: CANARY\n",
        "K: &x CANARY\nA: *x\n",
        "base: &b {K: CANARY}\n<<: *b\n",
        "&k K: CANARY\nA: 1\n",
        "A: &k K\n*k : CANARY\n",
        "!!str K: CANARY\n",
        "K: 1\rA: CANARY\r",
    ] {
        let problem = set(text, "K", canary).err().unwrap_or_else(|| panic!("not refused: {text:?}"));
        let Problem::Text { message, .. } = problem else { panic!("{text:?}: {problem:?}") };
        assert_eq!(message, "the layout of this file does not allow changing \"K\" in place; edit it by hand");
    }
    // Without its own entry, the key would come from the merge.
    assert!(delete("base: &b {K: 1}\n<<: *b\nK: 2\n", "K").is_err());
    assert!(delete("base: &b {K: 1}\n<<: *b\n", "K").is_err());
    assert!(delete("A: &x 1\nB: *x\n", "A").is_err());
    // It is not certain where the quotes begin and end.
    assert!(set("K: [a 'b, 'c] # CANARY']\n", "K", "v").is_err());
    // The last line would get a line end, which would be part of the value.
    assert!(set("A: |\n  text", "K", "v").is_err());
    // A syntax error is reported as such.
    let problem = set("A: [\n", "K", "v").unwrap_err();
    assert!(matches!(problem, Problem::Text { position: Some(Position { line: 2, .. }), .. }), "{problem:?}");
}

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const VALUES: [&str; 22] = [
    " plain\n",
    " plain # note\n",
    " 1.50\n",
    "\n",
    " # note\n",
    " ~\n",
    " 'it''s # x'\n",
    " \"a\\\"b # x\" # note\n",
    " \"two\n  # lines\" # note\n",
    " two\n  lines # note\n",
    " |\n  text\n  # text\n\n",
    " >- # note\n    text\n  \n    more\n",
    " |2\n   text\n",
    " [a, \"b # ]\", {c: d}] # note\n",
    " [a, # note\n  b]\n",
    "\n  a: 1\n  b: |\n    text\n",
    "\n- 1\n- a: 2\n  b: 3\n",
    "\n  - 1\n  # inner\n  - 2\n",
    "\n  later # note\n",
    " !!str 12\n",
    " 'x'\n  # indented\n",
    " 2026-01-01\n\n\n",
];

/// A random document. Appends the text of each entry, which an edit of another entry must keep.
fn document(random: &mut Random, entries: &mut Vec<String>) -> String {
    let mut text = random.pick(&["", "", "# head\n", "---\n", "%YAML 1.1\n---\n# head\n"]).to_owned();
    for index in 0..random.below(6) {
        let name = ["A", "B", "C", "D", "E"][random.below(5)];
        let key = random.pick(&["N:", "\"N\":", "'N':", "N :", "N:"]).replace('N', name);
        let entry = format!("{key}{}", random.pick(&VALUES));
        text.push_str(&entry);
        text.push_str(random.pick(&["", "", "\n", "# between\n", "\n # between\n"]));
        entries.push(format!("{index}{name}{}", entry.trim_end()));
    }
    if !entries.is_empty() {
        text.push_str(random.pick(&["", "", "...\n", "... # end\n# after\n"]));
    }
    match random.below(4) {
        0 => text.replace('\n', "\r\n"),
        1 => text.trim_end().to_owned(),
        _ => text,
    }
}

#[test]
fn random_edits_of_random_documents_change_one_entry() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut done = 0;
    for _ in 0..3000 {
        let mut texts = Vec::new();
        let text = document(&mut random, &mut texts);
        let before = parse(&text).unwrap_or_else(|problem| panic!("{text:?}: {problem:?}"));
        let key = random.pick(&["A", "B", "C", "NEW"]);
        let value = random.pick(&["v", "", "a # b", "\n", "\u{85}\"'\\", "r8_😀"]);
        let edited = if random.below(2) == 0 {
            set(&text, key, value)
        } else {
            delete(&text, key).map(|edited| edited.unwrap_or_else(|| Zeroizing::new(text.clone())))
        };
        let Ok(edited) = edited else { continue };
        done += 1;
        let others = |entries: Entries| {
            let pairs = entries.into_iter().filter(|(name, _)| name != key);
            pairs.map(|(name, value)| (name, value.map(|value| value.to_vec()))).collect::<Vec<_>>()
        };
        assert_eq!(others(parse(&edited).unwrap()), others(before), "{text:?} -> {:?}", &*edited);
        for entry in texts.iter().filter(|entry| !entry[1..].starts_with(key)) {
            let entry = if text.contains('\r') { entry.replace('\n', "\r\n") } else { entry.clone() };
            assert!(edited.contains(&entry[2..]), "{text:?} -> {:?}", &*edited);
        }
        for comment in ["# head", "# after"] {
            assert_eq!(edited.contains(comment), text.contains(comment));
        }
        let between = |text: &str| text.lines().filter(|line| *line == "# between").count();
        assert_eq!(between(&edited), between(&text), "{text:?} -> {:?}", &*edited);
    }
    assert!(done > 2900, "{done} edits were not refused");
}
