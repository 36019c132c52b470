use super::*;

fn redactor(values: &[&str]) -> Redactor {
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    redactor.add(values.iter().map(|value| value.as_bytes())).unwrap();
    redactor
}

fn redacted(values: &[&str], text: &str) -> String {
    String::from_utf8(redactor(values).redact(text.as_bytes())).unwrap()
}

#[test]
fn value_is_replaced_wherever_it_is() {
    let values = ["hf_abcdefgh", "r8_12345678"];
    assert_eq!(redacted(&values, "hf_abcdefgh"), "***");
    assert_eq!(redacted(&values, "a hf_abcdefgh b r8_12345678hf_abcdefgh"), "a *** b ******");
    assert_eq!(redacted(&values, "hf_abcdefg hf_ABCDEFGH hf_abcdef"), "hf_abcdefg hf_ABCDEFGH hf_abcdef");
    assert_eq!(redacted(&[], "nothing to replace"), "nothing to replace");
    assert_eq!(redacted(&values, ""), "");
}

#[test]
fn overlapping_values_are_replaced_by_one_mask() {
    let values = ["abcdefgh1234", "1234ABCDEFGH", "cdefgh12", "abcdefgh1234ABCD-long"];
    assert_eq!(redacted(&values, "<abcdefgh1234ABCDEFGH>"), "<***>");
    assert_eq!(redacted(&values, "<abcdefgh1234ABCD-long>"), "<***>");
    assert_eq!(redacted(&values, "<abcdefgh1234><cdefgh12>"), "<***><***>");
}

#[test]
fn short_values_are_not_replaced() {
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    assert_eq!(redactor.add([&b"1234567"[..], b"", b"12345678"]).unwrap(), 1);
    assert_eq!(redactor.redact(b"1234567 12345678"), b"1234567 ***");
    assert!(Redactor::new(RedactOptions { shortest: 3, ..RedactOptions::default() }).is_err());
    let redactor = Redactor::new(RedactOptions { shortest: 4, mask: "[gone]".to_owned() }).unwrap();
    assert_eq!(redactor.add([&b"1234"[..]]).unwrap(), 1);
    assert_eq!(redactor.redact(b"a 1234 b"), b"a [gone] b");
}

#[test]
fn forms_are_replaced() {
    let value = "p@ss/wörd \"+' 1";
    for form in [
        r#"p@ss/w\u00f6rd \"+' 1"#,
        r#"p@ss\/wörd \"+' 1"#,
        r#"p@ss/wörd "+\' 1"#,
        "p%40ss%2Fw%C3%B6rd%20%22%2B%27%201",
        "p%40ss%2fw%c3%b6rd+%22%2b%27+1",
        "p%40ss/w%C3%B6rd%20%22%2B%27%201",
        "704073732f77c3b67264 20222b2720 31".replace(' ', "").as_str(),
    ] {
        assert_eq!(redacted(&[value], &format!("<{form}>")), "<***>", "{form}");
    }
}

#[test]
fn forms_of_characters_that_are_not_printed_are_replaced() {
    let value = "pä\u{a0}\u{200b}e\u{301}\u{1}\u{1b}\u{7f}'1";
    for form in [
        r#"p\u00e4\u00a0\u200be\u0301\u0001\u001b\u007f'1"#,
        "pä\\xa0\\u200be\u{301}\\x01\\x1b\\x7f'1",
        "pä\u{a0}\u{200b}e\u{301}\\001\\E\\177\\'1",
        r"p\303\244\302\240\342\200\213e\314\201\001\E\177\'1",
    ] {
        assert_eq!(redacted(&[value], &format!("<{form}>")), "<***>", "{form}");
    }
}

#[test]
fn base64_is_replaced_at_each_alignment() {
    for before in 0..7 {
        for after in 0..7 {
            let text = format!("{}hf_0123456789{}", "x".repeat(before), "y".repeat(after));
            let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
            let masked = redacted(&["hf_0123456789"], &encoded);
            assert!(masked.contains("***") && masked.len() < encoded.len() - 10, "{encoded} is {masked}");
        }
    }
}

#[test]
fn wrapped_base64_is_replaced() {
    let value: String = (0..200).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &value);
    for end in ["\n", "\r\n"] {
        let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let masked = redacted(&[&value], &lines.join(end));
        assert!(masked.len() < 8, "{masked}");
    }
}

#[test]
fn value_in_wrapped_base64_is_replaced_at_each_column() {
    let value = "hf_0123456789abcdefghijABCDEFGHIJ";
    let redactor = redactor(&[value]);
    for before in 0..120 {
        for end in ["\n", "\r\n"] {
            let text = format!("{}{value}{}", "\x01".repeat(before), "\x02".repeat(90));
            let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
            let wrap = |text: &str| -> String {
                let lines = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap());
                lines.collect::<Vec<_>>().join(end)
            };
            let masked = String::from_utf8(redactor.redact(wrap(&encoded).as_bytes())).unwrap();
            // What is left belongs to what is before and behind the value.
            let (start, stop) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
            let with_marks = format!("{}{}{}", &encoded[..start], "-".repeat(stop - start), &encoded[stop..]);
            let with_marks = wrap(&with_marks);
            let (first, last) = (with_marks.find('-').unwrap(), with_marks.rfind('-').unwrap());
            let expected = format!("{}***{}", &with_marks[..first], &with_marks[last + 1..]);
            assert_eq!(masked, expected, "{before}");
        }
    }
}

