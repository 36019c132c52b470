package stsecrets

// #include "native.h"
import "C"

import (
	"encoding/json"
	"runtime/cgo"
	"unsafe"
)

// CredentialID identifies a credential of a user ([Unknown]: no user, where that is allowed).
type CredentialID struct {
	UserID         int64
	Provider, Name string
}

// beginWith is begin for calls that also use a cipher; nil is that of the process.
func (s *Store) beginWith(cipher **Cipher) (*call, error) {
	if *cipher == nil {
		*cipher = defaultCipher
	}
	if err := (*cipher).handle.acquire(); err != nil {
		return nil, err
	}
	c, err := s.begin()
	if err != nil {
		(*cipher).handle.release()
	}
	return c, err
}

func (s *Store) endWith(cipher *Cipher, c *call) {
	s.end(c)
	cipher.handle.release()
}

// SetCredential encrypts a credential with the cipher (nil: that of the process), stores it and returns its row id.
func (s *Store) SetCredential(cipher *Cipher, id CredentialID, value []byte) (int64, error) {
	c, err := s.beginWith(&cipher)
	if err != nil {
		return 0, err
	}
	defer s.endWith(cipher, c)
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	address, size := data(value)
	err = c.error(C.st_credential_set(s.native(), cipher.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen,
		address, size, &c.id, &c.err))
	return int64(c.id), err
}

// Credential returns the value of a user's active credential and records its use.
func (s *Store) Credential(cipher *Cipher, id CredentialID) (*Secret, error) {
	c, err := s.beginWith(&cipher)
	if err != nil {
		return nil, err
	}
	defer s.endWith(cipher, c)
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	return c.secret(C.st_credential_get(s.native(), cipher.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen,
		&c.bytes, &c.err))
}

// DeleteCredential removes a credential and reports whether it existed.
func (s *Store) DeleteCredential(id CredentialID) (existed bool, err error) {
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	return s.existed(func(c *call) C.st_status {
		return C.st_credential_delete(s.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen, &c.flag, &c.err)
	})
}

// DeactivateCredential makes a credential inactive, until it is set again, and reports whether it existed.
func (s *Store) DeactivateCredential(id CredentialID) (existed bool, err error) {
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	return s.existed(func(c *call) C.st_status {
		return C.st_credential_deactivate(s.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen, &c.flag, &c.err)
	})
}

// MarkCredentialUsed records the use of an active credential that the program has from an earlier call, and reports
// whether there is one. [Store.Credential] and [Store.ResolveCredential] do this themselves.
func (s *Store) MarkCredentialUsed(id CredentialID) (existed bool, err error) {
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	return s.existed(func(c *call) C.st_status {
		return C.st_credential_mark_used(s.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen, &c.flag, &c.err)
	})
}

// HasCredential reports whether a user has an active credential of this name.
func (s *Store) HasCredential(id CredentialID) (bool, error) {
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	return s.existed(func(c *call) C.st_status {
		return C.st_credential_exists(s.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen, &c.flag, &c.err)
	})
}

// Credentials lists credentials without their values, of a user ([Unknown]: all users) and a provider (empty: all).
func (s *Store) Credentials(userID int64, provider string) (json.RawMessage, error) {
	name, nameLen := optional(provider)
	return s.copied(func(c *call) C.st_status {
		return C.st_credential_list(s.native(), C.int64_t(userID), name, nameLen, &c.bytes, &c.err)
	})
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
func (s *Store) ResolveCredential(cipher *Cipher, secrets *Secrets, id CredentialID, globalKey string) (*Secret, Origin, error) {
	if secrets == nil {
		secrets = defaultSecrets
	}
	if err := secrets.handle.acquire(); err != nil {
		return nil, 0, err
	}
	defer secrets.handle.release()
	c, err := s.beginWith(&cipher)
	if err != nil {
		return nil, 0, err
	}
	defer s.endWith(cipher, c)
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	global, globalLen := optional(globalKey)
	secret, err := c.secret(C.st_credential_resolve(s.native(), cipher.native(), secrets.native(), C.int64_t(id.UserID),
		provider, providerLen, name, nameLen, global, globalLen, &c.outcome, &c.bytes, &c.err))
	return secret, Origin(c.outcome), err
}

// CredentialOrigin returns where [Store.ResolveCredential] would find a credential, without using it.
func (s *Store) CredentialOrigin(secrets *Secrets, id CredentialID, globalKey string) (Origin, error) {
	if secrets == nil {
		secrets = defaultSecrets
	}
	if err := secrets.handle.acquire(); err != nil {
		return OriginNone, err
	}
	defer secrets.handle.release()
	c, err := s.begin()
	if err != nil {
		return OriginNone, err
	}
	defer s.end(c)
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	global, globalLen := optional(globalKey)
	err = c.error(C.st_credential_source(s.native(), secrets.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen,
		global, globalLen, &c.outcome, &c.err))
	return Origin(c.outcome), err
}

// RotateCredentials creates a new key and re-encrypts every stored credential under it.
func (s *Store) RotateCredentials(cipher *Cipher) error {
	c, err := s.beginWith(&cipher)
	if err != nil {
		return err
	}
	defer s.endWith(cipher, c)
	return c.error(C.st_credentials_rotate(s.native(), cipher.native(), &c.err))
}

// ReencryptCredentials re-encrypts every stored credential under the newest key, with plain unencrypted ones too, in
// one transaction. It calls progress (which may be nil); if that returns false, it changes nothing and returns
// [ErrAbandoned]. The report is a JSON object with the number of credentials and the ids of the unreadable ones.
func (s *Store) ReencryptCredentials(cipher *Cipher, plain bool, progress func(done, total uint64) bool) (json.RawMessage, error) {
	c, err := s.beginWith(&cipher)
	if err != nil {
		return nil, err
	}
	defer s.endWith(cipher, c)
	flags := C.uint32_t(0)
	if plain {
		flags = C.ST_REENCRYPT_PLAIN
	}
	function := C.uintptr_t(0)
	if progress != nil {
		handle := cgo.NewHandle(progress)
		defer handle.Delete()
		function = C.uintptr_t(handle)
	}
	return c.copied(C.st_go_credentials_reencrypt(s.native(), cipher.native(), flags, function, &c.bytes, &c.err))
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
