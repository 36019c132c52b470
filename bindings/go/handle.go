package stsecrets

// #include "native.h"
import "C"

import (
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

// do makes a call that has no result.
func (h *handle) do(run func(c *call) C.st_status) error {
	c, err := h.begin()
	if err != nil {
		return err
	}
	defer h.end(c)
	return c.error(run(c))
}

// copied returns a copy of the bytes that a call returns.
func (h *handle) copied(run func(c *call) C.st_status) ([]byte, error) {
	c, err := h.begin()
	if err != nil {
		return nil, err
	}
	defer h.end(c)
	return c.copied(run(c))
}

// existed returns the result of a call as a bool.
func (h *handle) existed(run func(c *call) C.st_status) (bool, error) {
	c, err := h.begin()
	if err != nil {
		return false, err
	}
	defer h.end(c)
	return c.existed(run(c))
}
