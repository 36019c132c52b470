//! The encoding of what is shared: numbers in little endian, and bytes after their length.

use std::time::Duration;

use crate::error::{Error, Result, Source, Status};
use crate::secret_memory::SecretBuffer;

/// Stands for an absent or infinite duration.
const NONE: u64 = u64::MAX;

/// Writes fields to secret memory.
pub(crate) struct FieldWriter(SecretBuffer);

impl FieldWriter {
    pub(crate) fn new() -> Result<FieldWriter> {
        SecretBuffer::with_capacity(1024).map(FieldWriter)
    }

    pub(crate) fn into_buffer(self) -> SecretBuffer {
        self.0
    }

    pub(crate) fn number(&mut self, number: u32) -> Result<()> {
        self.0.push(&number.to_le_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX))?;
        self.0.push(bytes)
    }

    /// `None` differs from empty bytes.
    pub(crate) fn optional(&mut self, bytes: Option<&[u8]>) -> Result<()> {
        self.number(u32::from(bytes.is_some()))?;
        bytes.map_or(Ok(()), |bytes| self.bytes(bytes))
    }

    pub(crate) fn time(&mut self, time: Duration) -> Result<()> {
        self.0.push(&nanoseconds(Some(time)).to_le_bytes())
    }

    pub(crate) fn error(&mut self, error: &Error) -> Result<()> {
        self.number(error.status() as u32)?;
        self.number(error.source_provider() as u32)?;
        self.number(error.detail() as u32)?;
        self.number(u32::from(error.is_retryable()) | u32::from(error.is_authoritative()) << 1)?;
        self.bytes(error.message().as_bytes())
    }
}

/// Reads fields. Each method returns `None` if the bytes do not have the field.
pub(crate) struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match self.number()? {
            0 => Some(None),
            _ => self.bytes().map(Some),
        }
    }

    pub(crate) fn optional_text(&mut self) -> Option<Option<&'a str>> {
        self.optional()?.map_or(Some(None), |bytes| std::str::from_utf8(bytes).ok().map(Some))
    }

    pub(crate) fn time(&mut self) -> Option<Duration> {
        Some(duration(self.array().map(u64::from_le_bytes)?).unwrap_or(Duration::MAX))
    }

    pub(crate) fn error(&mut self) -> Option<Error> {
        let status = Status::from_code(self.number()? as i32)?;
        let source = Source::from_code(self.number()? as i32)?;
        let (detail, flags) = (self.number()? as i32, self.number()?);
        let error = Error::new(status, self.text()?).with_source(source).with_detail(detail);
        let error = error.with_retryable(flags & 1 != 0);
        Some(if flags & 2 != 0 { error.authoritative() } else { error })
    }
}

/// The duration as a number; [`NONE`] if it is absent or too long.
pub(crate) fn nanoseconds(time: Option<Duration>) -> u64 {
    time.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or(NONE)
}

/// The inverse of [`nanoseconds`].
pub(crate) fn duration(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds != NONE).then(|| Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_returns_what_was_written_and_none_for_less() {
        let error = Error::new(Status::AccessDenied, "the role has no permission").with_source(Source::Vault);
        let error = error.with_detail(403).authoritative();
        let mut writer = FieldWriter::new().unwrap();
        writer.number(7).unwrap();
        writer.bytes(b"").unwrap();
        writer.optional(Some(b"version 3")).unwrap();
        writer.optional(None).unwrap();
        writer.time(Duration::from_millis(1500)).unwrap();
        writer.time(Duration::MAX).unwrap();
        writer.error(&error).unwrap();
        let bytes = writer.into_buffer();
        let read = |bytes: &[u8]| {
            let mut reader = FieldReader::new(bytes);
            assert_eq!(reader.number()?, 7);
            assert_eq!(reader.bytes()?, b"");
            assert_eq!(reader.optional_text()?, Some("version 3"));
            assert_eq!(reader.optional()?, None);
            assert_eq!(reader.time()?, Duration::from_millis(1500));
            assert_eq!(reader.time()?, Duration::MAX);
            reader.error()
        };
        let again = read(&bytes).unwrap();
        assert_eq!(format!("{again:?}"), format!("{error:?}"));
        assert!(again.is_authoritative());
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_none(), "{len}");
        }
    }
}
