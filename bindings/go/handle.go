package stsecrets

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
