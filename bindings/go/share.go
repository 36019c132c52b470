package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"time"
)

// Sharing is what a manager shares with other processes on this host.
type Sharing struct {
	// Share is the setting share: "host" or "off".
	Share string
	// Directory is where the documents are, and Owner the user that it belongs to.
	Directory string
	Owner     int
	// Refused is the reason why nothing is shared; empty if there is none.
	Refused   string
	Documents []SharedDocument
	// Tier is the server through which hosts share; nil without the setting share_url.
	Tier *SharingTier
}

// SharingTier is the server through which hosts share.
type SharingTier struct {
	// URL has no password.
	URL string
	// Revision is the last one that this host has seen; 0 if it has seen none.
	Revision uint64
	// RetryIn is how long the server is left alone after a failure.
	RetryIn time.Duration
}

// UnmarshalJSON reads the server as the library describes it: times in seconds, and null for what is missing.
func (t *SharingTier) UnmarshalJSON(text []byte) error {
	var read struct {
		URL      string
		Revision uint64
		RetryIn  float64 `json:"retry_in"`
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*t = SharingTier{URL: read.URL, Revision: read.Revision, RetryIn: duration(C.double(read.RetryIn))}
	return nil
}

// SharedDocument is an AWS or Vault document that processes share.
type SharedDocument struct {
	// ID is part of the names of its files.
	ID       string
	Provider string
	// Place is the secret or path.
	Place string
	// Loaded: a process has loaded the document, and this one can decrypt it.
	Loaded bool
	// Age is the time since it was requested, and ExpiresIn that until it is loaded again; 0 unless Loaded.
	Age, ExpiresIn time.Duration
	// Loading: a process is loading it. LoaderPID is that process, in its own PID namespace.
	Loading   bool
	LoaderPID int
	// Failing is the message of the last load if it failed, and RetryIn the time until the next one.
	Failing string
	RetryIn time.Duration
}

// Share returns what is shared with other processes on this host, without any secret and without a query.
func (s *Secrets) Share() (Sharing, error) {
	return parsed[Sharing](s.copied(context.Background(), func(c *call) C.st_status {
		return C.st_secrets_share(s.native(), &c.bytes, &c.err)
	}))
}

// UnmarshalJSON reads a document as the library describes it: times in seconds, and null for what is missing.
func (d *SharedDocument) UnmarshalJSON(text []byte) error {
	var read struct {
		ID, Provider, Place string
		Age                 *float64
		ExpiresIn           float64 `json:"expires_in"`
		Loading             bool
		LoaderPID           int `json:"loader_pid"`
		Failing             string
		RetryIn             float64 `json:"retry_in"`
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*d = SharedDocument{
		ID: read.ID, Provider: read.Provider, Place: read.Place, Loaded: read.Age != nil,
		ExpiresIn: duration(C.double(read.ExpiresIn)), Loading: read.Loading, LoaderPID: read.LoaderPID,
		Failing: read.Failing, RetryIn: duration(C.double(read.RetryIn)),
	}
	if d.Loaded {
		d.Age = duration(C.double(*read.Age))
	}
	return nil
}
