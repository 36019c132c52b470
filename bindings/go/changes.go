package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"time"
)

// listenSlice is how long Listen waits in C at a time, so that a thread is free soon after the context is done.
const listenSlice = time.Second

// Generation returns a number that increases when anything that the manager serves changes: a document, a file, or what
// another process on this host published or invalidated. It reads memory only.
func (s *Secrets) Generation() (uint64, error) {
	return calling(s.handle, func(c *call) (uint64, error) {
		err := c.error(C.st_secrets_generation(s.native(), &c.number, &c.err))
		return uint64(c.number), err
	})
}

// Listen waits until the generation differs from since, and returns it. While it waits, it looks for changes: of files
// once a second, and of documents when they are due. It returns an error when ctx is done.
func (s *Secrets) Listen(ctx context.Context, since uint64) (uint64, error) {
	for {
		generation, err := run(ctx, s.handle, func(c *call) (uint64, error) {
			status := C.st_secrets_listen(s.native(), C.uint64_t(since), C.double(listenSlice.Seconds()), &c.number, &c.err)
			return uint64(c.number), c.error(status)
		})
		if err != nil || generation != since {
			return generation, err
		}
	}
}

// Confirmation says which processes have dropped what they had cached.
type Confirmation struct {
	// Confirmed has the processes in which no get that begins now returns an older value.
	Confirmed []int
	// Silent has those that are stopped, possibly in the middle of a get.
	Silent []int
	// Complete: the host has no more processes than the library lists.
	Complete bool
}

// Invalidate drops the cached values of all processes on this host, and returns when all have confirmed it, or after
// timeout, or with an error when ctx is done. The setting share must be host. key is the key that changed, or empty for
// all; at present everything is dropped in both cases.
func (s *Secrets) Invalidate(ctx context.Context, key string, timeout time.Duration) (Confirmation, error) {
	name, nameLen := optional(key)
	limit := seconds(timeout)
	return parsed[Confirmation](s.copied(ctx, func(c *call) C.st_status {
		return C.st_secrets_invalidate(s.native(), name, nameLen, C.ST_SCOPE_HOST, limit, &c.bytes, &c.err)
	}))
}
