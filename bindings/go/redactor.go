package stsecrets

// #include "native.h"
import "C"

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Redactor replaces secret values in text, including escaped and encoded forms.
type Redactor struct{ *handle }

var defaultRedactor = &Redactor{newHandle(nil, func(unsafe.Pointer) {})}

// DefaultRedactor returns the redactor of the whole process, which is opened on first use: it replaces each value that
// the library returns after that. Closing it has no effect.
func DefaultRedactor() *Redactor {
	// Opens it: values that are returned before are not known.
	_, _ = defaultRedactor.Redact(nil)
	return defaultRedactor
}

// StartRedaction opens the redactor of the whole process with the settings redact_min and redact_with. Call it at the
// start of the program. It fails if the redactor is open with other settings.
func StartRedaction(settings Settings) error {
	c := newCall()
	defer c.end()
	return settings.open(c, func(config *C.st_config) C.st_status { return C.st_redactor_start(config, &c.err) })
}

// OpenRedactor opens a redactor that has no value yet, with the settings redact_min and redact_with.
func OpenRedactor(settings Settings) (*Redactor, error) {
	c := newCall()
	defer c.end()
	err := settings.open(c, func(config *C.st_config) C.st_status {
		return C.st_redactor_open(config, (**C.st_redactor)(unsafe.Pointer(&c.handle)), &c.err)
	})
	if err != nil {
		return nil, err
	}
	redactor := &Redactor{newHandle(c.handle, func(native unsafe.Pointer) { C.st_redactor_free((*C.st_redactor)(native)) })}
	runtime.AddCleanup(redactor, (*handle).close, redactor.handle)
	return redactor, nil
}

// Close frees the redactor and wipes its values once no call uses it.
func (r *Redactor) Close() error {
	if r != defaultRedactor {
		r.handle.close()
	}
	return nil
}

func (r *Redactor) native() *C.st_redactor { return (*C.st_redactor)(r.handle.native) }

// Add adds a value, with the name that redact_with can show; it may be empty. Add reports whether the value has at
// least redact_min bytes; a shorter one is ignored.
func (r *Redactor) Add(name string, value []byte) (bool, error) {
	call, err := r.begin()
	if err != nil {
		return false, err
	}
	defer r.end(call)
	var label *C.char
	var labelSize C.size_t
	if name != "" {
		label, labelSize = text(name)
	}
	address, size := data(value)
	return call.existed(C.st_redactor_add(r.native(), label, labelSize, address, size, &call.flag, &call.err))
}

// Redact returns the text with every value replaced.
func (r *Redactor) Redact(text []byte) ([]byte, error) {
	address, size := data(text)
	return r.copied(context.Background(), func(call *call) C.st_status {
		return C.st_redact(r.native(), address, size, &call.bytes, &call.err)
	})
}

// redacted returns the text with every value replaced. Text that cannot be redacted is not shown.
func (r *Redactor) redacted(text string) string {
	redacted, err := r.Redact([]byte(text))
	if err != nil {
		return "(not redacted: " + err.Error() + ")"
	}
	return string(redacted)
}

// pause is the time after which a RedactingWriter passes on what may be the beginning of a value.
const pause = 50 * time.Millisecond

// RedactingWriter passes on what is written to it, with every value replaced. What may be the beginning of a value is
// held back until more is written or 50 ms pass. Any number of goroutines may use it.
type RedactingWriter struct {
	mutex  sync.Mutex
	to     io.Writer
	stream *handle
	timer  *time.Timer
	// When the last call of Write ended.
	written time.Time
}

// NewWriter returns a writer that redacts what it passes on to the writer to.
func (r *Redactor) NewWriter(to io.Writer) (*RedactingWriter, error) {
	call, err := r.begin()
	if err != nil {
		return nil, err
	}
	defer r.end(call)
	stream := (**C.st_redact_stream)(unsafe.Pointer(&call.handle))
	if err := call.error(C.st_redact_stream_open(r.native(), stream, &call.err)); err != nil {
		return nil, err
	}
	free := func(native unsafe.Pointer) { C.st_redact_stream_free((*C.st_redact_stream)(native)) }
	writer := &RedactingWriter{to: to, stream: newHandle(call.handle, free)}
	runtime.AddCleanup(writer, (*handle).close, writer.stream)
	return writer, nil
}

