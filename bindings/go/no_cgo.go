//go:build !cgo

package stsecrets

// The only error of a build without cgo, which a target for another system or machine turns off.
var _ = stsecrets_needs_cgo_so_set_CGO_ENABLED_to_1_and_CC_to_a_compiler_for_the_target
