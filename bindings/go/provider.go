package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"errors"
	"math"
	"runtime/cgo"
	"strings"
	"time"
	"unsafe"
)

// Load returns the value of a key and how long it may be kept; [DefaultTTL] is the default of the cache or
// configuration. [ErrNotFound] means that there is no value; another [Status] or an [*Error] is passed on. The message
// of an error is reported to callers and must not contain a secret.
type Load func(ctx context.Context, key string) (value []byte, ttl time.Duration, err error)

// Last is the position after all other providers.
const Last = -1

// AddProvider adds a custom provider for the lifetime of the manager. Errors, logs and [Info] use its name; position is
// its index in the chain, 0 for the first and [Last] for the last. The function is called on a goroutine of its own,
// concurrently for concurrent callers, with the deadline of the call that needs it.
func (s *Secrets) AddProvider(name string, position int, get Load) error {
	if get == nil {
		return &Error{Status: ErrInvalidArgument, Message: "the function of a provider is nil"}
	}
	c, err := s.begin()
	if err != nil {
		return err
	}
	defer s.end(c)
	address, size := text(name)
	place := C.size_t(math.MaxUint64)
	if position != Last {
		place = C.size_t(position)
	}
	provider := C.uintptr_t(cgo.NewHandle(get))
	return c.error(C.st_go_secrets_add_provider(s.native(), address, size, place, provider, &c.err))
}

// answer is the result of a callback.
type answer struct {
	value []byte
	ttl   time.Duration
	err   error
}

// callBack calls a callback on a goroutine of its own. Whatever it does, even runtime.Goexit, the C code that waits for
// it continues, at the latest at the deadline.
func callBack(ctx context.Context, load Load, key string) answer {
	done := make(chan answer, 1)
	go func() {
		result := answer{err: &Error{Status: ErrCallback, Message: "the function panicked or ended its goroutine"}}
		defer func() {
			// The panic value may contain a secret.
			_ = recover()
			done <- result
		}()
		value, ttl, err := load(ctx, key)
		result = answer{value, ttl, err}
	}()
	select {
	case result := <-done:
		return result
	case <-ctx.Done():
		return answer{err: ended(ctx)}
	}
}

//export st_go_provider
func st_go_provider(context_ unsafe.Pointer, key *C.char, keyLen C.size_t, timeout C.double, reply *C.st_reply) C.st_status {
	get := cgo.Handle(uintptr(context_)).Value().(Load)
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if !math.IsInf(float64(timeout), 1) {
		ctx, cancel = context.WithTimeout(ctx, duration(timeout))
	}
	defer cancel()
	result := callBack(ctx, get, C.GoStringN(key, C.int(keyLen)))
	if result.err != nil {
		status, message := passedOn(result.err)
		address, size := text(message)
		C.st_reply_error(reply, status, address, size)
		return status
	}
	address, size := data(result.value)
	return C.st_reply_bytes(reply, address, size, ttlSeconds(result.ttl))
}

//export st_go_drop
func st_go_drop(context unsafe.Pointer) { cgo.Handle(uintptr(context)).Delete() }

// passedOn converts an error of the program for the library. If a method of the error panics, as for a nil pointer, the
// message is empty: a panic must neither pass through C code nor keep a lease.
func passedOn(err error) (code C.st_status, message string) {
	defer func() {
		if recover() != nil {
			code, message = C.ST_CALLBACK, "the function returned an error that cannot be read"
		}
	}()
	code, message = statusOf(err)
	return code, strings.ToValidUTF8(message, "\uFFFD")
}

func statusOf(err error) (C.st_status, string) {
	var own *Error
	var status Status
	switch {
	case errors.As(err, &own) && own.Status < 0:
		return C.st_status(own.Status), own.Message
	case errors.As(err, &status) && status < 0:
		return C.st_status(status), err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return C.ST_TIMEOUT, err.Error()
	}
	return C.ST_CALLBACK, err.Error()
}
