package stsecrets

// #include "native.h"
import "C"

// Version returns the version of the loaded library, such as 0.1.0.
func Version() string { return C.GoString(C.st_version()) }

// VersionNumber returns the version as a number: major * 1000000 + minor * 1000 + patch.
func VersionNumber() int { return int(C.st_version_number()) }

// ABIVersion returns the version of the loaded library's ABI.
func ABIVersion() int { return int(C.st_abi_version()) }
