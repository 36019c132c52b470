package stsecrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newTestStore(t *testing.T) (*Store, *Cipher, string) {
	t.Helper()
	directory := t.TempDir()
	store, err := OpenStore(Settings{"state_dir": directory})
	must(t, err)
	cipher, err := OpenCipher(Settings{"key_file": filepath.Join(directory, "credential.key")})
	must(t, err)
	t.Cleanup(func() { store.Close(); cipher.Close() })
	return store, cipher, directory
}

func TestStoreRecordsTheActor(t *testing.T) {
	store, _, _ := newTestStore(t)
	ada, err := store.As(Actor{7, "ada", "10.0.0.7"})
	must(t, err)
	_, err = ada.Audit(background, AuditEntry{EventType: "job.submitted", Action: "submitted it", Details: json.RawMessage(`{"gpus": 8}`)})
	must(t, err)
	must(t, ada.Close())
	unknown, err := store.As(Actor{UserID: Unknown})
	must(t, err)
	defer unknown.Close()
	must(t, unknown.SaveProviderConfig(background, "replicate", []byte(`{"a": 1}`)))

	found, err := store.AuditEntries(background, nil)
	must(t, err)
	equal(t, len(found), 2)
	equal(t, found[0].ActorID == nil && found[0].ActorUsername == "", true)
	equal(t, *found[1].ActorID == 7 && found[1].ActorUsername == "ada" && found[1].ActorIP == "10.0.0.7", true)
	equal(t, found[1].ID == 1 && found[1].Timestamp != "" && found[1].EventType == "job.submitted", true)
	equal(t, found[1].Action, "submitted it")
	equal(t, string(found[1].Details), `{"gpus": 8}`)
	equal(t, found[1].EntryHash != "" && found[1].EntryHash == found[0].PreviousHash, true)
	found, err = store.AuditEntries(background, []byte(`{"actor_id": 7}`))
	must(t, err)
	equal(t, len(found), 1)
	report, err := store.VerifyAudit(background, 0, 0)
	must(t, err)
	equal(t, report.Valid && report.EntriesChecked == 2 && report.FirstID == 1 && report.LastID == 2, true)
	equal(t, report.BrokenID, 0)
	listed, err := store.ProviderConfigs(background)
	must(t, err)
	equal(t, len(listed), 1)
	equal(t, listed[0].Provider == "replicate" && listed[0].UpdatedAt != "", true)
}

func TestStoreCredentialsAndRotation(t *testing.T) {
	store, cipher, _ := newTestStore(t)
	for user := range int64(3) {
		_, err := store.SetCredential(background, cipher, CredentialID{user, "replicate", "api_token"}, fmt.Appendf(nil, "token of %d", user))
		must(t, err)
	}
	must(t, store.RotateCredentials(background, cipher))
	secret, err := store.Credential(background, cipher, CredentialID{2, "replicate", "api_token"})
	equal(t, valueOf(t, secret, err), "token of 2")
	listed, err := store.Credentials(background, Unknown, "")
	must(t, err)
	equal(t, len(listed), 3)
	listed, err = store.Credentials(background, 1, "replicate")
	must(t, err)
	equal(t, len(listed), 1)
	equal(t, listed[0].UserID == 1 && listed[0].Provider == "replicate" && listed[0].Name == "api_token", true)
	equal(t, listed[0].IsActive && listed[0].Encrypted && listed[0].ID > 0 && listed[0].CreatedAt != "", true)

	must(t, cipher.RotateKey(background))
	var reports []uint64
	report, err := store.ReencryptCredentials(background, cipher, true, func(done, total uint64) bool {
		reports = append(reports, done)
		return true
	})
	must(t, err)
	equal(t, report.Reencrypted == 3 && report.Total == 3 && len(report.Unreadable) == 0, true)
	equal(t, len(reports) > 0 && reports[len(reports)-1] == 3, true)
	report, err = store.ReencryptCredentials(background, cipher, false, nil)
	must(t, err)
	equal(t, report.Unchanged, 3)

	must(t, cipher.RotateKey(background))
	for _, progress := range []func(done, total uint64) bool{
		func(uint64, uint64) bool { return false },
		func(uint64, uint64) bool { panic("no") },
	} {
		_, err = store.ReencryptCredentials(background, cipher, false, progress)
		expect(t, err, ErrAbandoned)
	}
	secret, err = store.Credential(background, cipher, CredentialID{0, "replicate", "api_token"})
	equal(t, valueOf(t, secret, err), "token of 0")
}

