package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const maxBody = 1 << 20

// The backend answers a few requests at a time: moto is a Python program.
const backendConnections = 16

type gate struct {
	kind    string
	backend string
	latency time.Duration
	client  *http.Transport
	quotas  *quotas
	replays *replays
	counts  *counts
	outage  atomic.Pointer[outage]
}

type outage struct {
	end   time.Time
	hangs bool
}

// request is what the gate has to distinguish: its action, and the document that it reads.
type request struct {
	action   string
	document string
}

// response is a complete response, of the backend or of the gate.
type response struct {
	status int
	header http.Header
	body   []byte
}

func newGate(kind, backend string, scale float64, latency, replay time.Duration) *gate {
	client := &http.Transport{
		MaxConnsPerHost:     backendConnections,
		MaxIdleConnsPerHost: backendConnections,
		DisableCompression:  true,
	}
	g := &gate{kind: kind, backend: backend, latency: latency, client: client, counts: newCounts()}
	g.quotas = newQuotas(kind, scale)
	g.replays = newReplays(replay)
	return g
}

func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return
	}
	asked := g.classify(r, body)
	entry := g.counts.begin(hostOf(r), asked)
	answer := g.answer(r, asked, body)
	if answer == nil {
		entry.end(0, false)
		panic(http.ErrAbortHandler)
	}
	time.Sleep(g.latency - time.Since(start))
	entry.end(answer.status, isThrottled(answer))
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body)
}

// answer returns nil if the connection is to be closed without a response.
func (g *gate) answer(r *http.Request, asked request, body []byte) *response {
	if now := g.outage.Load(); now != nil && time.Now().Before(now.end) {
		if now.hangs {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Until(now.end)):
			}
			return nil
		}
		return &response{http.StatusServiceUnavailable, http.Header{"Content-Type": {"text/plain"}}, []byte("outage\n")}
	}
	if !g.quotas.take(asked.action) {
		return throttled(asked.action)
	}
	forward := func() *response { return g.forward(r, body) }
	if g.kind == "aws" {
		return g.replays.get(replayKey(r, asked, body), forward)
	}
	return forward()
}

// forward sends the request to the backend as it is: the signature covers the Host header, too.
func (g *gate) forward(r *http.Request, body []byte) *response {
	target := &url.URL{Scheme: "http", Host: g.backend, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	out := &http.Request{
		Method:        r.Method,
		URL:           target,
		Host:          r.Host,
		Header:        r.Header.Clone(),
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
	answer, err := g.client.RoundTrip(out)
	if err != nil {
		return failed(err)
	}
	defer answer.Body.Close()
	received, err := io.ReadAll(answer.Body)
	if err != nil {
		return failed(err)
	}
	answer.Header.Del("Connection")
	answer.Header.Del("Transfer-Encoding")
	return &response{answer.StatusCode, answer.Header, received}
}

func failed(err error) *response {
	return &response{http.StatusBadGateway, http.Header{"Content-Type": {"text/plain"}}, fmt.Appendln(nil, err)}
}

func (g *gate) classify(r *http.Request, body []byte) request {
	if g.kind == "vault" {
		return vaultRequest(r)
	}
	return awsRequest(r, body)
}

func vaultRequest(r *http.Request) request {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	switch {
	case strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/login"):
		return request{action: "login"}
	case strings.HasPrefix(path, "sys/internal/ui/mounts"):
		return request{action: "mount"}
	case strings.HasPrefix(path, "auth/token/"):
		return request{action: strings.TrimPrefix(path, "auth/token/")}
	case strings.Contains(path, "/data/"):
		return request{"read", path}
	}
	return request{action: r.Method + " " + path}
}

// hostOf returns the number of the host that a request comes from: the address that it was sent to is 127.77.X.Y.
func hostOf(r *http.Request) int {
	address, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if address == nil || address.IP.To4() == nil || address.IP.To4()[1] != 77 {
		return -1
	}
	ip := address.IP.To4()
	return int(ip[2])*250 + int(ip[3]) - 1
}
