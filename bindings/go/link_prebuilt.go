//go:build st_secrets_prebuilt

// The archives are in the packed module. Go has no name for musl, so the tag st_secrets_musl selects it.

package stsecrets

// #cgo CFLAGS: -I${SRCDIR}/prebuilt
// #cgo amd64,!st_secrets_musl LDFLAGS: ${SRCDIR}/prebuilt/amd64/libst_secrets.a
// #cgo arm64,!st_secrets_musl LDFLAGS: ${SRCDIR}/prebuilt/arm64/libst_secrets.a
// #cgo amd64,st_secrets_musl LDFLAGS: ${SRCDIR}/prebuilt/amd64-musl/libst_secrets.a
// #cgo arm64,st_secrets_musl LDFLAGS: ${SRCDIR}/prebuilt/arm64-musl/libst_secrets.a
// #cgo LDFLAGS: -lutil -lrt -lpthread -lm -ldl
import "C"
