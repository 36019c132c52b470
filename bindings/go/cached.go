package stsecrets

// #cgo noescape st_go_cache_number
// #cgo nocallback st_go_cache_number
// #include "native.h"
import "C"

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Cached is a function whose results are kept in a cache of its own, as Go values. The keys are those of [FunctionKey],
// so arguments must be of a type that it supports.
type Cached[K comparable, V any] struct {
	cache    *Cache
	values   cachedValues
	load     func(ctx context.Context, argument K) (V, error)
	prefix   string
	function string
}

// CachedOptions are the options of [NewCached].
type CachedOptions struct {
	// Prefix and Function are the beginning of each key: prefix:function:argument.
	Prefix, Function string
	// TTL is how long a result is kept; 0 means 5 minutes.
	TTL time.Duration
	// MaxSize is the maximum number of results; 0 means 1000.
	MaxSize int
}

// NewCached returns a cached version of a function.
func NewCached[K comparable, V any](load func(ctx context.Context, argument K) (V, error), options CachedOptions) (*Cached[K, V], error) {
	if options.MaxSize == 0 {
		options.MaxSize = 1000
	}
	cache, err := newCache(options.TTL, options.MaxSize, time.Minute, true)
	if err != nil {
		return nil, err
	}
	return &Cached[K, V]{cache: cache, load: load, prefix: options.Prefix, function: options.Function}, nil
}

// Get returns the result for an argument, from the cache or from the function. Concurrent callers share one call, as in
// [Cache.GetOrLoad].
func (c *Cached[K, V]) Get(ctx context.Context, argument K) (V, error) {
	var value V
	key, err := FunctionKey(c.prefix, c.function, []any{argument}, nil)
	if err != nil {
		return value, err
	}
	owned := c.cache.owned.Load()
	if owned == nil {
		return value, ErrClosed
	}
	defer c.values.collect(owned)
	for {
		if found := c.values.get(owned, key); found != nil {
			return *found.(*V), nil
		}
		given, shared, err := owned.begin(ctx, key, &c.values)
		if err != nil {
			return value, err
		}
		if shared != nil {
			return *shared.(*V), nil
		}
		if given.outcome == C.ST_LOAD_LEADER {
			err = given.load(ctx, key, func(ctx context.Context) error {
				loaded, err := c.load(ctx, argument)
				if err == nil {
					value, err = loaded, c.values.finish(given, &loaded)
				}
				return err
			})
			return value, err
		}
	}
}

// Delete removes the result for an argument and reports whether it existed.
func (c *Cached[K, V]) Delete(argument K) (existed bool, err error) {
	key, err := FunctionKey(c.prefix, c.function, []any{argument}, nil)
	if err != nil {
		return false, err
	}
	defer c.values.collect(c.cache.owned.Load())
	return c.cache.Delete(key)
}

// Clear removes all results and returns their number.
func (c *Cached[K, V]) Clear() (count int, err error) {
	defer c.values.collect(c.cache.owned.Load())
	return c.cache.Clear()
}

// Stats returns the counters of the cache.
func (c *Cached[K, V]) Stats() (CacheStats, error) { return c.cache.Stats() }

// Close removes all results and closes the cache.
func (c *Cached[K, V]) Close() error {
	defer c.values.collect(c.cache.owned.Load())
	return c.cache.Close()
}

// cachedValues are the Go values of a cache. The cache stores their numbers, and lists the numbers it drops; the list
// is processed after each call, so that the cache never calls Go.
type cachedValues struct {
	byNumber sync.Map
	last     atomic.Uint64
}

// get returns the value of a key, or nil if there is none or it is being dropped.
func (v *cachedValues) get(owned *nativeCache, key string) any {
	name, nameLen := text(key)
	number := C.st_go_cache_number(owned.address(), name, nameLen)
	runtime.KeepAlive(owned)
	value, _ := v.byNumber.Load(uint64(number))
	return value
}

// finish ends the lease with a value.
func (v *cachedValues) finish(given lease, value any) error {
	number := v.last.Add(1)
	v.byNumber.Store(number, value)
	call := newCall()
	defer given.owned.end(call)
	status := C.st_go_cache_finish_number(given.owned.cache, given.number, C.uint64_t(number), given.owned.dropped,
		C.ST_TTL_DEFAULT, &call.err)
	if status == C.ST_ABANDONED {
		return nil
	}
	return call.error(status)
}

// collect releases the values that the cache has dropped.
func (v *cachedValues) collect(owned *nativeCache) {
	if owned == nil {
		return
	}
	list := (*unsafe.Pointer)(unsafe.Pointer(&owned.dropped.first))
	if atomic.LoadPointer(list) == nil {
		return
	}
	first := (*C.st_go_entry)(atomic.SwapPointer(list, nil))
	for entry := first; entry != nil; entry = entry.next {
		v.byNumber.Delete(uint64(entry.number))
	}
	C.st_go_entries_free(first)
	runtime.KeepAlive(owned)
}
