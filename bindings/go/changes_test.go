package stsecrets

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestListenReturnsWhenAFileChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.json")
	must(t, os.WriteFile(path, []byte("{}"), 0o600))
	secrets := opened(t, Settings{"file_path": path})
	before, err := secrets.Generation()
	must(t, err)
	must(t, secrets.Set(background, "A", []byte("1")))
	after, err := secrets.Listen(background, before)
	must(t, err)
	if after <= before {
		t.Error(before, after)
	}
	ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
	defer cancel()
	_, err = secrets.Listen(ctx, after)
	expect(t, err, context.DeadlineExceeded)
}

func TestListenEndsWithItsContextAndItsManager(t *testing.T) {
	secrets := opened(t, Settings{"file_path": filepath.Join(t.TempDir(), "secrets.json")})
	generation, err := secrets.Generation()
	must(t, err)
	cancelled, cancel := context.WithCancel(background)
	ends := make(chan error, 2)
	for _, ctx := range []context.Context{cancelled, background} {
		go func() {
			_, err := secrets.Listen(ctx, generation)
			ends <- err
		}()
	}
	cancel()
	expect(t, <-ends, context.Canceled)
	must(t, secrets.Close())
	expect(t, <-ends, ErrClosed)
}

func TestInvalidateNamesTheProcessesOfTheHost(t *testing.T) {
	_, err := opened(t, nil).Invalidate(background, "A", time.Second)
	expect(t, err, ErrConfig)
	directory, err := os.MkdirTemp("/dev/shm", "st-secrets-test-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(directory)) })
	secrets := opened(t, Settings{"share": "host", "share_dir": directory})
	for _, key := range []string{"A", ""} {
		confirmation, err := secrets.Invalidate(background, key, Forever)
		must(t, err)
		equal(t, len(confirmation.Confirmed), 1)
		equal(t, confirmation.Confirmed[0], os.Getpid())
		equal(t, len(confirmation.Silent), 0)
		equal(t, confirmation.Complete, true)
	}
	_, err = closedManager(t).Generation()
	expect(t, err, ErrClosed)
}
