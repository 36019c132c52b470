package stsecrets

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCacheHitDoesNotAllocate(t *testing.T) {
	cache := newTestCache(t, 10)
	must(t, cache.Set("a", []byte("12345"), DefaultTTL))
	buffer := make([]byte, 64)
	for name, call := range map[string]func(){
		"hit":       func() { _, _ = cache.GetInto("a", buffer) },
		"miss":      func() { _, _ = cache.GetInto("b", buffer) },
		"too small": func() { _, _ = cache.GetInto("a", nil) },
		"set":       func() { _ = cache.Set("a", buffer[:5], DefaultTTL) },
	} {
		if allocations := testing.AllocsPerRun(1000, call); allocations >= 1 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}

func TestCacheReadsInThreeWays(t *testing.T) {
	cache := newTestCache(t, 10)
	large := strings.Repeat("x", 100_000)
	for _, value := range []string{"", "small", large, "a\x00b\xff"} {
		must(t, cache.Set("key\x00\xff", []byte(value), Forever))
		got, err := cache.Get("key\x00\xff")
		must(t, err)
		equal(t, string(got), value)
		buffer := make([]byte, 200_000)
		n, err := cache.GetInto("key\x00\xff", buffer)
		must(t, err)
		equal(t, string(buffer[:n]), value)
		secret, err := cache.GetSecret("key\x00\xff")
		equal(t, valueOf(t, secret, err), value)
	}
	n, err := cache.GetInto("key\x00\xff", make([]byte, 3))
	expect(t, err, ErrBufferTooSmall)
	equal(t, n, 4)
	_, err = cache.GetSecret("b")
	expect(t, err, ErrNotFound)
	equal(t, err.Error(), "stsecrets: not found (ST_NOT_FOUND)")
	_, err = cache.Get("b")
	equal(t, err.Error(), "not found (ST_NOT_FOUND)")
}

func TestTimeToLiveOfZeroIsTheDefault(t *testing.T) {
	cache, err := NewCache(0, 10, time.Minute)
	must(t, err)
	defer cache.Close()
	stats, err := cache.Stats()
	must(t, err)
	equal(t, stats.DefaultTTL, 5*time.Minute)
	must(t, cache.Set("a", []byte("x"), 0))
	value, err := cache.Get("a")
	must(t, err)
	equal(t, string(value), "x")
	must(t, cache.Set("a", []byte("x"), NoTTL))
	_, err = cache.Get("a")
	expect(t, err, ErrNotFound)
	loads := 0
	for range 3 {
		_, err = cache.GetOrLoad(background, "b", func(context.Context, string) ([]byte, time.Duration, error) {
			loads++
			return []byte("y"), 0, nil
		})
		must(t, err)
	}
	equal(t, loads, 1)
	expect(t, cache.Set("a", nil, -2), ErrInvalidArgument)
}

func TestSecretOutlivesItsCache(t *testing.T) {
	cache := newTestCache(t, 10)
	must(t, cache.Set("a", []byte(hidden), DefaultTTL))
	secret, err := cache.GetSecret("a")
	must(t, err)
	must(t, cache.Close())
	runtime.GC()
	equal(t, valueOf(t, secret, nil), hidden)
}

func TestCacheClosedFailsEveryCall(t *testing.T) {
	cache := newTestCache(t, 10)
	must(t, cache.Close())
	must(t, cache.Close())
	for name, call := range map[string]func() error{
		"Get":              func() error { _, err := cache.Get("a"); return err },
		"GetInto":          func() error { _, err := cache.GetInto("a", nil); return err },
		"GetSecret":        func() error { _, err := cache.GetSecret("a"); return err },
		"Set":              func() error { return cache.Set("a", nil, DefaultTTL) },
		"Delete":           func() error { _, err := cache.Delete("a"); return err },
		"Clear":            func() error { _, err := cache.Clear(); return err },
		"InvalidatePrefix": func() error { _, err := cache.InvalidatePrefix("a"); return err },
		"Stats":            func() error { _, err := cache.Stats(); return err },
		"GetOrLoad":        func() error { _, err := cache.GetOrLoad(background, "a", nil); return err },
	} {
		t.Run(name, func(t *testing.T) { expect(t, call(), ErrClosed) })
	}
}

func TestCacheBuiltInsAreNeverClosed(t *testing.T) {
	for _, cache := range []*Cache{ProviderConfigCache(), UserPermissionCache()} {
		must(t, cache.Close())
		must(t, cache.Set("go:a", []byte("x"), DefaultTTL))
		existed, err := cache.Delete("go:a")
		equal(t, existed && err == nil, true)
	}
}

func TestCacheCloseDuringCalls(t *testing.T) {
	for range 100 {
		cache := newTestCache(t, 10)
		must(t, cache.Set("a", []byte(hidden), DefaultTTL))
		var group sync.WaitGroup
		for range 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				buffer := make([]byte, 64)
				for {
					if _, err := cache.GetInto("a", buffer); err != nil && err != ErrNotFound {
						equal(t, err, ErrClosed)
						return
					}
				}
			}()
		}
		must(t, cache.Close())
		runtime.GC()
		group.Wait()
	}
}

