package stsecrets

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Makes each call 100 000 times and checks that memory does not grow. A leak grows in every round; pools, arenas and
// thread stacks only in some.
func TestMemoryStaysConstantOverManyCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	secrets := opened(t, Settings{"providers": []string{"file"}, "file_path": fileWith(t, `{"A": "`+hidden+`"}`)})
	custom := provided(t, load(object{"value": "x"}, new(bool)))
	cache := newTestCache(t, 100)
	cipher, err := OpenCipher(Settings{"key": "a key"})
	must(t, err)
	defer cipher.Close()
	token, err := cipher.Encrypt([]byte(hidden))
	must(t, err)
	cached := newCachedUsers(t, CachedOptions{MaxSize: 50}, func(_ context.Context, id int) (*user, error) { return &user{ID: id}, nil })
	store, _, _ := newTestStore(t)
	must(t, store.SaveProviderConfig(background, "replicate", []byte(`{"a": 1}`)))
	ctx, cancel := context.WithTimeout(background, time.Hour)
	defer cancel()
	buffer := make([]byte, 1000)
	failing := errors.New("a failure")

	calls := map[string]func(i int) error{
		"Get":            func(int) error { return closed(secrets.Get(background, "A")) },
		"Get, in time":   func(int) error { return closed(secrets.Get(ctx, "A")) },
		"Get, forgotten": func(int) error { _, err := secrets.Get(background, "A"); return err },
		"Get, nothing":   func(int) error { return wanted(ErrNotFound, closed(secrets.Get(background, "B"))) },
		"GetWith":        func(int) error { secret, _, err := secrets.GetWith(ctx, "A", CachedOnly); return closed(secret, err) },
		"GetInto":        func(int) error { _, err := secrets.GetInto("A", buffer); return err },
		"GetMany": func(int) error {
			found, err := secrets.GetMany(background, "A", "B")
			found[0].Secret.Close()
			return err
		},
		"a provider": func(int) error { return errors.Join(custom.ClearCache(), closed(custom.Get(background, "A"))) },
		"Describe":   func(int) error { _, err := secrets.Describe(); return err },
		"Open": func(int) error {
			secrets, err := Open(Settings{"providers": []string{"env"}})
			return errors.Join(err, secrets.Close())
		},
		"NewCache": func(int) error {
			cache, err := NewCache(time.Minute, 100, time.Minute)
			return errors.Join(err, cache.Close())
		},
		"Set":        func(i int) error { return cache.Set(strconv.Itoa(i), buffer[:50], DefaultTTL) },
		"cache, Get": func(i int) error { _, err := cache.Get(strconv.Itoa(i)); return wanted(ErrNotFound, err) },
		"GetSecret":  func(i int) error { return wanted(ErrNotFound, closed(cache.GetSecret(strconv.Itoa(i)))) },
		"GetOrLoad": func(i int) error {
			_, err := cache.GetOrLoad(ctx, strconv.Itoa(i), load(object{"value": "x"}, new(bool)))
			return err
		},
		"a load that fails": func(i int) error {
			_, err := cache.GetOrLoad(ctx, "f", func(context.Context, string) ([]byte, time.Duration, error) { return nil, 0, failing })
			return wanted(failing, err)
		},
		"Cached": func(i int) error { _, err := cached.Get(background, i); return err },
		"NewCached": func(int) error {
			cached, err := NewCached(func(context.Context, int) (int, error) { return 1, nil }, CachedOptions{MaxSize: 10})
			_, failed := cached.Get(background, 1)
			return errors.Join(err, failed, cached.Close())
		},
		"OpenCipher": func(int) error {
			cipher, err := OpenCipher(Settings{"key": hidden, "generate": false})
			return errors.Join(err, cipher.Close())
		},
		"OpenStore": func(int) error {
			store, err := OpenStore(Settings{"state_dir": "/nowhere"})
			return errors.Join(err, store.Close())
		},
		"ProviderConfig": func(int) error { _, err := store.ProviderConfig(background, "replicate"); return err },
		"Encrypt":        func(int) error { _, err := cipher.Encrypt(buffer[:50]); return err },
		"Decrypt":        func(int) error { return closed(cipher.Decrypt(token)) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			round := func() int {
				for i := range 100_000 {
					if err := call(i); err != nil {
						t.Fatal(err)
					}
				}
				debug.FreeOSMemory()
				time.Sleep(10 * time.Millisecond) // for finalizers and cleanups
				debug.FreeOSMemory()
				return resident(t)
			}
			const most = 2 << 20
			grown := 0
			for before, rounds := round(), 0; rounds < 8; rounds++ {
				after := round()
				if grown = after - before; grown <= most {
					return
				}
				before = after
			}
			t.Errorf("%d KiB more in each of 8 rounds", grown>>10)
		})
	}
	runtime.KeepAlive(buffer)
}

func closed(secret *Secret, err error) error {
	if err != nil {
		return err
	}
	return secret.Close()
}

// wanted returns nil if the error is nil or of this status.
func wanted(status, err error) error {
	if errors.Is(err, status) {
		return nil
	}
	return err
}

// resident returns the resident memory of the process, in bytes.
func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	must(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	must(t, err)
	return pages * os.Getpagesize()
}
