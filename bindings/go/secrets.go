package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"runtime"
	"time"
	"unsafe"
)

// The names of the secrets that SimpleTuner itself uses.
const (
	KeyReplicateAPIToken  = C.ST_KEY_REPLICATE_API_TOKEN
	KeyHFToken            = C.ST_KEY_HF_TOKEN
	KeyCloudWebhookSecret = C.ST_KEY_CLOUD_WEBHOOK_SECRET
)

// GetFlags are options of [Secrets.GetWith].
type GetFlags uint32

const (
	// Refresh bypasses all caches and queries every provider.
	Refresh GetFlags = C.ST_GET_REFRESH
	// CachedOnly only uses cached and local values and does not wait for a remote provider.
	CachedOnly GetFlags = C.ST_GET_CACHED_ONLY
)

// Info is the origin of a value.
type Info struct {
	// Source is the kind of the provider, and Provider its name.
	Source   Source
	Provider string
	// Version is the provider's identifier of this version of the secret, if it has one.
	Version string
	// Age is the time since the value was fetched, and ExpiresIn that until it is fetched again; 0 for providers that are
	// not cached.
	Age, ExpiresIn time.Duration
	// Stale: the value is older than cache_ttl, or a requested refresh failed. Cached: the value comes from a cache.
	// Degraded: an earlier provider failed. Shared: another process on this host loaded the value; see the setting share.
	// Leased: the value has a lease, and is revoked at its end.
	Stale, Cached, Degraded, Shared, Leased bool
}

// Secrets is a chain of providers.
type Secrets struct{ *handle }

var defaultSecrets = &Secrets{newHandle(nil, func(unsafe.Pointer) {})}

// Default returns the manager of the whole process, which is configured from the environment on first use. Closing it
// has no effect.
func Default() *Secrets { return defaultSecrets }

// Open returns a manager with settings; the environment provides those that are missing. It reads no file and sends no
// request, so it needs no context.
func Open(settings Settings) (*Secrets, error) {
	c := newCall()
	defer c.end()
	err := settings.open(c, func(config *C.st_config) C.st_status {
		return C.st_secrets_open(config, (**C.st_secrets)(unsafe.Pointer(&c.handle)), &c.err)
	})
	if err != nil {
		return nil, err
	}
	s := &Secrets{newHandle(c.handle, func(native unsafe.Pointer) { C.st_secrets_free((*C.st_secrets)(native)) })}
	runtime.AddCleanup(s, (*handle).close, s.handle)
	return s, nil
}

// Reset replaces the manager of the whole process.
func Reset(settings Settings) error {
	c := newCall()
	defer c.end()
	return settings.open(c, func(config *C.st_config) C.st_status { return C.st_secrets_reset(config, &c.err) })
}

// Close frees the manager and wipes its caches once no call uses it.
func (s *Secrets) Close() error {
	if s != defaultSecrets {
		s.handle.close()
	}
	return nil
}

func (s *Secrets) native() *C.st_secrets { return (*C.st_secrets)(s.handle.native) }

// Get returns the value of a key from the first provider that has it. A deadline of ctx replaces the setting timeout.
// If ctx is cancelled, the lookup continues on a goroutine of its own until the deadline or timeout.
func (s *Secrets) Get(ctx context.Context, key string) (*Secret, error) {
	if ctx.Done() == nil {
		c, err := s.begin()
		if err != nil {
			return nil, err
		}
		defer s.end(c)
		name, nameLen := text(key)
		return c.secret(C.st_secrets_get(s.native(), name, nameLen, &c.bytes, &c.err))
	}
	secret, _, err := s.GetWith(ctx, key, 0)
	return secret, err
}

// GetWith is like Get with flags, and also returns the origin of the value.
func (s *Secrets) GetWith(ctx context.Context, key string, flags GetFlags) (*Secret, Info, error) {
	type found struct {
		secret *Secret
		info   Info
	}
	result, err := within(ctx, func(timeout float64) (found, error) {
		return calling(s.handle, func(c *call) (found, error) {
			name, nameLen := text(key)
			status := C.st_secrets_get_with(s.native(), name, nameLen, C.double(timeout), C.uint32_t(flags), &c.bytes, &c.info, &c.err)
			secret, err := c.secret(status)
			return found{secret, c.account()}, err
		})
	}, func(late found) { late.secret.Close() })
	return result.secret, result.info, err
}

func (c *call) account() Info {
	info := &c.info
	return Info{
		Source:    Source(info.source),
		Provider:  C.GoString(&info.provider[0]),
		Version:   C.GoString(&info.version[0]),
		Age:       duration(info.age),
		ExpiresIn: duration(info.expires_in),
		Stale:     info.flags&C.ST_SECRET_STALE != 0,
		Cached:    info.flags&C.ST_SECRET_CACHED != 0,
		Degraded:  info.flags&C.ST_SECRET_DEGRADED != 0,
		Shared:    info.flags&C.ST_SECRET_SHARED != 0,
		Leased:    info.flags&C.ST_SECRET_LEASED != 0,
	}
}

// GetInto copies the value of a key into buf, which the caller wipes, and returns its length. If buf is too small, it
// returns the length needed and [ErrBufferTooSmall]. The setting timeout applies: it takes no context, which would need
// a goroutine that writes to buf after the return. [Secrets.Get] takes one.
func (s *Secrets) GetInto(key string, buf []byte) (int, error) {
	c, err := s.begin()
	if err != nil {
		return 0, err
	}
	defer s.end(c)
	name, nameLen := text(key)
	address, capacity := buffer(buf)
	status := C.st_secrets_get_into(s.native(), name, nameLen, address, capacity, &c.size, &c.err)
	return c.copiedInto(status, len(buf))
}

// Result is the result of [Secrets.GetMany] for one key.
type Result struct {
	Secret *Secret
	// Err is a [Status]; Get the key alone for a message.
	Err error
}

// GetMany returns several values within one timeout, that of the setting timeout, in the order of the keys. If ctx is
// done before, the lookup continues on a goroutine of its own until then.
func (s *Secrets) GetMany(ctx context.Context, keys ...string) ([]Result, error) {
	var names []byte
	for _, key := range keys {
		names = append(append(names, key...), 0)
	}
	count := len(keys)
	return within(ctx, func(float64) ([]Result, error) {
		return calling(s.handle, func(c *call) ([]Result, error) { return s.getMany(c, names, count) })
	}, func(late []Result) {
		for _, result := range late {
			if result.Secret != nil {
				result.Secret.Close()
			}
		}
	})
}

// getMany returns the values of keys that each end with a zero byte.
func (s *Secrets) getMany(c *call, names []byte, count int) ([]Result, error) {
	values, statuses := make([]C.st_bytes, count+1), make([]C.st_status, count+1)
	address, size := data(names)
	status := C.st_secrets_get_many(s.native(), (*C.char)(address), size, C.size_t(count), &values[0], &statuses[0], &c.err)
	if status != C.ST_OK {
		return nil, c.error(status)
	}
	results := make([]Result, count)
	for i := range results {
		if statuses[i] == C.ST_OK {
			results[i].Secret = newSecret(&values[i])
		} else {
			results[i].Err = Status(statuses[i])
		}
	}
	return results, nil
}
