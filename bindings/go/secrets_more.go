package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"math"
	"time"
	"unsafe"
)

// ReplicateToken returns REPLICATE_API_TOKEN.
func (s *Secrets) ReplicateToken(ctx context.Context) (*Secret, error) {
	return s.Get(ctx, KeyReplicateAPIToken)
}

// HFToken returns HF_TOKEN.
func (s *Secrets) HFToken(ctx context.Context) (*Secret, error) { return s.Get(ctx, KeyHFToken) }

// WebhookSecret returns CLOUD_WEBHOOK_SECRET.
func (s *Secrets) WebhookSecret(ctx context.Context) (*Secret, error) {
	return s.Get(ctx, KeyCloudWebhookSecret)
}

// Set writes a secret, which must be UTF-8, to the secrets file, or to the provider of the setting `set_provider`.
// After an error of ctx, the secret may have been written.
func (s *Secrets) Set(ctx context.Context, key string, value []byte) error {
	name, nameLen := text(key)
	return s.doWith(ctx, value, func(c *call, value unsafe.Pointer, size C.size_t) C.st_status {
		return C.st_secrets_set(s.native(), name, nameLen, value, size, &c.err)
	})
}

// SetReplicateToken writes REPLICATE_API_TOKEN, as Set does.
func (s *Secrets) SetReplicateToken(ctx context.Context, value []byte) error {
	return s.Set(ctx, KeyReplicateAPIToken, value)
}

// Delete removes a secret from there and reports whether it existed.
func (s *Secrets) Delete(ctx context.Context, key string) (existed bool, err error) {
	name, nameLen := text(key)
	return s.existed(ctx, func(c *call) C.st_status {
		return C.st_secrets_delete(s.native(), name, nameLen, &c.flag, &c.err)
	})
}

// Refresh reads every provider again. It returns the error of the first provider that failed. ctx is used as in Get.
func (s *Secrets) Refresh(ctx context.Context) error {
	return s.doWithin(ctx, func(c *call, timeout C.double) C.st_status {
		return C.st_secrets_refresh(s.native(), timeout, &c.err)
	})
}

// Prefetch loads the AWS and Vault documents now, unless they are cached. With the setting share, the other
// processes on this host then use them too. It returns the error of the first provider that failed. ctx is used as in
// Get.
func (s *Secrets) Prefetch(ctx context.Context) error {
	return s.doWithin(ctx, func(c *call, timeout C.double) C.st_status {
		return C.st_secrets_prefetch(s.native(), timeout, &c.err)
	})
}

// doWithin makes a call that takes the time until the deadline of ctx.
func (s *Secrets) doWithin(ctx context.Context, do func(c *call, timeout C.double) C.st_status) error {
	_, err := within(ctx, func(timeout float64) (struct{}, error) {
		return calling(s.handle, func(c *call) (struct{}, error) { return struct{}{}, c.error(do(c, C.double(timeout))) })
	}, nil)
	return err
}

// ClearCache removes all cached values. A value is wiped when its last reference is released.
func (s *Secrets) ClearCache() error {
	return s.do(context.Background(), func(c *call) C.st_status { return C.st_secrets_clear_cache(s.native(), &c.err) })
}

// Describe returns the settings and the providers in order, without any secret and without a query.
func (s *Secrets) Describe() (Description, error) {
	return parsed[Description](s.copied(context.Background(), func(c *call) C.st_status {
		return C.st_secrets_describe(s.native(), &c.bytes, &c.err)
	}))
}

// Check returns the health of every provider, with remedies and without any secret. It takes at most the setting
// timeout.
func (s *Secrets) Check(ctx context.Context) (Report, error) {
	return parsed[Report](s.copied(ctx, func(c *call) C.st_status {
		return C.st_secrets_check(s.native(), &c.bytes, &c.err)
	}))
}

// FilePath returns the file or directory that the file provider reads, or the file that Set creates.
func (s *Secrets) FilePath() (string, error) {
	path, err := s.copied(context.Background(), func(c *call) C.st_status {
		return C.st_secrets_file_path(s.native(), &c.bytes, &c.err)
	})
	return string(path), err
}

// copiedInto returns the number of bytes copied to a buffer of this size. An empty buffer for a non-empty value is an
// error here, though not in the library.
func (c *call) copiedInto(status C.st_status, capacity int) (int, error) {
	size := int(c.size)
	if status == C.ST_OK && size > capacity {
		return size, ErrBufferTooSmall
	}
	return size, c.error(status)
}

// duration converts a time of the library.
func duration(seconds C.double) time.Duration {
	if float64(seconds) >= math.MaxInt64/float64(time.Second) {
		return Forever
	}
	return time.Duration(float64(seconds) * float64(time.Second))
}
