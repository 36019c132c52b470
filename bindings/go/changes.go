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
	// Complete: the lists contain all processes on the host; they have room for 4088.
	Complete bool
}

// Invalidate drops the cached values of all processes on this host, and returns when all have confirmed it, or after
// timeout, or with an error when ctx is done. The setting share must be host. key is the key that changed, or empty for
// all; at present everything is dropped in both cases.
func (s *Secrets) Invalidate(ctx context.Context, key string, timeout time.Duration) (Confirmation, error) {
	return parsed[Confirmation](s.invalidate(ctx, key, C.ST_SCOPE_HOST, timeout))
}

// ClusterConfirmation says which hosts have dropped what they had cached. A host has the name of the machine, and a
// number for the directory of its share.
type ClusterConfirmation struct {
	// Confirmed has the hosts in which no get that begins now returns an older value.
	Confirmed []string
	// Silent has those that have not confirmed within the timeout, or have made no call lately.
	Silent []string
	// Complete is true.
	Complete bool
}

// InvalidateCluster makes all hosts that share a tier drop what they have cached, and returns when they have confirmed
// that, or after timeout, or with an error when ctx is done. A host confirms by a get or Listen of one of its
// processes; one that has made no such call for 15 s is not waited for. The setting share_url must be set. key is the
// key that changed, or empty for all; at present everything is dropped in both cases.
func (s *Secrets) InvalidateCluster(ctx context.Context, key string, timeout time.Duration) (ClusterConfirmation, error) {
	return parsed[ClusterConfirmation](s.invalidate(ctx, key, C.ST_SCOPE_CLUSTER, timeout))
}

func (s *Secrets) invalidate(ctx context.Context, key string, scope C.uint32_t, timeout time.Duration) ([]byte, error) {
	name, nameLen := optional(key)
	limit := seconds(timeout)
	return s.copied(ctx, func(c *call) C.st_status {
		return C.st_secrets_invalidate(s.native(), name, nameLen, scope, limit, &c.bytes, &c.err)
	})
}
