package stsecrets

// #cgo noescape st_go_cache_get_into
// #cgo nocallback st_go_cache_get_into
// #include "native.h"
import "C"

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// Cache is a cache of bytes whose entries expire. It holds at most its capacity, evicts exactly the least recently used
// entry, and never returns an expired one. Keys are arbitrary bytes.
type Cache struct{ owned atomic.Pointer[nativeCache] }

// nativeCache is freed when it is unreachable: from its Cache, which releases it at Close, and from calls in progress.
// That costs a hit nothing; counting calls would cost a fifth of it.
type nativeCache struct {
	cache *C.st_cache
	// The values that a cache of Go values has dropped; nil for other caches.
	dropped *C.st_go_dropped
	// Whether entries may be reloaded while they are still served, or cached as absent.
	refreshes bool
}

// address returns the address of the cache as a number.
func (n *nativeCache) address() C.uintptr_t { return C.uintptr_t(uintptr(unsafe.Pointer(n.cache))) }

// closedCaches counts the caches that are closed but not freed. Go does not count their memory, so many of them trigger
// a garbage collection.
var closedCaches atomic.Int64

const manyClosedCaches = 32

func (n nativeCache) free() {
	C.st_cache_free(n.cache)
	C.st_go_dropped_free(n.dropped)
}

// NewCache returns a cache of at most maxSize entries (0 stores nothing) that expire after defaultTTL ([DefaultTTL]: 5
// minutes; [Forever]: never; [NoTTL]: at once). Every cleanupInterval it removes expired entries, a few in each of
// the following calls.
func NewCache(defaultTTL time.Duration, maxSize int, cleanupInterval time.Duration) (*Cache, error) {
	return newCache(defaultTTL, maxSize, cleanupInterval, false)
}

func newCache(defaultTTL time.Duration, maxSize int, cleanupInterval time.Duration, ofValues bool) (*Cache, error) {
	if maxSize < 0 {
		return nil, &Error{Status: ErrInvalidArgument, Message: "the size of a cache is negative"}
	}
	c := newCall()
	defer c.end()
	out := (**C.st_cache)(unsafe.Pointer(&c.handle))
	if defaultTTL == DefaultTTL {
		defaultTTL = 5 * time.Minute
	}
	status := C.st_cache_new(ttlSeconds(defaultTTL), C.size_t(maxSize), seconds(cleanupInterval), out, &c.err)
	if status != C.ST_OK {
		return nil, c.error(status)
	}
	owned := &nativeCache{cache: *out}
	if ofValues {
		owned.dropped = C.st_go_dropped_new()
	}
	return ownedCache(owned), nil
}

// OpenCache returns a cache with settings, including those that [NewCache] lacks: after "soft_ttl", the first caller of
// [Cache.GetOrLoad] reloads a value while the others still get the old one; "absent_ttl" is how long the [ErrNotFound]
// of a load is cached; "ttl_jitter" spreads expiry; "tier" is the URL of a server through which processes share bytes
// and text.
func OpenCache(settings Settings) (*Cache, error) {
	c := newCall()
	defer c.end()
	out := (**C.st_cache)(unsafe.Pointer(&c.handle))
	if err := settings.open(c, func(config *C.st_config) C.st_status { return C.st_cache_open(config, out, &c.err) }); err != nil {
		return nil, err
	}
	return ownedCache(&nativeCache{cache: *out, refreshes: true}), nil
}

func ownedCache(owned *nativeCache) *Cache {
	runtime.AddCleanup(owned, nativeCache.free, *owned)
	return cacheOf(owned)
}

func cacheOf(owned *nativeCache) *Cache {
	cache := new(Cache)
	cache.owned.Store(owned)
	return cache
}

var (
	providerConfig = cacheOf(&nativeCache{cache: C.st_cache_provider_config()})
	userPermission = cacheOf(&nativeCache{cache: C.st_cache_user_permission()})
)

// ProviderConfigCache returns the built-in cache for provider configuration: keys such as provider:replicate:config,
// 300 s, 100 entries. Do not close it.
func ProviderConfigCache() *Cache { return providerConfig }

// UserPermissionCache returns the built-in cache for user permissions: keys such as user:123:permissions, 60 s, 500
// entries. Do not close it.
func UserPermissionCache() *Cache { return userPermission }

// Close wipes all entries at once; the cache itself is freed later. It has no effect on the built-in caches.
func (c *Cache) Close() error {
	if c == providerConfig || c == userPermission {
		return nil
	}
	if owned := c.owned.Swap(nil); owned != nil {
		C.st_cache_clear(owned.cache, nil, nil)
		runtime.AddCleanup(owned, func(closed *atomic.Int64) { closed.Add(-1) }, &closedCaches)
		runtime.KeepAlive(owned)
		if closedCaches.Add(1)%manyClosedCaches == 0 {
			runtime.GC()
		}
	}
	return nil
}

// begin keeps the cache alive until end.
func (c *Cache) begin() (*nativeCache, *call, error) {
	owned := c.owned.Load()
	if owned == nil {
		return nil, nil, ErrClosed
	}
	return owned, newCall(), nil
}

func (n *nativeCache) end(call *call) {
	call.end()
	runtime.KeepAlive(n)
}

