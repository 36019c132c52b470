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

// GetFlags say how [Secrets.GetWith] looks for a value.
type GetFlags uint32

const (
	// Refresh looks at each source now, whatever is remembered of it.
	Refresh GetFlags = C.ST_GET_REFRESH
	// CachedOnly asks no provider that may take long.
	CachedOnly GetFlags = C.ST_GET_CACHED_ONLY
)

// Info says where a value came from.
type Info struct {
	// Source is the kind of the provider, and Provider its name.
	Source   Source
	Provider string
	// Version is the provider's own name of this version of the secret, if it has one.
	Version string
	// Age is the time since the provider was asked, ExpiresIn that until it is asked again; 0 for providers that are always asked.
	Age, ExpiresIn time.Duration
	// Stale: the value is older than cache_ttl, or could not be refreshed as was asked for. Cached: the value comes from memory. Degraded: a
	// provider that goes before this one failed.
	Stale, Cached, Degraded bool
}

// Secrets is a chain of providers in which secrets are found.
type Secrets struct{ handle *handle }

var defaultSecrets = &Secrets{newHandle(nil, func(unsafe.Pointer) {})}

// Default is the manager of the whole process, which is made from the environment on first use. It stays when it is closed.
func Default() *Secrets { return defaultSecrets }

// Open makes a manager with these settings, or with those of the environment where there are none.
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

// Close frees the manager when no call uses it any more, and wipes what it remembers.
func (s *Secrets) Close() error {
	if s != defaultSecrets {
		s.handle.close()
	}
	return nil
}

func (s *Secrets) native() *C.st_secrets { return (*C.st_secrets)(s.handle.native) }

// begin makes sure that the manager stays until end.
func (s *Secrets) begin() (*call, error) {
	if err := s.handle.acquire(); err != nil {
		return nil, err
	}
	return newCall(), nil
}

func (s *Secrets) end(c *call) {
	c.end()
	s.handle.release()
}

// Get finds the value of a key in the first provider that has it. A deadline of the context takes the place of the setting
// `timeout`; cancelling leaves the search to a goroutine of its own, which ends at the deadline or the timeout.
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

// GetWith is Get in the way that the flags say, with an account of where the value came from.
func (s *Secrets) GetWith(ctx context.Context, key string, flags GetFlags) (*Secret, Info, error) {
	type found struct {
		secret *Secret
		info   Info
	}
	result, err := within(ctx, func(timeout float64) (found, error) {
		c, err := s.begin()
		if err != nil {
			return found{}, err
		}
		defer s.end(c)
		name, nameLen := text(key)
		status := C.st_secrets_get_with(s.native(), name, nameLen, C.double(timeout), C.uint32_t(flags), &c.bytes, &c.info, &c.err)
		secret, err := c.secret(status)
		return found{secret, c.account()}, err
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
	}
}

// GetInto copies the value of a key into the buffer, which is the caller's to wipe. If the buffer is too small, the error is
// [ErrBufferTooSmall], and the number is the size that is needed. The setting `timeout` applies.
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

// Result is what [Secrets.GetMany] found for one key.
type Result struct {
	Secret *Secret
	// Err is a [Status]: ask for the key alone to learn more.
	Err error
}

// GetMany finds several values under one deadline, that of the setting `timeout`. The results are in the order of the keys.
func (s *Secrets) GetMany(keys ...string) ([]Result, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(c)
	var names []byte
	for _, key := range keys {
		names = append(append(names, key...), 0)
	}
	values, statuses := make([]C.st_bytes, len(keys)+1), make([]C.st_status, len(keys)+1)
	address, size := data(names)
	err = c.error(C.st_secrets_get_many(s.native(), (*C.char)(address), size, C.size_t(len(keys)), &values[0], &statuses[0], &c.err))
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(keys))
	for i := range results {
		if statuses[i] == C.ST_OK {
			results[i].Secret = newSecret(&values[i])
		} else {
			results[i].Err = Status(statuses[i])
		}
	}
	return results, nil
}
