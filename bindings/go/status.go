package stsecrets

// #include <st_secrets.h>
import "C"

import (
	"context"
	"os"
)

// Status is the kind of a failure. Statuses are errors to compare with: errors.Is(err, stsecrets.ErrNotFound).
type Status int32

// The statuses of the library. Later versions may return others.
const (
	// ErrNotFound: no provider has the secret, although all of them answered; or the cache has no such entry.
	ErrNotFound Status = C.ST_NOT_FOUND
	// ErrInvalidArgument: an argument is too long, not UTF-8 or out of range.
	ErrInvalidArgument Status = C.ST_INVALID_ARGUMENT
	// ErrConfig: a setting is unknown, missing or of the wrong type.
	ErrConfig Status = C.ST_CONFIG
	// ErrIO: a file operation failed; Detail is errno.
	ErrIO Status = C.ST_IO
	// ErrAccessDenied: permissions or a policy deny the operation.
	ErrAccessDenied Status = C.ST_ACCESS_DENIED
	// ErrUnavailable: a server or another resource is unavailable.
	ErrUnavailable Status = C.ST_UNAVAILABLE
	// ErrTimeout: the call timed out. Such an error is also a context.DeadlineExceeded and an os.ErrDeadlineExceeded.
	ErrTimeout Status = C.ST_TIMEOUT
	// ErrProtocol: a document or response is malformed.
	ErrProtocol Status = C.ST_PROTOCOL
	// ErrBadToken: an encrypted token is damaged, or was made with another key.
	ErrBadToken Status = C.ST_BAD_TOKEN
	// ErrBadKey: an encryption key is missing, empty or unreadable.
	ErrBadKey Status = C.ST_BAD_KEY
	// ErrBufferTooSmall: the buffer is too small; the call returns the length needed.
	ErrBufferTooSmall Status = C.ST_BUFFER_TOO_SMALL
	// ErrCallback: a callback panicked or returned an error of its own.
	ErrCallback Status = C.ST_CALLBACK
	// ErrCorrupt: a database or a hash chain is damaged.
	ErrCorrupt Status = C.ST_CORRUPT
	// ErrBusy: another process or goroutine holds the resource.
	ErrBusy Status = C.ST_BUSY
	// ErrWrongType: the value exists, but has another type.
	ErrWrongType Status = C.ST_WRONG_TYPE
	// ErrReadOnly: the file or database is read-only.
	ErrReadOnly Status = C.ST_READ_ONLY
	// ErrNoMemory: out of memory.
	ErrNoMemory Status = C.ST_NO_MEMORY
	// ErrAbandoned: the load that the call waited for was abandoned.
	ErrAbandoned Status = C.ST_ABANDONED
	// ErrPanic: a bug in the library, which remains usable.
	ErrPanic Status = C.ST_PANIC
)

// ErrClosed is the error of calls on closed objects. It is also an [os.ErrClosed].
var ErrClosed error = &Error{
	Status:  ErrInvalidArgument,
	Message: "it is closed",
	cause:   os.ErrClosed,
}

// The messages of statuses for errors without their own.
var meanings = map[Status]string{
	ErrNotFound:        "not found",
	ErrInvalidArgument: "an argument is too long, not UTF-8 or out of range",
	ErrConfig:          "a setting is unknown, missing or of the wrong type",
	ErrIO:              "a file operation failed",
	ErrAccessDenied:    "permissions or a policy deny the operation",
	ErrUnavailable:     "a server or another resource is unavailable",
	ErrTimeout:         "timed out",
	ErrProtocol:        "a document or response is malformed",
	ErrBadToken:        "the encrypted token is damaged, or was made with another key",
	ErrBadKey:          "an encryption key is missing, empty or unreadable",
	ErrBufferTooSmall:  "the buffer is too small",
	ErrCallback:        "a function of the program panicked or returned an error",
	ErrCorrupt:         "a database or a hash chain is damaged",
	ErrBusy:            "another caller holds the resource",
	ErrWrongType:       "the value is of another type",
	ErrReadOnly:        "the file or database is read-only",
	ErrNoMemory:        "out of memory",
	ErrAbandoned:       "the load that the call waited for was abandoned",
	ErrPanic:           "a bug in the library",
}

// String returns the name of the status, such as ST_NOT_FOUND.
func (s Status) String() string { return C.GoString(C.st_status_name(C.st_status(s))) }

// Error returns the meaning of the status, with its name.
func (s Status) Error() string {
	if meaning, ok := meanings[s]; ok {
		return meaning + " (" + s.String() + ")"
	}
	return s.String()
}

// Is reports whether target is an error of the standard library that ErrTimeout matches.
func (s Status) Is(target error) bool {
	return s.Timeout() && (target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded)
}

// Timeout reports whether the call timed out.
func (s Status) Timeout() bool { return s == ErrTimeout }

// Source is the provider or part of the library that failed, or that a value comes from.
type Source int32

// The sources.
const (
	SourceNone          Source = C.ST_SOURCE_NONE
	SourceEnv           Source = C.ST_SOURCE_ENV
	SourceFile          Source = C.ST_SOURCE_FILE
	SourceAWS           Source = C.ST_SOURCE_AWS
	SourceVault         Source = C.ST_SOURCE_VAULT
	SourceCustom        Source = C.ST_SOURCE_CUSTOM
	SourceStore         Source = C.ST_SOURCE_STORE
	SourceEncryption    Source = C.ST_SOURCE_ENCRYPTION
	SourceHuggingFace   Source = C.ST_SOURCE_HUGGINGFACE
	SourceExec          Source = C.ST_SOURCE_EXEC
	SourceGoogle        Source = C.ST_SOURCE_GOOGLE
	SourceAzure         Source = C.ST_SOURCE_AZURE
	SourceKubernetes    Source = C.ST_SOURCE_KUBERNETES
	SourceOnePassword   Source = C.ST_SOURCE_ONEPASSWORD
	SourceInfisical     Source = C.ST_SOURCE_INFISICAL
	SourceAWSParameters Source = C.ST_SOURCE_AWS_PARAMETERS
	SourceCredentials   Source = C.ST_SOURCE_CREDENTIALS
)

// Error is a failure of the library. It never contains a value, key or token.
type Error struct {
	// Status is the kind of the failure.
	Status Status
	// Source is the provider that failed.
	Source Source
	// Detail is the HTTP status or errno; 0 if there is none.
	Detail int
	// Retryable is whether the same call may succeed later without any change by the user.
	Retryable bool
	// Message says what failed, where, and the remedy.
	Message string

	cause error
}

// Error returns the message or, if there is none, the meaning of the status.
func (e *Error) Error() string {
	if e.Message == "" {
		return "stsecrets: " + e.Status.Error()
	}
	return "stsecrets: " + e.Message
}

// Is reports whether target is the status of this error.
func (e *Error) Is(target error) bool {
	return target == e.Status || e.Status.Is(target)
}

// Unwrap returns the error of a callback or of the context that caused this one.
func (e *Error) Unwrap() error { return e.cause }

// Timeout reports whether the call timed out.
func (e *Error) Timeout() bool { return e.Status.Timeout() }
