package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"time"
)

// within does what may take long, for no longer than the context allows. A context that may be cancelled leaves it to a
// goroutine of its own: when nobody waits for it any more, its result goes to `drop`.
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

// ended is the error of a call whose context is over.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Status: ErrTimeout, Retryable: true, Message: "the deadline of the context passed", cause: cause}
	}
	return cause
}
