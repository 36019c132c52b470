package stsecrets

// #include <st_secrets.h>
import "C"

import (
	"context"
	"os"
)

// Status says how a call failed. The statuses are errors, to be compared with: errors.Is(err, stsecrets.ErrNotFound).
type Status int32

// The statuses of the library. Later versions of it may return others.
const (
	// ErrNotFound: every provider was asked and has no such secret; the cache has no such entry.
	ErrNotFound Status = C.ST_NOT_FOUND
	// ErrInvalidArgument: an argument is too long, not UTF-8 or out of range.
	ErrInvalidArgument Status = C.ST_INVALID_ARGUMENT
	// ErrConfig: a setting is unknown, missing or of the wrong type.
	ErrConfig Status = C.ST_CONFIG
	// ErrIO: the system refused a file operation; Detail is errno.
	ErrIO Status = C.ST_IO
	// ErrAccessDenied: permissions or a policy forbid it.
	ErrAccessDenied Status = C.ST_ACCESS_DENIED
	// ErrUnavailable: something that is needed does not answer now.
	ErrUnavailable Status = C.ST_UNAVAILABLE
	// ErrTimeout: the deadline passed. Such an error also is a context.DeadlineExceeded and an os.ErrDeadlineExceeded.
	ErrTimeout Status = C.ST_TIMEOUT
	// ErrProtocol: a document or an answer is not in the form that it must have.
	ErrProtocol Status = C.ST_PROTOCOL
	// ErrBadToken: an encrypted token is damaged, or was made with another key.
	ErrBadToken Status = C.ST_BAD_TOKEN
	// ErrBadKey: an encryption key is missing, empty or unreadable.
	ErrBadKey Status = C.ST_BAD_KEY
	// ErrBufferTooSmall: the buffer is too small; the call returned the size that is needed.
	ErrBufferTooSmall Status = C.ST_BUFFER_TOO_SMALL
	// ErrCallback: a function of the program broke its contract: it panicked, or returned an error of its own.
	ErrCallback Status = C.ST_CALLBACK
	// ErrCorrupt: a database or a hash chain is damaged.
	ErrCorrupt Status = C.ST_CORRUPT
	// ErrBusy: somebody else holds what is needed.
	ErrBusy Status = C.ST_BUSY
	// ErrWrongType: the value is there, but it is of another type.
	ErrWrongType Status = C.ST_WRONG_TYPE
	// ErrReadOnly: the place cannot be written to.
	ErrReadOnly Status = C.ST_READ_ONLY
	// ErrNoMemory: memory could not be had.
	ErrNoMemory Status = C.ST_NO_MEMORY
	// ErrAbandoned: the load that was waited for was given up by its owner.
	ErrAbandoned Status = C.ST_ABANDONED
	// ErrPanic: a bug in the library, which stays usable.
	ErrPanic Status = C.ST_PANIC
)

// ErrClosed is the error of calls of what was closed. It also is an [os.ErrClosed].
var ErrClosed error = &Error{
	Status:  ErrInvalidArgument,
	Message: "this was closed, and cannot be used any more",
	cause:   os.ErrClosed,
}

// What the statuses say where there is no message.
var meanings = map[Status]string{
	ErrNotFound:        "there is no such value",
	ErrInvalidArgument: "an argument is too long, not UTF-8 or out of range",
	ErrConfig:          "a setting is unknown, missing or of the wrong type",
	ErrIO:              "the system refused a file operation",
	ErrAccessDenied:    "permissions or a policy forbid it",
	ErrUnavailable:     "something that is needed does not answer now",
	ErrTimeout:         "the deadline passed",
	ErrProtocol:        "a document or an answer is not in the required form",
	ErrBadToken:        "the encrypted token is damaged, or was made with another key",
	ErrBadKey:          "an encryption key is missing, empty or unreadable",
	ErrBufferTooSmall:  "the buffer is too small",
	ErrCallback:        "a function of the program panicked or returned an error",
	ErrCorrupt:         "a database or a hash chain is damaged",
	ErrBusy:            "another caller holds what is needed",
	ErrWrongType:       "the value is of another type",
	ErrReadOnly:        "the location cannot be written to",
	ErrNoMemory:        "there is not enough memory",
	ErrAbandoned:       "the load that was waited for was abandoned",
	ErrPanic:           "a bug in the library",
}

// String is the name of the status, such as ST_NOT_FOUND.
func (s Status) String() string { return C.GoString(C.st_status_name(C.st_status(s))) }

// Error is what the status says, with its name.
func (s Status) Error() string {
	if meaning, ok := meanings[s]; ok {
		return meaning + " (" + s.String() + ")"
	}
	return s.String()
}

// Is tells whether the target is what ErrTimeout also is.
func (s Status) Is(target error) bool {
	return s.Timeout() && (target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded)
}

// Timeout tells whether the deadline passed.
func (s Status) Timeout() bool { return s == ErrTimeout }

// Source says which provider failed, or where a value came from.
type Source int32

// The sources.
const (
	SourceNone       Source = C.ST_SOURCE_NONE
	SourceEnv        Source = C.ST_SOURCE_ENV
	SourceFile       Source = C.ST_SOURCE_FILE
	SourceAWS        Source = C.ST_SOURCE_AWS
	SourceVault      Source = C.ST_SOURCE_VAULT
	SourceCustom     Source = C.ST_SOURCE_CUSTOM
	SourceStore      Source = C.ST_SOURCE_STORE
	SourceCredential Source = C.ST_SOURCE_CREDENTIAL
)

// Error is how calls of the library fail. It never holds a value, a key or a token.
type Error struct {
	// Status says what kind of failure it is.
	Status Status
	// Source is the provider that failed.
	Source Source
	// Detail is the HTTP status or errno; 0 if there is none.
	Detail int
	// Retryable says that the same call may succeed later without anybody changing anything.
	Retryable bool
	// Message says what happened, where, and what to do about it.
	Message string

	cause error
}

// Error is the message or, where there is none, what the status says.
func (e *Error) Error() string {
	if e.Message == "" {
		return "stsecrets: " + e.Status.Error()
	}
	return "stsecrets: " + e.Message
}

// Is tells whether the target is the status of this error.
func (e *Error) Is(target error) bool {
	return target == e.Status || e.Status.Is(target)
}

// Unwrap is the error of the program's own function, or of the context, that this one stems from.
func (e *Error) Unwrap() error { return e.cause }

// Timeout tells whether the deadline passed.
func (e *Error) Timeout() bool { return e.Status.Timeout() }
