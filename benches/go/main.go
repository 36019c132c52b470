// Times of single calls of the Go binding, next to caches written in Go: 500 entries of 64 bytes with keys of 32 bytes.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/maypok86/otter/v2"
	stsecrets "github.com/st-secrets/st-secrets/bindings/go"
)

const (
	entries = 500
	rounds  = 100
	calls   = 20_000
)

var (
	keys  [entries]string
	value = []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
)

// subject is a kind of call; it makes n of them.
type subject struct {
	name string
	make func(n int)
}

func main() {
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%08d:permissions:region:", i)[:32]
	}
	subjects := slices.Concat(library(), peers(), loops())
	// Alternates the subjects, so that other load on the machine affects all alike; the fastest round counts.
	fastest := make([]time.Duration, len(subjects))
	for round := range rounds {
		for i, subject := range subjects {
			start := time.Now()
			subject.make(calls)
			if took := time.Since(start); round == 0 || took < fastest[i] {
				fastest[i] = took
			}
		}
	}
	empty := fastest[0]
	for i, subject := range subjects {
		each := float64(fastest[i].Nanoseconds()) / calls
		fmt.Printf("%-44s %8.1f ns %8.2f x an empty call\n", subject.name, each, float64(fastest[i])/float64(empty))
	}
	two(subjects)
}

// two runs each subject on two goroutines at once.
func two(subjects []subject) {
	for _, subject := range subjects {
		if subject.name != hitInto && subject.name != hitExpirable && subject.name != hitOtter {
			continue
		}
		best := time.Duration(1 << 62)
		for range rounds / 2 {
			start := time.Now()
			var group sync.WaitGroup
			for range 2 {
				group.Add(1)
				go func() {
					defer group.Done()
					subject.make(calls)
				}()
			}
			group.Wait()
			best = min(best, time.Since(start))
		}
		fmt.Printf("%-44s %8.1f million a second\n", subject.name+", two goroutines", 2*calls/best.Seconds()/1e6)
	}
}

const (
	hitInto      = "cache hit into a buffer"
	hitExpirable = "golang-lru/v2/expirable, hit and copy"
	hitOtter     = "otter/v2, hit and copy"
)

func library() []subject {
	cache := must(stsecrets.NewCache(5*time.Minute, entries, time.Minute))
	for _, key := range keys[:] {
		check(cache.Set(key, value, stsecrets.DefaultTTL))
	}
	cached := must(stsecrets.NewCached(func(_ context.Context, key string) ([]byte, error) { return value, nil }, stsecrets.CachedOptions{MaxSize: entries}))
	secrets := must(stsecrets.Open(stsecrets.Settings{"providers": []string{}}))
	check(secrets.AddProvider("bench", stsecrets.Last, func(context.Context, string) ([]byte, time.Duration, error) {
		return value, stsecrets.Forever, nil
	}))
	background := context.Background()
	limited, cancel := context.WithTimeout(background, time.Hour)
	context.AfterFunc(limited, cancel)
	return []subject{
		{"empty call", func(n int) {
			for range n {
				_ = stsecrets.ABIVersion()
			}
		}},
		{hitInto, func(n int) {
			var buffer [64]byte
			for range n / entries {
				for _, key := range keys[:] {
					must(cache.GetInto(key, buffer[:]))
				}
			}
		}},
		{"cache hit into a buffer, one key", func(n int) {
			var buffer [64]byte
			for range n {
				must(cache.GetInto(keys[0], buffer[:]))
			}
		}},
		{"cache hit as a new slice", func(n int) {
			for range n / entries {
				for _, key := range keys[:] {
					must(cache.Get(key))
				}
			}
		}},
		{"cache hit as a Secret", func(n int) {
			for range n / entries {
				for _, key := range keys[:] {
					must(cache.GetSecret(key)).Close()
				}
			}
		}},
		{"Cached, hit", func(n int) {
			for range n / entries {
				for _, key := range keys[:] {
					must(cached.Get(background, key))
				}
			}
		}},
		{"secret of memory into a buffer", func(n int) {
			var buffer [64]byte
			for range n {
				must(secrets.GetInto("HF_TOKEN", buffer[:]))
			}
		}},
		{"secret of memory", func(n int) {
			for range n {
				must(secrets.Get(background, "HF_TOKEN")).Close()
			}
		}},
		{"secret of memory, with a deadline", func(n int) {
			for range n {
				must(secrets.Get(limited, "HF_TOKEN")).Close()
			}
		}},
	}
}

func peers() []subject {
	lru := expirable.NewLRU[string, []byte](entries, nil, 5*time.Minute)
	others := must(otter.New(&otter.Options[string, []byte]{
		MaximumSize:      2 * entries, // it may evict before it is full
		ExpiryCalculator: otter.ExpiryWriting[string, []byte](5 * time.Minute),
	}))
	for _, key := range keys[:] {
		lru.Add(key, slices.Clone(value))
		others.Set(key, slices.Clone(value))
	}
	others.CleanUp()
	return []subject{
		{hitExpirable, func(n int) {
			var buffer [64]byte
			for range n / entries {
				for _, key := range keys[:] {
					found, ok := lru.Get(key)
					there(ok)
					copy(buffer[:], found)
				}
			}
		}},
		{hitOtter, func(n int) {
			var buffer [64]byte
			for range n / entries {
				for _, key := range keys[:] {
					found, ok := others.GetIfPresent(key)
					there(ok)
					copy(buffer[:], found)
				}
			}
		}},
	}
}

// loops measures the overhead of measuring.
func loops() []subject {
	return []subject{{"a map of Go, hit and copy (no time to live)", func() func(int) {
		plain := map[string][]byte{}
		for _, key := range keys[:] {
			plain[key] = slices.Clone(value)
		}
		return func(n int) {
			var buffer [64]byte
			for range n / entries {
				for _, key := range keys[:] {
					copy(buffer[:], plain[key])
				}
			}
		}
	}()}}
}

func there(ok bool) {
	if !ok {
		fmt.Fprintln(os.Stderr, "an entry is missing")
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
