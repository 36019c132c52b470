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

// Cache is a cache of bytes whose entries live for a time. It never holds more than its capacity, evicts exactly the least
// recently used entry, and never shows one past its time. Keys are any bytes.
type Cache struct{ owned atomic.Pointer[nativeCache] }

// nativeCache is freed when nothing refers to it any more: neither its Cache, which lets go of it at Close, nor a call under
// way. That costs a hit nothing, where counting the calls would cost a fifth of it.
type nativeCache struct {
	cache *C.st_cache
	// The list of what a cache of Go's values let go of; nil for others.
	dropped *C.st_go_dropped
	// Whether an entry may have to be loaded anew while it is still served, or may be known to be absent.
	refreshes bool
}

// address is where the cache is, as a number.
func (n *nativeCache) address() C.uintptr_t { return C.uintptr_t(uintptr(unsafe.Pointer(n.cache))) }

// closedCaches are those that were closed and not freed yet. Go does not know what memory they have, so when there are many it
// is told to look for them.
var closedCaches atomic.Int64

const manyClosedCaches = 32

func (n nativeCache) free() {
	C.st_cache_free(n.cache)
	C.st_go_dropped_free(n.dropped)
}

// NewCache makes a cache of at most `maxSize` entries (0 holds nothing) that live for `defaultTTL` ([Forever]: for ever; 0:
// over at once), clearing expired ones away every `cleanupInterval`, a few in each call that comes then.
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
	status := C.st_cache_new(seconds(defaultTTL), C.size_t(maxSize), seconds(cleanupInterval), out, &c.err)
	if status != C.ST_OK {
		return nil, c.error(status)
	}
	owned := &nativeCache{cache: *out}
	if ofValues {
		owned.dropped = C.st_go_dropped_new()
	}
	return ownedCache(owned), nil
}

// OpenCache makes a cache with settings; those that [NewCache] has no place for are "soft_ttl", after which the first to
// [Cache.GetOrLoad] a value loads it anew while the others still get the old one, "absent_ttl", for which a load's
// [ErrNotFound] is remembered, and "ttl_jitter".
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

// ProviderConfigCache is the process's cache for provider configuration: keys like `provider:replicate:config`, 300 s, 100
// entries. It is not to be closed.
func ProviderConfigCache() *Cache { return providerConfig }

// UserPermissionCache is the process's cache for permissions of users: keys like `user:123:permissions`, 60 s, 500 entries.
// It is not to be closed.
func UserPermissionCache() *Cache { return userPermission }

// Close wipes all entries at once; the cache itself is freed some time after. The built-in ones stay as they are.
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

// begin makes sure that the cache stays until end.
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

// GetInto copies the bytes under the key into the buffer and returns their number. If the buffer is too small, the error is
// [ErrBufferTooSmall], and the number is the size that is needed.
//
// A hit needs no memory, and costs little more than an empty call of C.
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
		return 0, ErrNotFound // as a constant, which needs no memory either
	case n < 0:
		return 0, Status(n)
	case n > len(buf):
		return n, ErrBufferTooSmall
	}
	return n, nil
}

// Get is a copy of the bytes under the key. It is in Go's memory, which nobody wipes: for secrets there is GetSecret.
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

// GetSecret is the value under the key itself, without a copy.
func (c *Cache) GetSecret(key string) (*Secret, error) {
	owned, call, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer owned.end(call)
	name, nameLen := text(key)
	return call.secret(C.st_cache_get(owned.cache, unsafe.Pointer(name), nameLen, &call.bytes, &call.err))
}

// Set stores a copy of the value for a time: [DefaultTTL] is that of the cache, [Forever] never ends, 0 is over at once.
func (c *Cache) Set(key string, value []byte, ttl time.Duration) error {
	owned, call, err := c.begin()
	if err != nil {
		return err
	}
	defer owned.end(call)
	name, nameLen := text(key)
	address, size := data(value)
	return call.error(C.st_cache_set(owned.cache, unsafe.Pointer(name), nameLen, address, size, seconds(ttl), &call.err))
}

// Delete removes an entry, and tells whether there was one whose time was not over.
func (c *Cache) Delete(key string) (existed bool, err error) {
	owned, call, err := c.begin()
	if err != nil {
		return false, err
	}
	defer owned.end(call)
	name, nameLen := text(key)
	return call.existed(C.st_cache_delete(owned.cache, unsafe.Pointer(name), nameLen, &call.flag, &call.err))
}

// Clear removes all entries, and tells how many of them were not over yet.
func (c *Cache) Clear() (count int, err error) {
	owned, call, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer owned.end(call)
	return call.counted(C.st_cache_clear(owned.cache, &call.size, &call.err))
}

// InvalidatePrefix removes the entries whose keys begin with these bytes, and tells how many were not over yet.
func (c *Cache) InvalidatePrefix(prefix string) (count int, err error) {
	owned, call, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer owned.end(call)
	name, nameLen := text(prefix)
	return call.counted(C.st_cache_invalidate_prefix(owned.cache, unsafe.Pointer(name), nameLen, &call.size, &call.err))
}

// InvalidateProvider forgets all that the built-in cache holds about a provider.
func InvalidateProvider(provider string) (count int, err error) {
	c := newCall()
	defer c.end()
	name, nameLen := text(provider)
	return c.counted(C.st_cache_invalidate_provider(name, nameLen, &c.size, &c.err))
}

// InvalidateUser forgets all that the built-in cache holds about a user.
func InvalidateUser(userID int64) (count int, err error) {
	c := newCall()
	defer c.end()
	return c.counted(C.st_cache_invalidate_user(C.int64_t(userID), &c.size, &c.err))
}

// CacheStats is the state of a cache, and what happened to it since it was made.
type CacheStats struct {
	// Entries that are held, those at most, and those of them that have expired.
	Entries, MaxSize, Expired uint64
	// DefaultTTL is how long an entry lives unless it is stored with another time.
	DefaultTTL time.Duration
	// Reads that found a value, and that found none.
	Hits, Misses uint64
	// Entries that had to make room, whose time was over, and that were deleted before.
	Evictions, Expirations, Removals uint64
	// Loads that were begun, and those that ended without a value.
	Loads, LoadFailures uint64
}

// Stats tells the state of the cache. All numbers are of one moment.
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
