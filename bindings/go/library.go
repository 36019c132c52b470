package stsecrets

// #include "native.h"
import "C"

// Version is the version of the library that runs, such as 0.1.0.
func Version() string { return C.GoString(C.st_version()) }

// VersionNumber is the same as a number: major * 1000000 + minor * 1000 + patch.
func VersionNumber() int { return int(C.st_version_number()) }

// ABIVersion is the version of its binary interface.
func ABIVersion() int { return int(C.st_abi_version()) }
