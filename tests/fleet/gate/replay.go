package main

import (
	"net/http"
	"sync"
	"time"
)

// replays repeat successful responses of the backend for equal requests. moto answers some hundred requests a second,
// far below the quotas of AWS: with replays, the quotas decide how a crowd fares, and not the speed of moto. The first
// of equal requests goes to moto, which checks its signature and its permissions.
type replays struct {
	lifetime time.Duration
	mutex    sync.Mutex
	known    map[string]*replay
}

type replay struct {
	done   chan struct{}
	answer *response
	end    time.Time
}

func newReplays(lifetime time.Duration) *replays {
	return &replays{lifetime: lifetime, known: map[string]*replay{}}
}

// get returns a response that is young enough, or calls forward. Equal requests wait for the first one.
func (r *replays) get(key string, forward func() *response) *response {
	if r.lifetime == 0 {
		return forward()
	}
	r.mutex.Lock()
	known := r.known[key]
	if known != nil && (known.end.IsZero() || time.Now().Before(known.end)) {
		r.mutex.Unlock()
		<-known.done
		return known.answer
	}
	first := &replay{done: make(chan struct{})}
	r.known[key] = first
	r.mutex.Unlock()
	answer := forward()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	first.answer, first.end = answer, time.Now()
	if answer.status == http.StatusOK {
		first.end = first.end.Add(r.lifetime)
	}
	close(first.done)
	return answer
}