func TestStoreCredentialStates(t *testing.T) {
	t.Setenv("SHARED_TOKEN", "shared")
	store, cipher, _ := newTestStore(t)
	secrets, err := Open(Settings{"providers": []string{"env"}})
	must(t, err)
	defer secrets.Close()
	id := CredentialID{7, "replicate", "api_token"}
	nobody := CredentialID{Unknown, "replicate", "api_token"}
	is := func(expected bool, call func(context.Context, CredentialID) (bool, error)) {
		t.Helper()
		found, err := call(background, id)
		must(t, err)
		equal(t, found, expected)
	}
	from := func(id CredentialID, key string, expected Origin) {
		t.Helper()
		origin, err := store.CredentialOrigin(background, secrets, id, key)
		must(t, err)
		equal(t, origin, expected)
	}
	for _, call := range []func(context.Context, CredentialID) (bool, error){store.HasCredential, store.MarkCredentialUsed, store.DeactivateCredential} {
		is(false, call)
	}
	from(id, "SHARED_TOKEN", OriginGlobal)
	from(id, "", OriginNone)
	first, err := store.SetCredential(background, cipher, id, []byte("own"))
	must(t, err)
	is(true, store.HasCredential)
	is(true, store.MarkCredentialUsed)
	from(id, "", OriginUser)
	from(nobody, "SHARED_TOKEN", OriginGlobal)
	secret, origin, err := store.ResolveCredential(background, cipher, secrets, nobody, "SHARED_TOKEN")
	equal(t, valueOf(t, secret, err), "shared")
	equal(t, origin, OriginGlobal)
	_, _, err = store.ResolveCredential(background, cipher, secrets, nobody, "")
	expect(t, err, ErrNotFound)
	is(true, store.DeactivateCredential)
	is(false, store.HasCredential)
	is(true, store.DeactivateCredential)
	again, err := store.SetCredential(background, cipher, id, []byte("again"))
	must(t, err)
	equal(t, again, first)
	is(true, store.HasCredential)
	must(t, secrets.Close())
	_, err = store.CredentialOrigin(background, secrets, id, "SHARED_TOKEN")
	expect(t, err, ErrClosed)
}

func TestStoreDefaultPrices(t *testing.T) {
	store, _, _ := newTestStore(t)
	defaults, err := DefaultHardwareInfo()
	must(t, err)
	info, err := store.HardwareInfo(background)
	must(t, err)
	equal(t, string(info), string(defaults))
	equal(t, strings.Contains(string(info), "gpu-h100"), true)
	must(t, store.SetHardwareInfo([]byte(`{"gpu-l40s": {"cost_per_second": 1}}`)))
	cost, err := store.DefaultHardwareCostPerHour(background)
	must(t, err)
	equal(t, cost, 3600)
}

func TestStoreAndCipherDefaults(t *testing.T) {
	t.Setenv("SHARED_TOKEN", "shared")
	t.Setenv("HOME", t.TempDir())
	must(t, Reset(nil))
	must(t, ResetStore(Settings{"state_dir": t.TempDir()}))
	must(t, ResetCipher(Settings{"key": "a key of the process"}))
	defer ResetStore(nil)
	defer ResetCipher(nil)
	id := CredentialID{7, "replicate", "api_token"}
	secret, origin, err := DefaultStore().ResolveCredential(background, nil, nil, id, "SHARED_TOKEN")
	equal(t, valueOf(t, secret, err), "shared")
	equal(t, origin, OriginGlobal)
	_, err = DefaultStore().SetCredential(background, nil, id, []byte("own"))
	must(t, err)
	must(t, DefaultStore().Close())
	must(t, DefaultCipher().Close())
	secret, origin, err = DefaultStore().ResolveCredential(background, nil, nil, id, "SHARED_TOKEN")
	equal(t, valueOf(t, secret, err), "own")
	equal(t, origin, OriginUser)
}

