package stsecrets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
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
