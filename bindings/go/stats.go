package stsecrets

// #include "native.h"
import "C"

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// Stats has the counters of a manager since it was opened. It can be published with expvar, as the result of an
// expvar.Func.
type Stats struct {
	// Gets is the number of gets; each key of GetMany is one. NotFound and Failed of them had no value.
	Gets     uint64 `json:"gets"`
	NotFound uint64 `json:"not_found"`
	Failed   uint64 `json:"failed"`
	// Providers are in their order.
	Providers []ProviderStats `json:"providers"`
}

// ProviderStats has the counters of one provider.
type ProviderStats struct {
	Name string `json:"name"`
	// Found gets had their value from this provider: Hits of them from memory, Stale of them an expired one.
	Found uint64 `json:"found"`
	Hits  uint64 `json:"hits"`
	Stale uint64 `json:"stale"`
	// Loads is how often the source was read or the provider called; LoadFailures of them failed, in whole or in part.
	Loads        uint64 `json:"loads"`
	LoadFailures uint64 `json:"load_failures"`
	// SharedLoads is how many documents another process on this host had loaded.
	SharedLoads uint64 `json:"shared_loads"`
	// Retries is how many requests were repeated.
	Retries uint64 `json:"retries"`
	// LoadSeconds is the time of all loads; the others are that of the last and of the longest one.
	LoadSeconds        float64 `json:"load_seconds"`
	LastLoadSeconds    float64 `json:"last_load_seconds"`
	LongestLoadSeconds float64 `json:"longest_load_seconds"`
}

// Stats returns the counters of the manager, without a query. The child of a fork continues with those of its parent.
func (s *Secrets) Stats() (Stats, error) {
	return parsed[Stats](s.copied(context.Background(), func(c *call) C.st_status {
		return C.st_secrets_stats(s.native(), &c.bytes, &c.err)
	}))
}

type metric struct {
	name, kind, help string
	value            func(ProviderStats) float64
}

var providerMetrics = []metric{
	{"provider_found_total", "counter", "Gets that the provider answered.", func(p ProviderStats) float64 { return float64(p.Found) }},
	{"provider_hits_total", "counter", "Gets that the provider answered from memory.", func(p ProviderStats) float64 { return float64(p.Hits) }},
	{"provider_stale_total", "counter", "Gets that the provider answered with an expired value.", func(p ProviderStats) float64 { return float64(p.Stale) }},
	{"provider_loads_total", "counter", "Loads of the source.", func(p ProviderStats) float64 { return float64(p.Loads) }},
	{"provider_load_failures_total", "counter", "Loads of the source that failed.", func(p ProviderStats) float64 { return float64(p.LoadFailures) }},
	{"provider_shared_loads_total", "counter", "Documents that another process on the host had loaded.", func(p ProviderStats) float64 { return float64(p.SharedLoads) }},
	{"provider_retries_total", "counter", "Requests that were repeated.", func(p ProviderStats) float64 { return float64(p.Retries) }},
	{"provider_load_seconds_total", "counter", "Time of all loads in seconds.", func(p ProviderStats) float64 { return p.LoadSeconds }},
	{"provider_last_load_seconds", "gauge", "Time of the last load in seconds.", func(p ProviderStats) float64 { return p.LastLoadSeconds }},
	{"provider_longest_load_seconds", "gauge", "Time of the longest load in seconds.", func(p ProviderStats) float64 { return p.LongestLoadSeconds }},
}

var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// WritePrometheus writes the counters in the text format of Prometheus, for a handler of /metrics. The names begin with
// st_secrets_.
func (s Stats) WritePrometheus(w io.Writer) error {
	out := bufio.NewWriter(w)
	begin := func(name, kind, help string) {
		fmt.Fprintf(out, "# HELP st_secrets_%s %s\n# TYPE st_secrets_%s %s\n", name, help, name, kind)
	}
	total := func(name, help string, value uint64) {
		begin(name, "counter", help)
		fmt.Fprintf(out, "st_secrets_%s %d\n", name, value)
	}
	total("gets_total", "Gets of secrets.", s.Gets)
	total("not_found_total", "Gets of secrets that no provider has.", s.NotFound)
	total("failed_total", "Gets that failed.", s.Failed)
	for _, metric := range providerMetrics {
		begin(metric.name, metric.kind, metric.help)
		for _, provider := range s.Providers {
			fmt.Fprintf(out, "st_secrets_%s{provider=\"%s\"} %g\n", metric.name, labelValue.Replace(provider.Name), metric.value(provider))
		}
	}
	return out.Flush()
}
