package stsecrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"
)

const redactedValue = "CANARY-ä1234"

func redactorWith(t testing.TB, settings Settings) *Redactor {
	t.Helper()
	redactor, err := OpenRedactor(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { redactor.Close() })
	if added, err := redactor.Add("NAME", []byte(redactedValue)); !added || err != nil {
		t.Fatal(added, err)
	}
	return redactor
}

func TestRedactReplacesValuesAndTheirForms(t *testing.T) {
	redactor := redactorWith(t, Settings{"redact_with": "<{name}>"})
	text := fmt.Sprintf("a %s b %x", redactedValue, redactedValue)
	redacted, err := redactor.Redact([]byte(text))
	equal(t, fmt.Sprint(string(redacted), err), "a <NAME> b <NAME><nil>")
	added, err := redactor.Add("", []byte("short"))
	equal(t, fmt.Sprint(added, err), "false <nil>")
	_, err = OpenRedactor(Settings{"redact_min": 1})
	equal(t, errors.Is(err, ErrConfig), true)
	redactor.Close()
	_, err = redactor.Redact(nil)
	equal(t, errors.Is(err, ErrClosed), true)
}

func TestRedactingWriter(t *testing.T) {
	redactor := redactorWith(t, nil)
	var to lockedBuffer
	writer, err := redactor.NewWriter(&to)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(redactedValue + "\x00\x00"))
	for _, character := range []byte("a " + redactedValue + " b " + encoded + "\n") {
		if n, err := writer.Write([]byte{character}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	tail := encoded[len(redactedValue)*8/6:]
	equal(t, to.String(), "a *** b ***"+tail+"\n")
	// What may begin a value is passed on although nothing follows.
	fmt.Fprint(writer, "CAN")
	soon(t, "what is held back is passed on", func() bool { return to.String() == "a *** b ***"+tail+"\nCAN" })
	fmt.Fprint(writer, "CAN")
	equal(t, fmt.Sprint(writer.Close(), writer.Close()), "<nil> <nil>")
	equal(t, to.String(), "a *** b ***"+tail+"\nCANCAN")
	_, err = writer.Write([]byte("x"))
	equal(t, errors.Is(err, ErrClosed), true)

	reader, pipe := io.Pipe()
	reader.Close()
	writer, err = redactor.NewWriter(pipe)
	if err != nil {
		t.Fatal(err)
	}
	_, err = writer.Write([]byte("text\n"))
	equal(t, errors.Is(err, io.ErrClosedPipe), true)
}

// writerFunc is a writer below.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRedactingWriterPausesAfterTheWriterBelow(t *testing.T) {
	var to lockedBuffer
	began, goOn := make(chan bool, 8), make(chan bool)
	writer, err := redactorWith(t, nil).NewWriter(writerFunc(func(p []byte) (int, error) {
		began <- true
		<-goOn
		return to.Write(p)
	}))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		fmt.Fprint(writer, "a CANA")
		close(done)
	}()
	<-began
	// The writer below takes longer than the pause.
	time.Sleep(2 * pause)
	before := time.Now()
	close(goOn)
	<-done
	writer.mutex.Lock()
	written := writer.written
	writer.mutex.Unlock()
	equal(t, written.After(before), true)
	soon(t, "what is held back is passed on", func() bool { return to.String() == "a CANA" })
}

func TestRedactingHandler(t *testing.T) {
	redactor := redactorWith(t, nil)
	var to bytes.Buffer
	withoutTime := func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}
	handler := slog.NewTextHandler(&to, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	logger := slog.New(redactor.NewHandler(handler)).With("with", redactedValue).WithGroup("group")
	logger.Info("token "+redactedValue, "text", redactedValue, "number", 5, "error", errors.New("bad "+redactedValue),
		slog.Group("inner", "list", []string{redactedValue}), "bytes", []byte(redactedValue))
	logger.Debug("not enabled")
	equal(t, to.String(), "level=INFO msg=\"token ***\" with=*** group.text=*** group.number=5 group.error=\"bad ***\" "+
		"group.inner.list=[***] group.bytes=***\n")
}

// In a process of its own, because its redactor is opened once.
func TestRedactorOfProcess(t *testing.T) {
	if os.Getenv("ST_TEST_REDACTOR") == "" {
		command := exec.Command(os.Args[0], "-test.run=^TestRedactorOfProcess$")
		command.Env = append(os.Environ(), "ST_TEST_REDACTOR=1", "REDACTED_TOKEN="+redactedValue)
		if printed, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, printed)
		}
		return
	}
	if err := StartRedaction(Settings{"redact_with": "<{name}>"}); err != nil {
		t.Fatal(err)
	}
	equal(t, errors.Is(StartRedaction(nil), ErrConfig), true)
	before, err := DefaultRedactor().Redact([]byte(redactedValue))
	equal(t, fmt.Sprint(string(before), err), redactedValue+"<nil>")
	secret, err := opened(t, Settings{"providers": []string{"env"}}).Get(background, "REDACTED_TOKEN")
	equal(t, valueOf(t, secret, err), redactedValue)
	after, err := DefaultRedactor().Redact([]byte(redactedValue))
	equal(t, fmt.Sprint(string(after), err), "<REDACTED_TOKEN><nil>")
}
