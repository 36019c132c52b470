package stsecrets

// #include "native.h"
import "C"

import "encoding/json"

// Database is a database of a store.
type Database uint32

const (
	// MainDatabase contains the provider configuration, and the credentials unless they have a file of their own.
	MainDatabase Database = 0
	// AuditDatabase is the audit trail.
	AuditDatabase Database = C.ST_BACKUP_AUDIT
	// CredentialDatabase contains the credentials.
	CredentialDatabase Database = C.ST_BACKUP_CREDENTIALS
)

// Backup writes a complete copy of a database to the file path while the database is in use. An existing database of
// this name is overwritten only with replace, any other file never.
func (s *Store) Backup(database Database, path string, replace bool) error {
	c, err := s.begin()
	if err != nil {
		return err
	}
	defer s.end(c)
	flags := C.uint32_t(database)
	if replace {
		flags |= C.ST_BACKUP_REPLACE
	}
	address, size := text(path)
	return c.error(C.st_store_backup(s.native(), address, size, flags, &c.err))
}

// Describe returns which databases the store uses, and why: a JSON object with the paths, the reason and warnings.
func (s *Store) Describe() (json.RawMessage, error) {
	return s.copied(func(c *call) C.st_status { return C.st_store_describe(s.native(), &c.bytes, &c.err) })
}
