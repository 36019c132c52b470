package stsecrets

import (
	"context"
	"errors"
	"math"
	"math/big"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type user struct {
	ID   int
	Name string
}

func newCachedUsers(t *testing.T, options CachedOptions, load func(context.Context, int) (*user, error)) *Cached[int, *user] {
	t.Helper()
	users, err := NewCached(load, options)
	must(t, err)
	t.Cleanup(func() { users.Close() })
	return users
}

func TestCachedCallsOnceForEachArgument(t *testing.T) {
	calls := 0
	users := newCachedUsers(t, CachedOptions{Prefix: "mymodule", Function: "get_user"}, func(_ context.Context, id int) (*user, error) {
		calls++
		return &user{id, "Ada"}, nil
	})
	first, err := users.Get(background, 123)
	must(t, err)
	second, err := users.Get(background, 123)
	must(t, err)
	equal(t, first, second) // the same value
	_, err = users.Get(background, 124)
	must(t, err)
	equal(t, calls, 2)

	existed, err := users.Delete(123)
	equal(t, existed && err == nil, true)
	_, err = users.Get(background, 123)
	must(t, err)
	equal(t, calls, 3)
	count, err := users.Clear()
	equal(t, count == 2 && err == nil, true)
	stats, err := users.Stats()
	must(t, err)
	equal(t, stats.Loads, 3)
	equal(t, stats.DefaultTTL, 5*time.Minute)
}

func TestCachedKeysAreThoseOfAllLanguages(t *testing.T) {
	type arguments struct {
		User   int
		Region string
	}
	cached, err := NewCached(func(_ context.Context, a arguments) (string, error) { return a.Region, nil }, CachedOptions{Prefix: "m", Function: "f"})
	must(t, err)
	defer cached.Close()
	_, err = cached.Get(background, arguments{7, "eu"})
	must(t, err)
	existed, err := cached.cache.Delete(`m:f:[7,"eu"]`)
	equal(t, existed && err == nil, true)

	odd, err := NewCached(func(context.Context, chan int) (int, error) { return 1, nil }, CachedOptions{})
	must(t, err)
	defer odd.Close()
	_, err = odd.Get(background, make(chan int))
	expect(t, err, ErrInvalidArgument)
}

func TestCachedArgumentTypes(t *testing.T) {
	var none *user
	number, text := 7, "x:y"
	for wanted, arg := range map[string]any{
		"f:null": none, "f:7": &number, `f:"x:y"`: &text, "f:nan": math.NaN(), "f:-inf": float32(math.Inf(-1)), `f:"7"`: "7",
		`f:[1,"true",null]`: []any{1, "true", nil}, `f:{"a"=[]}`: map[string][]int{"a": {}}, `f:x"00ff"`: [2]byte{0, 255},
		`f:[7,"Ada"]`: &user{7, "Ada"}, "f:18446744073709551616": new(big.Int).Lsh(big.NewInt(1), 64),
	} {
		key, err := FunctionKey("", "f", []any{arg}, nil)
		must(t, err)
		equal(t, key, wanted)
	}

	type node struct{ Next *node }
	type pointer *pointer
	ring := &node{}
	ring.Next = ring
	var itself pointer
	itself = &itself
	list := []any{nil}
	list[0] = list
	for _, arg := range []any{ring, itself, list, map[string]any{"a": list}, complex(1, 2), func() {}, map[int]int{}, struct{ hidden int }{}} {
		_, err := FunctionKey("", "f", []any{arg}, nil)
		expect(t, err, ErrInvalidArgument)
	}
}

func TestCachedConcurrentCallersShareOneCall(t *testing.T) {
	var calls atomic.Int64
	users := newCachedUsers(t, CachedOptions{Function: "f"}, func(_ context.Context, id int) (*user, error) {
		calls.Add(1)
		time.Sleep(30 * time.Millisecond)
		return &user{ID: id}, nil
	})
	var group sync.WaitGroup
	for range 50 {
		group.Add(1)
		go func() {
			defer group.Done()
			found, err := users.Get(background, 1)
			must(t, err)
			equal(t, found.ID, 1)
		}()
	}
	group.Wait()
	equal(t, calls.Load(), 1)
}

func TestCachedFailureAndNil(t *testing.T) {
	cause := errors.New("no such user")
	users := newCachedUsers(t, CachedOptions{Function: "f"}, func(_ context.Context, id int) (*user, error) {
		if id == 0 {
			return nil, cause
		}
		return nil, nil
	})
	for range 2 {
		_, err := users.Get(background, 0)
		equal(t, err, cause)
		found, err := users.Get(background, 1)
		equal(t, found == nil && err == nil, true)
	}
	stats, err := users.Stats()
	must(t, err)
	equal(t, stats.Loads, 3) // two failures, one nil
	equal(t, stats.LoadFailures, 2)

	any, err := NewCached(func(context.Context, int) (any, error) { return nil, nil }, CachedOptions{})
	must(t, err)
	defer any.Close()
	for range 2 {
		found, err := any.Get(background, 1)
		equal(t, found == nil && err == nil, true)
	}
}

func TestCachedResultsExpire(t *testing.T) {
	calls := 0
	users := newCachedUsers(t, CachedOptions{TTL: 20 * time.Millisecond}, func(context.Context, int) (*user, error) {
		calls++
		return new(user), nil
	})
	soon(t, "it is called again", func() bool { _, err := users.Get(background, 1); must(t, err); return calls > 1 })
}

func TestCachedDroppedValuesAreFreed(t *testing.T) {
	var alive atomic.Int64
	users := newCachedUsers(t, CachedOptions{MaxSize: 3}, func(_ context.Context, id int) (*user, error) {
		alive.Add(1)
		made := &user{ID: id, Name: "with a pointer"}
		runtime.AddCleanup(made, func(int) { alive.Add(-1) }, 0)
		return made, nil
	})
	for id := range 100 {
		_, err := users.Get(background, id)
		must(t, err)
	}
	soon(t, "three are left", func() bool { runtime.GC(); return alive.Load() == 3 })
	must(t, users.Close())
	soon(t, "none is left", func() bool { runtime.GC(); return alive.Load() == 0 })
	_, err := users.Get(background, 1)
	expect(t, err, ErrClosed)
	_, err = users.Delete(1)
	expect(t, err, ErrClosed)
	_, err = users.Stats()
	expect(t, err, ErrClosed)
	must(t, users.Close())
}

func TestCachedConcurrentCallsAndDeletes(t *testing.T) {
	users := newCachedUsers(t, CachedOptions{MaxSize: 4}, func(_ context.Context, id int) (*user, error) { return &user{ID: id}, nil })
	var group sync.WaitGroup
	for worker := range 6 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range 2000 {
				id := (i*7 + worker) % 10
				found, err := users.Get(background, id)
				must(t, err)
				equal(t, found.ID, id)
				if i%50 == 0 {
					_, err = users.Clear()
					must(t, err)
				}
			}
		}()
	}
	group.Wait()
}
