//go:build st_secrets_static

// The archive goes first and leaves nothing to do for the shared library of the same directory, so that is not linked.

package stsecrets

// #cgo pkg-config: st_secrets
// #cgo LDFLAGS: -Wl,--as-needed -l:libst_secrets.a -lgcc_s -lutil -lrt -lpthread -lm -ldl
import "C"
