package stsecrets

// #include "native.h"
import "C"

import (
	"fmt"
	"log/slog"
	"runtime"
	"unsafe"
)

// Redacted is what a Secret looks like wherever it is printed, logged or serialised.
const Redacted = "Secret(***)"

// Secret is a value in the memory of the library, which is kept out of core files and wiped when the last reference goes:
// here at Close, or some time after the Secret was forgotten. It shows itself as [Redacted].
type Secret struct{ value *secretValue }

// secretValue is where the value is. Its addresses are kept such that nothing that looks through structs follows them.
type secretValue struct {
	handle  *handle
	data    unsafe.Pointer
	len     int
	cleanup runtime.Cleanup
}

// newSecret takes over the bytes.
func newSecret(bytes *C.st_bytes) *Secret {
	value := &secretValue{data: unsafe.Pointer(bytes.data), len: int(bytes.len)}
	owner := *bytes
	*bytes = C.st_bytes{}
	value.handle = newHandle(nil, func(unsafe.Pointer) { freeBytes(owner) })
	value.cleanup = runtime.AddCleanup(value, (*handle).close, value.handle)
	return &Secret{value}
}

func freeBytes(bytes C.st_bytes) {
	c := newCall()
	c.bytes = bytes
	C.st_bytes_free(&c.bytes)
	c.end()
}

// Close gives the value back. Whoever uses it at this time may go on until they have done so.
func (s *Secret) Close() error {
	if s != nil && s.value != nil {
		s.value.cleanup.Stop()
		s.value.handle.close()
	}
	return nil
}

// Use calls the function with the value itself, which must be neither changed nor kept.
func (s *Secret) Use(function func(value []byte)) error {
	if s == nil || s.value == nil {
		return ErrClosed
	}
	if err := s.value.handle.acquire(); err != nil {
		return err
	}
	defer s.value.handle.release()
	function(unsafe.Slice((*byte)(s.value.data), s.value.len))
	return nil
}

// Bytes is a copy of the value in Go's memory, which nobody wipes.
func (s *Secret) Bytes() ([]byte, error) {
	var value []byte
	err := s.Use(func(view []byte) { value = append(make([]byte, 0, len(view)), view...) })
	return value, err
}

// Len is the number of bytes of the value.
func (s *Secret) Len() int {
	if s == nil || s.value == nil {
		return 0
	}
	return s.value.len
}

// String is [Redacted].
func (Secret) String() string { return Redacted }

// GoString is [Redacted].
func (Secret) GoString() string { return Redacted }

// Format writes [Redacted], whatever the verb.
func (Secret) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(Redacted)) }

// MarshalJSON is [Redacted].
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText is [Redacted].
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue is [Redacted].
func (Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }
