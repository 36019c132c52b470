package stsecrets_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	stsecrets "github.com/st-secrets/st-secrets/bindings/go"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func Example() {
	check(os.Setenv("HF_TOKEN", "hf_example"))
	secrets, err := stsecrets.Open(stsecrets.Settings{"providers": []string{"env"}})
	check(err)
	defer secrets.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	token, err := secrets.Get(ctx, stsecrets.KeyHFToken)
	check(err)
	defer token.Close()
	fmt.Println(token) // never prints the value
	check(token.Use(func(value []byte) { fmt.Println(len(value), "bytes") }))

	_, err = secrets.Get(ctx, "NOT_THERE")
	fmt.Println(errors.Is(err, stsecrets.ErrNotFound))
	// Output:
	// Secret(***)
	// 10 bytes
	// true
}

func ExampleCache_GetOrLoad() {
	cache, err := stsecrets.NewCache(stsecrets.DefaultTTL, 1000, time.Minute)
	check(err)
	defer cache.Close()
	load := func(_ context.Context, key string) ([]byte, time.Duration, error) {
		fmt.Println("loading", key)
		return []byte("Ada"), 30 * time.Second, nil
	}
	for range 2 {
		value, err := cache.GetOrLoad(context.Background(), "user:1:name", load)
		check(err)
		fmt.Println(string(value))
	}
	// Output:
	// loading user:1:name
	// Ada
	// Ada
}

func ExampleNewCached() {
	loadUser := func(_ context.Context, id int) (string, error) {
		fmt.Println("loading", id)
		return "Ada", nil
	}
	options := stsecrets.CachedOptions{Prefix: "mymodule", Function: "get_user", TTL: 2 * time.Minute}
	users, err := stsecrets.NewCached(loadUser, options)
	check(err)
	defer users.Close()
	for range 2 {
		name, err := users.Get(context.Background(), 7)
		check(err)
		fmt.Println(name)
	}
	// Output:
	// loading 7
	// Ada
	// Ada
}

func ExampleCipher() {
	cipher, err := stsecrets.OpenCipher(stsecrets.Settings{"key": "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="})
	check(err)
	defer cipher.Close()
	token, err := cipher.Encrypt([]byte("r8_example"))
	check(err)
	plaintext, err := cipher.Decrypt(token)
	check(err)
	defer plaintext.Close()
	check(plaintext.Use(func(value []byte) { fmt.Println(string(value)) }))
	// Output: r8_example
}

func ExampleRedactor_Redact() {
	redactor, err := stsecrets.OpenRedactor(nil)
	check(err)
	defer redactor.Close()
	_, err = redactor.Add("HF_TOKEN", []byte("hf_example_token"))
	check(err)
	text, err := redactor.Redact([]byte("Authorization: Bearer hf_example_token"))
	check(err)
	fmt.Println(string(text))
	// Output: Authorization: Bearer ***
}

func ExampleSecrets_GetMany() {
	check(os.Setenv("DB_USER", "ada"))
	secrets, err := stsecrets.Open(stsecrets.Settings{"providers": []string{"env"}})
	check(err)
	defer secrets.Close()
	results, err := secrets.GetMany(context.Background(), "DB_USER", "NOT_THERE")
	check(err)
	for _, result := range results {
		fmt.Println(result.Secret != nil, errors.Is(result.Err, stsecrets.ErrNotFound))
	}
	check(results[0].Secret.Close())
	// Output:
	// true false
	// false true
}

func ExampleSecrets_AddProvider() {
	secrets, err := stsecrets.Open(stsecrets.Settings{"providers": []string{}})
	check(err)
	defer secrets.Close()
	kept := map[string]string{"HF_TOKEN": "hf_example"}
	check(secrets.AddProvider("keeper", stsecrets.Last, func(_ context.Context, key string) ([]byte, time.Duration, error) {
		value, ok := kept[key]
		if !ok {
			return nil, 0, stsecrets.ErrNotFound
		}
		return []byte(value), time.Minute, nil
	}))
	token, info, err := secrets.GetWith(context.Background(), "HF_TOKEN", 0)
	check(err)
	defer token.Close()
	fmt.Println(token.Len(), "bytes from", info.Provider)
	// Output: 10 bytes from keeper
}

func ExampleSecrets_Check() {
	secrets, err := stsecrets.Open(stsecrets.Settings{"providers": []string{"env", "file"}, "file_path": "/nowhere/secrets.json"})
	check(err)
	defer secrets.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	report, err := secrets.Check(ctx)
	check(err)
	fmt.Println("usable:", report.OK)
	for _, provider := range report.Providers {
		fmt.Println(provider.Name, "is", provider.State)
	}
	// Output:
	// usable: true
	// env is ok
	// file is absent
}

func ExampleSecrets_Listen() {
	directory, err := os.MkdirTemp("", "st-secrets-")
	check(err)
	defer os.RemoveAll(directory)
	secrets, err := stsecrets.Open(stsecrets.Settings{"file_path": filepath.Join(directory, "secrets.json")})
	check(err)
	defer secrets.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	generation, err := secrets.Generation() // before the values are read
	check(err)
	go func() { check(secrets.Set(context.Background(), "DB_PASSWORD", []byte("new"))) }()
	_, err = secrets.Listen(ctx, generation)
	check(err)
	fmt.Println("get the values again")
	// Output: get the values again
}

func ExampleCache() {
	cache, err := stsecrets.NewCache(5*time.Minute, 1000, time.Minute)
	check(err)
	defer cache.Close()
	check(cache.Set("user:1:name", []byte("Ada"), stsecrets.DefaultTTL))
	check(cache.Set("user:1:mail", []byte("ada@example.com"), stsecrets.Forever))
	value, err := cache.Get("user:1:name")
	check(err)
	count, err := cache.InvalidatePrefix("user:1:")
	check(err)
	_, err = cache.Get("user:1:name")
	fmt.Println(string(value), count, errors.Is(err, stsecrets.ErrNotFound))
	// Output: Ada 2 true
}

func ExampleStore() {
	directory, err := os.MkdirTemp("", "st-secrets-")
	check(err)
	defer os.RemoveAll(directory)
	store, err := stsecrets.OpenStore(stsecrets.Settings{"state_dir": directory})
	check(err)
	defer store.Close()
	cipher, err := stsecrets.OpenCipher(stsecrets.Settings{"key": "a key for the example"})
	check(err)
	defer cipher.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	ada, err := store.As(stsecrets.Actor{UserID: 7, Username: "ada"})
	check(err)
	defer ada.Close()
	id := stsecrets.CredentialID{UserID: 7, Provider: "replicate", Name: "api_token"}
	_, err = ada.SetCredential(ctx, cipher, id, []byte("r8_example"))
	check(err)
	token, err := store.Credential(ctx, cipher, id)
	check(err)
	defer token.Close()
	fmt.Println(token.Len(), "bytes")

	entries, err := store.AuditEntries(ctx, []byte(`{"event_type": "credential.created"}`))
	check(err)
	for _, entry := range entries {
		fmt.Println(entry.EventType, "by", entry.ActorUsername)
	}
	verified, err := store.VerifyAudit(ctx, 0, 0)
	check(err)
	fmt.Println("intact:", verified.Valid)
	// Output:
	// 10 bytes
	// credential.created by ada
	// intact: true
}

func ExampleRedactor_NewHandler() {
	redactor, err := stsecrets.OpenRedactor(nil)
	check(err)
	defer redactor.Close()
	_, err = redactor.Add("HF_TOKEN", []byte("hf_example_token"))
	check(err)
	withoutTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, attribute slog.Attr) slog.Attr {
		if attribute.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attribute
	}}
	logger := slog.New(redactor.NewHandler(slog.NewTextHandler(os.Stdout, withoutTime)))
	logger.Info("logging in", "token", "hf_example_token")
	// Output: level=INFO msg="logging in" token=***
}

func ExampleSecrets_Stats() {
	check(os.Setenv("DB_USER", "ada"))
	secrets, err := stsecrets.Open(stsecrets.Settings{"providers": []string{"env"}})
	check(err)
	defer secrets.Close()
	user, err := secrets.Get(context.Background(), "DB_USER")
	check(err)
	defer user.Close()
	stats, err := secrets.Stats() // WritePrometheus writes them for a handler of /metrics
	check(err)
	fmt.Println(stats.Gets, "get,", stats.Providers[0].Found, "from", stats.Providers[0].Name)
	// Output: 1 get, 1 from env
}
