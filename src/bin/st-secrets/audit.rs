//! `audit`: the audit trail.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::arguments::{Audit, AuditCommand, AuditFormat, Common};
use crate::failure::{FAILED, Failure, Outcome};
use crate::{store, terminal};

pub(crate) fn audit(common: &Common, audit: &Audit) -> Outcome {
    let store = store::open(common)?;
    match &audit.command {
        AuditCommand::List { limit, since, event, json } => {
            let filter = json!({"limit": limit, "since": since, "event_type": event});
            let entries = store.audit_query(&filter.to_string())?;
            let columns = [
                ("ID", "id"),
                ("TIME", "timestamp"),
                ("EVENT", "event_type"),
                ("ACTION", "action"),
                ("TARGET", "target_id"),
                ("ACTOR", "actor_username"),
            ];
            store::list(&entries, *json, &columns, "the audit trail has no such entry")
        }
        AuditCommand::Export { format, since, until, event } => {
            let format = match format {
                AuditFormat::Jsonl => st_secrets::store::AuditFormat::JsonLines,
                AuditFormat::Csv => st_secrets::store::AuditFormat::Csv,
            };
            // The header of CSV is that of the first part.
            let mut after = None;
            loop {
                let filter = json!({"since": since, "until": until, "event_type": event, "after_id": after});
                let part = store.audit_export(&filter.to_string(), format)?;
                terminal::write_text(&part.text)?;
                if part.last_id == 0 {
                    return Ok(ExitCode::SUCCESS);
                }
                after = Some(part.last_id);
            }
        }
        AuditCommand::Verify { json } => {
            let verified = store.audit_verify(0, 0)?;
            if *json {
                terminal::print(&verified.to_json())?;
            } else if verified.is_intact() {
                let noun = if verified.checked == 1 { "entry" } else { "entries" };
                terminal::print(&format!("{} {noun}, all intact", verified.checked))?;
            }
            match (verified.is_intact(), json) {
                (true, _) => Ok(ExitCode::SUCCESS),
                (false, true) => Ok(ExitCode::from(FAILED)),
                (false, false) => {
                    let report: Value = serde_json::from_str(&verified.to_json()).unwrap_or_default();
                    let (id, kind) = (store::cell(&report, "broken_id"), store::cell(&report, "kind"));
                    Err(Failure::failed(format!("the audit trail is not intact: entry {id}: {kind}")))
                }
            }
        }
    }
}
