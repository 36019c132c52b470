package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// ReplicateToken finds REPLICATE_API_TOKEN.
func (s *Secrets) ReplicateToken(ctx context.Context) (*Secret, error) {
	return s.Get(ctx, KeyReplicateAPIToken)
}

// HFToken finds HF_TOKEN.
func (s *Secrets) HFToken(ctx context.Context) (*Secret, error) { return s.Get(ctx, KeyHFToken) }

// WebhookSecret finds CLOUD_WEBHOOK_SECRET.
func (s *Secrets) WebhookSecret(ctx context.Context) (*Secret, error) {
	return s.Get(ctx, KeyCloudWebhookSecret)
}

// Set writes a secret, which is UTF-8, into the secrets file.
func (s *Secrets) Set(key string, value []byte) error {
	c, err := s.begin()
	if err != nil {
		return err
	}
	defer s.end(c)
	name, nameLen := text(key)
	address, size := data(value)
	return c.error(C.st_secrets_set(s.native(), name, nameLen, address, size, &c.err))
}

// SetReplicateToken writes REPLICATE_API_TOKEN into the secrets file.
func (s *Secrets) SetReplicateToken(value []byte) error { return s.Set(KeyReplicateAPIToken, value) }

// Delete removes a secret from the secrets file, and tells whether it was there.
func (s *Secrets) Delete(key string) (existed bool, err error) {
	c, err := s.begin()
	if err != nil {
		return false, err
	}
	defer s.end(c)
	name, nameLen := text(key)
	return c.existed(C.st_secrets_delete(s.native(), name, nameLen, &c.flag, &c.err))
}

// Refresh looks at every source now. The error is that of the first provider that failed. The context is as for Get.
func (s *Secrets) Refresh(ctx context.Context) error {
	_, err := within(ctx, func(timeout float64) (struct{}, error) {
		c, err := s.begin()
		if err != nil {
			return struct{}{}, err
		}
		defer s.end(c)
		return struct{}{}, c.error(C.st_secrets_refresh(s.native(), C.double(timeout), &c.err))
	}, func(struct{}) {})
	return err
}

// ClearCache forgets, and so wipes, every value that the manager remembers and no caller holds.
func (s *Secrets) ClearCache() error {
	c, err := s.begin()
	if err != nil {
		return err
	}
	defer s.end(c)
	return c.error(C.st_secrets_clear_cache(s.native(), &c.err))
}

// Describe is the settings and providers in their order, without any value.
func (s *Secrets) Describe() (json.RawMessage, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(c)
	return c.copied(C.st_secrets_describe(s.native(), &c.bytes, &c.err))
}

// Check is how every provider is, and what to do about it, without any value.
func (s *Secrets) Check() (json.RawMessage, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(c)
	return c.copied(C.st_secrets_check(s.native(), &c.bytes, &c.err))
}

// FilePath is the file or directory that the file provider reads; where there is none yet, the file that Set creates.
func (s *Secrets) FilePath() (string, error) {
	c, err := s.begin()
	if err != nil {
		return "", err
	}
	defer s.end(c)
	path, err := c.copied(C.st_secrets_file_path(s.native(), &c.bytes, &c.err))
	return string(path), err
}

// copiedInto is how many bytes were copied to a buffer of this size. Asking an empty one for a value that has any is an
// error here too, though not to the library.
func (c *call) copiedInto(status C.st_status, capacity int) (int, error) {
	size := int(c.size)
	if status == C.ST_OK && size > capacity {
		return size, ErrBufferTooSmall
	}
	return size, c.error(status)
}

// duration is a time of the library.
func duration(seconds C.double) time.Duration {
	if float64(seconds) >= math.MaxInt64/float64(time.Second) {
		return Forever
	}
	return time.Duration(float64(seconds) * float64(time.Second))
}
