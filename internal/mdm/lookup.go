package mdm

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	maxAttempts   = 3
	firstPause    = 200 * time.Millisecond // doubled at every repetition
	maxRetryAfter = 10 * time.Second       // longer, and somebody else should ask again later
)

// system is one MDM.
type system struct {
	address           address
	header            http.Header
	tokens            *tokens // nil = none are needed
	client            *http.Client
	timeout, deadline time.Duration
	maxAnswer         int64
	path              []string
	notFound          []int
	pause             func(ctx context.Context, d time.Duration) error
}

func (s *system) close() {
	s.client.CloseIdleConnections()
	if s.tokens != nil && s.tokens.client != nil {
		s.tokens.client.CloseIdleConnections()
	}
}

// lookup asks until there is an answer, the failure will not pass, or there is no time left.
func (s *system) lookup(ctx context.Context, id string) (device any, found bool, err error) {
	if err := checkID(id); err != nil {
		return nil, false, err
	}
	target := s.address.of(id)
	ctx, cancel := context.WithTimeout(ctx, s.deadline)
	defer cancel()
	for attempt := range maxAttempts {
		if device, found, err = s.ask(ctx, target); err == nil {
			return device, found, nil
		}
		last, ok := errors.AsType[*failure](err)
		if !ok || !last.again || attempt == maxAttempts-1 {
			break
		}
		wait := max(firstPause<<attempt, last.after)
		if deadline, ok := ctx.Deadline(); wait > maxRetryAfter || ok && time.Until(deadline) < wait {
			break
		}
		if ended := s.pause(ctx, wait); ended != nil {
			return nil, false, failureOf(ctx, ended)
		}
	}
	return nil, false, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask makes one attempt. A refused token is replaced once, as long as there is another.
func (s *system) ask(ctx context.Context, target string) (any, bool, error) {
	token, err := s.token(ctx, "")
	if err != nil {
		return nil, false, err
	}
	answer, err := s.get(ctx, target, token)
	if err != nil {
		return nil, false, err
	}
	if answer.status == http.StatusUnauthorized {
		another, err := s.token(ctx, token)
		if err != nil {
			return nil, false, err
		}
		if another != token {
			if answer, err = s.get(ctx, target, another); err != nil {
				return nil, false, err
			}
		}
	}
	return s.device(answer)
}

func (s *system) token(ctx context.Context, refused string) (string, error) {
	if s.tokens == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.tokens.token(ctx, refused)
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (s *system) get(ctx context.Context, target, token string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return answer{}, fmt.Errorf("%w: the address does not make a request", ErrConfiguration)
	}
	request.Header = s.header.Clone()
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, failureOf(ctx, err)
	}
	body, err := io.ReadAll(response.Body) // in memory already
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return answer{}, failureOf(ctx, err)
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

// device reads an answer.
func (s *system) device(a answer) (any, bool, error) {
	if slices.Contains(s.notFound, a.status) {
		return nil, false, nil
	}
	if a.status/100 != 2 {
		return nil, false, &failure{kind: kindOf(a.status), again: a.status == http.StatusTooManyRequests || a.status/100 == 5,
			after: retryAfter(a.header.Get("Retry-After"), time.Now()), reason: fmt.Sprintf("status %d", a.status)}
	}
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, false, fmt.Errorf("%w: the answer is not JSON", ErrConfiguration)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("%w: the answer is more than one JSON value", ErrConfiguration)
	}
	return deviceAt(value, s.path)
}

// deviceAt follows the path. Only an end that a system gives to "no such device" means that: a name that is missing is a wrong path.
func deviceAt(value any, path []string) (any, bool, error) {
	for _, name := range path {
		switch container := value.(type) {
		case map[string]any:
			inner, ok := container[name]
			if !ok {
				return nil, false, fmt.Errorf("%w: json_path names a field that the answer does not have", ErrConfiguration)
			}
			value = inner
		case []any:
			i, err := strconv.ParseUint(name, 10, 31)
			if err != nil {
				return nil, false, fmt.Errorf("%w: json_path names a field where the answer has a list", ErrConfiguration)
			}
			if i >= uint64(len(container)) {
				return nil, false, nil
			}
			value = container[i]
		case nil:
			return nil, false, nil
		default:
			return nil, false, fmt.Errorf("%w: json_path leads beyond a single value", ErrConfiguration)
		}
	}
	switch end := value.(type) {
	case map[string]any:
		return end, true, nil
	case []any:
		if len(end) == 0 {
			return nil, false, nil
		}
	case nil:
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("%w: json_path does not lead to an object", ErrConfiguration)
}

// retryAfter reads the header field (RFC 9110 10.2.3): seconds or a date. What cannot be read is no time at all.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// failure is one attempt that came to nothing.
type failure struct {
	kind   error         // ErrUnavailable or ErrConfiguration
	again  bool          // another attempt may be made at once
	after  time.Duration // but not before this time
	reason string        // in our words
	cause  error         // context errors only: others can hold the address or the answer
}

func (f *failure) Error() string { return f.kind.Error() + ": " + f.reason }

func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// kindOf sorts the statuses that are no answers.
func kindOf(status int) error {
	switch {
	case status/100 == 5, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return ErrUnavailable
	}
	return ErrConfiguration
}

// failureOf describes an exchange without an answer.
func failureOf(ctx context.Context, err error) *failure {
	var (
		certificate *tls.CertificateVerificationError
		network     *net.OpError
		name        *net.DNSError
		number      syscall.Errno
	)
	switch {
	case errors.Is(err, errTooLong):
		return &failure{kind: ErrConfiguration, reason: "the answer is too long"}
	case errors.As(err, &certificate):
		return &failure{kind: ErrConfiguration, reason: "certificate of the server: " + certificate.Err.Error()}
	case errors.Is(err, http.ErrSchemeMismatch):
		return &failure{kind: ErrConfiguration, reason: "the server does not speak TLS"}
	case errors.As(err, &network) && network.Op == "remote error": // an alert of TLS, whose text is the library's
		return &failure{kind: ErrConfiguration, reason: "the server refuses: " + network.Err.Error()}
	case ctx.Err() != nil:
		// The time of one call is over, or that of the lookup, in which case the next pause ends the attempts.
		return &failure{kind: ErrUnavailable, reason: ctx.Err().Error(), cause: ctx.Err(), again: errors.Is(ctx.Err(), context.DeadlineExceeded)}
	case errors.As(err, &name):
		return &failure{kind: ErrUnavailable, reason: "host name is not resolved", again: true}
	case errors.As(err, &number):
		return &failure{kind: ErrUnavailable, reason: number.Error(), again: true}
	}
	return &failure{kind: ErrUnavailable, reason: "connection is broken", again: true}
}

var errTooLong = errors.New("answer is too long")

// wholeAnswers reads every answer, up to a length, before it counts as one, so that a connection that breaks in between fails as any other does.
type wholeAnswers struct {
	next  *http.Transport
	limit int64
}

// RoundTrip implements http.RoundTripper.
func (w *wholeAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := w.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, w.limit+1))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	if int64(len(body)) > w.limit {
		return nil, errTooLong
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// CloseIdleConnections makes http.Client.CloseIdleConnections work.
func (w *wholeAnswers) CloseIdleConnections() { w.next.CloseIdleConnections() }
