package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"errors"
	"runtime/cgo"
	"unsafe"
)

// CredentialID identifies a credential of a user ([Unknown]: no user, where that is allowed).
type CredentialID struct {
	UserID         int64
	Provider, Name string
}

// credential is a CredentialID as the library takes it.
type credential struct {
	user                 C.int64_t
	provider, name       *C.char
	providerLen, nameLen C.size_t
}

func (id CredentialID) native() (n credential) {
	n.user = C.int64_t(id.UserID)
	n.provider, n.providerLen = text(id.Provider)
	n.name, n.nameLen = text(id.Name)
	return n
}

// withCipher makes a call that uses a cipher; nil is that of the process.
func withCipher[T any](s *Store, cipher *Cipher, do func(c *call, cipher *C.st_cipher) (T, error)) (T, error) {
	if cipher == nil {
		cipher = defaultCipher
	}
	if err := cipher.handle.acquire(); err != nil {
		var none T
		return none, err
	}
	defer cipher.handle.release()
	return calling(s.handle, func(c *call) (T, error) { return do(c, cipher.native()) })
}

// withSecrets makes a call that uses a manager; nil is that of the process.
func withSecrets[T any](secrets *Secrets, do func(secrets *C.st_secrets) (T, error)) (T, error) {
	if secrets == nil {
		secrets = defaultSecrets
	}
	if err := secrets.handle.acquire(); err != nil {
		var none T
		return none, err
	}
	defer secrets.handle.release()
	return do(secrets.native())
}

// SetCredential encrypts a credential with the cipher (nil: that of the process), stores it and returns its row id.
// If the call fails with the error of ctx, the credential may still be stored.
func (s *Store) SetCredential(ctx context.Context, cipher *Cipher, id CredentialID, value []byte) (int64, error) {
	of := id.native()
	return withinCopy(ctx, value, func(value []byte) (int64, error) {
		return withCipher(s, cipher, func(c *call, cipher *C.st_cipher) (int64, error) {
			address, size := data(value)
			err := c.error(C.st_credential_set(s.native(), cipher, of.user, of.provider, of.providerLen, of.name, of.nameLen,
				address, size, &c.id, &c.err))
			return int64(c.id), err
		})
	})
}

// Credential returns the value of a user's active credential and records its use.
func (s *Store) Credential(ctx context.Context, cipher *Cipher, id CredentialID) (*Secret, error) {
	of := id.native()
	return within(ctx, func(float64) (*Secret, error) {
		return withCipher(s, cipher, func(c *call, cipher *C.st_cipher) (*Secret, error) {
			return c.secret(C.st_credential_get(s.native(), cipher, of.user, of.provider, of.providerLen, of.name, of.nameLen,
				&c.bytes, &c.err))
		})
	}, func(late *Secret) { late.Close() })
}

// DeleteCredential removes a credential and reports whether it existed.
func (s *Store) DeleteCredential(ctx context.Context, id CredentialID) (existed bool, err error) {
	of := id.native()
	return s.existed(ctx, func(c *call) C.st_status {
		return C.st_credential_delete(s.native(), of.user, of.provider, of.providerLen, of.name, of.nameLen, &c.flag, &c.err)
	})
}

// DeactivateCredential makes a credential inactive, until it is set again, and reports whether it existed.
func (s *Store) DeactivateCredential(ctx context.Context, id CredentialID) (existed bool, err error) {
	of := id.native()
	return s.existed(ctx, func(c *call) C.st_status {
		return C.st_credential_deactivate(s.native(), of.user, of.provider, of.providerLen, of.name, of.nameLen, &c.flag, &c.err)
	})
}

// MarkCredentialUsed records the use of an active credential that the program has from an earlier call, and reports
// whether there is one. [Store.Credential] and [Store.ResolveCredential] do this themselves.
func (s *Store) MarkCredentialUsed(ctx context.Context, id CredentialID) (existed bool, err error) {
	of := id.native()
	return s.existed(ctx, func(c *call) C.st_status {
		return C.st_credential_mark_used(s.native(), of.user, of.provider, of.providerLen, of.name, of.nameLen, &c.flag, &c.err)
	})
}

// HasCredential reports whether a user has an active credential of this name.
func (s *Store) HasCredential(ctx context.Context, id CredentialID) (exists bool, err error) {
	of := id.native()
	return s.existed(ctx, func(c *call) C.st_status {
		return C.st_credential_exists(s.native(), of.user, of.provider, of.providerLen, of.name, of.nameLen, &c.flag, &c.err)
	})
}

// StoredCredential describes a credential, without its value. Times are ISO 8601; LastUsedAt is empty if it was not
// used.
type StoredCredential struct {
	ID         int64  `json:"id"`
	UserID     int64  `json:"user_id"`
	Provider   string `json:"provider"`
	Name       string `json:"name"`
	CreatedAt  string `json:"created_at"`
	UpdatedAt  string `json:"updated_at"`
	LastUsedAt string `json:"last_used_at"`
	IsActive   bool   `json:"is_active"`
	// Encrypted is false for plain text.
	Encrypted bool `json:"encrypted"`
}

// Credentials lists credentials without their values, of a user ([Unknown]: all users) and a provider (empty: all).
func (s *Store) Credentials(ctx context.Context, userID int64, provider string) ([]StoredCredential, error) {
	name, nameLen := optional(provider)
	return parsed[[]StoredCredential](s.copied(ctx, func(c *call) C.st_status {
		return C.st_credential_list(s.native(), C.int64_t(userID), name, nameLen, &c.bytes, &c.err)
	}))
}

