//go:build st_secrets_static

// The archive comes first and resolves all symbols, so the shared library of the same directory is not linked.

package stsecrets

// #cgo pkg-config: st_secrets
// #cgo LDFLAGS: -Wl,--as-needed -l:libst_secrets.a -lutil -lrt -lpthread -lm -ldl
import "C"
