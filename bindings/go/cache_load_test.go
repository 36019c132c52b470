package stsecrets

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Every kind of failed load releases the lease.
func TestLoadFailureOfAnyKindReleasesTheLease(t *testing.T) {
	for name, failure := range map[string]error{
		"not UTF-8":            errors.New("cannot read \xff"),
		"an unknown status":    Status(-1000),
		"no failure at all":    Status(5),
		"an error without one": &Error{},
		"a nil pointer":        (*Error)(nil),
		"one that panics":      panicking{},
	} {
		t.Run(name, func(t *testing.T) {
			cache := newTestCache(t, 10)
			_, err := cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) { return nil, 0, failure })
			if err == nil {
				t.Error("there is no error")
			}
			ctx, cancel := context.WithTimeout(background, time.Minute)
			defer cancel()
			value, err := cache.GetOrLoad(ctx, "a", load(object{"value": "x"}, new(bool)))
			must(t, err)
			equal(t, string(value), "x")

			_, err = provided(t, func(context.Context, string) ([]byte, time.Duration, error) { return nil, 0, failure }).Get(background, "A")
			if err == nil {
				t.Error("there is no error of a provider")
			}
		})
	}
}

type panicking struct{}

func (panicking) Error() string   { panic(hidden) }
func (panicking) Is(_ error) bool { panic(hidden) }

// heldByOthers begins a load outside of this binding, as C code would.
func heldByOthers(t *testing.T, cache *Cache, key string) lease {
	t.Helper()
	given, err := cache.owned.Load().lease(key)
	must(t, err)
	return given
}

// overdue is a context between its deadline and its being done.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestLoadWithNoTimeLeftDoesNotLoadTwice(t *testing.T) {
	cache := newTestCache(t, 10)
	held := heldByOthers(t, cache, "a")
	_, err := cache.GetOrLoad(overdue{background}, "a", func(context.Context, string) ([]byte, time.Duration, error) {
		t.Error("the function was called")
		return nil, 0, nil
	})
	expect(t, err, ErrTimeout)
	expect(t, err, context.DeadlineExceeded)
	must(t, held.finish([]byte("x"), DefaultTTL))
}

func TestLoadWaitsForLoadOutsideOfGo(t *testing.T) {
	cache := newTestCache(t, 10)
	held := heldByOthers(t, cache, "a")
	cancelled, cancel := context.WithCancel(background)
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := cache.GetOrLoad(cancelled, "a", nil)
	expect(t, err, context.Canceled)
	time.AfterFunc(20*time.Millisecond, func() { must(t, held.finish([]byte("x"), DefaultTTL)) })
	value, err := cache.GetOrLoad(background, "a", nil)
	must(t, err)
	equal(t, string(value), "x")
}

func TestLoadWaitersOccupyNoThread(t *testing.T) {
	const many = 2000
	release := make(chan struct{})
	cache := newTestCache(t, 10)
	users := newCachedUsers(t, CachedOptions{}, func(_ context.Context, id int) (*user, error) {
		<-release
		return &user{ID: id}, nil
	})
	var group sync.WaitGroup
	for range many {
		group.Add(2)
		go func() {
			defer group.Done()
			value, err := cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
				<-release
				return []byte("x"), DefaultTTL, nil
			})
			must(t, err)
			equal(t, string(value), "x")
			value[0] = 'y' // each caller has its own copy
		}()
		go func() {
			defer group.Done()
			found, err := users.Get(background, 1)
			must(t, err)
			equal(t, found.ID, 1)
		}()
	}
	// All but the two loading goroutines wait in Go, without a thread.
	othersWait(t, 2*many-2)
	close(release)
	group.Wait()
}

func TestLoadWaitersGetAValueThatIsNotStored(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	var users *Cached[int, *user]
	users = newCachedUsers(t, CachedOptions{}, func(_ context.Context, id int) (*user, error) {
		calls.Add(1)
		close(begun)
		<-release
		_, err := users.Delete(id)
		return &user{ID: id}, err
	})
	var group sync.WaitGroup
	get := func() {
		defer group.Done()
		found, err := users.Get(background, 7)
		must(t, err)
		equal(t, found.ID, 7)
	}
	group.Add(6)
	go get()
	<-begun
	for range 5 {
		go get()
	}
	othersWait(t, 5)
	close(release)
	group.Wait()
	equal(t, calls.Load(), 1)
	stats, err := users.Stats()
	must(t, err)
	equal(t, stats.Entries, 0)
}

func TestLoadWaitersGetStatusAndMessage(t *testing.T) {
	cache := newTestCache(t, 10)
	begun, release := make(chan struct{}), make(chan struct{})
	go cache.GetOrLoad(background, "a", func(context.Context, string) ([]byte, time.Duration, error) {
		close(begun)
		<-release
		return nil, 0, &Error{Status: ErrAccessDenied, Message: "ask the keeper"}
	})
	<-begun
	go func() {
		defer close(release)
		othersWait(t, 1)
	}()
	_, err := cache.GetOrLoad(background, "a", nil)
	expect(t, err, ErrAccessDenied)
	if !strings.Contains(err.Error(), "ask the keeper") {
		t.Error(err)
	}
}
