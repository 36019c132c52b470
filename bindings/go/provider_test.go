package stsecrets

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestProviderIsCalledOnceForConcurrentCallers(t *testing.T) {
	var calls atomic.Int64
	secrets := provided(t, func(ctx context.Context, key string) ([]byte, time.Duration, error) {
		calls.Add(1)
		time.Sleep(50 * time.Millisecond)
		return []byte("the value of " + key), DefaultTTL, nil
	})
	var group sync.WaitGroup
	for range 30 {
		group.Add(1)
		go func() {
			defer group.Done()
			secret, err := secrets.Get(background, "A")
			equal(t, valueOf(t, secret, err), "the value of A")
		}()
	}
	group.Wait()
	equal(t, calls.Load(), 1)
}

func TestProviderChoosesTheTTL(t *testing.T) {
	var calls atomic.Int64
	secrets := provided(t, func(context.Context, string) ([]byte, time.Duration, error) {
		calls.Add(1)
		return []byte("x"), 20 * time.Millisecond, nil
	})
	valueOfKey(t, secrets, "A")
	soon(t, "it is called again", func() bool { valueOfKey(t, secrets, "A"); return calls.Load() > 1 })
}

func TestProviderFailures(t *testing.T) {
	for name, each := range map[string]struct {
		get     Load
		status  Status
		message string
	}{
		"a status": {func(context.Context, string) ([]byte, time.Duration, error) { return nil, 0, ErrNotFound }, ErrNotFound, ""},
		"an error of the library": {func(context.Context, string) ([]byte, time.Duration, error) {
			return nil, 0, &Error{Status: ErrAccessDenied, Message: "ask the keeper"}
		}, ErrAccessDenied, "ask the keeper"},
		"an error of its own": {func(context.Context, string) ([]byte, time.Duration, error) {
			return nil, 0, errors.New("the database is away")
		}, ErrCallback, "the database is away"},
		"a bad time to live": {func(context.Context, string) ([]byte, time.Duration, error) { return nil, -time.Hour, nil }, ErrInvalidArgument, ""},
		"a panic":            {func(context.Context, string) ([]byte, time.Duration, error) { panic(hidden) }, ErrCallback, "panicked"},
		"runtime.Goexit": {func(context.Context, string) ([]byte, time.Duration, error) {
			runtime.Goexit()
			return nil, 0, nil
		}, ErrCallback, "ended its goroutine"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := provided(t, each.get).Get(background, "A")
			expect(t, err, each.status)
			if !strings.Contains(err.Error(), each.message) || strings.Contains(err.Error(), hidden) {
				t.Error(err)
			}
		})
	}
}

func TestProviderMayUseItsManager(t *testing.T) {
	t.Setenv("INNER", "the inner value")
	secrets := opened(t, Settings{"providers": []string{"env"}})
	must(t, secrets.AddProvider("mine", Last, func(ctx context.Context, key string) ([]byte, time.Duration, error) {
		if key != "OUTER" {
			return nil, 0, ErrNotFound
		}
		secret, err := secrets.Get(ctx, "INNER")
		if err != nil {
			return nil, 0, err
		}
		defer secret.Close()
		value, err := secret.Bytes()
		return value, DefaultTTL, err
	}))
	equal(t, valueOfKey(t, secrets, "OUTER"), "the inner value")
}

func TestProviderIsReleasedWithItsManager(t *testing.T) {
	for _, name := range []string{"mine", ""} { // the second name is invalid: the function is released at once
		var released atomic.Bool
		func() {
			holder := new([64]byte)
			runtime.AddCleanup(holder, func(int) { released.Store(true) }, 0)
			secrets, err := Open(nil)
			must(t, err)
			err = secrets.AddProvider(name, Last, func(context.Context, string) ([]byte, time.Duration, error) { return holder[:], 0, nil })
			equal(t, err == nil, name != "")
			must(t, secrets.Close())
		}()
		soon(t, "the function was released", func() bool { runtime.GC(); return released.Load() })
	}
}

func TestManagerUnreachableIsFreed(t *testing.T) {
	var released atomic.Bool
	func() {
		holder := new([64]byte)
		runtime.AddCleanup(holder, func(int) { released.Store(true) }, 0)
		secrets, err := Open(nil)
		must(t, err)
		must(t, secrets.AddProvider("mine", Last, func(context.Context, string) ([]byte, time.Duration, error) { return holder[:], 0, nil }))
	}()
	soon(t, "the manager was freed", func() bool { runtime.GC(); return released.Load() })
}

// slow returns a provider that ignores its context.
func slow(t *testing.T, takes time.Duration) *Secrets {
	return provided(t, func(context.Context, string) ([]byte, time.Duration, error) {
		time.Sleep(takes)
		return []byte("late"), DefaultTTL, nil
	})
}

