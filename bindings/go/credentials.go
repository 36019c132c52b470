package stsecrets

// #include "native.h"
import "C"

import (
	"encoding/json"
	"runtime/cgo"
	"unsafe"
)

// CredentialID names a credential of a user.
type CredentialID struct {
	UserID         int64
	Provider, Name string
}

// beginWith is begin for calls that use a cipher too; nil is that of the process.
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

// SetCredential stores a credential, encrypted by the cipher (nil: that of the process).
func (s *Store) SetCredential(cipher *Cipher, id CredentialID, value []byte) error {
	c, err := s.beginWith(&cipher)
	if err != nil {
		return err
	}
	defer s.endWith(cipher, c)
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	address, size := data(value)
	return c.error(C.st_credential_set(s.native(), cipher.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen,
		address, size, &c.err))
}

// Credential is the value of a user's active credential. The use is recorded.
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

// DeleteCredential removes a credential, and tells whether there was one.
func (s *Store) DeleteCredential(id CredentialID) (existed bool, err error) {
	c, err := s.begin()
	if err != nil {
		return false, err
	}
	defer s.end(c)
	provider, providerLen := text(id.Provider)
	name, nameLen := text(id.Name)
	return c.existed(C.st_credential_delete(s.native(), C.int64_t(id.UserID), provider, providerLen, name, nameLen, &c.flag, &c.err))
}

// Credentials lists credentials without their values: those of a user ([Unknown]: of all) and a provider (empty: of all).
func (s *Store) Credentials(userID int64, provider string) (json.RawMessage, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(c)
	name, nameLen := optional(provider)
	return c.copied(C.st_credential_list(s.native(), C.int64_t(userID), name, nameLen, &c.bytes, &c.err))
}

// Origin is where [Store.ResolveCredential] found a credential.
type Origin int32

const (
	// OriginUser: it is the user's own.
	OriginUser Origin = C.ST_CREDENTIAL_USER
	// OriginGlobal: it is the secret that all users share.
	OriginGlobal Origin = C.ST_CREDENTIAL_GLOBAL
)

// ResolveCredential finds a credential for a user: the user's own, else the secret `globalKey` of the manager. A nil cipher or
// manager is that of the process.
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
	global, globalLen := text(globalKey)
	secret, err := c.secret(C.st_credential_resolve(s.native(), cipher.native(), secrets.native(), C.int64_t(id.UserID),
		provider, providerLen, name, nameLen, global, globalLen, &c.outcome, &c.bytes, &c.err))
	return secret, Origin(c.outcome), err
}

// RotateCredentials puts a new key in place of the newest one, and brings every stored credential under it.
func (s *Store) RotateCredentials(cipher *Cipher) error {
	c, err := s.beginWith(&cipher)
	if err != nil {
		return err
	}
	defer s.endWith(cipher, c)
	return c.error(C.st_credentials_rotate(s.native(), cipher.native(), &c.err))
}

// ReencryptCredentials brings every stored credential under the newest key, with `plain` those too that are not encrypted, all
// or none. It tells `progress` (which may be nil) how far it is, and is given up, with [ErrAbandoned], when that returns false.
// The report is a JSON object: how many there were, and the numbers of those that are unreadable.
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
		told := cgo.NewHandle(progress)
		defer told.Delete()
		function = C.uintptr_t(told)
	}
	return c.copied(C.st_go_credentials_reencrypt(s.native(), cipher.native(), flags, function, &c.bytes, &c.err))
}

//export st_go_progress
func st_go_progress(progress unsafe.Pointer, done, total C.uint64_t) (goOn C.bool) {
	told := cgo.Handle(uintptr(progress)).Value().(func(done, total uint64) bool)
	// On a goroutine of its own, as a panic or runtime.Goexit must not pass through C code: they are a "no".
	answer := make(chan bool, 1)
	go func() {
		result := false
		defer func() {
			_ = recover()
			answer <- result
		}()
		result = told(uint64(done), uint64(total))
	}()
	return C.bool(<-answer)
}
