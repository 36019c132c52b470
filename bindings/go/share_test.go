package stsecrets

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// findInProcess gets a secret in another process, which opens a manager of its own.
func (w *world) findInProcess(key string) (object, error) {
	request, err := json.Marshal(object{"settings": w.settings, "key": key})
	must(w.t, err)
	command := exec.Command(os.Args[0], "-test.run=^TestFindForAnotherProcess$", "-test.v")
	command.Env = append(os.Environ(), "ST_TEST_FIND=1")
	command.Stdin, command.Stderr = bytes.NewReader(request), os.Stderr
	output, err := command.Output()
	must(w.t, err)
	_, text, _ := strings.Cut(string(output), "answer: ")
	answer := object{}
	must(w.t, json.NewDecoder(strings.NewReader(text)).Decode(&answer))
	return answer, nil
}

// TestFindForAnotherProcess is the other process of findInProcess.
func TestFindForAnotherProcess(t *testing.T) {
	if os.Getenv("ST_TEST_FIND") == "" {
		t.Skip("it is started by the shared table of cases")
	}
	var request struct {
		Settings Settings
		Key      string
	}
	must(t, json.NewDecoder(os.Stdin).Decode(&request))
	answer, err := described(opened(t, request.Settings).GetWith(background, request.Key, 0))
	must(t, err)
	text, err := json.Marshal(answer)
	must(t, err)
	os.Stdout.WriteString("answer: " + string(text) + "\n")
}

// awsRequests returns how many requests AWS has logged since the last call.
func (w *world) awsRequests() int {
	log, err := os.ReadFile(servers()["AWS_LOG"])
	must(w.t, err)
	before := w.requests
	w.requests = strings.Count(string(log), `"POST / HTTP/1.1"`)
	return w.requests - before
}

func TestShareIsOff(t *testing.T) {
	secrets := opened(t, Settings{"providers": []string{"env"}})
	must(t, secrets.Prefetch(background))
	sharing, err := secrets.Share()
	must(t, err)
	if sharing.Share != "off" || sharing.Directory != "" || sharing.Refused != "" || len(sharing.Documents) != 0 {
		t.Error(sharing)
	}
	expect(t, closedManager(t).Prefetch(background), ErrClosed)
	_, err = closedManager(t).Share()
	expect(t, err, ErrClosed)
}

func TestShareIsRefused(t *testing.T) {
	directory := t.TempDir()
	must(t, os.Chmod(directory, 0o755))
	secrets := opened(t, Settings{"share": "host", "share_dir": directory})
	sharing, err := secrets.Share()
	must(t, err)
	equal(t, sharing.Share, "host")
	equal(t, sharing.Directory, directory)
	equal(t, sharing.Owner, os.Geteuid())
	if !strings.Contains(sharing.Refused, "chmod 700") {
		t.Error(sharing.Refused)
	}
}

func TestSharedDocument(t *testing.T) {
	text := `{"id": "0f", "provider": "aws", "place": "p", "age": 1.5, "expires_in": 2.5, "loading": true,
		"loader_pid": 7, "failing": "f", "retry_in": 0.5, "newer": 1}`
	var document SharedDocument
	must(t, json.Unmarshal([]byte(text), &document))
	wanted := SharedDocument{
		ID: "0f", Provider: "aws", Place: "p", Loaded: true, Age: 1500 * time.Millisecond,
		ExpiresIn: 2500 * time.Millisecond, Loading: true, LoaderPID: 7, Failing: "f", RetryIn: 500 * time.Millisecond,
	}
	equal(t, document, wanted)
	nothing := `{"id": "0f", "age": null, "expires_in": null, "loader_pid": null, "failing": null, "retry_in": null}`
	must(t, json.Unmarshal([]byte(nothing), &document))
	equal(t, document, SharedDocument{ID: "0f"})
}

// closedManager returns a closed manager.
func closedManager(t *testing.T) *Secrets {
	secrets := opened(t, nil)
	must(t, secrets.Close())
	return secrets
}

func TestShareKeyIsNotInErrors(t *testing.T) {
	_, err := Open(Settings{"share": "host", "share_key": "CANARY"})
	expect(t, err, ErrConfig)
	if text := err.Error(); strings.Contains(text, "CANARY") || !strings.Contains(text, "share_key") {
		t.Error(text)
	}
}
