package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
)

// AuditEntry is an audit entry of the program. The target is optional. Details is a JSON object without secrets, or
// nil.
type AuditEntry struct {
	EventType, Action    string
	TargetType, TargetID string
	Details              json.RawMessage
}

// Audit appends an entry to the audit trail, under the actor of [Store.As], and returns its id. The library's own
// changes are recorded without it. If the call fails with the error of ctx, the entry may still be appended.
func (s *Store) Audit(ctx context.Context, entry AuditEntry) (id int64, err error) {
	event, eventLen := text(entry.EventType)
	action, actionLen := text(entry.Action)
	kind, kindLen := optional(entry.TargetType)
	target, targetLen := optional(entry.TargetID)
	details, detailsLen := optional(string(entry.Details))
	return run(ctx, s.handle, func(c *call) (int64, error) {
		err := c.error(C.st_audit_log(s.native(), event, eventLen, action, actionLen, kind, kindLen, target, targetLen,
			details, detailsLen, &c.id, &c.err))
		return int64(c.id), err
	})
}

// AuditEventType is an event type of SimpleTuner. Security is whether it is one of the security events.
type AuditEventType struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Category string `json:"category"`
	Security bool   `json:"security"`
}

// AuditEventTypes returns the event types of SimpleTuner. An entry may have any other type.
func AuditEventTypes() ([]AuditEventType, error) {
	c := newCall()
	defer c.end()
	return parsed[[]AuditEventType](c.copied(C.st_audit_event_types(&c.bytes, &c.err)))
}

// AuditStats has the numbers of entries in the trail, and the times of the first and the last one, which are empty if
// there is none.
type AuditStats struct {
	TotalEntries uint64            `json:"total_entries"`
	ByType       map[string]uint64 `json:"by_type"`
	Last24h      uint64            `json:"last_24h"`
	FirstEntry   string            `json:"first_entry"`
	LastEntry    string            `json:"last_entry"`
}

// AuditStats returns the numbers of entries, in total, by type and in the last 24 hours.
func (s *Store) AuditStats(ctx context.Context) (AuditStats, error) {
	return parsed[AuditStats](s.copied(ctx, func(c *call) C.st_status {
		return C.st_audit_stats(s.native(), &c.bytes, &c.err)
	}))
}

// RecordedEntry is an entry of the audit trail. The fields are the columns of the table: text that is NULL there is
// empty, and an unknown actor has no id.
type RecordedEntry struct {
	ID            int64  `json:"id"`
	Timestamp     string `json:"timestamp"`
	EventType     string `json:"event_type"`
	ActorID       *int64 `json:"actor_id"`
	ActorUsername string `json:"actor_username"`
	ActorIP       string `json:"actor_ip"`
	TargetType    string `json:"target_type"`
	TargetID      string `json:"target_id"`
	Action        string `json:"action"`
	// Details is JSON as it was written: an object, except that SimpleTuner may have written something else.
	Details      json.RawMessage `json:"details"`
	PreviousHash string          `json:"previous_hash"`
	EntryHash    string          `json:"entry_hash"`
}

// AuditEntries returns the entries that match the filter, newest first. The filter is a JSON object, or nil for all
// entries.
func (s *Store) AuditEntries(ctx context.Context, filter []byte) ([]RecordedEntry, error) {
	address, size := optional(string(filter))
	return parsed[[]RecordedEntry](s.copied(ctx, func(c *call) C.st_status {
		return C.st_audit_query(s.native(), address, size, &c.bytes, &c.err)
	}))
}

