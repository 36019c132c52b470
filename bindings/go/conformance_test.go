package stsecrets

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const vectors = "../../tests/vectors/"

type object = map[string]any

// world is the state of a case: its directory and open handles.
type world struct {
	t         *testing.T
	directory string
	secrets   *Secrets
	cache     *Cache
	cipher    *Cipher
	store     *Store
	// settings are those of the manager.
	settings Settings
	// requests is the number of requests that AWS had logged at the last step that counts them.
	requests int
}

// servers returns the variables of tests/python/conformance_servers.py.
func servers() map[string]string {
	found := map[string]string{}
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CONFORMANCE_") {
			found[strings.TrimPrefix(name, "CONFORMANCE_")] = value
		}
	}
	return found
}

func TestConformanceTable(t *testing.T) {
	var table struct {
		Cases []struct {
			Name    string
			Env     map[string]string
			Files   map[string]object
			Servers bool
			Open    object
			Steps   []object
		}
	}
	read(t, "conformance.json", &table)
	if len(table.Cases) == 0 {
		t.Fatal("there is no case")
	}
	for _, each := range table.Cases {
		t.Run(each.Name, func(t *testing.T) {
			if each.Servers && len(servers()) == 0 {
				t.Skip("tests/python/conformance_servers.py starts the servers of this case")
			}
			w := &world{t: t, directory: t.TempDir()}
			home := filepath.Join(w.directory, "home")
			must(t, os.Mkdir(home, 0o700))
			t.Setenv("HOME", home)
			for name, value := range each.Env {
				t.Setenv(name, w.place(value).(string))
			}
			for name, file := range each.Files {
				w.write(name, file)
			}
			must(t, Reset(nil))
			expected, _ := each.Open["expect"].(object)
			delete(each.Open, "expect")
			w.check("open", outcome(nil, w.open(each.Open)), expected)
			defer w.close()
			for number, step := range each.Steps {
				expected, _ := step["expect"].(object)
				w.check(fmt.Sprintf("step %d, %s", number+1, step["do"]), outcome(w.do(step)), expected)
			}
		})
	}
}

func read(t *testing.T, name string, into any) {
	text, err := os.ReadFile(vectors + name)
	must(t, err)
	must(t, json.Unmarshal(text, into))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) open(settings object) (err error) {
	for kind, wanted := range settings {
		settings := Settings{}
		for name, value := range wanted.(object) {
			settings[name] = w.place(value)
		}
		switch kind {
		case "secrets":
			w.settings = settings
			w.secrets, err = Open(settings)
		case "cipher":
			w.cipher, err = OpenCipher(settings)
		case "store":
			w.store, err = OpenStore(settings)
		case "cache":
			w.cache, err = NewCache(ttl(settings["default_ttl"]), int(settings["max_size"].(float64)), timeOf(settings["cleanup_interval"]))
		}
	}
	return err
}

func (w *world) close() {
	if w.secrets != nil {
		w.secrets.Close()
	}
	if w.cache != nil {
		w.cache.Close()
	}
	if w.cipher != nil {
		w.cipher.Close()
	}
	if w.store != nil {
		w.store.Close()
	}
}

// place inserts the directory of the case.
func (w *world) place(value any) any {
	if text, ok := value.(string); ok {
		names := servers()
		names["DIR"], names["HOME"] = w.directory, filepath.Join(w.directory, "home")
		for name, value := range names {
			if rest, ok := strings.CutPrefix(text, "$"+name); ok {
				return value + rest
			}
		}
	}
	return value
}

func (w *world) path(name any) string {
	if placed := w.place(name).(string); filepath.IsAbs(placed) {
		return placed
	}
	return filepath.Join(w.directory, name.(string))
}

func (w *world) write(name any, file object) {
	path := w.path(name)
	mode, err := strconv.ParseUint(file["mode"].(string), 8, 32)
	must(w.t, err)
	must(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(w.t, os.WriteFile(path, []byte(file["text"].(string)), 0o600))
	must(w.t, os.Chmod(path, os.FileMode(mode)))
}

func ttl(value any) time.Duration {
	if value == 0.0 {
		return NoTTL
	}
	return timeOf(value)
}

func timeOf(value any) time.Duration {
	switch value := value.(type) {
	case float64:
		return time.Duration(value * float64(time.Second))
	case string:
		return Forever
	}
	return DefaultTTL
}

// outcome returns the result with status and source.
func outcome(answer object, err error) object {
	if answer == nil {
		answer = object{}
	}
	var status Status
	var failure *Error
	switch {
	case errors.As(err, &failure):
		return object{"status": failure.Status.String(), "source": float64(failure.Source)}
	case errors.As(err, &status):
		return object{"status": status.String()}
	case err != nil:
		return object{"status": err.Error()}
	}
	answer["status"] = "ST_OK"
	return answer
}

// check compares the answer with the expected one, as JSON.
func (w *world) check(what string, answer, expected object) {
	w.t.Helper()
	wanted := object{"status": "ST_OK"}
	for name, value := range expected {
		wanted[name] = w.place(value)
	}
	if text, ok := wanted["hex"]; ok {
		value, err := hex.DecodeString(text.(string))
		must(w.t, err)
		delete(wanted, "hex")
		wanted["value"] = string(value)
	}
	for name, value := range wanted {
		if got, want := encoded(answer[name]), encoded(value); got != want {
			w.t.Errorf("%s: %s is %s, not %s (%v)", what, name, got, want, answer)
		}
	}
}

func encoded(value any) string {
	if text, ok := value.(string); ok {
		return strconv.Quote(text)
	}
	text, _ := json.Marshal(value)
	return string(text)
}

// load returns a loader that answers as the table specifies.
func load(answer object, called *bool) Load {
	return func(context.Context, string) ([]byte, time.Duration, error) {
		*called = true
		if name, ok := answer["status"]; ok {
			return nil, 0, statusNamed(name)
		}
		value, ok := answer["value"].(string)
		if !ok {
			return nil, 0, ErrNotFound
		}
		return []byte(value), DefaultTTL, nil
	}
}

func statusNamed(name any) error {
	for status := Status(0); status > -100; status-- {
		if status.String() == name {
			return status
		}
	}
	panic(name)
}

func TestFunctionKeyVectors(t *testing.T) {
	var table struct {
		Vectors []struct {
			Prefix, Function, Key string
			Args                  []any
			Named                 object
		}
	}
	text, err := os.ReadFile(vectors + "function_keys.json")
	must(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	must(t, decoder.Decode(&table))
	for _, vector := range table.Vectors {
		args := slices.Clone(vector.Args)
		for i := range args {
			args[i] = argument(args[i])
		}
		named := object{}
		for name, value := range vector.Named {
			named[name] = argument(value)
		}
		key, err := FunctionKey(vector.Prefix, vector.Function, args, named)
		if err != nil || key != vector.Key {
			t.Errorf("%s: the key is %s (%v)", vector.Key, key, err)
		}
	}
	if len(table.Vectors) == 0 {
		t.Error("there are no vectors")
	}
}

// argument decodes an argument of the table of keys.
func argument(value any) any {
	switch value := value.(type) {
	case json.Number:
		number, ok := new(big.Int).SetString(value.String(), 10)
		if !ok {
			panic(value)
		}
		return number
	case []any:
		items := slices.Clone(value)
		for i := range items {
			items[i] = argument(items[i])
		}
		return items
	case object:
		if items, ok := value["map"].(object); ok {
			mapped := object{}
			for name, item := range items {
				mapped[name] = argument(item)
			}
			return mapped
		}
		if text, ok := value["bytes"].(string); ok {
			bytes, _ := hex.DecodeString(text)
			return bytes
		}
		if text := fmt.Sprint(value["float"]); text != "" {
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return math.NaN()
			}
			return number
		}
	}
	return value
}
