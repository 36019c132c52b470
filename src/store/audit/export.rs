//! Export of the audit trail as text.

use super::AuditLog;
use super::query::{AuditFilter, StoredEntry};
use crate::clock::Deadline;
use crate::error::Result;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditFormat {
    /// One JSON object per line, with the names of the columns.
    JsonLines,
    /// Comma-separated values as in RFC 4180, after a line with the names of the columns.
    Csv,
}

/// A part of the audit trail.
#[derive(Clone, Debug, Default)]
pub struct AuditExport {
    /// The entries, oldest first.
    pub text: String,
    /// The number of the last entry; 0 if there is none. The next part begins after it.
    pub last_id: i64,
}

const HEADER: &str = "id,timestamp,event_type,actor_id,actor_username,actor_ip,target_type,target_id,action,details,\
                      previous_hash,entry_hash\r\n";

impl AuditLog {
    /// Exports the entries that match a filter. CSV has a header unless the filter continues an export.
    pub(in crate::store) fn export(
        &self,
        filter: &str,
        format: AuditFormat,
        deadline: Deadline,
    ) -> Result<AuditExport> {
        let filter = AuditFilter::oldest_first(filter)?;
        let mut text = match format {
            AuditFormat::Csv if filter.after == 0 => HEADER.to_owned(),
            _ => String::new(),
        };
        let entries = self.select(filter, deadline)?;
        for entry in &entries {
            match format {
                AuditFormat::JsonLines => {
                    text.push_str(entry.to_json()?.get());
                    text.push('\n');
                }
                AuditFormat::Csv => push_line(&mut text, entry),
            }
        }
        Ok(AuditExport { text, last_id: entries.last().map_or(0, |entry| entry.id) })
    }
}

fn push_line(text: &mut String, entry: &StoredEntry) {
    text.push_str(&entry.id.to_string());
    let actor_id = entry.actor_id.map(|id| id.to_string());
    let cells = [
        entry.timestamp.as_deref(),
        entry.event_type.as_deref(),
        actor_id.as_deref(),
        entry.actor_username.as_deref(),
        entry.actor_ip.as_deref(),
        entry.target_type.as_deref(),
        entry.target_id.as_deref(),
        entry.action.as_deref(),
        Some(&entry.details),
        entry.previous_hash.as_deref(),
        entry.entry_hash.as_deref(),
    ];
    for cell in cells {
        text.push(',');
        push_cell(text, cell.unwrap_or_default());
    }
    text.push_str("\r\n");
}

/// Appends a cell. Text that a spreadsheet would evaluate as a formula gets an apostrophe in front: names and targets
/// may come from untrusted users. A number is not a formula.
fn push_cell(text: &mut String, cell: &str) {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<i64>().is_err();
    let mark = if is_formula { "'" } else { "" };
    if cell.contains(['"', ',', '\r', '\n']) {
        text.push_str(&format!("\"{mark}{}\"", cell.replace('"', "\"\"")));
    } else {
        text.push_str(mark);
        text.push_str(cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_never_formulas() {
        for (cell, expected) in [
            ("", ""),
            ("plain text", "plain text"),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=cmd()", "'=cmd()"),
            ("+1,2", "\"'+1,2\""),
            ("@x", "'@x"),
            ("-x", "'-x"),
            ("a=b", "a=b"),
            ("-3", "-3"),
        ] {
            let mut text = String::new();
            push_cell(&mut text, cell);
            assert_eq!(text, expected, "{cell}");
        }
    }
}
