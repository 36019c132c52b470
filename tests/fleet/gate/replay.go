package main

import (
	"net/http"
	"sync"
	"time"
)

// replays repeat successful responses of the backend for equal requests. moto answers some hundred requests a second,
// far below the quotas of AWS: with replays, the quotas decide how many processes are served, and not the speed of
// moto. The first of equal requests goes to moto, which checks its signature and its permissions.
type replays struct {
	lifetime time.Duration
	mutex    sync.Mutex
	known    map[string]*replay
}

type replay struct {
	// Closed when there is an answer.
	done    chan struct{}
	answer  *response
	end     time.Time
	renewed bool
}

func newReplays(lifetime time.Duration) *replays {
	return &replays{lifetime: lifetime, known: map[string]*replay{}}
}

// get returns a response of the backend. Equal requests wait for the first one; later, one of them renews the response
// while the others get the last one.
func (r *replays) get(key string, forward func() *response) *response {
	if r.lifetime == 0 {
		return forward()
	}
	r.mutex.Lock()
	known := r.known[key]
	if known == nil {
		known = &replay{done: make(chan struct{})}
		r.known[key] = known
		r.mutex.Unlock()
		r.store(key, known, forward())
		close(known.done)
		return known.answer
	}
	renews := known.answer != nil && !known.renewed && time.Now().After(known.end)
	if renews {
		known.renewed = true
	}
	r.mutex.Unlock()
	if renews {
		next := &replay{done: known.done}
		r.store(key, next, forward())
		return next.answer
	}
	<-known.done
	return known.answer
}

// store keeps a response if it is a success.
func (r *replays) store(key string, entry *replay, answer *response) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	entry.answer, entry.end = answer, time.Now().Add(r.lifetime)
	if answer.status == http.StatusOK {
		r.known[key] = entry
	} else {
		delete(r.known, key)
	}
}