// AuditVerification is the result of [Store.VerifyAudit].
type AuditVerification struct {
	// Valid: all entries are valid. EntriesChecked is their number, and FirstID and LastID are the ends; 0 if there are
	// none.
	Valid          bool   `json:"valid"`
	EntriesChecked uint64 `json:"entries_checked"`
	FirstID        int64  `json:"first_id"`
	LastID         int64  `json:"last_id"`
	// BrokenID is the first invalid entry, 0 if there is none. Kind is what is wrong with it: altered, missing (entries
	// before it were removed) or fork (two programs appended to the same entry).
	BrokenID int64  `json:"broken_id"`
	Kind     string `json:"kind"`
	// TamperedID is the first entry that is altered or follows removed entries; 0 if there are only forks.
	TamperedID int64 `json:"tampered_id"`
	// BrokenLinks are the places where the chain is broken, and Forks the entries at which it forks, at most 1000 each.
	BrokenLinks []BrokenLink `json:"broken_links"`
	Forks       []int64      `json:"forks"`
}

// BrokenLink is a place where the chain of the audit trail is broken.
type BrokenLink struct {
	ID   int64  `json:"id"`
	Kind string `json:"kind"`
	// ExpectedPrevious and ActualPrevious are signatures, if the entry does not follow the one before it.
	ExpectedPrevious string `json:"expected_previous"`
	ActualPrevious   string `json:"actual_previous"`
	// Error is hash_mismatch, with ActualHash, if the signature is wrong, or entries_removed, if only the number of the
	// entry shows that entries are missing.
	Error      string `json:"error"`
	ActualHash string `json:"actual_hash"`
}

// VerifyAudit verifies the chain from entry first to last; 0 is the first or last entry of the trail. A broken chain is
// not an error. It takes at most the setting timeout for each 1000 entries.
func (s *Store) VerifyAudit(ctx context.Context, first, last int64) (AuditVerification, error) {
	return parsed[AuditVerification](s.copied(ctx, func(c *call) C.st_status {
		return C.st_audit_verify(s.native(), C.int64_t(first), C.int64_t(last), nil, &c.bytes, &c.err)
	}))
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
func (s *Store) ExportAudit(ctx context.Context, filter []byte, format AuditFormat) (exported []byte, lastID int64, err error) {
	type part struct {
		text   []byte
		lastID int64
	}
	address, size := optional(string(filter))
	found, err := run(ctx, s.handle, func(c *call) (part, error) {
		text, err := c.copied(C.st_audit_export(s.native(), address, size, C.int32_t(format), &c.bytes, &c.id, &c.err))
		return part{text, int64(c.id)}, err
	})
	return found.text, found.lastID, err
}

// SendAudit sends the entries that match the filter to a webhook, a JSON object of settings, oldest first. It returns
// the id of the last one that was delivered or skipped, 0 if none matches. If a request fails after others were
// delivered, the next call, with after_id, reports the failure if it persists. When ctx is done, the requests continue
// on a goroutine of their own.
func (s *Store) SendAudit(ctx context.Context, filter, webhook []byte) (lastID int64, err error) {
	address, size := optional(string(filter))
	return runWith(ctx, s.handle, webhook, func(c *call, webhook []byte) (int64, error) {
		settings, settingsLen := data(webhook)
		err := c.error(C.st_audit_send(s.native(), address, size, (*C.char)(settings), settingsLen, &c.id, &c.err))
		return int64(c.id), err
	})
}

// AuditRetention is the result of [Store.RetainAudit].
type AuditRetention struct {
	// Removed is the number of entries that were removed, and FirstID and LastID are the ends; 0 if there are none.
	Removed uint64 `json:"removed"`
	FirstID int64  `json:"first_id"`
	LastID  int64  `json:"last_id"`
	// Before: entries from this time on are kept.
	Before string `json:"before"`
	// RecordID is the entry that records the removal, 0 if there is none.
	RecordID int64 `json:"record_id"`
}

// RetainAudit removes the entries at the beginning of the trail that are more than this many days old. 0 is the number
// of days for which SimpleTuner is configured. The rest is re-signed as a chain that is valid for SimpleTuner too.
// After an error of ctx, the entries may have been removed.
func (s *Store) RetainAudit(ctx context.Context, days int32) (AuditRetention, error) {
	return parsed[AuditRetention](s.copied(ctx, func(c *call) C.st_status {
		return C.st_audit_retain(s.native(), C.int32_t(days), &c.bytes, &c.err)
	}))
}
