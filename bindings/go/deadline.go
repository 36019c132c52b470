package stsecrets

// #include "native.h"
import "C"

import (
	"bytes"
	"context"
	"time"
)

// within calls do, which may take long, until ctx is done. If ctx can be cancelled, do runs on a goroutine of its own,
// and its result goes to drop, unless that is nil, if the caller no longer waits.
func within[T any](ctx context.Context, do func(timeout float64) (T, error), drop func(T)) (T, error) {
	if ctx.Err() != nil {
		var none T
		return none, ended(ctx)
	}
	timeout := float64(C.ST_TIMEOUT_DEFAULT)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), 0).Seconds()
	}
	if ctx.Done() == nil {
		return do(timeout)
	}
	return detached(ctx, func() (T, error) { return do(timeout) }, drop)
}

// detached calls do on a goroutine of its own, which continues when ctx is done.
func detached[T any](ctx context.Context, do func() (T, error), drop func(T)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome)
	go func() {
		value, err := do()
		select {
		case done <- outcome{value, err}:
		case <-ctx.Done():
			if err == nil && drop != nil {
				drop(value)
			}
		}
	}()
	select {
	case result := <-done:
		return result.value, result.err
	case <-ctx.Done():
		var none T
		return none, ended(ctx)
	}
}

// withinCopy is within for a call that gets bytes of the caller. If ctx can be cancelled, the call gets a copy, which
// is wiped: the caller may return, and change or wipe its bytes, before the call ends.
func withinCopy[T any](ctx context.Context, value []byte, do func(value []byte) (T, error)) (T, error) {
	switch {
	case ctx.Err() != nil:
		var none T
		return none, ended(ctx)
	case ctx.Done() == nil:
		return do(value)
	}
	value = bytes.Clone(value)
	return detached(ctx, func() (T, error) {
		defer clear(value)
		return do(value)
	}, nil)
}

// ended returns the error of a call whose context is done.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Status: ErrTimeout, Retryable: true, Message: "the context's deadline was exceeded", cause: cause}
	}
	return cause
}
