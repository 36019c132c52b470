// Gate is a reverse proxy in front of moto or OpenBao for the fleet tests. It counts the requests of each action and
// each host, enforces the quotas of AWS with the responses of AWS, and can be unavailable for a time.
//
// usage: gate -kind aws|vault -backend HOST:PORT [-scale 1] [-latency 20ms] [-replay 1s]
//
// It prints its port, then serves until it is killed. A host of the fleet is a loopback address, 127.77.X.Y. Requests
// below /gate/ control the gate itself:
//
//	GET  /gate/counts                                all counts since the last reset, as JSON
//	POST /gate/reset                                 sets all counts to zero and fills all buckets
//	POST /gate/outage?seconds=5&kind=503|hang        every request fails for that time
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	kind := flag.String("kind", "aws", "protocol of the backend: aws or vault")
	backend := flag.String("backend", "", "address of the backend, HOST:PORT")
	scale := flag.Float64("scale", 1, "factor of the quotas; 0 for none")
	latency := flag.Duration("latency", 0, "least time of a response")
	replay := flag.Duration("replay", 0, "how long a successful response is repeated for equal requests")
	flag.Parse()
	if *backend == "" || (*kind != "aws" && *kind != "vault") || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	g := newGate(*kind, *backend, *scale, *latency, *replay)
	listener, err := net.Listen("tcp4", ":0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server := http.Server{Handler: g.routes(), ErrorLog: log.New(os.Stderr, "", 0)}
	log.Fatal(server.Serve(loopback{listener.(*net.TCPListener), g}))
}

// loopback accepts connections of this machine only, and counts them.
type loopback struct {
	*net.TCPListener
	gate *gate
}

func (l loopback) Accept() (net.Conn, error) {
	for {
		connection, err := l.TCPListener.Accept()
		if err != nil {
			return nil, err
		}
		if !connection.RemoteAddr().(*net.TCPAddr).IP.IsLoopback() {
			connection.Close()
			continue
		}
		l.gate.counts.opened()
		return counted{connection, l.gate}, nil
	}
}

type counted struct {
	net.Conn
	gate *gate
}

func (c counted) Close() error {
	err := c.Conn.Close()
	if !errors.Is(err, net.ErrClosed) {
		c.gate.counts.closed()
	}
	return err
}

func (g *gate) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gate/counts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(g.counts.report()); err != nil {
			log.Print(err)
		}
	})
	mux.HandleFunc("POST /gate/reset", func(http.ResponseWriter, *http.Request) {
		g.quotas.fill()
		g.counts.reset()
	})
	mux.HandleFunc("POST /gate/outage", func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
		g.outage.Store(&outage{end, r.URL.Query().Get("kind") == "hang"})
	})
	mux.HandleFunc("/", g.serve)
	return mux
}
