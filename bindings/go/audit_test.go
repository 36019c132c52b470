package stsecrets

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAuditStatsAndExport(t *testing.T) {
	store, _, _ := newTestStore(t)
	for _, event := range []string{"auth.login.failed", "job.submitted", "job.submitted"} {
		_, err := store.Audit(AuditEntry{EventType: event, Action: "test"})
		must(t, err)
	}
	types, err := AuditEventTypes()
	equal(t, len(decoded[[]json.RawMessage](t, types, err)), 27)
	type stats struct {
		Total  int            `json:"total_entries"`
		ByType map[string]int `json:"by_type"`
	}
	text, err := store.AuditStats()
	found := decoded[stats](t, text, err)
	equal(t, found.Total == 3 && found.ByType["job.submitted"] == 2, true)

	lines, last, err := store.ExportAudit([]byte(`{"limit": 2}`), AuditJSONLines)
	must(t, err)
	equal(t, bytes.Count(lines, []byte("\n")) == 2 && last == 2, true)
	rest, last, err := store.ExportAudit([]byte(`{"after_id": 2}`), AuditCSV)
	must(t, err)
	equal(t, strings.HasPrefix(string(rest), "3,") && last == 3, true)
	_, _, err = store.ExportAudit(nil, 7)
	expect(t, err, ErrInvalidArgument)

	type retention struct{ Removed int }
	text, err = store.RetainAudit(30)
	equal(t, decoded[retention](t, text, err).Removed, 0)
	_, err = store.RetainAudit(-1)
	expect(t, err, ErrInvalidArgument)
}

func TestSendAudit(t *testing.T) {
	store, _, _ := newTestStore(t)
	for range 3 {
		_, err := store.Audit(AuditEntry{EventType: "job.submitted", Action: "test"})
		must(t, err)
	}
	var lock sync.Mutex
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		lock.Lock()
		defer lock.Unlock()
		bodies = append(bodies, request.Header.Get("Authorization")+" "+string(body))
	}))
	defer server.Close()
	settings, err := json.Marshal(map[string]any{"url": server.URL, "token": "a token", "batch": 2, "timeout": 60})
	must(t, err)
	last, err := store.SendAudit([]byte(`{"after_id": 1}`), settings)
	must(t, err)
	equal(t, last, int64(3))
	lock.Lock()
	defer lock.Unlock()
	equal(t, len(bodies), 1)
	equal(t, strings.HasPrefix(bodies[0], `ApiKey a token {"@timestamp":`) && strings.Count(bodies[0], "\n") == 2, true)
	_, err = store.SendAudit(nil, nil)
	expect(t, err, ErrInvalidArgument)
}

func TestBackup(t *testing.T) {
	store, _, directory := newTestStore(t)
	must(t, store.SaveProviderConfig("replicate", []byte(`{"a": 1}`)))
	type description struct{ Reason, Database string }
	text, err := store.Describe()
	described := decoded[description](t, text, err)
	equal(t, described, description{"state_dir", filepath.Join(directory, "cloud", "jobs.db")})
	path := filepath.Join(directory, "backup", "jobs.db")
	must(t, store.Backup(MainDatabase, path, false))
	expect(t, store.Backup(MainDatabase, path, false), ErrIO)
	must(t, store.Backup(MainDatabase, path, true))
	must(t, store.Backup(AuditDatabase, filepath.Join(directory, "backup", "audit.db"), false))
	backup, err := OpenStore(Settings{"database": path})
	must(t, err)
	defer backup.Close()
	config, err := backup.ProviderConfig("replicate")
	must(t, err)
	equal(t, string(config), `{"a": 1}`)
}
