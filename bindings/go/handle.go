package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"sync/atomic"
	"unsafe"
)

// handle owns an object of the library. It is freed once it is closed and no call uses it.
type handle struct {
	// One for each call in progress, and one for the owner until it closes.
	users  atomic.Int64
	closed atomic.Bool
	native unsafe.Pointer
	free   func(native unsafe.Pointer)
}

func newHandle(native unsafe.Pointer, free func(native unsafe.Pointer)) *handle {
	h := &handle{native: native, free: free}
	h.users.Store(1)
	return h
}

// acquire keeps the object alive until release.
func (h *handle) acquire() error {
	for users := h.users.Load(); users > 0 && !h.closed.Load(); users = h.users.Load() {
		if h.users.CompareAndSwap(users, users+1) {
			return nil
		}
	}
	return ErrClosed
}

func (h *handle) release() {
	if h.users.Add(-1) == 0 {
		h.free(h.native)
	}
}

func (h *handle) close() {
	if h.closed.CompareAndSwap(false, true) {
		h.release()
	}
}

// begin keeps the object alive until end.
func (h *handle) begin() (*call, error) {
	if err := h.acquire(); err != nil {
		return nil, err
	}
	return newCall(), nil
}

func (h *handle) end(c *call) {
	c.end()
	h.release()
}

// do makes a call that has no result, until ctx is done.
func (h *handle) do(ctx context.Context, do func(c *call) C.st_status) error {
	_, err := run(ctx, h, func(c *call) (struct{}, error) { return struct{}{}, c.error(do(c)) })
	return err
}

// copied returns a copy of the bytes that a call returns.
func (h *handle) copied(ctx context.Context, do func(c *call) C.st_status) ([]byte, error) {
	return run(ctx, h, func(c *call) ([]byte, error) { return c.copied(do(c)) })
}

// existed returns the result of a call as a bool.
func (h *handle) existed(ctx context.Context, do func(c *call) C.st_status) (bool, error) {
	return run(ctx, h, func(c *call) (bool, error) { return c.existed(do(c)) })
}

// run makes a call until ctx is done. Its result needs no release.
func run[T any](ctx context.Context, h *handle, do func(c *call) (T, error)) (T, error) {
	return within(ctx, func(float64) (T, error) { return calling(h, do) }, nil)
}

// runWith is run for a call that gets bytes of the caller; see withinCopy.
func runWith[T any](ctx context.Context, h *handle, value []byte, do func(c *call, value []byte) (T, error)) (T, error) {
	return withinCopy(ctx, value, func(value []byte) (T, error) {
		return calling(h, func(c *call) (T, error) { return do(c, value) })
	})
}

// doWith is do for a call that gets bytes of the caller; see withinCopy.
func (h *handle) doWith(ctx context.Context, value []byte, do func(c *call, value unsafe.Pointer, size C.size_t) C.st_status) error {
	_, err := runWith(ctx, h, value, func(c *call, value []byte) (struct{}, error) {
		address, size := data(value)
		return struct{}{}, c.error(do(c, address, size))
	})
	return err
}

// calling makes a call, for which the object is kept alive.
func calling[T any](h *handle, do func(c *call) (T, error)) (T, error) {
	c, err := h.begin()
	if err != nil {
		var none T
		return none, err
	}
	defer h.end(c)
	return do(c)
}
