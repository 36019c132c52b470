package main

import (
	"math"
	"sync"
	"time"
)

// The quotas of AWS in requests a second, for each account and region: those of Secrets Manager from
// docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html, that of STS from
// repost.aws/knowledge-center/iam-sts-throttling-error. All roles of STS share one.
var awsQuotas = map[string]float64{
	"GetSecretValue":      10_000,
	"BatchGetSecretValue": 100,
	"sts":                 600,
}

// quotas are token buckets that hold one second of their rate.
type quotas struct {
	mutex   sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	rate   float64
	tokens float64
	filled time.Time
}

// newQuotas returns the quotas of the gate itself. OpenBao enforces its own.
func newQuotas(kind string, scale float64) *quotas {
	q := &quotas{buckets: map[string]*bucket{}}
	if kind == "aws" && scale > 0 {
		for name, rate := range awsQuotas {
			q.buckets[name] = &bucket{rate: rate * scale}
		}
	}
	q.fill()
	return q
}

func (q *quotas) fill() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for _, b := range q.buckets {
		b.tokens, b.filled = math.Max(b.rate, 1), time.Now()
	}
}

// take reports whether a request of this action is within its quota.
func (q *quotas) take(action string) bool {
	if isSTS(action) {
		action = "sts"
	}
	q.mutex.Lock()
	defer q.mutex.Unlock()
	b := q.buckets[action]
	if b == nil {
		return true
	}
	now := time.Now()
	b.tokens = math.Min(b.tokens+now.Sub(b.filled).Seconds()*b.rate, math.Max(b.rate, 1))
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
