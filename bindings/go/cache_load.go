package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"errors"
	"math"
	"runtime"
	"runtime/cgo"
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

// lease returns the value or the lease, and does not wait for the load of another caller.
func (n *nativeCache) lease(key string) (lease, error) {
	call := newCall()
	defer n.end(call)
	name, nameLen := text(key)
	return n.begun(call, C.st_cache_load_begin(n.cache, unsafe.Pointer(name), nameLen, 0, C.double(math.Inf(1)),
		&call.outcome, &call.bytes, &call.number, &call.err))
}

func (n *nativeCache) begun(call *call, status C.st_status) (lease, error) {
	isOld := call.outcome == C.ST_LOAD_LEADER && call.bytes.data != nil
	value, err := call.copied(status)
	return lease{n, call.outcome, call.number, value, isOld}, err
}

// begin waits for the value, or for the lease to load it, until ctx is done. The value that the load of another caller
// found is returned as it is, with a lease that is a hit.
func (n *nativeCache) begin(ctx context.Context, key string, values *cachedValues) (given lease, loaded any, err error) {
	for {
		if given, err = n.lease(key); err != nil || given.outcome != C.ST_LOAD_BUSY {
			return given, nil, err
		}
		if n.loads(ctx, key) {
			return lease{}, nil, &Error{Status: ErrBusy, Message: "the load of this key requests the key that it loads"}
		}
		given, loaded, err = n.wait(ctx, key, values)
		// An abandoned load says nothing about the value: another caller has to load it.
		if !errors.Is(err, ErrAbandoned) {
			return given, loaded, err
		}
	}
}

// waiter waits for the load of another caller in Go: in C each would occupy a thread, and Go programs are limited to
// 10 000 threads.
type waiter struct {
	ended chan struct{}
	// The values of a cache of Go values.
	values *cachedValues
	// The result, once the load has ended.
	value any
	err   error
}

//export st_go_load_ended
func st_go_load_ended(context unsafe.Pointer, value *C.st_bytes, object unsafe.Pointer, failure *C.st_error) {
	handle := cgo.Handle(uintptr(context))
	w := handle.Value().(*waiter)
	handle.Delete()
	switch {
	case failure.status != C.ST_OK:
		w.err = errorOf(failure)
	case value != nil:
		w.value = append([]byte{}, viewOf(value)...)
	case w.values != nil:
		w.value, _ = w.values.byNumber.Load(uint64((*C.st_go_entry)(object).number))
	}
	close(w.ended)
}

// longestWait is the time after which a waiting caller asks for the lease again, because that of another may have
// expired.
const longestWait = 10 * time.Second

func (n *nativeCache) wait(ctx context.Context, key string, values *cachedValues) (lease, any, error) {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return lease{}, nil, &Error{Status: ErrTimeout, Retryable: true, Message: "the context's deadline was exceeded"}
	}
	call, w := newCall(), &waiter{ended: make(chan struct{}), values: values}
	defer n.end(call)
	handle := cgo.NewHandle(w)
	name, nameLen := text(key)
	given, err := n.begun(call, C.st_go_cache_load_begin(n.cache, name, nameLen, C.uintptr_t(handle), &call.outcome,
		&call.bytes, &call.number, &call.waiter, &call.err))
	if given.outcome != C.ST_LOAD_BUSY {
		handle.Delete()
		return given, nil, err
	}
	select {
	case <-w.ended:
		return lease{owned: n, outcome: C.ST_LOAD_HIT}, w.value, w.err
	case <-ctx.Done():
		err = ended(ctx)
	case <-time.After(longestWait):
		err = ErrAbandoned
	}
	if C.st_cache_load_notify_cancel(n.cache, call.waiter, &call.flag, nil); call.flag {
		handle.Delete()
	}
	return lease{}, nil, err
}

// abandon ends a lease without a value. Waiting callers get the error; with nil, one of them loads the value.
func (l lease) abandon(why error) {
	status, message := C.st_status(C.ST_ABANDONED), ""
	if why != nil {
		status, message = passedOn(why)
	}
	address, size := text(message)
	C.st_cache_load_abandon(l.owned.cache, l.number, status, address, size, nil)
	runtime.KeepAlive(l.owned)
}

// load calls the function with a context that marks the load, and ends the lease in any case.
func (l lease) load(ctx context.Context, key string, function func(ctx context.Context) error) error {
	err := error(&Error{Status: ErrCallback, Message: "the function that loads the value panicked or ended its goroutine"})
	defer func() {
		switch {
		case err == nil:
		case ctx.Err() != nil:
			l.abandon(nil)
		default:
			l.abandon(err)
		}
	}()
	err = function(context.WithValue(ctx, loadingKey{}, loading{l.owned, key, ctx}))
	return err
}

// GetOrLoad returns a copy of the value of a key, or calls load and stores its result. For concurrent callers load is
// called once, with the context of the first; the others wait, each until its own context is done. An error is returned
// to all waiting callers and not stored; if the first caller is cancelled, the next one loads. A stale value that may
// still be served is returned instead of an error other than [ErrNotFound] and [ErrAccessDenied], which remove it.
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
	given, loaded, err := owned.begin(ctx, key, nil)
	if bytes, ok := loaded.([]byte); ok {
		return bytes, nil
	}
	if err != nil || given.outcome == C.ST_LOAD_HIT {
		return given.value, err
	}
	var value []byte
	err = given.load(ctx, key, func(ctx context.Context) error {
		loaded, ttl, err := load(ctx, key)
		if err == nil {
			err = given.finish(loaded, ttl)
		}
		value = loaded
		return err
	})
	switch {
	case err == nil:
		return value, nil
	case given.isOld && oldMayReplace(err):
		return given.value, nil
	}
	return nil, err
}

// oldMayReplace reports whether the old value may be returned instead of the error of its reload: not if that says that
// there is no value, or that the caller may not have it.
func oldMayReplace(err error) bool {
	status, _ := passedOn(err)
	return status != C.ST_NOT_FOUND && status != C.ST_ACCESS_DENIED
}

// finish ends the lease with a value. It is not an error if the lease has expired: the value is valid.
func (l lease) finish(value []byte, ttl time.Duration) error {
	call := newCall()
	defer l.owned.end(call)
	address, size := data(value)
	status := C.st_cache_load_finish(l.owned.cache, l.number, address, size, ttlSeconds(ttl), &call.err)
	if status == C.ST_ABANDONED {
		return nil
	}
	return call.error(status)
}
