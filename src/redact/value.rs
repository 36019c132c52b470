//! A value to redact, with its forms.

use std::sync::Arc;

use super::forms;
use crate::error::{Error, Result, Status};
use crate::secret_memory::{SecretBuffer, SecretBytes};

/// All forms of one value.
pub(super) struct RecordedValue {
    /// The forms, one behind the other.
    pub(super) forms: SecretBytes,
    /// The name of the secret.
    pub(super) name: Option<Box<str>>,
}

/// One form of a value.
#[derive(Clone)]
pub(super) struct Pattern {
    pub(super) value: Arc<RecordedValue>,
    /// Its range in the forms of the value.
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Pattern {
    pub(super) fn text(&self) -> &[u8] {
        &self.value.forms[self.start as usize..self.end as usize]
    }
}

/// Returns the patterns of a value: those of its forms that are at least `shortest` bytes long.
pub(super) fn patterns(name: Option<&str>, value: &[u8], shortest: usize) -> Result<Vec<Pattern>> {
    let mut forms = forms::forms(value, shortest);
    forms.sort_unstable_by(|a, b| a.as_slice().cmp(b));
    forms.dedup();
    let size: usize = forms.iter().map(|form| form.len()).sum();
    if u32::try_from(size).is_err() {
        let len = value.len();
        return Err(Error::new(Status::NoMemory, format!("a value of {len} bytes is too long to be redacted")));
    }
    let mut buffer = SecretBuffer::with_capacity(size)?;
    forms.iter().try_for_each(|form| buffer.push(form))?;
    let value = Arc::new(RecordedValue { forms: buffer.freeze(), name: name.map(Into::into) });
    let mut end = 0;
    let pattern = |form: &forms::ValueForm| {
        let start = end;
        end += form.len() as u32;
        Pattern { value: value.clone(), start, end }
    };
    Ok(forms.iter().map(pattern).collect())
}
