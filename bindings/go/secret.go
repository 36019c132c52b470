package stsecrets

// #include "native.h"
import "C"

import (
	"fmt"
	"log/slog"
	"runtime"
	"unsafe"
)

// Redacted is the text of a Secret wherever it is printed, logged or serialized.
const Redacted = "Secret(***)"

// Secret is a value in the library's memory, which is excluded from core files and wiped when the last reference is
// released: at Close, or when the Secret is garbage-collected. It prints as [Redacted].
type Secret struct{ value *secretValue }

// secretValue holds the value. Its addresses are stored so that code that walks structs does not follow them.
type secretValue struct {
	handle  *handle
	data    unsafe.Pointer
	len     int
	cleanup runtime.Cleanup
}

// newSecret takes ownership of the bytes.
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

// Close releases the value. Calls that use it finish normally.
func (s *Secret) Close() error {
	if s != nil && s.value != nil {
		s.value.cleanup.Stop()
		s.value.handle.close()
	}
	return nil
}

// Use calls the function with the value itself, which it must not change or keep.
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

// Bytes returns a copy of the value in Go's memory, which is not wiped.
func (s *Secret) Bytes() ([]byte, error) {
	var value []byte
	err := s.Use(func(view []byte) { value = append(make([]byte, 0, len(view)), view...) })
	return value, err
}

// Len returns the length of the value in bytes.
func (s *Secret) Len() int {
	if s == nil || s.value == nil {
		return 0
	}
	return s.value.len
}

// String returns [Redacted].
func (Secret) String() string { return Redacted }

// GoString returns [Redacted].
func (Secret) GoString() string { return Redacted }

// Format writes [Redacted] for every verb.
func (Secret) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(Redacted)) }

// MarshalJSON returns [Redacted].
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText returns [Redacted].
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue returns [Redacted].
func (Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }
