// Package stsecrets finds the secrets of a training stack in the environment, a secrets file, AWS Secrets Manager and
// Vault, encrypts credentials as SimpleTuner does, and has a cache whose entries live for a time. It is a thin provider over
// the C library st_secrets, whose header says of each call what it does.
//
//	token, err := stsecrets.Default().Get(ctx, stsecrets.KeyHFToken)
//	if errors.Is(err, stsecrets.ErrNotFound) { … }
//	defer token.Close()
//	err = token.Use(func(value []byte) { … })
//
// Everything may be used from any number of goroutines at once. What has a Close may be closed at any time and more than
// once: calls under way end as they would have, later ones return [ErrClosed].
//
// The library is found by pkg-config. With the build tag st_secrets_static its static archive is linked instead.
package stsecrets
