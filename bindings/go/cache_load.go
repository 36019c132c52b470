package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"errors"
	"math"
	"time"
	"unsafe"
)

// loading is stored in the context of a load: its key, and the context of the enclosing load.
type loading struct {
	cache *nativeCache
	key   string
	by    context.Context
}

type loadingKey struct{}

// loads reports whether ctx is the context of a load of this key.
func (n *nativeCache) loads(ctx context.Context, key string) bool {
	for {
		load, ok := ctx.Value(loadingKey{}).(loading)
		if !ok {
			return false
		}
		if load.cache == n && load.key == key {
			return true
		}
		ctx = load.by
	}
}

// lease is the beginning of a load: a value, or the duty to load it.
type lease struct {
	owned   *nativeCache
	outcome C.int32_t
	number  C.uint64_t
	value   []byte
	// Whether there is a value although there is a lease to reload it.
	isOld bool
}

// lease returns the value or the lease. With a timeout of 0 it does not wait for the load of another caller.
func (n *nativeCache) lease(key string, timeout float64) (lease, error) {
	call := newCall()
	defer n.end(call)
	name, nameLen := text(key)
	status := C.st_cache_load_begin(n.cache, unsafe.Pointer(name), nameLen, C.double(timeout), C.double(math.Inf(1)),
		&call.outcome, &call.bytes, &call.number, &call.err)
	isOld := call.outcome == C.ST_LOAD_LEADER && call.bytes.data != nil
	value, err := call.copied(status)
	return lease{n, call.outcome, call.number, value, isOld}, err
}

// longestWait limits how long a goroutine waits for the load of another caller after its own caller has gone without
// naming a deadline.
const longestWait = 10 * time.Second

// begin waits for the value, or for the lease to load it, until ctx is done.
func (n *nativeCache) begin(ctx context.Context, key string) (lease, error) {
	given, loaded, err := n.beginOrShare(ctx, key)
	if bytes, ok := loaded.([]byte); ok {
		given.value = append(make([]byte, 0, len(bytes)), bytes...)
	}
	return given, err
}

// beginOrShare is begin for values of any type: a value that the load of another goroutine found is returned as it is,
// with a lease that is a hit.
func (n *nativeCache) beginOrShare(ctx context.Context, key string) (given lease, loaded any, err error) {
	for {
		given, err = n.lease(key, 0)
		if err == nil && given.outcome == C.ST_LOAD_BUSY {
			if n.loads(ctx, key) {
				return lease{}, nil, &Error{Status: ErrBusy, Message: "the load of this key requests the key that it loads"}
			}
			if other := n.underWay(key); other != nil {
				loaded, err = other.wait(ctx)
				given = lease{owned: n, outcome: C.ST_LOAD_HIT}
			} else if given, err = n.waitInC(ctx, key); err == nil && given.outcome == C.ST_LOAD_BUSY {
				continue
			}
		}
		// An abandoned load says nothing about the value: another caller has to load it.
		if !errors.Is(err, ErrAbandoned) {
			return given, loaded, err
		}
	}
}

// waitInC waits for a load outside of this binding.
func (n *nativeCache) waitInC(ctx context.Context, key string) (lease, error) {
	start := time.Now()
	given, err := within(ctx, func(timeout float64) (lease, error) {
		if timeout == C.ST_TIMEOUT_DEFAULT {
			timeout = longestWait.Seconds()
		}
		given, err := n.lease(key, timeout)
		// With no time left the library does not wait, and reports no error.
		if err == nil && given.outcome == C.ST_LOAD_BUSY {
			err = &Error{Status: ErrTimeout, Retryable: true, Message: "the context's deadline was exceeded"}
		}
		return given, err
	}, func(late lease) { late.abandon(nil) })
	if _, limited := ctx.Deadline(); !limited && errors.Is(err, ErrTimeout) && time.Since(start) >= longestWait {
		return lease{outcome: C.ST_LOAD_BUSY}, nil
	}
	return given, err
}

// abandon ends a lease without a value. Waiting callers get the error that it returns; with nil, one of them loads the
// value.
func (l lease) abandon(why error) error {
	status, message := C.st_status(C.ST_ABANDONED), ""
	if why != nil {
		status, message = passedOn(why)
	}
	if l.outcome != C.ST_LOAD_LEADER {
		return nil
	}
	call := newCall()
	defer l.owned.end(call)
	address, size := text(message)
	if C.st_cache_load_abandon(l.owned.cache, l.number, status, address, size, &call.err) == C.ST_INVALID_ARGUMENT {
		// The library does not accept this status, and has reported this one to the waiting callers.
		status = C.ST_CALLBACK
	}
	return &Error{Status: Status(status), Message: message}
}

// load calls the function with a context that marks the load, and ends the lease in any case. The function stores the
// value in the flight for the waiting callers.
func (l lease) load(ctx context.Context, key string, function func(ctx context.Context, begun *flight) error) error {
	err := error(&Error{Status: ErrCallback, Message: "the function that loads the value panicked or ended its goroutine"})
	begun := l.owned.takeOff(key)
	defer func() {
		switch {
		case err == nil:
		case ctx.Err() != nil:
			begun.value, begun.err = nil, l.abandon(nil)
		default:
			begun.value, begun.err = nil, l.abandon(err)
		}
		l.owned.land(key, begun)
	}()
	err = function(context.WithValue(ctx, loadingKey{}, loading{l.owned, key, ctx}), begun)
	return err
}

// GetOrLoad returns a copy of the value of a key, or calls load and stores its result. For concurrent callers load is
// called once, with the context of the first; the others wait, each until its own context is done. An error is returned
// to all waiting callers and not stored; if the first caller is cancelled, the next one loads. A stale value that may
// still be served is returned instead of an error.
func (c *Cache) GetOrLoad(ctx context.Context, key string, load Load) ([]byte, error) {
	owned := c.owned.Load()
	if owned == nil {
		return nil, ErrClosed
	}
	if !owned.refreshes {
		if value, err := c.Get(key); err != ErrNotFound {
			return value, err
		}
	}
	given, err := owned.begin(ctx, key)
	if err != nil || given.outcome == C.ST_LOAD_HIT {
		return given.value, err
	}
	var value []byte
	err = given.load(ctx, key, func(ctx context.Context, begun *flight) error {
		loaded, ttl, err := load(ctx, key)
		if err == nil {
			begun.value = append(make([]byte, 0, len(loaded)), loaded...) // the caller may change the original
			err = given.finish(loaded, ttl)
		}
		value = loaded
		return err
	})
	switch {
	case err == nil:
		return value, nil
	case given.isOld:
		return given.value, nil
	}
	return nil, err
}

// finish ends the lease with a value. It is not an error if the lease has expired: the value is valid.
func (l lease) finish(value []byte, ttl time.Duration) error {
	call := newCall()
	defer l.owned.end(call)
	address, size := data(value)
	status := C.st_cache_load_finish(l.owned.cache, l.number, address, size, seconds(ttl), &call.err)
	if status == C.ST_ABANDONED {
		return nil
	}
	return call.error(status)
}