func TestStoreAndCipherClosedFail(t *testing.T) {
	store, cipher, directory := newTestStore(t)
	id := CredentialID{7, "replicate", "api_token"}
	must(t, cipher.Close())
	must(t, cipher.Close())
	_, err := store.Credential(background, cipher, id)
	expect(t, err, ErrClosed)
	_, err = cipher.Encrypt(nil)
	expect(t, err, ErrClosed)
	_, err = cipher.Decrypt("")
	expect(t, err, ErrClosed)
	expect(t, cipher.RotateKey(background), ErrClosed)

	must(t, store.Close())
	must(t, store.Close())
	open, err := OpenCipher(Settings{"key": "a key"})
	must(t, err)
	defer open.Close()
	_, err = store.Credential(background, open, id)
	expect(t, err, ErrClosed)
	_, err = store.ProviderConfig(background, "replicate")
	expect(t, err, ErrClosed)
	_, err = store.Audit(background, AuditEntry{EventType: "x", Action: "y"})
	expect(t, err, ErrClosed)
	_, err = store.As(Actor{})
	expect(t, err, ErrClosed)
	_, err = os.Stat(filepath.Join(directory, "cloud"))
	equal(t, os.IsNotExist(err), true)
}

func TestEncryptIntoAndDecryptInto(t *testing.T) {
	_, cipher, _ := newTestStore(t)
	buffer := make([]byte, 1000)
	n, err := cipher.EncryptInto([]byte(hidden), buffer)
	must(t, err)
	token := string(buffer[:n])
	size, err := cipher.EncryptInto([]byte(hidden), nil)
	expect(t, err, ErrBufferTooSmall)
	equal(t, size, n)
	n, err = cipher.DecryptInto(token, buffer)
	must(t, err)
	equal(t, string(buffer[:n]), hidden)
	size, err = cipher.DecryptInto(token, buffer[:3])
	expect(t, err, ErrBufferTooSmall)
	equal(t, size, n)
	_, err = cipher.DecryptInto(token[1:], buffer)
	expect(t, err, ErrBadToken)
}

func TestVersion(t *testing.T) {
	equal(t, VersionNumber() > 0 && Version() != "", true)
	equal(t, ABIVersion(), 0)
	equal(t, Status(-1000).String(), "ST_UNKNOWN")
	equal(t, ErrNotFound.String(), "ST_NOT_FOUND")
}

func TestStatusMessages(t *testing.T) {
	for status := Status(-1); status.String() != "ST_UNKNOWN"; status-- {
		equal(t, strings.HasSuffix(status.Error(), " ("+status.String()+")"), true)
	}
	equal(t, strings.HasSuffix(ErrPanic.Error(), " (ST_PANIC)"), true)
	equal(t, Status(-1000).Error(), "ST_UNKNOWN")
	equal(t, (&Error{Status: ErrBusy}).Error(), "stsecrets: another caller holds the resource (ST_BUSY)")
}

func TestErrClosedIsOsErrClosed(t *testing.T) {
	cache := newTestCache(t, 1)
	must(t, cache.Close())
	_, err := cache.Get("a")
	expect(t, err, ErrClosed)
	expect(t, err, ErrInvalidArgument)
	expect(t, err, os.ErrClosed)
}

func TestErrTimeoutIsDeadlineExceeded(t *testing.T) {
	for _, err := range []error{ErrTimeout, &Error{Status: ErrTimeout}, fmt.Errorf("looking: %w", ErrTimeout)} {
		expect(t, err, ErrTimeout)
		expect(t, err, context.DeadlineExceeded)
		expect(t, err, os.ErrDeadlineExceeded)
	}
	equal(t, errors.Is(ErrBusy, context.DeadlineExceeded) || ErrBusy.Timeout(), false)
}
