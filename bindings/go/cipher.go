package stsecrets

// #include "native.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Cipher has the keys with which credentials are encrypted, in the format of SimpleTuner.
type Cipher struct{ handle *handle }

var defaultCipher = &Cipher{newHandle(nil, func(unsafe.Pointer) {})}

// DefaultCipher is the cipher of the whole process, which is made on first use. It stays when it is closed.
func DefaultCipher() *Cipher { return defaultCipher }

// OpenCipher makes a cipher with these settings. Keys are read, and made where there are none, now.
func OpenCipher(settings Settings) (*Cipher, error) {
	c := newCall()
	defer c.end()
	err := settings.open(c, func(config *C.st_config) C.st_status {
		return C.st_cipher_open(config, (**C.st_cipher)(unsafe.Pointer(&c.handle)), &c.err)
	})
	if err != nil {
		return nil, err
	}
	cipher := &Cipher{newHandle(c.handle, func(native unsafe.Pointer) { C.st_cipher_free((*C.st_cipher)(native)) })}
	runtime.AddCleanup(cipher, (*handle).close, cipher.handle)
	return cipher, nil
}

// ResetCipher replaces the cipher of the whole process.
func ResetCipher(settings Settings) error {
	c := newCall()
	defer c.end()
	return settings.open(c, func(config *C.st_config) C.st_status { return C.st_cipher_reset(config, &c.err) })
}

// Close frees the cipher when no call uses it any more, and wipes its keys.
func (c *Cipher) Close() error {
	if c != defaultCipher {
		c.handle.close()
	}
	return nil
}

func (c *Cipher) native() *C.st_cipher { return (*C.st_cipher)(c.handle.native) }

// begin makes sure that the cipher stays until end.
func (c *Cipher) begin() (*call, error) {
	if err := c.handle.acquire(); err != nil {
		return nil, err
	}
	return newCall(), nil
}

func (c *Cipher) end(call *call) {
	call.end()
	c.handle.release()
}

// Encrypt encrypts any bytes under the newest key, into the text that SimpleTuner stores.
func (c *Cipher) Encrypt(plaintext []byte) (token string, err error) {
	call, err := c.begin()
	if err != nil {
		return "", err
	}
	defer c.end(call)
	address, size := data(plaintext)
	encrypted, err := call.copied(C.st_encrypt(c.native(), address, size, &call.bytes, &call.err))
	return string(encrypted), err
}

// EncryptInto is Encrypt into a buffer. If that is too small, the error is [ErrBufferTooSmall], and the number is the size
// that is needed.
func (c *Cipher) EncryptInto(plaintext, buf []byte) (int, error) {
	call, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer c.end(call)
	address, size := data(plaintext)
	to, capacity := buffer(buf)
	return call.copiedInto(C.st_encrypt_into(c.native(), address, size, to, capacity, &call.size, &call.err), len(buf))
}

// Decrypt decrypts a token under any of the keys.
func (c *Cipher) Decrypt(token string) (*Secret, error) {
	call, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer c.end(call)
	address, size := text(token)
	return call.secret(C.st_decrypt(c.native(), address, size, &call.bytes, &call.err))
}

// DecryptInto is Decrypt into a buffer, which is the caller's to wipe; one of the token's length is large enough. Else it is
// as EncryptInto.
func (c *Cipher) DecryptInto(token string, buf []byte) (int, error) {
	call, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer c.end(call)
	address, size := text(token)
	to, capacity := buffer(buf)
	return call.copiedInto(C.st_decrypt_into(c.native(), address, size, to, capacity, &call.size, &call.err), len(buf))
}

// RotateKey puts a new key into the key file. What the old one encrypted stays readable.
func (c *Cipher) RotateKey() error {
	call, err := c.begin()
	if err != nil {
		return err
	}
	defer c.end(call)
	return call.error(C.st_rotate_key(c.native(), &call.err))
}

// Reencrypt makes of a token one under the newest key, and tells whether it differs from the one that was given.
func (c *Cipher) Reencrypt(token string) (renewed string, changed bool, err error) {
	call, err := c.begin()
	if err != nil {
		return "", false, err
	}
	defer c.end(call)
	address, size := text(token)
	encrypted, err := call.copied(C.st_reencrypt(c.native(), address, size, &call.bytes, &call.flag, &call.err))
	return string(encrypted), err == nil && bool(call.flag), err
}
