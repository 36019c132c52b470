package stsecrets

// #include "native.h"
import "C"

import (
	"encoding/json"
	"time"
)

// State is the state of what [Secrets.Check] checks.
type State string

// The states.
const (
	StateOK      State = "ok"
	StateAbsent  State = "absent" // not configured, or no file
	StateWarning State = "warning"
	StateFailed  State = "failed"
)

// Health is the result of a check. Advice says what to do; it is empty if there is nothing to do.
type Health struct {
	State  State  `json:"state"`
	Detail string `json:"detail"`
	Advice string `json:"advice"`
}

// ProviderHealth is the health of one provider.
type ProviderHealth struct {
	Name string `json:"name"`
	Health
}

// MemoryHealth is the health of the memory that holds secrets.
type MemoryHealth struct {
	Health
	MappedBytes   uint64 `json:"mapped_bytes"`
	UnlockedBytes uint64 `json:"unlocked_bytes"`
}

// Report is the result of [Secrets.Check], without any secret.
type Report struct {
	// OK is false if a provider failed.
	OK bool `json:"ok"`
	// Providers are in their order.
	Providers []ProviderHealth `json:"providers"`
	Memory    MemoryHealth     `json:"memory"`
	// Share is the directory that is shared with other processes, and the server of share_url.
	Share Health `json:"share"`
}

// Description has the settings of a manager and its providers, without any secret.
type Description struct {
	Timeout, CacheTTL, MissTTL, MaxStale, MaxBackoff time.Duration
	// CachedValues is the number of values in the cache.
	CachedValues uint64
	// Providers are in their order.
	Providers []ProviderDescription
}

// UnmarshalJSON reads a manager as the library describes it, with times in seconds.
func (d *Description) UnmarshalJSON(text []byte) error {
	var read struct {
		Timeout      float64
		CacheTTL     float64 `json:"cache_ttl"`
		MissTTL      float64 `json:"miss_ttl"`
		MaxStale     float64 `json:"max_stale"`
		MaxBackoff   float64 `json:"max_backoff"`
		CachedValues uint64  `json:"cached_values"`
		Providers    []ProviderDescription
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*d = Description{
		Timeout: duration(C.double(read.Timeout)), CacheTTL: duration(C.double(read.CacheTTL)),
		MissTTL: duration(C.double(read.MissTTL)), MaxStale: duration(C.double(read.MaxStale)),
		MaxBackoff: duration(C.double(read.MaxBackoff)), CachedValues: read.CachedValues, Providers: read.Providers,
	}
	return nil
}

// ProviderDescription describes one provider. Members are its settings, which differ between the kinds of providers.
type ProviderDescription struct {
	Name    string
	Members map[string]any
}

// UnmarshalJSON reads a provider as the library describes it.
func (d *ProviderDescription) UnmarshalJSON(text []byte) error {
	members := map[string]any{}
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	name, _ := members["name"].(string)
	delete(members, "name")
	*d = ProviderDescription{name, members}
	return nil
}

// parsed decodes the JSON that a call returned.
func parsed[T any](text []byte, err error) (T, error) {
	var value T
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	return value, err
}
