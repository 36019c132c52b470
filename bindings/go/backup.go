package stsecrets

// #include "native.h"
import "C"

import "context"

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
// this name is overwritten only with replace, any other file never. If the call fails with the error of ctx,
// the copy may still be written.
func (s *Store) Backup(ctx context.Context, database Database, path string, replace bool) error {
	flags := C.uint32_t(database)
	if replace {
		flags |= C.ST_BACKUP_REPLACE
	}
	address, size := text(path)
	return s.do(ctx, func(c *call) C.st_status { return C.st_store_backup(s.native(), address, size, flags, &c.err) })
}

// StoreDescription says which databases a store uses, and why.
type StoreDescription struct {
	// StateDir is the state directory; empty if the setting database names a file elsewhere.
	StateDir string `json:"state_dir"`
	// Reason is what decided: the name of a setting or variable, in_use (by SimpleTuner's server) or default.
	Reason string `json:"reason"`
	// Explanation is a sentence, if there were several directories to choose from.
	Explanation string `json:"explanation"`
	// The paths of the databases, and of the key that signs the audit trail.
	Database            string `json:"database"`
	CredentialsDatabase string `json:"credentials_database"`
	AuditDatabase       string `json:"audit_database"`
	AuditKey            string `json:"audit_key"`
	// Warnings are sentences, which are also logged when the store is opened.
	Warnings []string `json:"warnings"`
}

// Describe returns which databases the store uses, and why. It opens and creates nothing.
func (s *Store) Describe() (StoreDescription, error) {
	return parsed[StoreDescription](s.copied(context.Background(), func(c *call) C.st_status {
		return C.st_store_describe(s.native(), &c.bytes, &c.err)
	}))
}
