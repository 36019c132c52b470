package stsecrets

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

var background = context.Background()

// opened returns a manager with these settings.
func opened(t testing.TB, settings Settings) *Secrets {
	t.Helper()
	secrets, err := Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { secrets.Close() })
	return secrets
}

// provided returns a manager with this function as its only provider.
func provided(t testing.TB, get Load) *Secrets {
	t.Helper()
	secrets := opened(t, Settings{"providers": []string{}})
	if err := secrets.AddProvider("mine", Last, get); err != nil {
		t.Fatal(err)
	}
	return secrets
}

func newTestCache(t testing.TB, size int) *Cache {
	t.Helper()
	cache, err := NewCache(time.Minute, size, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return cache
}

// fileWith returns a secrets file with this text.
func fileWith(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func valueOf(t testing.TB, secret *Secret, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	value, err := secret.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

func expect(t testing.TB, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Errorf("the error is %v, not %v", err, wanted)
	}
}

func equal[T comparable](t testing.TB, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%v is not %v", got, wanted)
	}
}

// soon waits until a condition holds.
func soon(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came true that ", what)
		}
	}
}

// othersWait waits until this many goroutines wait for the load of another.
func othersWait(t testing.TB, count int) {
	t.Helper()
	soon(t, "they wait", func() bool {
		stacks := make([]byte, (256+count)<<12)
		stacks = stacks[:runtime.Stack(stacks, true)]
		waiting := 0
		for _, stack := range bytes.Split(stacks, []byte("\n\n")) {
			// Not those that have yet to register.
			if bytes.Contains(stack, []byte(" [select")) && bytes.Contains(stack, []byte("(*nativeCache).wait(")) {
				waiting++
			}
		}
		return waiting >= count
	})
}