// GetInto copies the value of a key into buf and returns its length. If buf is too small, it returns the length needed
// and [ErrBufferTooSmall].
//
// A hit does not allocate, and costs little more than an empty cgo call.
func (c *Cache) GetInto(key string, buf []byte) (int, error) {
	owned := c.owned.Load()
	if owned == nil {
		return 0, ErrClosed
	}
	name, nameLen := text(key)
	address := (*C.char)(unsafe.Pointer(unsafe.SliceData(buf)))
	var result C.int64_t
	C.st_go_cache_get_into(owned.address(), name, nameLen, address, C.size_t(len(buf)), &result)
	runtime.KeepAlive(owned)
	n := int(result)
	switch {
	case n == C.ST_NOT_FOUND:
		return 0, ErrNotFound // a constant, so a miss does not allocate either
	case n < 0:
		return 0, Status(n)
	case n > len(buf):
		return n, ErrBufferTooSmall
	}
	return n, nil
}

// Get returns a copy of the value of a key. Go's memory is not wiped: use GetSecret for secrets.
func (c *Cache) Get(key string) ([]byte, error) {
	var small [512]byte
	n, err := c.GetInto(key, small[:])
	if err == nil {
		value := append(make([]byte, 0, n), small[:n]...)
		clear(small[:n])
		return value, nil
	}
	for err == ErrBufferTooSmall {
		value := make([]byte, n)
		if n, err = c.GetInto(key, value); err == nil {
			return value[:n], nil
		}
	}
	return nil, err
}

// GetSecret returns the value of a key without copying it.
func (c *Cache) GetSecret(key string) (*Secret, error) {
	owned, call, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer owned.end(call)
	name, nameLen := text(key)
	return call.secret(C.st_cache_get(owned.cache, unsafe.Pointer(name), nameLen, &call.bytes, &call.err))
}

// Set stores a copy of value for ttl: [DefaultTTL] is the cache's default, [Forever] never expires, [NoTTL] expires at
// once.
func (c *Cache) Set(key string, value []byte, ttl time.Duration) error {
	owned, call, err := c.begin()
	if err != nil {
		return err
	}
	defer owned.end(call)
	name, nameLen := text(key)
	address, size := data(value)
	return call.error(C.st_cache_set(owned.cache, unsafe.Pointer(name), nameLen, address, size, ttlSeconds(ttl), &call.err))
}

// Delete removes an entry and reports whether it existed and had not expired.
func (c *Cache) Delete(key string) (existed bool, err error) {
	owned, call, err := c.begin()
	if err != nil {
		return false, err
	}
	defer owned.end(call)
	name, nameLen := text(key)
	return call.existed(C.st_cache_delete(owned.cache, unsafe.Pointer(name), nameLen, &call.flag, &call.err))
}

// Clear removes all entries and returns the number of those that had not expired.
func (c *Cache) Clear() (count int, err error) {
	owned, call, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer owned.end(call)
	return call.counted(C.st_cache_clear(owned.cache, &call.size, &call.err))
}

// InvalidatePrefix removes the entries whose keys begin with prefix and returns the number of those that had not
// expired.
func (c *Cache) InvalidatePrefix(prefix string) (count int, err error) {
	owned, call, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer owned.end(call)
	name, nameLen := text(prefix)
	return call.counted(C.st_cache_invalidate_prefix(owned.cache, unsafe.Pointer(name), nameLen, &call.size, &call.err))
}

// InvalidateProvider removes the entries of a provider from the built-in cache and returns their number.
func InvalidateProvider(provider string) (count int, err error) {
	c := newCall()
	defer c.end()
	name, nameLen := text(provider)
	return c.counted(C.st_cache_invalidate_provider(name, nameLen, &c.size, &c.err))
}

// InvalidateUser removes the entries of a user from the built-in cache and returns their number.
func InvalidateUser(userID int64) (count int, err error) {
	c := newCall()
	defer c.end()
	return c.counted(C.st_cache_invalidate_user(C.int64_t(userID), &c.size, &c.err))
}

// CacheStats is the size of a cache and its counters since it was created.
type CacheStats struct {
	// The number of entries, its maximum, and how many of the entries have expired.
	Entries, MaxSize, Expired uint64
	// DefaultTTL is the time to live of entries stored without one.
	DefaultTTL time.Duration
	// Reads that found a value, and reads that did not.
	Hits, Misses uint64
	// Entries evicted to make room, removed after they expired, and deleted before.
	Evictions, Expirations, Removals uint64
	// Loads that were begun, and loads that ended without a value.
	Loads, LoadFailures uint64
}

// Stats returns a consistent snapshot of the counters.
func (c *Cache) Stats() (CacheStats, error) {
	owned, call, err := c.begin()
	if err != nil {
		return CacheStats{}, err
	}
	defer owned.end(call)
	counts := C.st_cache_counts{size: C.sizeof_st_cache_counts}
	if status := C.st_cache_stats(owned.cache, &counts, &call.err); status != C.ST_OK {
		return CacheStats{}, call.error(status)
	}
	return CacheStats{
		Entries:      uint64(counts.entries),
		MaxSize:      uint64(counts.max_size),
		Expired:      uint64(counts.expired_count),
		DefaultTTL:   duration(counts.default_ttl),
		Hits:         uint64(counts.hits),
		Misses:       uint64(counts.misses),
		Evictions:    uint64(counts.evictions),
		Expirations:  uint64(counts.expirations),
		Removals:     uint64(counts.invalidations),
		Loads:        uint64(counts.loads),
		LoadFailures: uint64(counts.load_failures),
	}, nil
}
