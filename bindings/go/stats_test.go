package stsecrets

import (
	"bytes"
	"context"
	"encoding/json"
	"expvar"
	"strings"
	"testing"
	"time"
)

func TestStats(t *testing.T) {
	secrets := opened(t, Settings{"providers": []string{"env"}})
	must(t, secrets.AddProvider(`my "own"`, Last, func(_ context.Context, key string) ([]byte, time.Duration, error) {
		if key != "A" {
			return nil, 0, ErrNotFound
		}
		return []byte("CANARY"), time.Minute, nil
	}))
	for range 3 {
		_, err := secrets.Get(t.Context(), "A")
		must(t, err)
	}
	if _, err := secrets.Get(t.Context(), "NOT_THERE"); err == nil {
		t.Fatal("it was found")
	}
	stats, err := secrets.Stats()
	must(t, err)
	own := stats.Providers[len(stats.Providers)-1]
	if stats.Gets != 4 || stats.NotFound+stats.Failed != 1 || own.Found != 3 || own.Hits != 2 || own.Loads != 2 {
		t.Errorf("%+v", stats)
	}
	if own.LongestLoadSeconds < own.LastLoadSeconds || own.LoadSeconds < own.LongestLoadSeconds {
		t.Errorf("%+v", own)
	}
	var text bytes.Buffer
	must(t, stats.WritePrometheus(&text))
	for _, line := range []string{
		"# TYPE st_secrets_gets_total counter",
		"st_secrets_gets_total 4",
		`st_secrets_provider_found_total{provider="my \"own\""} 3`,
		`st_secrets_provider_loads_total{provider="env"} 0`,
		"# TYPE st_secrets_provider_last_load_seconds gauge",
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("%q is not in\n%s", line, &text)
		}
	}
	published := expvar.Func(func() any { stats, _ := secrets.Stats(); return stats })
	var read Stats
	must(t, json.Unmarshal([]byte(published.String()), &read))
	if read.Gets != 4 || strings.Contains(published.String(), "CANARY") {
		t.Errorf("%s", published)
	}
}
