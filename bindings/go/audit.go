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

// AuditEntries returns the entries that match the filter, newest first. The filter is a JSON object, or nil for all
// entries.
func (s *Store) AuditEntries(filter []byte) (json.RawMessage, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(c)
	address, size := optional(string(filter))
	return c.copied(C.st_audit_query(s.native(), address, size, &c.bytes, &c.err))
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
