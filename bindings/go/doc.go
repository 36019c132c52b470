//go:build cgo

// Package stsecrets reads the secrets of training stacks from the environment, a secrets file, AWS Secrets Manager and
// Vault, encrypts credentials in SimpleTuner's format, and has a cache whose entries expire. It is a thin binding of
// the C library st_secrets, whose header documents each call.
//
//	token, err := stsecrets.Default().Get(ctx, stsecrets.KeyHFToken)
//	if errors.Is(err, stsecrets.ErrNotFound) { … }
//	defer token.Close()
//	err = token.Use(func(value []byte) { … })
//
// All types may be used from any number of goroutines at once. Close may be called at any time and more than once:
// calls in progress finish normally, later ones return [ErrClosed].
//
// The package needs cgo: CGO_ENABLED=1, and a C compiler. pkg-config locates the library. The build tag
// st_secrets_static links its static archive instead of the shared library; st_secrets_prebuilt, the archive in the
// packed module, without an installed library.
package stsecrets
