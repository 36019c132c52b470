//! The format of a shared file: a header, then its entries, encrypted.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `STDOC001`, or `STFAIL01` for a failure |
//! | 8 | the revision of the page when the source was queried |
//! | 8 | when it was queried, in nanoseconds of `CLOCK_BOOTTIME` |
//! | 8 | the time to live, in nanoseconds; the highest number stands for none |
//! | 8 | the age from which it is loaded again, likewise |
//! | 16 | the boot id of the machine |
//! | 32 | salt |
//! | 12 | nonce |
//! | 4 | the length of the ciphertext without the tag |
//! | | ciphertext, and the tag of 16 bytes |
//!
//! In the cluster tier (`STTIER01`), the revision is that of the tier; instead of when it was queried, there is a
//! number that grows from document to document, the wall clock in milliseconds or more; instead of the boot id, the
//! lifetime in the tier in milliseconds and the age when it was published in nanoseconds.
//!
//! Numbers are little endian. The cipher is AES-256-GCM. The key is HKDF-SHA256 (RFC 5869) of the secret material with
//! the salt, and `st-secrets share 1` followed by the identity as info. The header is the associated data.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use super::fields::FieldReader;
use crate::error::{Error, Result, Status};
use crate::secret_memory::{SecretBuffer, SecretBytes, wipe_stack_below};

/// The largest file, in bytes.
pub(super) const MAX_SIZE: usize = 4 << 20;
const INFO: &[u8] = b"st-secrets share 1";
const SALT_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// The length of the header before the salt.
const FIXED_LEN: usize = 56;
const HEADER_LEN: usize = FIXED_LEN + SALT_LEN + NONCE_LEN + 4;
/// The depth of stack that is wiped after a key was used.
const STACK: usize = 8 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SealedKind {
    Document,
    Failure,
    /// A document in the cluster tier; see `tier`.
    Tier,
}

impl SealedKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            SealedKind::Document => b"STDOC001",
            SealedKind::Failure => b"STFAIL01",
            SealedKind::Tier => b"STTIER01",
        }
    }
}

/// What precedes the entries. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DocumentHeader {
    pub(super) kind: SealedKind,
    pub(super) revision: u64,
    pub(super) requested_at: u64,
    pub(super) ttl: u64,
    pub(super) refresh_after: u64,
    pub(super) boot: [u8; 16],
}

/// What the key is derived from.
pub(super) struct KeyMaterial<'a> {
    pub(super) material: &'a [u8],
    pub(super) identity: &'a [u8],
}

impl KeyMaterial<'_> {
    fn key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let info = [INFO, self.identity];
        let extracted = Salt::new(HKDF_SHA256, salt).extract(self.material);
        let key = extracted.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

/// Encrypts the entries, and returns the file.
pub(super) fn seal(header: &DocumentHeader, mut entries: SecretBuffer, source: &KeyMaterial<'_>) -> Result<Vec<u8>> {
    let size = HEADER_LEN + entries.len() + TAG_LEN;
    if size > MAX_SIZE {
        return Err(Error::new(Status::Io, format!("a document of {size} bytes is too large to be shared")));
    }
    let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
    if getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut nonce)).is_err() {
        return Err(Error::new(Status::Unavailable, "the system has no random bytes"));
    }
    let mut file = Vec::with_capacity(size);
    file.extend(header.kind.magic());
    for number in [header.revision, header.requested_at, header.ttl, header.refresh_after] {
        file.extend(number.to_le_bytes());
    }
    file.extend(header.boot);
    file.extend(salt);
    file.extend(nonce);
    file.extend((entries.len() as u32).to_le_bytes());
    let tag = source.key(&salt).and_then(|key| {
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_separate_tag(nonce, Aad::from(&file), entries.bytes_mut()).ok()
    });
    wipe_stack_below::<STACK>();
    let tag = tag.ok_or_else(|| Error::new(Status::Io, "a document cannot be encrypted"))?;
    file.extend(&*entries);
    file.extend(tag.as_ref());
    Ok(file)
}

/// Returns the header of a file, without checking that it is authentic.
fn header(kind: SealedKind, file: &[u8]) -> Option<DocumentHeader> {
    let mut reader = FieldReader::new(file);
    let is_kind = reader.array::<8>()? == *kind.magic();
    let mut number = || reader.array().map(u64::from_le_bytes);
    let (revision, requested_at, ttl, refresh_after) = (number()?, number()?, number()?, number()?);
    let boot = reader.array()?;
    is_kind.then_some(DocumentHeader { kind, revision, requested_at, ttl, refresh_after, boot })
}

/// Returns the revision and number of a document of the tier, without checking that they are authentic. Those of a
/// later document are higher.
#[cfg(feature = "tier")]
pub(super) fn tier_number(file: &[u8]) -> Option<(u64, u64)> {
    header(SealedKind::Tier, file).map(|header| (header.revision, header.requested_at))
}

/// Decrypts a file in place. Returns `None` if it is damaged or was encrypted with another key.
pub(super) fn open(
    kind: SealedKind,
    mut file: SecretBuffer,
    source: &KeyMaterial<'_>,
) -> Option<(DocumentHeader, SecretBytes)> {
    let header = header(kind, &file)?;
    let (before, sealed) = file.bytes_mut().split_at_mut_checked(HEADER_LEN)?;
    let mut rest = FieldReader::new(&before[FIXED_LEN..]);
    let (salt, nonce) = (rest.array::<SALT_LEN>()?, rest.array::<NONCE_LEN>()?);
    if usize::try_from(rest.number()?).ok()?.checked_add(TAG_LEN) != Some(sealed.len()) {
        return None;
    }
    let opened = source.key(&salt).and_then(|key| {
        let entries = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(&*before), sealed).ok()?;
        SecretBytes::copy_from(entries).ok()
    });
    wipe_stack_below::<STACK>();
    Some((header, opened?))
}

#[cfg(test)]
mod tests;

/// Opens any file, which is never authentic; and seals a text, which is opened as it was, and not after a change.
#[cfg(fuzzing)]
pub(super) fn fuzz(data: &[u8]) {
    let source = KeyMaterial { material: b"material", identity: b"identity" };
    let buffer = |bytes: &[u8]| {
        let mut buffer = SecretBuffer::with_capacity(bytes.len()).ok()?;
        buffer.push(bytes).ok()?;
        Some(buffer)
    };
    for kind in [SealedKind::Document, SealedKind::Failure] {
        let Some(file) = buffer(data) else { return };
        assert!(open(kind, file, &source).is_none());
    }
    let header = DocumentHeader {
        kind: SealedKind::Document,
        revision: 1,
        requested_at: 2,
        ttl: 3,
        refresh_after: 4,
        boot: [5; 16],
    };
    let Some(Ok(mut file)) = buffer(data).map(|entries| seal(&header, entries, &source)) else { return };
    let opened = buffer(&file).and_then(|file| open(SealedKind::Document, file, &source));
    assert!(opened.is_some_and(|(read, entries)| read == header && *entries == *data));
    let at = data.first().map_or(0, |byte| usize::from(*byte)) % file.len();
    file[at] ^= 1;
    assert!(buffer(&file).and_then(|file| open(SealedKind::Document, file, &source)).is_none());
}
