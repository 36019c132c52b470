//go:build !st_secrets_static && !st_secrets_prebuilt

package stsecrets

// #cgo pkg-config: st_secrets
import "C"
