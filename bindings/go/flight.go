package stsecrets

import (
	"context"
	"runtime"
	"sync"
)

// flight is a load of this program that is under way. Goroutines wait for it here: in C each of them would hold a thread, of which
// a Go program may have 10 000 before it is ended.
type flight struct {
	ended chan struct{}
	// What came of it, once it has ended.
	value any
	err   error
}

type flightKey struct {
	cache *nativeCache
	key   string
}

// flights are those under way, each from after its lease is given until after that is ended.
var flights sync.Map

func (n *nativeCache) takeOff(key string) *flight {
	begun := &flight{ended: make(chan struct{})}
	flights.Store(flightKey{n, key}, begun)
	return begun
}

func (n *nativeCache) land(key string, begun *flight) {
	flights.CompareAndDelete(flightKey{n, key}, begun)
	close(begun.ended)
}

// underWay is the flight that loads this key; nil if it is not this binding that does.
func (n *nativeCache) underWay(key string) *flight {
	for range 2 {
		if found, ok := flights.Load(flightKey{n, key}); ok {
			return found.(*flight)
		}
		runtime.Gosched() // whoever was given the lease just now is about to take off
	}
	return nil
}

// wait is what came of the flight, or the end of the context.
func (f *flight) wait(ctx context.Context) (any, error) {
	select {
	case <-f.ended:
		return f.value, f.err
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}
