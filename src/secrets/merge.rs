//! Several documents as one.

use super::document::Document;
use crate::error::{Result, Source};
use crate::log::{self, Level};

/// Merges documents, each with its name, in order of precedence. Those that are missing are skipped, and after the
/// first error no further ones are read. The result is an error if no key is known then: the documents before it are
/// missing.
pub(super) fn merge(
    component: &'static str,
    source: Source,
    parts: impl ExactSizeIterator<Item = (String, Result<Document>)>,
) -> Result<Document> {
    let is_single = parts.len() == 1;
    let (mut document, mut found, mut missing) = (Document::new(None), 0, Vec::new());
    for (name, part) in parts {
        match part {
            part if is_single => return part,
            Ok(Document { missing: Some(why), .. }) => missing.push(format!("{name:?}: {why}")),
            Ok(part) => {
                found += 1;
                document.append(part);
            }
            Err(error) if found == 0 => return Err(error),
            Err(error) => {
                log::emit(Level::Warn, component, || {
                    format!("keys that no earlier secret has cannot be read: {error}")
                });
                document.set_incomplete(error.with_source(source));
                break;
            }
        }
    }
    if found == 0 {
        return Ok(Document::missing(missing.join("; ")));
    }
    for why in missing {
        log::emit(Level::Warn, component, || format!("one secret of several is skipped: {why}"));
    }
    Ok(document)
}
