package stsecrets

// #include "native.h"
import "C"

import "encoding/json"

// AuditEntry is an entry of the program's own. The target may be left out; the details are a JSON object, without a secret, or
// nil.
type AuditEntry struct {
	EventType, Action    string
	TargetType, TargetID string
	Details              json.RawMessage
}

// Audit appends an entry to the audit trail, by the actor of [Store.As], and returns its number. What the library does itself is
// recorded without this.
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

// AuditEntries looks entries up, newest first. The filter is a JSON object, or nil for none.
func (s *Store) AuditEntries(filter []byte) (json.RawMessage, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(c)
	address, size := optional(string(filter))
	return c.copied(C.st_audit_query(s.native(), address, size, &c.bytes, &c.err))
}

// VerifyAudit checks the chain of the entries `first` to `last` (0: from the first, to the last that there is). The number is that
// of the first entry that something is wrong with, 0 if all is well; the report, a JSON object, tells what.
func (s *Store) VerifyAudit(first, last int64) (brokenID int64, report json.RawMessage, err error) {
	c, err := s.begin()
	if err != nil {
		return 0, nil, err
	}
	defer s.end(c)
	report, err = c.copied(C.st_audit_verify(s.native(), C.int64_t(first), C.int64_t(last), &c.id, &c.bytes, &c.err))
	return int64(c.id), report, err
}
