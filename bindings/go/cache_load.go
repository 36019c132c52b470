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

// loading is what the context of a load holds: the key that is loaded, and the context of the load that asked for it.
type loading struct {
	cache *nativeCache
	key   string
	by    context.Context
}

type loadingKey struct{}

// loads tells whether this context is that of a load of this very key.
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

// lease is what begins a load: a value that is there, or the duty to load it.
type lease struct {
	owned   *nativeCache
	outcome C.int32_t
	number  C.uint64_t
	value   []byte
	// Whether the value is there, though there is a lease to load it anew.
	isOld bool
}

// lease asks for the value or the lease. With 0 seconds it does not wait for another's load.
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

// longestWait is for how long a goroutine waits for another's load if its caller has gone and named no deadline.
const longestWait = 10 * time.Second

// begin waits for the bytes, or for the lease to load them, as long as the context allows.
func (n *nativeCache) begin(ctx context.Context, key string) (lease, error) {
	given, loaded, err := n.beginOrShare(ctx, key)
	if bytes, ok := loaded.([]byte); ok {
		given.value = append(make([]byte, 0, len(bytes)), bytes...)
	}
	return given, err
}

// beginOrShare is begin for values of any kind: one that a load of another goroutine found comes as it is, with a lease that is a
// hit.
func (n *nativeCache) beginOrShare(ctx context.Context, key string) (given lease, loaded any, err error) {
	for {
		given, err = n.lease(key, 0)
		if err == nil && given.outcome == C.ST_LOAD_BUSY {
			if n.loads(ctx, key) {
				return lease{}, nil, &Error{Status: ErrBusy, Message: "the load of this key asks for the very key that it loads"}
			}
			if other := n.underWay(key); other != nil {
				loaded, err = other.wait(ctx)
				given = lease{owned: n, outcome: C.ST_LOAD_HIT}
			} else if given, err = n.waitInC(ctx, key); err == nil && given.outcome == C.ST_LOAD_BUSY {
				continue
			}
		}
		// The owner of a load that was abandoned knows nothing of the value: somebody else has to load it.
		if !errors.Is(err, ErrAbandoned) {
			return given, loaded, err
		}
	}
}

// waitInC waits for a load that is not this binding's.
func (n *nativeCache) waitInC(ctx context.Context, key string) (lease, error) {
	start := time.Now()
	given, err := within(ctx, func(timeout float64) (lease, error) {
		if timeout == C.ST_TIMEOUT_DEFAULT {
			timeout = longestWait.Seconds()
		}
		given, err := n.lease(key, timeout)
		// With no time left, it does not wait, which is no failure to the library.
		if err == nil && given.outcome == C.ST_LOAD_BUSY {
			err = &Error{Status: ErrTimeout, Retryable: true, Message: "the deadline of the context passed"}
		}
		return given, err
	}, func(late lease) { late.abandon(nil) })
	if _, limited := ctx.Deadline(); !limited && errors.Is(err, ErrTimeout) && time.Since(start) >= longestWait {
		return lease{outcome: C.ST_LOAD_BUSY}, nil
	}
	return given, err
}

// abandon ends the lease, if it is one, without a value. Whoever waits is told why, which is the result; nil lets the next of them
// load it.
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
		// It is a status that the library does not know, and this is what it told those who wait.
		status = C.ST_CALLBACK
	}
	return &Error{Status: Status(status), Message: message}
}

// load calls the function under a context that knows of the load, and ends the lease, whatever the function does. The function
// puts the value that it found into the flight, for those who wait.
func (l lease) load(ctx context.Context, key string, function func(ctx context.Context, begun *flight) error) error {
	err := error(&Error{Status: ErrCallback, Message: "the function that loads the value did not return"})
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

// GetOrLoad is a copy of the bytes under the key or else has the function find them, and stores them. However many ask for
// the key meanwhile, the function is called once, with the context of the first; the others wait, each as long as its own
// context allows. A failure is handed to all who wait and not stored; if the first one is cancelled, the next one loads.
// Where an old value may still be served, that comes before a failure.
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
			begun.value = append(make([]byte, 0, len(loaded)), loaded...) // the other one may be changed by the caller
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

// finish ends the lease with a value. That its time was over is no failure: the value is as good as it was.
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
