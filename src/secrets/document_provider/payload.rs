//! A document as processes share it.

use std::sync::Arc;

use super::super::document::{Document, DocumentLease};
use crate::clock::Instant;
use crate::error::Result;
use crate::secret_memory::{SecretBuffer, SecretBytes};
use crate::share::fields::{FieldReader, FieldWriter};

/// Writes the entries of a document, and what is known of the rest. Its times are those of the record.
pub(super) fn encode(document: &Document) -> Result<SecretBuffer> {
    let mut fields = FieldWriter::new()?;
    fields.optional(document.version.as_deref().map(str::as_bytes))?;
    fields.optional(document.missing.as_deref().map(str::as_bytes))?;
    fields.number(document.len() as u32)?;
    for (key, (value, version)) in document.entries() {
        fields.bytes(key.as_bytes())?;
        fields.optional(version.as_deref().map(str::as_bytes))?;
        fields.bytes(value)?;
    }
    fields.number(document.broken().count() as u32)?;
    for (key, error) in document.broken() {
        fields.bytes(key.as_bytes())?;
        fields.error(error)?;
    }
    fields.number(u32::from(document.incomplete().is_some()))?;
    document.incomplete().map_or(Ok(()), |error| fields.error(error))?;
    fields.number(u32::from(document.lease.is_some()))?;
    document.lease.as_ref().map_or(Ok(()), |lease| encode_lease(lease, &mut fields))?;
    Ok(fields.into_buffer())
}

/// Reads what [`encode`] has written; `None` if it is malformed.
pub(super) fn decode(bytes: &[u8]) -> Option<Document> {
    let mut fields = FieldReader::new(bytes);
    let mut document = Document::new(fields.optional_text()?.map(Arc::from));
    document.missing = fields.optional_text()?.map(str::to_owned);
    for _ in 0..fields.number()? {
        let (key, version) = (fields.text()?, fields.optional_text()?.map(Arc::from));
        document.add_entry(key, SecretBytes::copy_from(fields.bytes()?).ok()?, version);
    }
    for _ in 0..fields.number()? {
        let key = fields.text()?;
        document.add_broken(key, fields.error()?);
    }
    if fields.number()? != 0 {
        document.set_incomplete(fields.error()?);
    }
    if fields.number()? != 0 {
        document.lease = Some(decode_lease(&mut fields)?);
    }
    Some(document)
}

fn encode_lease(lease: &DocumentLease, fields: &mut FieldWriter) -> Result<()> {
    fields.optional(lease.id.as_deref().map(str::as_bytes))?;
    fields.number(u32::from(lease.renewable))?;
    for time in [lease.length, lease.end.since_boot(), lease.renew_at.since_boot()] {
        fields.time(time)?;
    }
    fields.bytes(&lease.owner)
}

fn decode_lease(fields: &mut FieldReader<'_>) -> Option<DocumentLease> {
    let id = fields.optional_text()?.map(Arc::from);
    let renewable = fields.number()? != 0;
    let mut time = || fields.time();
    let (length, end, renew_at) = (time()?, Instant::after_boot(time()?), Instant::after_boot(time()?));
    let owner = fields.bytes()?.try_into().ok()?;
    Some(DocumentLease { id, renewable, length, end, renew_at, owner })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Status};

    #[test]
    fn document_is_decoded_as_it_was() {
        let value = |text: &str| SecretBytes::copy_from(text.as_bytes()).unwrap();
        let mut document = Document::new(Some("v1".into()));
        document.add_entry("A", value("a"), Some("v1".into()));
        document.add_entry("B", value(""), None);
        document.add_broken("C", Error::new(Status::WrongType, "it is a list"));
        document.set_incomplete(Error::new(Status::Unavailable, "it is throttled").with_retryable(true));
        let time = |seconds| Instant::after_boot(std::time::Duration::from_secs(seconds));
        let (id, length) = (Some("database/creds/a/b".into()), std::time::Duration::from_secs(9));
        let lease = DocumentLease { id, renewable: true, length, end: time(20), renew_at: time(15), owner: [7; 16] };
        for (missing, lease) in [(None, Some(lease)), (Some("it was deleted".to_owned()), None)] {
            (document.missing, document.lease) = (missing, lease);
            let bytes = encode(&document).unwrap();
            let again = decode(&bytes).unwrap();
            let shown = |document: &Document| {
                let mut names: Vec<_> = document.names().map(|name| (name.to_owned(), document.get(name))).collect();
                names.sort_by(|one, other| one.0.cmp(&other.0));
                let values: Vec<_> = names.iter().map(|(name, got)| format!("{name} {got:?}")).collect();
                format!("{values:?} {:?} {:?} {:?}", document.version, document.missing, document.incomplete())
            };
            assert_eq!(shown(&again), shown(&document));
            assert_eq!(again.lease, document.lease);
            assert_eq!(&*again.get("A").unwrap().unwrap().0, b"a");
            assert!((0..bytes.len()).all(|len| decode(&bytes[..len]).is_none()));
        }
    }
}

/// Decodes a document. What is decoded is encoded and decoded to the same.
#[cfg(fuzzing)]
pub(super) fn fuzz(data: &[u8]) {
    let Some(document) = decode(data) else { return };
    let names = |document: &Document| document.names().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    if let Ok(bytes) = encode(&document) {
        let again = decode(&bytes).expect("an encoded document can be decoded");
        assert_eq!(names(&again), names(&document));
        assert_eq!(again.version, document.version);
        assert_eq!(again.missing, document.missing);
    }
}
