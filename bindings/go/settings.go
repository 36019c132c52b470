package stsecrets

// #include "native.h"
import "C"

import (
	"encoding/json"
	"time"
)

// Settings are settings by name, as the library's header lists them. Texts are texts, times are a time.Duration or a
// number of seconds, lists are slices; nil leaves the default:
//
//	stsecrets.Settings{"file_path": "~/secrets.json", "timeout": 5 * time.Second, "providers": []string{"env", "file"}}
type Settings map[string]any

// open calls the function with a configuration that has these settings. Nil settings are no configuration.
func (s Settings) open(c *call, function func(config *C.st_config) C.st_status) error {
	if s == nil {
		return c.error(function(nil))
	}
	config := C.st_config_new()
	defer C.st_config_free(config)
	for name, value := range s {
		if err := setting(c, config, name, value); err != nil {
			return err
		}
	}
	return c.error(function(config))
}

func setting(c *call, config *C.st_config, name string, value any) error {
	var written string
	switch value := value.(type) {
	case nil:
		return nil
	case string:
		written = value
	case time.Duration:
		return setting(c, config, name, value.Seconds())
	default:
		encoded, err := json.Marshal(value)
		if err != nil {
			return &Error{Status: ErrConfig, Message: name + ": a value of this type cannot be a setting", cause: err}
		}
		defer clear(encoded)
		return set(c, config, name, encoded)
	}
	key, keyLen := text(name)
	address, len := text(written)
	return c.error(C.st_config_set(config, key, keyLen, address, len, &c.err))
}

func set(c *call, config *C.st_config, name string, written []byte) error {
	key, keyLen := text(name)
	address, len := data(written)
	return c.error(C.st_config_set(config, key, keyLen, (*C.char)(address), len, &c.err))
}