func TestGetOrLoadConcurrentCallersShareOneLoad(t *testing.T) {
	cache := newTestCache(t, 10)
	var loads atomic.Int64
	var group sync.WaitGroup
	for i := range 60 {
		ctx := background
		if i%2 == 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Minute)
			defer cancel()
		}
		group.Add(1)
		go func() {
			defer group.Done()
			value, err := cache.GetOrLoad(ctx, "a", func(_ context.Context, key string) ([]byte, time.Duration, error) {
				loads.Add(1)
				time.Sleep(30 * time.Millisecond)
				return []byte("loaded " + key), DefaultTTL, nil
			})
			must(t, err)
			equal(t, string(value), "loaded a")
		}()
	}
	group.Wait()
	equal(t, loads.Load(), 1)
}

func TestGetOrLoadFailureReachesAllWaitersAndIsNotStored(t *testing.T) {
	cache := newTestCache(t, 10)
	cause := errors.New("the database is away")
	begun, release := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		_, err := cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
			close(begun)
			<-release
			return nil, 0, cause
		})
		first <- err
	}()
	<-begun
	second := make(chan error)
	go func() {
		_, err := cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
			return nil, 0, errors.New("this one is not called")
		})
		second <- err
	}()
	othersWait(t, 1)
	close(release)
	equal(t, <-first, cause)
	err := <-second
	expect(t, err, ErrCallback)
	if !strings.Contains(err.Error(), "away") {
		t.Error(err)
	}
	value, err := cache.GetOrLoad(background, "a", load(object{"value": "now"}, new(bool)))
	must(t, err)
	equal(t, string(value), "now")
}

func TestCachesShareValuesThroughATier(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	_, port, _ := net.SplitHostPort(address)
	server := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir())
	must(t, server.Start())
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	soon(t, "Redis listens", func() bool {
		connection, err := net.Dial("tcp", address)
		return err == nil && connection.Close() == nil
	})
	open := func() *Cache {
		key := base64.StdEncoding.EncodeToString(make([]byte, 32))
		cache, err := OpenCache(Settings{"tier": "redis://" + address, "share_key": key, "tier_interval": 0.01})
		must(t, err)
		return cache
	}
	one, other := open(), open()
	defer one.Close()
	defer other.Close()
	must(t, one.Set("a", []byte("first"), DefaultTTL))
	value, err := other.Get("a")
	must(t, err)
	equal(t, string(value), "first")
	must(t, one.Set("a", []byte("second"), DefaultTTL))
	soon(t, "the change arrives", func() bool {
		value, err := other.Get("a")
		return err == nil && string(value) == "second"
	})
}

func TestGetOrLoadPrefersStaleValueToFailure(t *testing.T) {
	cache, err := OpenCache(Settings{"soft_ttl": 0.01, "absent_ttl": time.Minute, "ttl_jitter": 0.5, "max_size": 10})
	must(t, err)
	defer cache.Close()
	must(t, cache.Set("a", []byte("old"), DefaultTTL))
	must(t, cache.Set("empty", nil, DefaultTTL))
	time.Sleep(20 * time.Millisecond)
	loads := 0
	fails := func(context.Context, string) ([]byte, time.Duration, error) {
		loads++
		return nil, 0, errors.New("the database is away")
	}
	for key, old := range map[string]string{"a": "old", "empty": ""} {
		value, err := cache.GetOrLoad(background, key, fails)
		must(t, err)
		equal(t, string(value), old)
	}
	equal(t, loads, 2)
	// After a second the next caller reloads it.
	for value := "old"; value == "old"; time.Sleep(10 * time.Millisecond) {
		loaded, err := cache.GetOrLoad(background, "a", load(object{"value": "new"}, new(bool)))
		must(t, err)
		value = string(loaded)
	}

	none := func(context.Context, string) ([]byte, time.Duration, error) {
		loads++
		return nil, 0, ErrNotFound
	}
	for range 2 {
		_, err = cache.GetOrLoad(background, "nowhere", none)
		expect(t, err, ErrNotFound)
	}
	equal(t, loads, 3)
	_, err = OpenCache(Settings{"ttl_jitter": 2})
	expect(t, err, ErrConfig)
}