func TestContextDeadlineEndsACall(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var answered atomic.Bool
	secrets := provided(t, func(context.Context, string) ([]byte, time.Duration, error) {
		select {
		case <-release:
		case <-time.After(time.Minute):
		}
		answered.Store(true)
		return []byte("late"), DefaultTTL, nil
	})
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	_, err := secrets.Get(ctx, "A")
	expect(t, err, ErrTimeout)
	expect(t, err, context.DeadlineExceeded)
	equal(t, answered.Load(), false)
	var failure *Error
	equal(t, errors.As(err, &failure) && failure.Timeout() && failure.Retryable, true)
	<-ctx.Done()
	expect(t, secrets.Refresh(ctx), ErrTimeout)
}

func TestContextDeadlineReplacesTheTimeout(t *testing.T) {
	var left atomic.Int64
	secrets := provided(t, func(ctx context.Context, key string) ([]byte, time.Duration, error) {
		deadline, _ := ctx.Deadline()
		left.Store(int64(time.Until(deadline)))
		return nil, 0, ErrNotFound
	})
	ctx, cancel := context.WithTimeout(background, time.Hour)
	defer cancel()
	_, err := secrets.Get(ctx, "A")
	expect(t, err, ErrNotFound)
	if left := time.Duration(left.Load()); left < 50*time.Minute {
		t.Error(left)
	}
}

func TestContextCancellationDetachesTheCall(t *testing.T) {
	release := make(chan struct{})
	var answered atomic.Bool
	ctx, cancel := context.WithCancelCause(background)
	why := errors.New("the job was called off")
	secrets := provided(t, func(context.Context, string) ([]byte, time.Duration, error) {
		cancel(why)
		<-release
		answered.Store(true)
		return []byte("late"), DefaultTTL, nil
	})
	_, err := secrets.Get(ctx, "A")
	expect(t, err, why)
	_, _, err = secrets.GetWith(ctx, "A", 0)
	expect(t, err, why)
	// Closes the manager while the worker is in a call, which finishes normally.
	must(t, secrets.Close())
	close(release)
	soon(t, "the worker got its answer", answered.Load)
}

func TestContextLateResultIsReleased(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	release, dropped := make(chan struct{}), make(chan string, 1)
	_, err := within(ctx, func(float64) (string, error) {
		cancel()
		<-release
		return "a value", nil
	}, func(late string) { dropped <- late })
	expect(t, err, context.Canceled)
	close(release)
	equal(t, <-dropped, "a value")
}

func TestContextCancelledCallsLeaveNothingBehind(t *testing.T) {
	secrets := slow(t, 5*time.Millisecond)
	before := runtime.NumGoroutine()
	for i := range 200 {
		ctx, cancel := context.WithTimeout(background, time.Duration(i%20)*time.Millisecond/2)
		if secret, err := secrets.Get(ctx, "A"); err == nil {
			secret.Close()
		}
		cancel()
		must(t, secrets.ClearCache())
	}
	soon(t, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestSetLogger(t *testing.T) {
	var log lockedBuffer
	must(t, SetLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: LevelTrace})), LevelTrace))
	path := fileWith(t, "[]")
	t.Setenv("A_LOGGED", hidden)
	secrets := opened(t, Settings{"providers": []string{"file", "env"}, "file_path": path})
	equal(t, valueOfKey(t, secrets, "A_LOGGED"), hidden)
	must(t, SetLogger(nil, 0))
	said := log.String()
	if !strings.Contains(said, "level=WARN") || !strings.Contains(said, path) || !strings.Contains(said, "target=") ||
		!strings.Contains(said, " key=A_LOGGED provider=env\n") || !strings.Contains(said, " error=ST_PROTOCOL") {
		t.Error(said)
	}
	if strings.Contains(said, hidden) {
		t.Error("the value is in the log")
	}
	_, err := secrets.GetMany(background, "A_LOGGED")
	must(t, err)
	equal(t, log.String(), said)
}

func TestSetLoggerPanicIsIgnored(t *testing.T) {
	defer SetLogger(nil, 0)
	for _, does := range []func(){func() { panic("the disk is full") }, runtime.Goexit} {
		must(t, SetLogger(slog.New(handlerFunc(does)), slog.LevelDebug))
		secrets := opened(t, Settings{"providers": []string{"file"}, "file_path": fileWith(t, "[]")})
		_, err := secrets.Get(background, "A")
		expect(t, err, ErrProtocol)
	}
}

type handlerFunc func()

func (f handlerFunc) Enabled(context.Context, slog.Level) bool  { return true }
func (f handlerFunc) Handle(context.Context, slog.Record) error { f(); return nil }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f handlerFunc) WithGroup(string) slog.Handler             { return f }

type lockedBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}
