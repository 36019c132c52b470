package stsecrets

// #include "native.h"
import "C"

import "encoding/json"

// AuditEntry is an audit entry of the program. The target is optional. Details is a JSON object without secrets, or
// nil.
type AuditEntry struct {
	EventType, Action    string
	TargetType, TargetID string
	Details              json.RawMessage
}

// Audit appends an entry to the audit trail, under the actor of [Store.As], and returns its id. The library's own
// changes are recorded without it.
func (s *Store) Audit(entry AuditEntry) (id int64, err error) {
	c, err := s.begin()
	if err != nil {
		return 0, err
	}
	defer s.end(c)
	event, eventLen := text(entry.EventType)
	action, actionLen := text(entry.Action)
	kind, kindLen := optional(entry.TargetType)
	target, targetLen := optional(entry.TargetID)
	details, detailsLen := optional(string(entry.Details))
	err = c.error(C.st_audit_log(s.native(), event, eventLen, action, actionLen, kind, kindLen, target, targetLen,
		details, detailsLen, &c.id, &c.err))
	return int64(c.id), err
}

// AuditEventTypes returns the event types of SimpleTuner: objects with name, value, category and security. An entry may
// have any other type.
func AuditEventTypes() (json.RawMessage, error) {
	c := newCall()
	defer c.end()
	return c.copied(C.st_audit_event_types(&c.bytes, &c.err))
}

// AuditStats returns the numbers of entries, in total, by type and in the last 24 hours, and the first and last time.
func (s *Store) AuditStats() (json.RawMessage, error) {
	return s.copied(func(c *call) C.st_status { return C.st_audit_stats(s.native(), &c.bytes, &c.err) })
}

// AuditEntries returns the entries that match the filter, newest first. The filter is a JSON object, or nil for all
// entries.
func (s *Store) AuditEntries(filter []byte) (json.RawMessage, error) {
	address, size := optional(string(filter))
	return s.copied(func(c *call) C.st_status { return C.st_audit_query(s.native(), address, size, &c.bytes, &c.err) })
}

// VerifyAudit verifies the chain from entry first to last; 0 is the first or last entry of the trail. It returns the id
// of the first invalid entry, 0 if the trail is intact, and a report as a JSON object.
func (s *Store) VerifyAudit(first, last int64) (brokenID int64, report json.RawMessage, err error) {
	c, err := s.begin()
	if err != nil {
		return 0, nil, err
	}
	defer s.end(c)
	report, err = c.copied(C.st_audit_verify(s.native(), C.int64_t(first), C.int64_t(last), &c.id, &c.bytes, &c.err))
	return int64(c.id), report, err
}

// AuditFormat is the format of an export.
type AuditFormat int32

const (
	// AuditJSONLines is one JSON object per line.
	AuditJSONLines AuditFormat = C.ST_AUDIT_JSON_LINES
	// AuditCSV is comma-separated values, after a line with the names of the columns.
	AuditCSV AuditFormat = C.ST_AUDIT_CSV
)

// ExportAudit returns the entries that match the filter as text, oldest first, at most 10 000. The next part has the
// filter after_id with lastID, which is 0 if there is no entry.
func (s *Store) ExportAudit(filter []byte, format AuditFormat) (exported []byte, lastID int64, err error) {
	c, err := s.begin()
	if err != nil {
		return nil, 0, err
	}
	defer s.end(c)
	address, size := optional(string(filter))
	exported, err = c.copied(C.st_audit_export(s.native(), address, size, C.int32_t(format), &c.bytes, &c.id, &c.err))
	return exported, int64(c.id), err
}

// SendAudit sends the entries that match the filter to a webhook, a JSON object of settings, oldest first. It returns
// the id of the last one that was delivered or passed over, 0 if none matches. If a request fails after others were
// delivered, the next call, with after_id, reports the failure if it persists.
func (s *Store) SendAudit(filter, webhook []byte) (lastID int64, err error) {
	c, err := s.begin()
	if err != nil {
		return 0, err
	}
	defer s.end(c)
	address, size := optional(string(filter))
	settings, settingsLen := data(webhook)
	err = c.error(C.st_audit_send(s.native(), address, size, (*C.char)(settings), settingsLen, &c.id, &c.err))
	return int64(c.id), err
}

// RetainAudit removes the entries at the beginning of the trail that are more than this many days old, and returns a
// report. 0 is the number of days for which SimpleTuner is configured. The rest is signed again, as a chain that is
// valid for SimpleTuner too.
func (s *Store) RetainAudit(days int32) (report json.RawMessage, err error) {
	return s.copied(func(c *call) C.st_status {
		return C.st_audit_retain(s.native(), C.int32_t(days), &c.bytes, &c.err)
	})
}
