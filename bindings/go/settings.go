package stsecrets

// #include "native.h"
import "C"

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"time"
	"unsafe"
)

// Settings are settings by name, documented in the library's header. Text is a string, []byte or a [Secret], a time is
// a time.Duration or a number of seconds, a list is a slice of strings; nil selects the default:
//
//	stsecrets.Settings{"file_path": "~/secrets.json", "timeout": 5 * time.Second, "providers": []string{"env", "file"}}
//
// A provider with settings of its own is a map in a slice:
//
//	stsecrets.Settings{"providers": []any{"env", map[string]any{"exec": []string{"sops", "-d", "secrets.json"}}}}
type Settings map[string]any

// open calls the function with a configuration of these settings, or nil for nil settings.
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
	switch value := value.(type) {
	case nil:
		return nil
	case string:
		return set(c, config, name, value)
	case []byte:
		return set(c, config, name, unsafe.String(unsafe.SliceData(value), len(value)))
	case *Secret:
		var failed error
		err := value.Use(func(view []byte) { failed = setting(c, config, name, view) })
		return errors.Join(err, failed)
	case Secret:
		return setting(c, config, name, &value)
	case time.Duration:
		return setting(c, config, name, value.Seconds())
	}
	if text := reflect.ValueOf(value); text.Kind() == reflect.String {
		return set(c, config, name, text.String())
	}
	return setJSON(c, config, name, value)
}

func setJSON(c *call, config *C.st_config, name string, value any) error {
	encoded, err := json.Marshal(value)
	defer clear(encoded)
	var text string
	switch _, ofBytes := value.([][]byte); {
	case err != nil || ofBytes || bytes.Contains(encoded, []byte(Redacted)):
		return &Error{Status: ErrConfig, Message: name + ": a value of this type cannot be a setting", cause: err}
	case string(encoded) == "null":
		return nil
	case encoded[0] == '"' && json.Unmarshal(encoded, &text) == nil: // the quotes are not part of the text
		return set(c, config, name, text)
	}
	return setting(c, config, name, encoded)
}

func set(c *call, config *C.st_config, name, value string) error {
	key, keyLen := text(name)
	address, size := text(value)
	return c.error(C.st_config_set(config, key, keyLen, address, size, &c.err))
}
