package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"time"
)

// within calls do, which may take long, until ctx is done. If ctx can be cancelled, do runs on a goroutine of its own,
// and its result goes to drop if the caller no longer waits.
func within[T any](ctx context.Context, do func(timeout float64) (T, error), drop func(T)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, ended(ctx)
	}
	timeout := float64(C.ST_TIMEOUT_DEFAULT)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), 0).Seconds()
	}
	if ctx.Done() == nil {
		return do(timeout)
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome)
	go func() {
		value, err := do(timeout)
		select {
		case done <- outcome{value, err}:
		case <-ctx.Done():
			if err == nil {
				drop(value)
			}
		}
	}()
	select {
	case result := <-done:
		return result.value, result.err
	case <-ctx.Done():
		return none, ended(ctx)
	}
}

// ended returns the error of a call whose context is done.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Status: ErrTimeout, Retryable: true, Message: "the context's deadline was exceeded", cause: cause}
	}
	return cause
}
