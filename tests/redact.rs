//! Redaction of what encoders write, of pieces, of file descriptors, and of values that the library returned.

mod common;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use st_secrets::redact::{RedactOptions, Redactor};
use st_secrets::{Cipher, Config, Status};

/// How many random values Python encodes; `ST_TEST_PYTHON_VALUES` overrides it.
const VALUES: usize = 300;

fn decoded(text: &serde_json::Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

#[test]
fn what_python_encodes_is_replaced() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let count = std::env::var("ST_TEST_PYTHON_VALUES").unwrap_or_else(|_| VALUES.to_string());
    let output = Command::new(common::python::interpreter())
        .arg(root.join("tests/python/redact_forms.py"))
        .args([count.as_str(), "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut texts = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let redactor = Redactor::new(RedactOptions::default()).unwrap();
        redactor.add([decoded(&case["value"]).as_slice()]).unwrap();
        for pair in case["texts"].as_array().unwrap() {
            let (text, expected) = (decoded(&pair[0]), decoded(&pair[1]));
            let redacted = redactor.redact(&text);
            // By chance the surroundings of a value can extend an occurrence of it, in base64; then more is replaced.
            assert!(
                redacted == expected || is_shorter(&redacted, &expected),
                "{:?} became {:?} instead of {:?}",
                String::from_utf8_lossy(&text),
                String::from_utf8_lossy(&redacted),
                String::from_utf8_lossy(&expected)
            );
            texts += 1;
        }
    }
    assert!(texts > 10_000, "{texts}");
}

/// Whether `some` is `other` with a few bytes less beside the mask.
fn is_shorter(some: &[u8], other: &[u8]) -> bool {
    let Some(at) = some.windows(3).position(|part| part == b"***") else { return false };
    other.starts_with(&some[..at]) && other.ends_with(&some[at + 3..]) && some.len() <= other.len()
}

/// A generator of random numbers (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn bytes(&mut self, len: usize, from: &[u8]) -> Vec<u8> {
        (0..len).map(|_| from[self.below(from.len())]).collect()
    }

    fn any_bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/.";

/// Encodes the value with encoders that the library does not use. Returns the characters that depend on it alone, and
/// those in front and behind.
fn encoded(value: &[u8], random: &mut Random) -> [Vec<u8>; 3] {
    let whole = |text: String| [Vec::new(), text.into_bytes(), Vec::new()];
    match random.below(7) {
        0 => [Vec::new(), value.to_vec(), Vec::new()],
        1 => whole(value.iter().map(|byte| format!("{byte:02x}")).collect()),
        2 => whole(value.iter().map(|byte| format!("{byte:02X}")).collect()),
        3 => whole(percent_encoding::percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()),
        4 => {
            let json = serde_json::to_string(&String::from_utf8_lossy(value)).unwrap();
            whole(json[1..json.len() - 1].to_owned())
        }
        5 => [Vec::new(), value.iter().flat_map(|byte| [*byte, 0]).collect(), Vec::new()],
        _ => {
            let (before, after) = (random.below(100), random.below(5));
            let text = [random.any_bytes(before), value.to_vec(), random.any_bytes(after)].concat();
            let base64 = STANDARD.encode(text).into_bytes();
            let (start, end) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
            if random.below(2) == 0 {
                return [base64[..start].to_vec(), base64[start..end].to_vec(), base64[end..].to_vec()];
            }
            // In lines of 76 characters.
            let line = |at: usize| if at > 0 && at.is_multiple_of(76) { Some(b'\n') } else { None };
            let wrap = |from: usize, to: usize| -> Vec<u8> {
                (from..to).flat_map(|at| line(at).into_iter().chain([base64[at]])).collect()
            };
            let value = wrap(start, end);
            // A line break in front of the first character is not part of the value.
            let at = usize::from(value[0] == b'\n');
            [[wrap(0, start), value[..at].to_vec()].concat(), value[at..].to_vec(), wrap(end, base64.len())]
        }
    }
}

#[test]
fn random_values_in_random_pieces_do_not_leak() {
    let count = std::env::var("ST_TEST_VALUES").map_or(2_000, |count| count.parse().unwrap());
    let mut random = Random(5);
    for round in 0..count {
        let len = 8 + random.below(72);
        let value = random.bytes(len, LETTERS);
        let redactor = Redactor::new(RedactOptions::default()).unwrap();
        redactor.add([value.as_slice()]).unwrap();
        let [before, form, after] = encoded(&value, &mut random);
        let text = [b"key: ", &before[..], &form, &after, b" end\n"].concat();
        let (mut stream, mut redacted, mut rest) = (redactor.stream(), Vec::new(), &text[..]);
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(1 + random.below(rest.len().min(1 + round % 50)));
            stream.write(piece, &mut redacted);
            rest = others;
        }
        stream.end(&mut redacted);
        let expected = [b"key: ", &before[..], b"***", &after, b" end\n"].concat();
        // As above, more may be replaced by chance.
        let is_good = redacted == expected || is_shorter(&redacted, &expected);
        assert!(is_good, "round {round}: {:?}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn text_without_values_is_unchanged() {
    let size = std::env::var("ST_TEST_TEXT").map_or(16 << 20, |size| size.parse().unwrap());
    let mut random = Random(9);
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    let values: Vec<Vec<u8>> = (0..50).map(|_| random.bytes(40, LETTERS)).collect();
    redactor.add(values.iter().map(Vec::as_slice)).unwrap();
    let (mut stream, mut redacted, mut text, mut done) = (redactor.stream(), Vec::new(), Vec::new(), 0);
    while done < size {
        text.clear();
        redacted.clear();
        while text.len() < 1 << 20 {
            // Log lines with numbers, hexadecimal, base64 and random bytes.
            let (step, len) = (random.below(100_000), random.below(60));
            let (blob, bytes) = (STANDARD.encode(random.any_bytes(len)), random.any_bytes(len));
            text.extend_from_slice(format!("2026-01-01T00:00:00Z INFO step={step} {step:08x} {blob} ").as_bytes());
            text.extend_from_slice(&bytes);
            text.push(b'\n');
        }
        let mut rest = &text[..];
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(1 + random.below(rest.len().min(8192)));
            stream.write(piece, &mut redacted);
            rest = others;
        }
        stream.end(&mut redacted);
        assert!(redacted == text, "text is changed in the MiB after {done}");
        done += text.len();
    }
}

