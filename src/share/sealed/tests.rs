//! Tests of the format. `tests/share` compares it with Python's `cryptography` on whole documents.

use super::*;

const HEADER: DocumentHeader = DocumentHeader {
    kind: SealedKind::Document,
    revision: 3,
    requested_at: 1000,
    ttl: 2000,
    refresh_after: u64::MAX,
    boot: [7; 16],
};
const SOURCE: KeyMaterial<'_> = KeyMaterial { material: b"material", identity: b"identity" };
/// Made with Python's `cryptography`: the entries are `entries`, the salt counts from 0, the nonce from 100.
const VECTOR: &str = "5354444f433030310300000000000000e803000000000000d007000000000000ffffffffffffffff0707070707070707\
    0707070707070707000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f6465666768696a6b6c6d6e6f07000000\
    9be5d5c56d48bdd41b19b201ef4fc15bdf81944b18d4e4";

fn buffer(bytes: &[u8]) -> SecretBuffer {
    let mut buffer = SecretBuffer::with_capacity(bytes.len()).unwrap();
    buffer.push(bytes).unwrap();
    buffer
}

fn opened(file: &[u8], source: &KeyMaterial<'_>) -> Option<(DocumentHeader, Vec<u8>)> {
    open(SealedKind::Document, buffer(file), source).map(|(header, entries)| (header, entries.to_vec()))
}

#[test]
fn file_of_another_implementation_is_opened() {
    let digits = |at: usize| u8::from_str_radix(&VECTOR[at..at + 2], 16).unwrap();
    let file: Vec<u8> = (0..VECTOR.len()).step_by(2).map(digits).collect();
    assert_eq!(opened(&file, &SOURCE), Some((HEADER, b"entries".to_vec())));
}

#[test]
fn sealed_file_is_opened_only_as_it_was_and_with_its_key() {
    let file = seal(&HEADER, buffer(b"entries"), &SOURCE).unwrap();
    assert!(!file.windows(7).any(|window| window == b"entries"));
    assert_eq!(opened(&file, &SOURCE), Some((HEADER, b"entries".to_vec())));
    assert!(opened(&file, &KeyMaterial { material: b"other", ..SOURCE }).is_none());
    assert!(opened(&file, &KeyMaterial { identity: b"other", ..SOURCE }).is_none());
    assert!(open(SealedKind::Failure, buffer(&file), &SOURCE).is_none());
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        assert!(opened(&damaged, &SOURCE).is_none(), "byte {at}");
        assert!(opened(&file[..at], &SOURCE).is_none(), "{at} bytes");
    }
    assert!(opened(&[&file[..], b"x"].concat(), &SOURCE).is_none());
    assert_ne!(seal(&HEADER, buffer(b"entries"), &SOURCE).unwrap(), file, "each file has its own salt");
}

#[test]
fn document_that_is_too_large_is_not_shared() {
    let error = seal(&HEADER, buffer(&vec![0; MAX_SIZE]), &SOURCE).unwrap_err();
    assert!(error.message().contains("too large to be shared"), "{error}");
    let largest = vec![0; MAX_SIZE - HEADER_LEN - TAG_LEN];
    assert_eq!(seal(&HEADER, buffer(&largest), &SOURCE).unwrap().len(), MAX_SIZE);
}
