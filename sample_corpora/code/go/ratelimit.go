// SPDX-License-Identifier: Apache-2.0

// Package ratelimit implements a token bucket that is safe for concurrent use.
package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrTooLarge is returned when a request could never be granted.
var ErrTooLarge = errors.New("ratelimit: request is larger than the bucket")

// Bucket fills at a fixed rate up to its capacity.
type Bucket struct {
	mu       sync.Mutex
	rate     float64
	capacity float64
	tokens   float64
	last     time.Time
}

// New returns a full bucket.
func New(perSecond, capacity float64) *Bucket {
	return &Bucket{rate: perSecond, capacity: capacity, tokens: capacity, last: time.Now()}
}

func (b *Bucket) refill(now time.Time) {
	b.tokens += now.Sub(b.last).Seconds() * b.rate
	if b.tokens > b.capacity {
		b.tokens = b.capacity
	}
	b.last = now
}

// Allow takes n tokens if they are there and reports whether it did.
func (b *Bucket) Allow(n float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(time.Now())
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

// Wait blocks until n tokens could be taken or the context is done.
func (b *Bucket) Wait(ctx context.Context, n float64) error {
	if n > b.capacity {
		return ErrTooLarge
	}
	for {
		b.mu.Lock()
		b.refill(time.Now())
		missing := n - b.tokens
		if missing <= 0 {
			b.tokens -= n
			b.mu.Unlock()
			return nil
		}
		pause := time.Duration(missing / b.rate * float64(time.Second))
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
