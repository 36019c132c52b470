package stsecrets

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestErrorFields(t *testing.T) {
	path := fileWith(t, "{\"A\": \"x\",\n,}")
	_, err := opened(t, Settings{"providers": []string{"file"}, "file_path": path}).Get(background, "A")
	expect(t, err, ErrProtocol)
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatal(err)
	}
	equal(t, failure.Source, SourceFile)
	equal(t, failure.Status.String(), "ST_PROTOCOL")
	equal(t, failure.Retryable, false)
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "line 2") {
		t.Error(err)
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, context.DeadlineExceeded) {
		t.Error("it is another error as well")
	}
}

func TestErrorReportsErrno(t *testing.T) {
	secrets := opened(t, Settings{"providers": []string{"file"}, "file_path": fileWith(t, "{}") + "/not/there"})
	err := secrets.Set(background, "A", []byte("x"))
	var failure *Error
	if !errors.As(err, &failure) || syscall.Errno(failure.Detail) != syscall.ENOTDIR {
		t.Errorf("%#v", err)
	}
}

func TestSettingsOfGoTypes(t *testing.T) {
	secrets := opened(t, Settings{"timeout": 1500 * time.Millisecond, "miss_ttl": 2, "providers": []string{"env"}, "env_prefix": "P",
		"strict_permissions": true, "file_path": nil})
	described, err := secrets.Describe()
	must(t, err)
	equal(t, described.Timeout, 1500*time.Millisecond)
	equal(t, described.MissTTL, 2*time.Second)
	equal(t, described.CacheTTL > 0 && described.MaxStale > 0 && described.MaxBackoff > 0, true)
	equal(t, len(described.Providers), 1)
	equal(t, described.Providers[0].Name, "env")
	equal(t, described.Providers[0].Members["prefix"], any("P"))

	for name, settings := range map[string]Settings{"file_pth": {"file_pth": "x"}, "timeout": {"timeout": make(chan int)}} {
		_, err := Open(settings)
		expect(t, err, ErrConfig)
		if !strings.Contains(err.Error(), name) {
			t.Error(err)
		}
	}
}

func TestSettingsTextTypes(t *testing.T) {
	type named string
	secret := hiddenSecret(t)
	token := hidden
	plain, err := OpenCipher(Settings{"key": hidden})
	must(t, err)
	defer plain.Close()
	encrypted, err := plain.Encrypt([]byte("x"))
	must(t, err)
	for _, key := range []any{[]byte(hidden), named(hidden), secret, *secret, &token} {
		cipher, err := OpenCipher(Settings{"key": key, "previous_keys": []named{"another"}})
		must(t, err)
		decrypted, err := cipher.Decrypt(encrypted)
		equal(t, valueOf(t, decrypted, err), "x")
		must(t, cipher.Close())
	}
	_, err = opened(t, Settings{"timeout": (*string)(nil)}).Describe()
	must(t, err)

	// Settings that would become another text are rejected.
	for _, keys := range []any{[]*Secret{secret}, [][]byte{[]byte(hidden)}} {
		_, err := OpenCipher(Settings{"key": "a key", "previous_keys": keys})
		expect(t, err, ErrConfig)
	}
	must(t, secret.Close())
	_, err = OpenCipher(Settings{"key": secret})
	expect(t, err, ErrClosed)
}

func TestDefaultManagerIsReplacedAndNeverClosed(t *testing.T) {
	t.Setenv("GO_OF_THE_PROCESS", "1")
	equal(t, valueOfKey(t, Default(), "GO_OF_THE_PROCESS"), "1")
	must(t, Default().Close())
	must(t, Reset(Settings{"env_prefix": "GO"}))
	defer Reset(nil)
	equal(t, valueOfKey(t, Default(), "of-the-process"), "1")
}

func valueOfKey(t *testing.T, secrets *Secrets, key string) string {
	t.Helper()
	secret, err := secrets.Get(background, key)
	return valueOf(t, secret, err)
}

