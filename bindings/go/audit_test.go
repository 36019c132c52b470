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
		_, err := store.Audit(background, AuditEntry{EventType: event, Action: "test"})
		must(t, err)
	}
	types, err := AuditEventTypes()
	must(t, err)
	equal(t, len(types), 27)
	equal(t, types[0], AuditEventType{"AUTH_LOGIN_SUCCESS", "auth.login.success", "authentication", false})
	found, err := store.AuditStats(background)
	must(t, err)
	equal(t, found.TotalEntries == 3 && found.ByType["job.submitted"] == 2 && found.Last24h == 3, true)
	equal(t, found.FirstEntry != "" && found.FirstEntry <= found.LastEntry, true)

	lines, last, err := store.ExportAudit(background, []byte(`{"limit": 2}`), AuditJSONLines)
	must(t, err)
	equal(t, bytes.Count(lines, []byte("\n")) == 2 && last == 2, true)
	rest, last, err := store.ExportAudit(background, []byte(`{"after_id": 2}`), AuditCSV)
	must(t, err)
	equal(t, strings.HasPrefix(string(rest), "3,") && last == 3, true)
	_, _, err = store.ExportAudit(background, nil, 7)
	expect(t, err, ErrInvalidArgument)

	retained, err := store.RetainAudit(background, 30)
	must(t, err)
	equal(t, retained.Removed == 0 && retained.RecordID == 0 && retained.Before != "", true)
	_, err = store.RetainAudit(background, -1)
	expect(t, err, ErrInvalidArgument)
}

func TestSendAudit(t *testing.T) {
	store, _, _ := newTestStore(t)
	for range 3 {
		_, err := store.Audit(background, AuditEntry{EventType: "job.submitted", Action: "test"})
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
	last, err := store.SendAudit(background, []byte(`{"after_id": 1}`), settings)
	must(t, err)
	equal(t, last, int64(3))
	lock.Lock()
	defer lock.Unlock()
	equal(t, len(bodies), 1)
	equal(t, strings.HasPrefix(bodies[0], `ApiKey a token {"@timestamp":`) && strings.Count(bodies[0], "\n") == 2, true)
	_, err = store.SendAudit(background, nil, nil)
	expect(t, err, ErrInvalidArgument)
}

func TestBackup(t *testing.T) {
	store, _, directory := newTestStore(t)
	must(t, store.SaveProviderConfig(background, "replicate", []byte(`{"a": 1}`)))
	described, err := store.Describe()
	must(t, err)
	equal(t, described.Reason, "state_dir")
	equal(t, described.StateDir, directory)
	equal(t, described.Database, filepath.Join(directory, "cloud", "jobs.db"))
	equal(t, described.AuditDatabase != "" && described.AuditKey != "" && described.CredentialsDatabase != "", true)
	path := filepath.Join(directory, "backup", "jobs.db")
	must(t, store.Backup(background, MainDatabase, path, false))
	expect(t, store.Backup(background, MainDatabase, path, false), ErrIO)
	must(t, store.Backup(background, MainDatabase, path, true))
	must(t, store.Backup(background, AuditDatabase, filepath.Join(directory, "backup", "audit.db"), false))
	backup, err := OpenStore(Settings{"database": path})
	must(t, err)
	defer backup.Close()
	config, err := backup.ProviderConfig(background, "replicate")
	must(t, err)
	equal(t, string(config), `{"a": 1}`)
}
