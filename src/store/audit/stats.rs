//! Statistics of the audit trail, with the names of SimpleTuner's.

use std::time::Duration;

use super::AuditLog;
use super::query::lossy_text;
use crate::clock::Deadline;
use crate::error::Result;
use crate::raw_json::python::push_quoted;
use crate::store::time;

const DAY: Duration = Duration::from_secs(86_400);

/// The entries of one type.
struct Group {
    event_type: String,
    count: i64,
    first: String,
    last: String,
    recent: i64,
}

impl AuditLog {
    /// Returns a JSON object: `total_entries`, `by_type` (the most frequent first), `last_24h`, `first_entry` and
    /// `last_entry`.
    pub(in crate::store) fn stats(&self, deadline: Deadline) -> Result<String> {
        let Some(db) = self.database.read(deadline)? else { return Ok(to_json(&[])) };
        let mut groups: Vec<Group> = Vec::new();
        let sql = "SELECT event_type, count(*), min(timestamp), max(timestamp), total(timestamp >= ?1) FROM audit_log
                   GROUP BY event_type ORDER BY count(*) DESC, event_type";
        db.each(sql, [time::ago(DAY)], |row| {
            let recent: f64 = db.column(row, 4)?;
            let text = |index| lossy_text(&db, row, index).map(Option::unwrap_or_default);
            groups.push(Group {
                event_type: text(0)?,
                count: db.column(row, 1)?,
                first: text(2)?,
                last: text(3)?,
                recent: recent as i64,
            });
            Ok(())
        })?;
        Ok(to_json(&groups))
    }
}

fn to_json(groups: &[Group]) -> String {
    let total: i64 = groups.iter().map(|group| group.count).sum();
    let recent: i64 = groups.iter().map(|group| group.recent).sum();
    let mut json = format!("{{\"total_entries\":{total},\"by_type\":{{");
    for (index, group) in groups.iter().enumerate() {
        json.push_str(if index > 0 { "," } else { "" });
        push_quoted(&mut json, &group.event_type);
        json.push_str(&format!(":{}", group.count));
    }
    json.push_str(&format!("}},\"last_24h\":{recent},\"first_entry\":"));
    push_time(&mut json, groups.iter().map(|group| &group.first).min());
    json.push_str(",\"last_entry\":");
    push_time(&mut json, groups.iter().map(|group| &group.last).max());
    json.push('}');
    json
}

fn push_time(json: &mut String, time: Option<&String>) {
    match time {
        Some(time) => push_quoted(json, time),
        None => json.push_str("null"),
    }
}
