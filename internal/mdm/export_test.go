package mdm

import (
	"context"
	"time"
)

// SetPause replaces the waiting between attempts.
func (r *Registry) SetPause(pause func(ctx context.Context, d time.Duration) error) {
	for _, system := range r.systems {
		system.pause = pause
	}
}

// RetryAfter reads the header field.
func RetryAfter(text string, now time.Time) time.Duration { return retryAfter(text, now) }

// AddressOf makes the URL of a device.
func AddressOf(base, path, id string) (string, error) {
	made, err := parseAddress(base, path)
	if err != nil {
		return "", err
	}
	return made.of(id), checkID(id)
}

// DeviceAt follows a path in a JSON value.
func DeviceAt(value any, path []string) (any, bool, error) { return deviceAt(value, path) }
