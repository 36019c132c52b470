package stsecrets

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// blocked returns a manager whose provider waits for release after it has called begun.
func blocked(t *testing.T, begun func(), release <-chan struct{}) *Secrets {
	return provided(t, func(context.Context, string) ([]byte, time.Duration, error) {
		begun()
		<-release
		return []byte(hidden), DefaultTTL, nil
	})
}

func TestContextCancellationEndsCallsThatWait(t *testing.T) {
	store, cipher, _ := newTestStore(t)
	_, err := store.Audit(background, AuditEntry{EventType: "job.submitted", Action: "test"})
	must(t, err)
	calls := map[string]func(ctx context.Context, cancel func(), release <-chan struct{}) error{
		"GetMany": func(ctx context.Context, cancel func(), release <-chan struct{}) error {
			_, err := blocked(t, cancel, release).GetMany(ctx, "A", "B")
			return err
		},
		"ResolveCredential": func(ctx context.Context, cancel func(), release <-chan struct{}) error {
			_, _, err := store.ResolveCredential(ctx, cipher, blocked(t, cancel, release), CredentialID{7, "replicate", "x"}, "A")
			return err
		},
		"SendAudit": func(ctx context.Context, cancel func(), release <-chan struct{}) error {
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
				io.Copy(io.Discard, request.Body)
				cancel()
				<-release
			}))
			t.Cleanup(server.Close)
			_, err := store.SendAudit(ctx, nil, []byte(`{"url": "`+server.URL+`", "timeout": 60}`))
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithCancel(background)
			release := make(chan struct{})
			expect(t, call(ctx, cancel, release), context.Canceled)
			close(release)
			soon(t, "all goroutines ended", func() bool {
				http.DefaultClient.CloseIdleConnections()
				return runtime.NumGoroutine() <= before+1 // the server of SendAudit, until the end of the test
			})
		})
	}
}

func TestContextCancellationRollsReencryptionBack(t *testing.T) {
	store, cipher, _ := newTestStore(t)
	id := CredentialID{7, "replicate", "api_token"}
	_, err := store.SetCredential(background, cipher, id, []byte("own"))
	must(t, err)
	must(t, cipher.RotateKey(background))
	ctx, cancel := context.WithCancel(background)
	_, err = store.ReencryptCredentials(ctx, cipher, false, func(uint64, uint64) bool {
		cancel()
		return true
	})
	expect(t, err, context.Canceled)
	report, err := store.ReencryptCredentials(background, cipher, false, nil)
	must(t, err)
	equal(t, report.Reencrypted == 1 && report.Unchanged == 0, true)
}

