package stsecrets

// #include "native.h"
import "C"

import (
	"math"
	"sync"
	"time"
	"unsafe"
)

// call is the memory for the results of one call of the library. C can only write to the heap, so it is reused by later
// calls.
type call struct {
	err     C.st_error
	bytes   C.st_bytes
	info    C.st_secret_info
	size    C.size_t
	handle  unsafe.Pointer
	number  C.uint64_t
	waiter  C.uint64_t
	id      C.int64_t
	cost    C.double
	outcome C.int32_t
	flag    C.bool
}

var calls = sync.Pool{New: func() any {
	c := new(call)
	c.err.size = C.sizeof_st_error
	c.info.size = C.sizeof_st_secret_info
	return c
}}

func newCall() *call { return calls.Get().(*call) }

func (c *call) end() { calls.Put(c) }

// error returns the error of a call that returned status.
func (c *call) error(status C.st_status) error {
	if status == C.ST_OK {
		return nil
	}
	return errorOf(&c.err)
}

func errorOf(failure *C.st_error) error {
	return &Error{
		Status:    Status(failure.status),
		Source:    Source(failure.source),
		Detail:    int(failure.detail),
		Retryable: failure.flags&C.ST_ERROR_RETRYABLE != 0,
		Message:   C.GoString(&failure.message[0]),
	}
}

// secret returns the result of a call as a Secret.
func (c *call) secret(status C.st_status) (*Secret, error) {
	if status != C.ST_OK {
		return nil, c.error(status)
	}
	return newSecret(&c.bytes), nil
}

// copied returns a copy of the result of a call and frees the result.
func (c *call) copied(status C.st_status) ([]byte, error) {
	if status != C.ST_OK {
		return nil, c.error(status)
	}
	value := append(make([]byte, 0, c.bytes.len), viewOf(&c.bytes)...)
	C.st_bytes_free(&c.bytes)
	return value, nil
}

// counted returns the result of a call as a number.
func (c *call) counted(status C.st_status) (int, error) { return int(c.size), c.error(status) }

// existed returns the result of a call as a bool.
func (c *call) existed(status C.st_status) (bool, error) { return bool(c.flag), c.error(status) }

// viewOf returns the library's own memory.
func viewOf(bytes *C.st_bytes) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(bytes.data)), int(bytes.len))
}

// An empty string or slice may have no address, which the library rejects as a missing argument.
var nothing [1]byte

func text(s string) (*C.char, C.size_t) {
	if s == "" {
		return (*C.char)(unsafe.Pointer(&nothing)), 0
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

func data(b []byte) (unsafe.Pointer, C.size_t) {
	if len(b) == 0 {
		return unsafe.Pointer(&nothing), 0
	}
	return unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))
}

// buffer returns the arguments for a destination buffer. An empty one queries the length.
func buffer(b []byte) (unsafe.Pointer, C.size_t) {
	if len(b) == 0 {
		return nil, 0
	}
	return unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))
}

const (
	// DefaultTTL, as a time to live, is the default of the cache or of the configuration. It is the zero value.
	DefaultTTL time.Duration = 0
	// NoTTL, as a time to live, is none: what is stored has expired at once.
	NoTTL time.Duration = -1
	// Forever, as a duration, is unlimited.
	Forever time.Duration = math.MaxInt64
)

// ttlSeconds converts a time to live for the library.
func ttlSeconds(ttl time.Duration) C.double {
	switch ttl {
	case DefaultTTL:
		return C.ST_TTL_DEFAULT
	case NoTTL:
		return 0
	}
	return seconds(ttl)
}

// seconds converts a duration for the library.
func seconds(d time.Duration) C.double {
	switch {
	case d == Forever:
		return C.double(math.Inf(1))
	case d < 0:
		return -2 // rejected by the library with a message
	}
	return C.double(d.Seconds())
}