#[test]
fn mask_can_name_the_secret() {
    let redactor = Redactor::new(RedactOptions { mask: "‹{name}›".to_owned(), ..RedactOptions::default() }).unwrap();
    assert!(redactor.add_named("HF_TOKEN", b"hf_abcdefgh").unwrap());
    assert!(!redactor.add_named("SHORT", b"1234567").unwrap());
    redactor.add([&b"unnamed-value"[..]]).unwrap();
    redactor.add_named("OTHER", b"hf_abcdefgh").unwrap();
    let redacted = |text: &str| String::from_utf8(redactor.redact(text.as_bytes())).unwrap();
    assert_eq!(redacted("a hf_abcdefgh, unnamed-value"), "a ‹HF_TOKEN›, ‹secret›");
    assert_eq!(redacted("68665f6162636465666768"), "‹HF_TOKEN›");
}

#[test]
fn settings_of_a_configuration_apply() {
    let mut config = Config::new();
    config.parse(r#"{"redact_min": 4, "redact_with": "[{name}|{name}]"}"#).unwrap();
    let redactor = Redactor::open(&config).unwrap();
    redactor.add_named("PIN", b"1234").unwrap();
    assert_eq!(redactor.redact(b"<1234>"), b"<[PIN|PIN]>");
    config.set("redact_min", "3").unwrap();
    let error = Redactor::open(&config).err().unwrap();
    assert_eq!(error.message(), "the configuration key `redact_min` is 3; it must be at least 4");
}

#[test]
fn recorded_values_are_replaced_by_the_next_call() {
    let redactor = Redactor::new(RedactOptions { mask: "<{name}>".to_owned(), ..RedactOptions::default() }).unwrap();
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for number in 0..10_000 {
        let value = format!("value-{number:08}");
        redactor.record(Some("NAME"), value.as_bytes());
        redactor.record(Some("AGAIN"), value.as_bytes());
        redactor.record(None, b"short");
        if number % 100 == 0 {
            stream.write(value.as_bytes(), &mut out);
            stream.end(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), "<NAME>");
            assert!(!redactor.recorded.is_pending());
            out.clear();
        }
    }
    for number in 0..10_000 {
        assert_eq!(redactor.redact(format!("value-{number:08}").as_bytes()), b"<NAME>");
    }
    assert_eq!(redactor.redact(b"short"), b"short");
}

#[test]
fn values_recorded_by_several_threads_are_replaced_by_their_next_call() {
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let redactor = &redactor;
            scope.spawn(move || {
                for number in 0..200 {
                    // Half of the values are also recorded by another thread.
                    let value = format!("value-{}-{number:08}", thread / 2);
                    redactor.record(None, value.as_bytes());
                    assert_eq!(redactor.redact(value.as_bytes()), b"***");
                }
            });
        }
    });
}

#[test]
fn each_line_of_a_value_is_replaced() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\r\nshort\nw0BAQEFAASCBKcwggSj\n";
    assert_eq!(redacted(&[key], "line MIIEvQIBADANBgkqhkiG, short, w0BAQEFAASCBKcwggSj"), "line ***, short, ***");
    assert_eq!(redacted(&[key], &format!("<{key}>")), "<***>");
}

#[test]
fn long_value_is_replaced_as_it_is() {
    let value: String = (0..80_000_u64).map(|at| char::from(b'a' + (at * at % 26) as u8)).collect();
    let redactor = redactor(&[&value]);
    assert_eq!(redactor.redact(format!("<{value}>").as_bytes()), b"<***>");
    let (mut stream, mut out) = (redactor.stream(), Vec::new());
    for piece in value.as_bytes().chunks(5_000) {
        stream.write(piece, &mut out);
    }
    stream.end(&mut out);
    assert_eq!(out, b"***");
}

#[test]
fn added_values_are_replaced_at_once() {
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for number in 0..200 {
        let value = format!("value-{number:08}");
        stream.write(value.as_bytes(), &mut out);
        stream.end(&mut out);
        assert_eq!(out, value.as_bytes());
        out.clear();
        redactor.add([value.as_bytes()]).unwrap();
        for known in 0..=number {
            assert_eq!(redactor.redact(format!("value-{known:08}").as_bytes()), b"***");
        }
    }
    assert!(redactor.index().sets() <= 14, "{}", redactor.index().sets());
}

#[test]
fn values_added_by_several_threads_are_all_replaced() {
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let redactor = &redactor;
            scope.spawn(move || {
                for number in 0..20 {
                    let value = format!("value-{thread}-{number:08}");
                    assert_eq!(redactor.add([value.as_bytes()]).unwrap(), 1);
                    assert_eq!(redactor.redact(value.as_bytes()), b"***");
                }
            });
        }
    });
    for (thread, number) in (0..4).flat_map(|thread| (0..20).map(move |number| (thread, number))) {
        assert_eq!(redactor.redact(format!("value-{thread}-{number:08}").as_bytes()), b"***");
    }
}