// Write redacts p. An error of the writer below is returned by the call that passes text on.
func (w *RedactingWriter) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	if err := w.stream.acquire(); err != nil {
		return 0, err
	}
	defer w.stream.release()
	call := newCall()
	defer call.end()
	address, size := data(p)
	native := (*C.st_redact_stream)(w.stream.native)
	redacted, err := call.copied(C.st_redact_stream_write(native, address, size, &call.bytes, &call.size, &call.err))
	if err != nil {
		return 0, err
	}
	// The pause begins after the writer below has returned: it may be slow.
	defer func() {
		w.written = time.Now()
		if call.size > 0 {
			w.timer = time.AfterFunc(pause, w.paused)
		}
	}()
	if len(redacted) > 0 {
		if _, err := w.to.Write(redacted); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// paused passes on what is held back, unless more was written meanwhile.
func (w *RedactingWriter) paused() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if time.Since(w.written) >= pause {
		_ = w.flush()
	}
}

// Flush passes on what is held back.
func (w *RedactingWriter) Flush() error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.flush()
}

func (w *RedactingWriter) flush() error {
	if err := w.stream.acquire(); err != nil {
		return err
	}
	defer w.stream.release()
	call := newCall()
	defer call.end()
	native := (*C.st_redact_stream)(w.stream.native)
	held, err := call.copied(C.st_redact_stream_flush(native, &call.bytes, &call.err))
	if err == nil && len(held) > 0 {
		_, err = w.to.Write(held)
	}
	return err
}

// Close passes on what is held back. It does not close the writer below.
func (w *RedactingWriter) Close() error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.stream.closed.Load() {
		return nil
	}
	err := w.flush()
	w.stream.close()
	return err
}

// NewHandler returns a handler that redacts the messages and attributes of records, and passes them on. An attribute of
// any type is replaced with text if fmt prints a value of it.
//
// A handler that formats attributes in another way may still print a value: it should write to a [RedactingWriter].
func (r *Redactor) NewHandler(to slog.Handler) slog.Handler { return &redactingHandler{r, to} }

type redactingHandler struct {
	redactor *Redactor
	to       slog.Handler
}

func (h *redactingHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.to.Enabled(ctx, level)
}

func (h *redactingHandler) Handle(ctx context.Context, record slog.Record) error {
	redacted := slog.NewRecord(record.Time, record.Level, h.redactor.redacted(record.Message), record.PC)
	record.Attrs(func(attr slog.Attr) bool {
		redacted.AddAttrs(h.attr(attr))
		return true
	})
	return h.to.Handle(ctx, redacted)
}

func (h *redactingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &redactingHandler{h.redactor, h.to.WithAttrs(h.attrs(attrs))}
}

func (h *redactingHandler) WithGroup(name string) slog.Handler {
	return &redactingHandler{h.redactor, h.to.WithGroup(h.redactor.redacted(name))}
}

func (h *redactingHandler) attrs(attrs []slog.Attr) []slog.Attr {
	redacted := make([]slog.Attr, len(attrs))
	for i, attr := range attrs {
		redacted[i] = h.attr(attr)
	}
	return redacted
}

func (h *redactingHandler) attr(attr slog.Attr) slog.Attr {
	return slog.Attr{Key: h.redactor.redacted(attr.Key), Value: h.value(attr.Value.Resolve())}
}

func (h *redactingHandler) value(value slog.Value) slog.Value {
	switch value.Kind() {
	case slog.KindString:
		return slog.StringValue(h.redactor.redacted(value.String()))
	case slog.KindGroup:
		return slog.GroupValue(h.attrs(value.Group())...)
	case slog.KindAny:
		printed := fmt.Sprintf("%+v", value.Any())
		if bytes, ok := value.Any().([]byte); ok {
			printed = string(bytes)
		}
		if redacted := h.redactor.redacted(printed); redacted != printed {
			return slog.StringValue(redacted)
		}
	}
	return value
}
