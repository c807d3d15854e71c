// Package mdm asks mobile device management (MDM) systems for devices: an HTTP GET with the person's external mobile id in the address, a JSON
// object for an answer (B10).
//
// It says whether a system knows a device and hands over what the system says of it. Whether that device may be used is decided by
// domain.MDMRule. It keeps no answers, writes nothing to any system, and logs nothing. Errors name the system, a step and a status: never the
// id, the answer or a secret.
package mdm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// One of these two is in the chain of every error of [Registry.Lookup] and [Registry.Choose].
var (
	// ErrUnavailable is a failure that may pass by itself: the same question may be asked again later.
	ErrUnavailable = errors.New("MDM is unavailable")
	// ErrConfiguration is a failure that an administrator must mend: an address, credentials, a certificate, a profile, an external mobile id.
	ErrConfiguration = errors.New("MDM is not set up right")
)

// Registry has the configured systems. It is safe for concurrent use.
type Registry struct {
	systems map[string]*system
	names   []string
}

// New makes a Registry, which may be without systems. The error names every problem of the configurations.
func New(configs []Config) (*Registry, error) {
	if problems := Validate(configs); len(problems) > 0 {
		return nil, fmt.Errorf("configure MDM: %w", errors.Join(problems...))
	}
	registry := &Registry{systems: make(map[string]*system)}
	for _, config := range configs {
		made, problems := config.build()
		if len(problems) > 0 { // a file has gone since it was checked
			return nil, fmt.Errorf("configure MDM: %w", errors.Join(problems...))
		}
		registry.systems[config.Name] = made
		registry.names = append(registry.names, config.Name)
	}
	slices.Sort(registry.names)
	return registry, nil
}

// Close ends idle connections.
func (r *Registry) Close() error {
	for _, system := range r.systems {
		system.close()
	}
	return nil
}

// Names lists the systems in the order of their names.
func (r *Registry) Names() []string { return slices.Clone(r.names) }

// Choose gives the name of the system that a rule means: the one it names, or the only one when it names none. The error is an
// [ErrConfiguration].
func (r *Registry) Choose(name string) (string, error) {
	if name == "" && len(r.names) == 1 {
		return r.names[0], nil
	}
	if _, known := r.systems[name]; known {
		return name, nil
	}
	reason := "no MDM of this name is configured"
	switch {
	case len(r.names) == 0:
		reason = "no MDM is configured"
	case name == "":
		reason = "several MDMs are configured and none is named"
	}
	return "", fmt.Errorf("choose MDM: %w: %s", ErrConfiguration, reason)
}

// Lookup asks a system, chosen as [Registry.Choose] does, for the device with an external mobile id. device is the JSON object at the configured
// place of the answer, as encoding/json decodes it with UseNumber; it is nil when found is false. An empty id is not found, and nobody is asked.
//
// Connections that fail, time-outs, 429 and 5xx are tried again within the deadline of the system. The error is an [ErrUnavailable] or an
// [ErrConfiguration]; a context that ended is in its chain too.
func (r *Registry) Lookup(ctx context.Context, name, id string) (device any, found bool, err error) {
	if name, err = r.Choose(name); err != nil {
		return nil, false, err
	}
	if strings.TrimSpace(id) == "" {
		return nil, false, nil
	}
	device, found, err = r.systems[name].lookup(ctx, id)
	if err != nil {
		return nil, false, fmt.Errorf("look up device in MDM %s: %w", name, err)
	}
	return device, found, nil
}