func TestContextCancelledCallGetsACopyThatIsWiped(t *testing.T) {
	if raceEnabled {
		t.Skip("the test reads what another goroutine has wiped")
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(background)
	release := make(chan struct{})
	value := []byte(hidden)
	var text string
	var copied []byte
	_, err := withinCopy(ctx, value, func(value []byte) (int, error) {
		cancel()
		<-release
		text, copied = string(value), value
		return 0, nil
	})
	expect(t, err, context.Canceled)
	clear(value)
	close(release)
	soon(t, "the call ended", func() bool { return runtime.NumGoroutine() <= before })
	equal(t, text, hidden)
	equal(t, string(copied), string(make([]byte, len(hidden))))
	_, err = withinCopy(background, value, func(same []byte) (int, error) {
		equal(t, &same[0], &value[0])
		return 0, nil
	})
	must(t, err)
}

func TestContextThatIsDoneMakesNoCall(t *testing.T) {
	directory := t.TempDir()
	secrets := opened(t, Settings{"file_path": filepath.Join(directory, "secrets.json")})
	store, cipher, state := newTestStore(t)
	done, cancel := context.WithCancel(background)
	cancel()
	id := CredentialID{7, "replicate", "api_token"}
	calls := map[string]func() error{
		"GetMany":            func() error { _, err := secrets.GetMany(done, "A"); return err },
		"Set":                func() error { return secrets.Set(done, "A", []byte("x")) },
		"SetReplicateToken":  func() error { return secrets.SetReplicateToken(done, []byte("x")) },
		"Delete":             func() error { _, err := secrets.Delete(done, "A"); return err },
		"Refresh":            func() error { return secrets.Refresh(done) },
		"Prefetch":           func() error { return secrets.Prefetch(done) },
		"Check":              func() error { _, err := secrets.Check(done); return err },
		"Listen":             func() error { _, err := secrets.Listen(done, 0); return err },
		"Invalidate":         func() error { _, err := secrets.Invalidate(done, "", Forever); return err },
		"ProviderConfig":     func() error { _, err := store.ProviderConfig(done, "a"); return err },
		"WebhookConfig":      func() error { _, err := store.WebhookConfig(done, "a"); return err },
		"CostLimit":          func() error { _, err := store.CostLimit(done, "a"); return err },
		"SaveProviderConfig": func() error { return store.SaveProviderConfig(done, "a", []byte("{}")) },
		"UpdateProviderConfig": func() error {
			return store.UpdateProviderConfig(done, "a", []byte("{}"))
		},
		"DeleteProviderConfig":       func() error { _, err := store.DeleteProviderConfig(done, "a"); return err },
		"ProviderConfigs":            func() error { _, err := store.ProviderConfigs(done); return err },
		"HardwareInfo":               func() error { _, err := store.HardwareInfo(done); return err },
		"HardwareCostPerHour":        func() error { _, err := store.HardwareCostPerHour(done, "a"); return err },
		"DefaultHardwareCostPerHour": func() error { _, err := store.DefaultHardwareCostPerHour(done); return err },
		"SetCredential":              func() error { _, err := store.SetCredential(done, cipher, id, []byte("x")); return err },
		"Credential":                 func() error { _, err := store.Credential(done, cipher, id); return err },
		"DeleteCredential":           func() error { _, err := store.DeleteCredential(done, id); return err },
		"DeactivateCredential":       func() error { _, err := store.DeactivateCredential(done, id); return err },
		"MarkCredentialUsed":         func() error { _, err := store.MarkCredentialUsed(done, id); return err },
		"HasCredential":              func() error { _, err := store.HasCredential(done, id); return err },
		"Credentials":                func() error { _, err := store.Credentials(done, Unknown, ""); return err },
		"ResolveCredential":          func() error { _, _, err := store.ResolveCredential(done, cipher, secrets, id, "A"); return err },
		"CredentialOrigin":           func() error { _, err := store.CredentialOrigin(done, secrets, id, "A"); return err },
		"RotateCredentials":          func() error { return store.RotateCredentials(done, cipher) },
		"ReencryptCredentials":       func() error { _, err := store.ReencryptCredentials(done, cipher, true, nil); return err },
		"Audit":                      func() error { _, err := store.Audit(done, AuditEntry{EventType: "x", Action: "y"}); return err },
		"AuditStats":                 func() error { _, err := store.AuditStats(done); return err },
		"AuditEntries":               func() error { _, err := store.AuditEntries(done, nil); return err },
		"VerifyAudit":                func() error { _, err := store.VerifyAudit(done, 0, 0); return err },
		"ExportAudit":                func() error { _, _, err := store.ExportAudit(done, nil, AuditCSV); return err },
		"SendAudit":                  func() error { _, err := store.SendAudit(done, nil, []byte("{}")); return err },
		"RetainAudit":                func() error { _, err := store.RetainAudit(done, 0); return err },
		"Backup":                     func() error { return store.Backup(done, MainDatabase, directory+"/backup.db", false) },
		"RotateKey":                  func() error { return cipher.RotateKey(done) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) { expect(t, call(), context.Canceled) })
	}
	for _, pattern := range []string{directory + "/*", state + "/cloud"} {
		found, err := filepath.Glob(pattern)
		must(t, err)
		equal(t, len(found), 0)
	}
}