// Origin is the origin of a credential that [Store.ResolveCredential] returns.
type Origin int32

const (
	// OriginNone means that there is no credential.
	OriginNone Origin = C.ST_CREDENTIAL_NONE
	// OriginUser is the user's own credential.
	OriginUser Origin = C.ST_CREDENTIAL_USER
	// OriginGlobal is the secret shared by all users.
	OriginGlobal Origin = C.ST_CREDENTIAL_GLOBAL
)

// ResolveCredential returns the user's own credential, or else the secret globalKey of the manager (empty: there is
// none). A nil cipher or manager is that of the process.
func (s *Store) ResolveCredential(ctx context.Context, cipher *Cipher, secrets *Secrets, id CredentialID, globalKey string) (*Secret, Origin, error) {
	type found struct {
		secret *Secret
		origin Origin
	}
	of := id.native()
	global, globalLen := optional(globalKey)
	result, err := within(ctx, func(float64) (found, error) {
		return withSecrets(secrets, func(secrets *C.st_secrets) (found, error) {
			return withCipher(s, cipher, func(c *call, cipher *C.st_cipher) (found, error) {
				secret, err := c.secret(C.st_credential_resolve(s.native(), cipher, secrets, of.user, of.provider, of.providerLen,
					of.name, of.nameLen, global, globalLen, &c.outcome, &c.bytes, &c.err))
				return found{secret, Origin(c.outcome)}, err
			})
		})
	}, func(late found) { late.secret.Close() })
	return result.secret, result.origin, err
}

// CredentialOrigin returns where [Store.ResolveCredential] would find a credential, without using it.
func (s *Store) CredentialOrigin(ctx context.Context, secrets *Secrets, id CredentialID, globalKey string) (Origin, error) {
	of := id.native()
	global, globalLen := optional(globalKey)
	return within(ctx, func(float64) (Origin, error) {
		return withSecrets(secrets, func(secrets *C.st_secrets) (Origin, error) {
			return calling(s.handle, func(c *call) (Origin, error) {
				err := c.error(C.st_credential_source(s.native(), secrets, of.user, of.provider, of.providerLen, of.name, of.nameLen,
					global, globalLen, &c.outcome, &c.err))
				return Origin(c.outcome), err
			})
		})
	}, nil)
}

// RotateCredentials creates a new key and re-encrypts every stored credential under it. After an error of ctx, that may
// be done.
func (s *Store) RotateCredentials(ctx context.Context, cipher *Cipher) error {
	_, err := within(ctx, func(float64) (struct{}, error) {
		return withCipher(s, cipher, func(c *call, cipher *C.st_cipher) (struct{}, error) {
			return struct{}{}, c.error(C.st_credentials_rotate(s.native(), cipher, &c.err))
		})
	}, nil)
	return err
}

// Reencryption is the result of [Store.ReencryptCredentials].
type Reencryption struct {
	// Total is the number of credentials.
	Total uint64 `json:"total"`
	// Reencrypted, Unchanged: those that were under another key, and those that had the newest one.
	Reencrypted uint64 `json:"reencrypted"`
	Unchanged   uint64 `json:"unchanged"`
	// Migrated is plain text that is now encrypted, Plain that which was left unchanged.
	Migrated uint64 `json:"migrated"`
	Plain    uint64 `json:"plain"`
	// Unreadable are the ids of those that no available key decrypts. They were left unchanged.
	Unreadable []int64 `json:"unreadable"`
}

// ReencryptCredentials re-encrypts every stored credential under the newest key, with plain unencrypted ones too, in
// one transaction. It calls progress (which may be nil); if that returns false, it changes nothing and returns
// [ErrAbandoned]. When ctx is done, the transaction is rolled back at the next credential.
func (s *Store) ReencryptCredentials(ctx context.Context, cipher *Cipher, plain bool, progress func(done, total uint64) bool) (Reencryption, error) {
	flags := C.uint32_t(0)
	if plain {
		flags = C.ST_REENCRYPT_PLAIN
	}
	report := func(done, total uint64) bool { return ctx.Err() == nil && (progress == nil || progress(done, total)) }
	text, err := within(ctx, func(float64) ([]byte, error) {
		function := C.uintptr_t(0)
		if progress != nil || ctx.Done() != nil {
			handle := cgo.NewHandle(report)
			defer handle.Delete()
			function = C.uintptr_t(handle)
		}
		return withCipher(s, cipher, func(c *call, cipher *C.st_cipher) ([]byte, error) {
			return c.copied(C.st_go_credentials_reencrypt(s.native(), cipher, flags, function, &c.bytes, &c.err))
		})
	}, nil)
	if errors.Is(err, ErrAbandoned) && ctx.Err() != nil {
		err = ended(ctx) // not ErrAbandoned, if the rollback came first
	}
	return parsed[Reencryption](text, err)
}

//export st_go_progress
func st_go_progress(progress unsafe.Pointer, done, total C.uint64_t) (goOn C.bool) {
	report := cgo.Handle(uintptr(progress)).Value().(func(done, total uint64) bool)
	// A panic or runtime.Goexit must not pass through C code, so this runs on a goroutine of its own; they mean false.
	answer := make(chan bool, 1)
	go func() {
		result := false
		defer func() {
			_ = recover()
			answer <- result
		}()
		result = report(uint64(done), uint64(total))
	}()
	return C.bool(<-answer)
}
