package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"log/slog"
	"runtime/cgo"
	"unsafe"
)

// LevelTrace is the level of messages below slog.LevelDebug.
const LevelTrace = slog.LevelDebug - 4

// SetLogger sends the log messages of the library, from this level on, to logger, for the whole process; nil stops
// that. The attribute target is the part of the library; others, such as provider, key, url and duration, are parts of
// the message, with durations in seconds. Messages never contain a value, key or token.
func SetLogger(logger *slog.Logger, level slog.Level) error {
	c := newCall()
	defer c.end()
	if logger == nil {
		return c.error(C.st_log_set(C.ST_LOG_OFF, nil, nil, nil, &c.err))
	}
	return c.error(C.st_go_log_set(nativeLevel(level), C.uintptr_t(cgo.NewHandle(logger)), &c.err))
}

func nativeLevel(level slog.Level) C.int32_t {
	switch {
	case level > slog.LevelWarn:
		return C.ST_LOG_ERROR
	case level > slog.LevelInfo:
		return C.ST_LOG_WARN
	case level > slog.LevelDebug:
		return C.ST_LOG_INFO
	case level > LevelTrace:
		return C.ST_LOG_DEBUG
	}
	return C.ST_LOG_TRACE
}

func levelOf(native C.int32_t) slog.Level {
	switch native {
	case C.ST_LOG_ERROR:
		return slog.LevelError
	case C.ST_LOG_WARN:
		return slog.LevelWarn
	case C.ST_LOG_INFO:
		return slog.LevelInfo
	case C.ST_LOG_DEBUG:
		return slog.LevelDebug
	}
	return LevelTrace
}

//export st_go_log
func st_go_log(logger unsafe.Pointer, level C.int32_t, target, message *C.char, size C.size_t, fields *C.st_log_field, count C.size_t) {
	to := cgo.Handle(uintptr(logger)).Value().(*slog.Logger)
	said, attributes := C.GoStringN(message, C.int(size)), []slog.Attr{slog.String("target", C.GoString(target))}
	for _, field := range unsafe.Slice(fields, int(count)) {
		switch name := C.GoString(field.name); field.kind {
		case C.ST_FIELD_TEXT:
			attributes = append(attributes, slog.String(name, C.GoStringN(field.text, C.int(field.len))))
		case C.ST_FIELD_INTEGER:
			attributes = append(attributes, slog.Int64(name, int64(field.integer)))
		case C.ST_FIELD_NUMBER:
			attributes = append(attributes, slog.Float64(name, float64(field.number)))
		}
	}
	// A panic or runtime.Goexit must not pass through C code, so this runs on a goroutine of its own.
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		to.LogAttrs(context.Background(), levelOf(level), said, attributes...)
	}()
	<-done
}
