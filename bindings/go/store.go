package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"runtime"
	"unsafe"
)

// Store gives access to the databases of a state directory, SimpleTuner's own: provider configuration, hardware prices,
// stored credentials, and an audit trail of all changes.
type Store struct{ *handle }

var defaultStore = &Store{newHandle(nil, func(unsafe.Pointer) {})}

// DefaultStore returns the store of the whole process, which is configured from the environment on first use. Closing
// it has no effect.
func DefaultStore() *Store { return defaultStore }

// OpenStore returns a store with settings. It does not open or create any file yet.
func OpenStore(settings Settings) (*Store, error) {
	c := newCall()
	defer c.end()
	err := settings.open(c, func(config *C.st_config) C.st_status {
		return C.st_store_open(config, (**C.st_store)(unsafe.Pointer(&c.handle)), &c.err)
	})
	if err != nil {
		return nil, err
	}
	return storeOf(c), nil
}

// storeOf returns the store that a call has created.
func storeOf(c *call) *Store {
	store := &Store{newHandle(c.handle, func(native unsafe.Pointer) { C.st_store_free((*C.st_store)(native)) })}
	runtime.AddCleanup(store, (*handle).close, store.handle)
	return store
}

// ResetStore replaces the store of the whole process.
func ResetStore(settings Settings) error {
	c := newCall()
	defer c.end()
	return settings.open(c, func(config *C.st_config) C.st_status { return C.st_store_reset(config, &c.err) })
}

// Unknown stands for an unknown user, or all users.
const Unknown = -1

// Actor is the actor that the audit trail records. An empty name or address is unknown.
type Actor struct {
	UserID   int64
	Username string
	IP       string
}

// As returns a handle of the same store whose changes are recorded under this actor. It must be closed separately.
func (s *Store) As(actor Actor) (*Store, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(c)
	name, nameLen := optional(actor.Username)
	ip, ipLen := optional(actor.IP)
	out := (**C.st_store)(unsafe.Pointer(&c.handle))
	status := C.st_store_as(s.native(), C.int64_t(actor.UserID), name, nameLen, ip, ipLen, out, &c.err)
	if status != C.ST_OK {
		return nil, c.error(status)
	}
	return storeOf(c), nil
}

// Close frees the store once no call uses it.
func (s *Store) Close() error {
	if s != defaultStore {
		s.handle.close()
	}
	return nil
}

func (s *Store) native() *C.st_store { return (*C.st_store)(s.handle.native) }

// optional converts a text that may be missing.
func optional(s string) (*C.char, C.size_t) {
	if s == "" {
		return nil, 0
	}
	return text(s)
}

// json returns the JSON of a call that takes a name.
func (s *Store) json(ctx context.Context, name string, get func(*C.st_store, *C.char, C.size_t, *C.st_bytes, *C.st_error) C.st_status) (json.RawMessage, error) {
	address, size := text(name)
	return s.copied(ctx, func(c *call) C.st_status { return get(s.native(), address, size, &c.bytes, &c.err) })
}

// ProviderConfig returns the configuration of a provider: a JSON object as it was written, {} if there is none.
// SimpleTuner may have written NaN or Infinity, which encoding/json rejects; and it may contain a webhook's secret.
func (s *Store) ProviderConfig(ctx context.Context, provider string) (json.RawMessage, error) {
	return s.json(ctx, provider, func(s *C.st_store, name *C.char, size C.size_t, out *C.st_bytes, err *C.st_error) C.st_status {
		return C.st_provider_config_get(s, name, size, out, err)
	})
}

// WebhookConfig returns the webhook settings of a provider, with defaults. They may contain the webhook's secret.
func (s *Store) WebhookConfig(ctx context.Context, provider string) (json.RawMessage, error) {
	return s.json(ctx, provider, func(s *C.st_store, name *C.char, size C.size_t, out *C.st_bytes, err *C.st_error) C.st_status {
		return C.st_provider_webhook_get(s, name, size, out, err)
	})
}

