package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"runtime"
	"unsafe"
)

// Cipher encrypts and decrypts credentials, in SimpleTuner's format.
type Cipher struct{ *handle }

var defaultCipher = &Cipher{newHandle(nil, func(unsafe.Pointer) {})}

// DefaultCipher returns the cipher of the whole process, which is opened on first use. Closing it has no effect.
func DefaultCipher() *Cipher { return defaultCipher }

// OpenCipher opens a cipher with settings. It reads the keys at once, and creates a key if there is none.
// It sends no request and takes no context; the setting timeout limits the wait for other processes that write a key.
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

// Close frees the cipher and wipes its keys once no call uses it.
func (c *Cipher) Close() error {
	if c != defaultCipher {
		c.handle.close()
	}
	return nil
}

func (c *Cipher) native() *C.st_cipher { return (*C.st_cipher)(c.handle.native) }

// Encrypt encrypts plaintext under the newest key and returns the token that SimpleTuner stores.
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

// EncryptInto is like Encrypt, but writes the token to buf. If buf is too small, it returns the length needed and
// [ErrBufferTooSmall].
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

// Decrypt decrypts a token made under any of the keys.
func (c *Cipher) Decrypt(token string) (*Secret, error) {
	call, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer c.end(call)
	address, size := text(token)
	return call.secret(C.st_decrypt(c.native(), address, size, &call.bytes, &call.err))
}

// DecryptInto is like Decrypt, but writes to buf, which the caller wipes; a buffer as long as the token is large
// enough. If buf is too small, it returns the length needed and [ErrBufferTooSmall].
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

// RotateKey writes a new key to the key file, for which it may wait for another process. Tokens of the old key can
// still be decrypted. If the call fails with the error of ctx, the key may still be written.
func (c *Cipher) RotateKey(ctx context.Context) error {
	return c.do(ctx, func(call *call) C.st_status { return C.st_rotate_key(c.native(), &call.err) })
}

// Reencrypt re-encrypts a token under the newest key and reports whether the result differs.
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