/// Reads until what was read ends with `end`.
fn read_until(from: &mut impl Read, end: &str) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(end.as_bytes()) {
        from.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn copy_passes_lines_on_at_once_and_held_text_after_a_pause() {
    let (input, mut write) = std::io::pipe().unwrap();
    let (mut read, output) = std::io::pipe().unwrap();
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    redactor.add([&b"hf_abcdefgh"[..]]).unwrap();
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| {
            let copied = redactor.copy(input.as_fd(), output.as_fd());
            drop(output);
            copied
        });
        // Each part is read while the input is open and nothing follows.
        write.write_all(b"token hf_abcdefgh\n").unwrap();
        assert_eq!(read_until(&mut read, "\n"), "token ***\n");
        write.write_all(b"Password for hf_a").unwrap();
        assert_eq!(read_until(&mut read, "hf_a"), "Password for hf_a");
        write.write_all(b"; hf_abcd").unwrap();
        drop(write);
        let mut rest = String::new();
        read.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "; hf_abcd");
        copy.join().unwrap().unwrap();
    });
}

#[test]
fn copy_reports_a_reader_that_is_gone() {
    let (input, mut write) = std::io::pipe().unwrap();
    let (read, output) = std::io::pipe().unwrap();
    drop(read);
    let redactor = Redactor::new(RedactOptions::default()).unwrap();
    // A process that another test starts has the reader too until it executes its program, so one line may be accepted.
    let writer = std::thread::spawn(move || {
        while write.write_all(b"text\n").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let error = redactor.copy(input.as_fd(), output.as_fd()).unwrap_err();
    drop(input);
    assert_eq!((error.status(), error.detail()), (Status::Io, libc::EPIPE), "{error}");
    writer.join().unwrap();
}

#[test]
fn redactor_of_the_process_replaces_values_that_were_returned() {
    let directory = common::temp();
    let values: Vec<String> = (0..200).map(|number| format!("file-value-{number:08}")).collect();
    let json: serde_json::Map<_, _> =
        values.iter().enumerate().map(|(at, value)| (format!("KEY_{at}"), value.as_str().into())).collect();
    let path = common::write(&directory.path().join("secrets.json"), &serde_json::to_string(&json).unwrap());
    let manager = common::with_file(&path);
    let before = manager.get("KEY_0").unwrap();
    let mut config = Config::new();
    config.set("redact_with", "<{name}>").unwrap();
    Redactor::open_default(&config).unwrap();
    Redactor::open_default(&config).unwrap();
    let redact = |text: &[u8]| Redactor::default_instance().unwrap().redact(text);
    assert_eq!(redact(before.value()), **before.value());

    let error = Redactor::open_default(&Config::new()).unwrap_err();
    assert!(error.message().contains("already open"), "{error}");

    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (manager, values, redact) = (&manager, &values, &redact);
            scope.spawn(move || {
                for at in (0..values.len()).filter(|at| (at + thread) % 2 == 0) {
                    let key = format!("KEY_{at}");
                    let secret = match at % 3 {
                        0 => manager.get(&key),
                        1 => manager.get_many(&[&key]).remove(0),
                        _ => manager.get_any(&[&key, "OTHER"], &st_secrets::GetOptions::default()),
                    };
                    assert_eq!(redact(secret.unwrap().value()), format!("<{key}>").as_bytes());
                }
            });
        }
    });

    config.set("key", "the key of this test").unwrap();
    let cipher = Cipher::open(&config).unwrap();
    let token = cipher.encrypt(b"decrypted-value").unwrap();
    assert_eq!(redact(b"decrypted-value"), b"decrypted-value");
    assert_eq!(redact(&cipher.decrypt(&token).unwrap()), b"<secret>");

    // A child replaces what its parent did, and records.
    let child = common::fork::fork(|| {
        let new = manager.get("KEY_1").is_ok() && cipher.decrypt_with(&token, |_| ()).is_ok();
        new && redact(b"file-value-00000001") == b"<KEY_1>"
    });
    assert!(common::fork::said_yes(child));
}
