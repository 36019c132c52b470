package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"math"
	"time"
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
func (s *Secrets) Set(key string, value []byte) error {
	name, nameLen := text(key)
	address, size := data(value)
	return s.do(func(c *call) C.st_status { return C.st_secrets_set(s.native(), name, nameLen, address, size, &c.err) })
}

// SetReplicateToken writes REPLICATE_API_TOKEN to the secrets file.
func (s *Secrets) SetReplicateToken(value []byte) error { return s.Set(KeyReplicateAPIToken, value) }

// Delete removes a secret from there and reports whether it existed.
func (s *Secrets) Delete(key string) (existed bool, err error) {
	name, nameLen := text(key)
	return s.existed(func(c *call) C.st_status {
		return C.st_secrets_delete(s.native(), name, nameLen, &c.flag, &c.err)
	})
}

// Refresh reads every provider again. It returns the error of the first provider that failed. ctx is used as in Get.
func (s *Secrets) Refresh(ctx context.Context) error {
	_, err := within(ctx, func(timeout float64) (struct{}, error) {
		return struct{}{}, s.do(func(c *call) C.st_status {
			return C.st_secrets_refresh(s.native(), C.double(timeout), &c.err)
		})
	}, func(struct{}) {})
	return err
}

// Prefetch loads the documents of AWS and Vault now, unless they are cached. With the setting share, the other
// processes of this host then use them too. It returns the error of the first provider that failed. ctx is used as in
// Get.
func (s *Secrets) Prefetch(ctx context.Context) error {
	_, err := within(ctx, func(timeout float64) (struct{}, error) {
		c, err := s.begin()
		if err != nil {
			return struct{}{}, err
		}
		defer s.end(c)
		return struct{}{}, c.error(C.st_secrets_prefetch(s.native(), C.double(timeout), &c.err))
	}, func(struct{}) {})
	return err
}

// ClearCache removes all cached values. A value is wiped when its last reference is released.
func (s *Secrets) ClearCache() error {
	return s.do(func(c *call) C.st_status { return C.st_secrets_clear_cache(s.native(), &c.err) })
}

// Describe returns the settings and the providers in order, without any secret.
func (s *Secrets) Describe() (json.RawMessage, error) {
	return s.copied(func(c *call) C.st_status { return C.st_secrets_describe(s.native(), &c.bytes, &c.err) })
}

// Check returns the health of every provider, with remedies and without any secret.
func (s *Secrets) Check() (json.RawMessage, error) {
	return s.copied(func(c *call) C.st_status { return C.st_secrets_check(s.native(), &c.bytes, &c.err) })
}

// FilePath returns the file or directory that the file provider reads, or the file that Set creates.
func (s *Secrets) FilePath() (string, error) {
	path, err := s.copied(func(c *call) C.st_status { return C.st_secrets_file_path(s.native(), &c.bytes, &c.err) })
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