func TestGetOrLoadReturnsDenialsInsteadOfTheStaleValue(t *testing.T) {
	for _, denial := range []error{
		ErrNotFound, ErrAccessDenied, &Error{Status: ErrNotFound}, fmt.Errorf("user 1: %w", ErrAccessDenied),
	} {
		cache, err := OpenCache(Settings{"soft_ttl": 0.01})
		must(t, err)
		defer cache.Close()
		must(t, cache.Set("a", []byte("old"), DefaultTTL))
		denied := false
		soon(t, "the value is reloaded", func() bool {
			var value []byte
			value, err = cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
				denied = true
				return nil, 0, denial
			})
			equal(t, string(value) == "old", !denied)
			return denied
		})
		equal(t, errors.Is(err, denial), true)
		_, err = cache.Get("a")
		expect(t, err, ErrNotFound)
	}
}

func TestGetOrLoadNextCallerLoadsAfterCancellation(t *testing.T) {
	cache := newTestCache(t, 10)
	ctx, cancel := context.WithCancel(background)
	begun := make(chan struct{})
	go func() {
		_, err := cache.GetOrLoad(ctx, "a", func(ctx context.Context, _ string) ([]byte, time.Duration, error) {
			close(begun)
			<-ctx.Done()
			return nil, 0, ctx.Err()
		})
		expect(t, err, context.Canceled)
	}()
	<-begun
	go func() {
		defer cancel()
		othersWait(t, 1)
	}()
	value, err := cache.GetOrLoad(background, "a", load(object{"value": "the next one's"}, new(bool)))
	must(t, err)
	equal(t, string(value), "the next one's")
}

func TestGetOrLoadWaitersHaveTheirOwnDeadline(t *testing.T) {
	cache := newTestCache(t, 10)
	begun, release := make(chan struct{}), make(chan struct{})
	go cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
		close(begun)
		<-release
		return []byte("late"), DefaultTTL, nil
	})
	<-begun
	limited, cancel := context.WithTimeout(background, 30*time.Millisecond)
	defer cancel()
	_, err := cache.GetOrLoad(limited, "a", nil)
	expect(t, err, context.DeadlineExceeded)
	cancelled, stop := context.WithCancel(background)
	time.AfterFunc(30*time.Millisecond, stop)
	_, err = cache.GetOrLoad(cancelled, "a", nil)
	expect(t, err, context.Canceled)
	close(release)
	soon(t, "the value is there", func() bool { value, _ := cache.Get("a"); return string(value) == "late" })
}

func TestGetOrLoadOfItsOwnKeyIsBusy(t *testing.T) {
	cache := newTestCache(t, 10)
	type value struct{}
	_, err := cache.GetOrLoad(background, "a", func(ctx context.Context, _ string) ([]byte, time.Duration, error) {
		got, err := cache.GetOrLoad(ctx, "b", func(ctx context.Context, _ string) ([]byte, time.Duration, error) {
			got, err := cache.GetOrLoad(context.WithValue(ctx, value{}, 1), "a", nil)
			return got, DefaultTTL, err
		})
		return got, DefaultTTL, err
	})
	expect(t, err, ErrBusy)
	got, err := cache.GetOrLoad(background, "a", load(object{"value": "x"}, new(bool)))
	must(t, err)
	equal(t, string(got), "x")
}

func TestGetOrLoadPanicReleasesTheLease(t *testing.T) {
	cache := newTestCache(t, 10)
	for name, does := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
		ended := make(chan any)
		go func() {
			defer func() { ended <- recover() }()
			_, _ = cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
				does()
				return nil, 0, nil
			})
		}()
		equal(t, <-ended != nil, name == "panic")
		value, err := cache.GetOrLoad(background, "a", load(object{"value": "x"}, new(bool)))
		must(t, err)
		equal(t, string(value), "x")
		_, err = cache.Delete("a")
		must(t, err)
	}
}

func TestGetOrLoadKeyDeletedDuringLoadIsNotStored(t *testing.T) {
	cache := newTestCache(t, 10)
	value, err := cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
		_, err := cache.Delete("a")
		return []byte("old"), DefaultTTL, err
	})
	must(t, err)
	equal(t, string(value), "old")
	_, err = cache.Get("a")
	expect(t, err, ErrNotFound)
}
