package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

var requestID atomic.Uint64

// awsRequest reads the action of Secrets Manager from X-Amz-Target, and that of STS from the form in the body.
func awsRequest(r *http.Request, body []byte) request {
	if _, action, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		var input struct{ SecretId string }
		_ = json.Unmarshal(body, &input)
		return request{action, input.SecretId}
	}
	form, _ := url.ParseQuery(string(body))
	if action := form.Get("Action"); action != "" {
		return request{action: action}
	}
	return request{action: r.Method + " " + r.URL.Path}
}

// throttled returns the response of AWS to a request above a quota: that of Secrets Manager, or of STS in XML.
func throttled(action string) *response {
	id := fmt.Sprintf("00000000-0000-4000-8000-%012x", requestID.Add(1))
	header := http.Header{"X-Amzn-Requestid": {id}}
	if !isSTS(action) {
		header.Set("Content-Type", "application/x-amz-json-1.1")
		return &response{http.StatusBadRequest, header, []byte(`{"__type":"ThrottlingException","message":"Rate exceeded"}`)}
	}
	header.Set("Content-Type", "text/xml")
	body := fmt.Appendf(nil, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error>
    <Type>Sender</Type>
    <Code>Throttling</Code>
    <Message>Rate exceeded</Message>
  </Error>
  <RequestId>%s</RequestId>
</ErrorResponse>
`, id)
	return &response{http.StatusBadRequest, header, body}
}

func isSTS(action string) bool {
	return strings.HasPrefix(action, "AssumeRole") || action == "GetCallerIdentity"
}

func isThrottled(answer *response) bool {
	if answer.status == http.StatusTooManyRequests {
		return true
	}
	return answer.status == http.StatusBadRequest && strings.Contains(string(answer.body), "Rate exceeded")
}

// replayKey returns what makes two requests equal: action, principal and parameters. Only the time, the signature and
// the name of the session differ.
func replayKey(r *http.Request, asked request, body []byte) string {
	if !isSTS(asked.action) {
		_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		principal, _, _ := strings.Cut(scope, "/")
		return asked.action + "\n" + principal + "\n" + string(body)
	}
	form, _ := url.ParseQuery(string(body))
	form.Del("RoleSessionName")
	return asked.action + "\n" + form.Encode()
}