// CostLimit returns the cost limit of a provider, with defaults.
func (s *Store) CostLimit(ctx context.Context, provider string) (json.RawMessage, error) {
	return s.json(ctx, provider, func(s *C.st_store, name *C.char, size C.size_t, out *C.st_bytes, err *C.st_error) C.st_status {
		return C.st_provider_cost_limit_get(s, name, size, out, err)
	})
}

// SaveProviderConfig replaces the configuration of a provider with a JSON object, which is stored as it is written.
func (s *Store) SaveProviderConfig(ctx context.Context, provider string, config []byte) error {
	name, nameLen := text(provider)
	return s.doWith(ctx, config, func(c *call, config unsafe.Pointer, size C.size_t) C.st_status {
		return C.st_provider_config_save(s.native(), name, nameLen, (*C.char)(config), size, &c.err)
	})
}

// UpdateProviderConfig merges the members of a JSON object into the configuration of a provider.
func (s *Store) UpdateProviderConfig(ctx context.Context, provider string, members []byte) error {
	name, nameLen := text(provider)
	return s.doWith(ctx, members, func(c *call, members unsafe.Pointer, size C.size_t) C.st_status {
		return C.st_provider_config_update(s.native(), name, nameLen, (*C.char)(members), size, &c.err)
	})
}

// DeleteProviderConfig removes the configuration of a provider and reports whether it existed.
func (s *Store) DeleteProviderConfig(ctx context.Context, provider string) (existed bool, err error) {
	name, nameLen := text(provider)
	return s.existed(ctx, func(c *call) C.st_status {
		return C.st_provider_config_delete(s.native(), name, nameLen, &c.flag, &c.err)
	})
}

// ConfiguredProvider is a provider that has a configuration, and when it was last written, as ISO 8601 in UTC.
type ConfiguredProvider struct {
	Provider  string `json:"provider"`
	UpdatedAt string `json:"updated_at"`
}

// ProviderConfigs lists the providers that have a configuration, in alphabetical order.
func (s *Store) ProviderConfigs(ctx context.Context) ([]ConfiguredProvider, error) {
	return parsed[[]ConfiguredProvider](s.copied(ctx, func(c *call) C.st_status {
		return C.st_provider_config_list(s.native(), &c.bytes, &c.err)
	}))
}

// HardwareInfo returns the hardware prices: {id: {"name": …, "cost_per_second": …}}.
func (s *Store) HardwareInfo(ctx context.Context) (json.RawMessage, error) {
	return s.copied(ctx, func(c *call) C.st_status { return C.st_hardware_info_get(s.native(), &c.bytes, &c.err) })
}

// SetHardwareInfo replaces the cached prices with a JSON object for 300 s. Nothing is stored.
func (s *Store) SetHardwareInfo(info []byte) error {
	address, size := data(info)
	return s.do(context.Background(), func(c *call) C.st_status {
		return C.st_hardware_info_set(s.native(), (*C.char)(address), size, &c.err)
	})
}

// ClearHardwareInfo removes the cached prices, so that the next call reads the configuration again.
func (s *Store) ClearHardwareInfo() error {
	return s.do(context.Background(), func(c *call) C.st_status { return C.st_hardware_info_clear(s.native(), &c.err) })
}

// DefaultHardwareInfo returns the built-in default prices.
func DefaultHardwareInfo() (json.RawMessage, error) {
	c := newCall()
	defer c.end()
	return c.copied(C.st_hardware_info_defaults(&c.bytes, &c.err))
}

// DefaultHardwareCostPerHour returns the hourly price of the default device, gpu-l40s.
func (s *Store) DefaultHardwareCostPerHour(ctx context.Context) (float64, error) {
	return run(ctx, s.handle, func(c *call) (float64, error) {
		err := c.error(C.st_hardware_default_cost_per_hour(s.native(), &c.cost, &c.err))
		return float64(c.cost), err
	})
}

// HardwareCostPerHour returns the hourly price of a device.
func (s *Store) HardwareCostPerHour(ctx context.Context, id string) (float64, error) {
	address, size := text(id)
	return run(ctx, s.handle, func(c *call) (float64, error) {
		err := c.error(C.st_hardware_cost_per_hour(s.native(), address, size, &c.cost, &c.err))
		return float64(c.cost), err
	})
}
