package stsecrets

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
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

func TestInvalidateClusterNamesTheHosts(t *testing.T) {
	_, err := opened(t, nil).InvalidateCluster(background, "A", time.Second)
	expect(t, err, ErrConfig)
	directory, err := os.MkdirTemp("/dev/shm", "st-secrets-test-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(directory)) })
	socket := filepath.Join(directory, "redis.sock")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", directory)
	must(t, server.Start())
	t.Cleanup(func() { must(t, server.Process.Kill()); _ = server.Wait() })
	for _, err := os.Stat(socket); err != nil; _, err = os.Stat(socket) {
		time.Sleep(10 * time.Millisecond)
	}
	host := func(name string) *Secrets {
		return opened(t, Settings{
			"share": "host", "share_dir": filepath.Join(directory, name), "share_url": "unix://" + socket,
			"share_key": base64.StdEncoding.EncodeToString(make([]byte, 32)),
		})
	}
	one, other := host("one"), host("other")
	listening, stop := context.WithCancel(background)
	ends := make(chan error)
	go func() {
		for {
			now, err := other.Generation()
			if err == nil {
				_, err = other.Listen(listening, now)
			}
			if err != nil {
				ends <- err
				return
			}
		}
	}()
	// The other host is known when it has looked at the tier. A busy machine may miss the time of an exchange.
	invalidated := func(timeout time.Duration, confirmed int) ClusterConfirmation {
		for {
			report, err := one.InvalidateCluster(background, "A", timeout)
			if err == nil && len(report.Confirmed) == confirmed {
				return report
			}
		}
	}
	all := invalidated(time.Minute, 2)
	equal(t, len(all.Silent), 0)
	equal(t, all.Complete, true)
	stop()
	expect(t, <-ends, context.Canceled)
	// It makes no call.
	some := invalidated(500*time.Millisecond, 1)
	equal(t, len(some.Silent), 1)
	equal(t, some.Silent[0] == all.Confirmed[0] || some.Silent[0] == all.Confirmed[1], true)
}
