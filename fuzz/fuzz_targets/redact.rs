//! Redaction: the first 16 bytes are a value. No text in any pieces shows it, and the pieces do not matter.
#![no_main]

use ::st_secrets::redact::{Options, Redactor};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((value, rest)) = data.split_at_checked(16) else { return };
    let Some((size, text)) = rest.split_first() else { return };
    let redactor = Redactor::new(Options::default()).expect("the defaults are valid");
    // A mask beside text could look like such a value.
    if value.contains(&b'*') {
        return;
    }
    assert_eq!(redactor.add([value]).expect("there is memory"), 1);
    // The value once more in the middle, so that it is there.
    let middle = text.len() / 2;
    let text = [&text[..middle], value, &text[middle..]].concat();
    let redacted = redactor.redact(&text);
    assert!(redacted.windows(value.len()).all(|window| window != value), "the value is shown");
    let (mut stream, mut pieces) = (redactor.stream(), Vec::new());
    for piece in text.chunks(usize::from(*size).max(1)) {
        stream.write(piece, &mut pieces);
    }
    stream.end(&mut pieces);
    assert_eq!(pieces, redacted);
});
