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
// that. The attribute target is the part of the library. Messages never contain a value, key or token.
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
func st_go_log(logger unsafe.Pointer, level C.int32_t, target, message *C.char, size C.size_t) {
	to := cgo.Handle(uintptr(logger)).Value().(*slog.Logger)
	part, said := C.GoString(target), C.GoStringN(message, C.int(size))
	// A panic or runtime.Goexit must not pass through C code, so this runs on a goroutine of its own.
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		to.LogAttrs(context.Background(), levelOf(level), said, slog.String("target", part))
	}()
	<-done
}
