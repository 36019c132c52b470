package stsecrets

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
)

const hidden = "hf_never_to_be_seen"

func hiddenSecret(t testing.TB) *Secret {
	t.Helper()
	secrets := opened(t, Settings{"providers": []string{"file"}, "file_path": fileWith(t, `{"HF_TOKEN": "`+hidden+`"}`)})
	secret, err := secrets.Get(background, KeyHFToken)
	must(t.(*testing.T), err)
	t.Cleanup(func() { secret.Close() })
	return secret
}

func TestSecretIsRedacted(t *testing.T) {
	secret := hiddenSecret(t)
	within := struct {
		Pointer *Secret
		Value   Secret
		Any     any
	}{secret, *secret, secret}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%10.3v", "%08b"} {
		for _, value := range []any{secret, *secret, within, &within, []*Secret{secret}, map[string]Secret{"a": *secret}} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
	}
	shown = append(shown, fmt.Sprint(secret), secret.String(), secret.GoString())
	for _, value := range []any{secret, *secret, within} {
		text, err := json.Marshal(value)
		must(t, err)
		shown = append(shown, string(text))
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Info("found", "secret", value, slog.Group("group", "secret", value))
		}
		shown = append(shown, log.String())
	}
	text, err := xml.Marshal(secret)
	must(t, err)
	shown = append(shown, string(text))
	var encoded bytes.Buffer
	_ = gob.NewEncoder(&encoded).Encode(secret) // fails
	shown = append(shown, encoded.String(), fmt.Sprint(reachable(reflect.ValueOf(secret), 0)))
	for _, text := range shown {
		for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprint([]byte(hidden))} {
			if strings.Contains(text, form) {
				t.Errorf("the value is in %s", text)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%08b", "%c"} {
		equal(t, fmt.Sprintf(verb, secret), Redacted)
		equal(t, fmt.Sprintf(verb, *secret), Redacted)
	}
}

// reachable returns everything that following all pointers of a value finds, as debug printers do.
func reachable(value reflect.Value, depth int) string {
	if !value.IsValid() || depth > 20 {
		return ""
	}
	text := fmt.Sprintf("%s ", value.Type())
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		return text + reachable(value.Elem(), depth+1)
	case reflect.Struct:
		for i := range value.NumField() {
			text += reachable(value.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range value.Len() {
			text += reachable(value.Index(i), depth+1)
		}
	case reflect.Uint8:
		text += string(rune(value.Uint()))
	case reflect.String:
		text += value.String()
	}
	return text
}

func TestSecretUseAndBytes(t *testing.T) {
	secret := hiddenSecret(t)
	must(t, secret.Use(func(value []byte) { equal(t, string(value), hidden) }))
	copied, err := secret.Bytes()
	must(t, err)
	copied[0] = 'X'
	must(t, secret.Use(func(value []byte) { equal(t, string(value), hidden) }))
	equal(t, secret.Len(), len(hidden))
}

func TestSecretClosedFails(t *testing.T) {
	secret := hiddenSecret(t)
	must(t, secret.Close())
	must(t, secret.Close())
	_, err := secret.Bytes()
	expect(t, err, ErrClosed)
	expect(t, secret.Use(func([]byte) { t.Error("the function was called") }), ErrClosed)
	for _, none := range []*Secret{nil, {}} {
		must(t, none.Close())
		expect(t, none.Use(nil), ErrClosed)
		equal(t, none.Len(), 0)
	}
}

func TestSecretCloseDuringUse(t *testing.T) {
	for range 200 {
		secret := hiddenSecret(t)
		var group sync.WaitGroup
		for range 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				for secret.Use(func(value []byte) { equal(t, string(value), hidden) }) == nil {
				}
			}()
		}
		must(t, secret.Use(func(value []byte) {
			must(t, secret.Close())
			equal(t, string(value), hidden)
		}))
		group.Wait()
	}
}