/// A random number below `limit`.
fn random(state: &mut u64, limit: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 33) as usize) % limit
}

#[test]
fn division_into_pieces_makes_no_difference() {
    let mut state = 7;
    for round in 0..2_000 {
        // Few letters, so that values overlap with others and with themselves.
        let mut text_of = |len| -> Vec<u8> { (0..len).map(|_| b"ab"[random(&mut state, 2)]).collect() };
        let (values, text) = ([text_of(4), text_of(5), text_of(9)], text_of(60));
        let redactor = Redactor::new(RedactOptions { shortest: 4, ..RedactOptions::default() }).unwrap();
        redactor.add(values.iter().map(Vec::as_slice)).unwrap();
        let whole = redactor.redact(&text);
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        let mut rest = &text[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random(&mut state, rest.len()));
            stream.write(piece, &mut out);
            rest = after;
        }
        stream.end(&mut out);
        assert_eq!(String::from_utf8(out), String::from_utf8(whole.clone()), "round {round}");
        // What is left of the text holds no occurrence: each byte of one is masked.
        let mut masked = vec![false; text.len()];
        for value in &values {
            (0..=text.len() - value.len()).filter(|at| text[*at..].starts_with(value)).for_each(|at| {
                masked[at..at + value.len()].fill(true);
            });
        }
        let kept: Vec<u8> = text.iter().zip(&masked).filter(|(_, masked)| !**masked).map(|(byte, _)| *byte).collect();
        let shown: Vec<u8> = whole.into_iter().filter(|byte| *byte != b'*').collect();
        assert_eq!(String::from_utf8(shown), String::from_utf8(kept), "round {round}");
    }
}

/// Returns which bytes of the text belong to an occurrence of a pattern.
fn marked(patterns: &[Vec<u8>], text: &[u8]) -> Vec<bool> {
    let mut marked = vec![false; text.len()];
    let search = aho_corasick::AhoCorasick::new(patterns).unwrap();
    search.find_overlapping_iter(text).for_each(|found| marked[found.range()].fill(true));
    marked
}

#[test]
fn search_finds_what_aho_corasick_finds() {
    let mut state = 3;
    for round in 0..3_000 {
        let shortest = [4, 6, 8, 11, 20][round % 5];
        let letters: &[u8] = [&b"ab"[..], b"abcdefgh01234567", b"a"][round % 3];
        let mut text_of = |len| -> Vec<u8> { (0..len).map(|_| letters[random(&mut state, letters.len())]).collect() };
        let values: Vec<Vec<u8>> = (0..1 + round % 30).map(|at| text_of(shortest + at % 7)).collect();
        // The text consists of values, parts of values and other text.
        let mut text = text_of(round % 40);
        for value in &values {
            let from = random(&mut (round as u64 + 1), value.len());
            text.extend_from_slice(&value[from..]);
            text.extend_from_slice(value);
            text.extend_from_slice(b"z");
        }
        let redactor = Redactor::new(RedactOptions { shortest, mask: "*".to_owned() }).unwrap();
        redactor.add(values.iter().map(Vec::as_slice)).unwrap();
        let marked = marked(&values, &text);
        let kept: Vec<u8> = text.iter().zip(&marked).filter(|(_, marked)| !**marked).map(|(byte, _)| *byte).collect();
        let shown: Vec<u8> = redactor.redact(&text).into_iter().filter(|byte| *byte != b'*').collect();
        assert_eq!(String::from_utf8_lossy(&shown), String::from_utf8_lossy(&kept), "round {round}");
    }
}

#[test]
fn complete_line_is_not_held_back() {
    let redactor = redactor(&["hf_abcdefgh", "hf_01234567\nsecond line"]);
    let (mut stream, mut out) = (redactor.stream(), Vec::new());
    for line in ["step 1, loss 0.5\n", "hf_abc\n", "token hf_abcdefgh\n", "\r 10%|#\r", "hf_01234567 \n"] {
        stream.write(line.as_bytes(), &mut out);
        assert_eq!(stream.held(), 0, "{line}");
        out.clear();
    }
    // This may be the beginning of the second value.
    stream.write(b"hf_01234567\n", &mut out);
    assert!(stream.held() > 0);
}

#[test]
fn only_a_possible_beginning_is_held_back() {
    let redactor = redactor(&["hf_abcdefgh"]);
    let (mut stream, mut out) = (redactor.stream(), Vec::new());
    stream.write(b"token: hf_ab", &mut out);
    assert_eq!((out.as_slice(), stream.held()), (&b"token: "[..], 5));
    stream.write(b"x\n", &mut out);
    assert_eq!((out.as_slice(), stream.held()), (&b"token: hf_abx\n"[..], 0));
    stream.write(b"hf_abcd", &mut out);
    stream.flush(&mut out);
    assert_eq!((out.as_slice(), stream.held()), (&b"token: hf_abx\nhf_abcd"[..], 0));
}