func TestCheckReportsProviders(t *testing.T) {
	path := fileWith(t, `{"A": "x"}`)
	must(t, os.Chmod(path, 0o644))
	secrets := opened(t, Settings{"providers": []string{"env", "file"}, "file_path": path})
	equal(t, valueOfKey(t, secrets, "A"), "x")
	report, err := secrets.Check(background)
	must(t, err)
	equal(t, report.OK, true)
	equal(t, report.Providers[0].Name, "env")
	equal(t, report.Providers[0].State == StateOK && report.Providers[0].Detail != "", true)
	equal(t, report.Providers[1].State == StateWarning && report.Providers[1].Advice != "", true)
	equal(t, report.Memory.MappedBytes > 0 && report.Memory.State != "", true)
	equal(t, report.Share.State, StateAbsent)
	failed, err := opened(t, Settings{"providers": []string{"file"}, "file_path": fileWith(t, "[")}).Check(background)
	must(t, err)
	equal(t, failed.OK, false)
	equal(t, failed.Providers[0].State, StateFailed)
}

func TestGetInto(t *testing.T) {
	secrets := opened(t, Settings{"providers": []string{"file"}, "file_path": fileWith(t, `{"A": "12345", "EMPTY": ""}`)})
	buffer := make([]byte, 8)
	n, err := secrets.GetInto("A", buffer)
	must(t, err)
	equal(t, string(buffer[:n]), "12345")
	for _, small := range [][]byte{nil, {}, make([]byte, 4)} {
		n, err = secrets.GetInto("A", small)
		expect(t, err, ErrBufferTooSmall)
		equal(t, n, 5)
	}
	n, err = secrets.GetInto("EMPTY", nil)
	must(t, err)
	equal(t, n, 0)
	_, err = secrets.GetInto("B", buffer)
	expect(t, err, ErrNotFound)
}

func TestManagerClosedFailsEveryCall(t *testing.T) {
	secrets := opened(t, nil)
	must(t, secrets.Close())
	must(t, secrets.Close())
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	calls := map[string]func() error{
		"Get":          func() error { _, err := secrets.Get(background, "A"); return err },
		"Get with ctx": func() error { _, err := secrets.Get(ctx, "A"); return err },
		"GetInto":      func() error { _, err := secrets.GetInto("A", nil); return err },
		"GetMany":      func() error { _, err := secrets.GetMany(background, "A"); return err },
		"Set":          func() error { return secrets.Set(background, "A", nil) },
		"Delete":       func() error { _, err := secrets.Delete(background, "A"); return err },
		"Refresh":      func() error { return secrets.Refresh(ctx) },
		"ClearCache":   secrets.ClearCache,
		"Describe":     func() error { _, err := secrets.Describe(); return err },
		"Check":        func() error { _, err := secrets.Check(background); return err },
		"FilePath":     func() error { _, err := secrets.FilePath(); return err },
		"AddProvider":  func() error { return secrets.AddProvider("x", 0, load(nil, new(bool))) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) { expect(t, call(), ErrClosed) })
	}
}

func TestManagerCloseDuringCalls(t *testing.T) {
	path := fileWith(t, `{"A": "x"}`)
	for range 50 {
		secrets := opened(t, Settings{"providers": []string{"file"}, "file_path": path})
		var group sync.WaitGroup
		var found atomic.Int64
		for range 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				for {
					secret, err := secrets.Get(background, "A")
					if err != nil {
						expect(t, err, ErrClosed)
						return
					}
					found.Add(1)
					secret.Close()
				}
			}()
		}
		soon(t, "several calls found it", func() bool { return found.Load() > 4 })
		must(t, secrets.Close())
		group.Wait()
	}
}

func TestInvalidKeysFail(t *testing.T) {
	secrets := opened(t, Settings{"providers": []string{"env"}})
	for _, key := range []string{"", "a\x00b", "\xff", strings.Repeat("x", 1<<20)} {
		_, err := secrets.Get(background, key)
		expect(t, err, ErrInvalidArgument)
	}
	_, err := secrets.GetMany(background, "A", "a\x00b")
	expect(t, err, ErrInvalidArgument)
	found, err := secrets.GetMany(background)
	must(t, err)
	equal(t, len(found), 0)
	must(t, os.Setenv("HF_TOKEN_OF_GO", strings.Repeat("v", 100_000)))
	defer os.Unsetenv("HF_TOKEN_OF_GO")
	equal(t, len(valueOfKey(t, secrets, "hf-token-of-go")), 100_000)
}
