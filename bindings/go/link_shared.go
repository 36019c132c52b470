//go:build !st_secrets_static

package stsecrets

// #cgo pkg-config: st_secrets
import "C"
