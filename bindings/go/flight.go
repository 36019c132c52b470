package stsecrets

import (
	"context"
	"runtime"
	"sync"
)

// flight is a load of this program in progress. Goroutines wait for it in Go: in C each would occupy a thread, and Go
// programs are limited to 10 000 threads.
type flight struct {
	ended chan struct{}
	// The result, once the load has ended.
	value any
	err   error
}

type flightKey struct {
	cache *nativeCache
	key   string
}

// flights are the loads in progress, each from after its lease is issued until after the lease has ended.
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

// underWay returns the flight that loads this key, or nil if the load is not of this binding.
func (n *nativeCache) underWay(key string) *flight {
	for range 2 {
		if found, ok := flights.Load(flightKey{n, key}); ok {
			return found.(*flight)
		}
		runtime.Gosched() // the new holder of the lease is about to register its flight
	}
	return nil
}

// wait returns the result of the flight, or the error of ctx if that is done first.
func (f *flight) wait(ctx context.Context) (any, error) {
	select {
	case <-f.ended:
		return f.value, f.err
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}
