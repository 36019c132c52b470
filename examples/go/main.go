// A scheduler: gets the token of a job within a deadline, caches lookups of users, and stores an encrypted credential.
// usage: example KEY
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	stsecrets "github.com/st-secrets/st-secrets/bindings/go"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: example KEY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(key string) error {
	if err := stsecrets.SetLogger(slog.Default(), slog.LevelWarn); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	token, err := stsecrets.Default().Get(ctx, key)
	if errors.Is(err, stsecrets.ErrNotFound) {
		return fmt.Errorf("provide %s first: %w", key, err)
	}
	if err != nil {
		return err
	}
	defer token.Close()
	fmt.Println("found", token, "of", token.Len(), "bytes") // prints Secret(***)

	users, err := stsecrets.NewCached(loadUser, stsecrets.CachedOptions{Prefix: "example", Function: "load_user", TTL: time.Minute})
	if err != nil {
		return err
	}
	defer users.Close()
	for range 3 {
		name, err := users.Get(ctx, 123)
		if err != nil {
			return err
		}
		fmt.Println("user 123 is", name)
	}
	return store(token)
}

func loadUser(_ context.Context, id int) (string, error) {
	fmt.Println("loading user", id)
	return "Ada", nil
}

// store encrypts the token in SimpleTuner's format, and decrypts it again.
func store(token *stsecrets.Secret) error {
	var encrypted string
	var failed error
	err := token.Use(func(value []byte) { encrypted, failed = stsecrets.DefaultCipher().Encrypt(value) })
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	again, err := stsecrets.DefaultCipher().Decrypt(encrypted)
	if err != nil {
		return err
	}
	defer again.Close()
	fmt.Println("encrypted and decrypted", again.Len(), "bytes")
	return nil
}
