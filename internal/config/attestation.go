package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/mdocket/mdocket/internal/domain"
)

// Attestation is whose key attestations are trusted, and how far: of the component that keeps a wallet's keys and of how its user is
// authenticated.
type Attestation struct {
	RootsDir           string `koanf:"roots_dir"`           // PEM certificates of attestors or of who certifies them; empty = none
	KeyStorage         string `koanf:"key_storage"`         // what attestations are believed at most, iso_18045_…; empty = nothing
	UserAuthentication string `koanf:"user_authentication"` // likewise
}

// maxRootFile bounds a file of certificates, in bytes.
const maxRootFile = 1 << 20

// Most gives how far attestations are believed.
func (a Attestation) Most() domain.Resistances {
	return domain.Resistances{KeyStorage: domain.AttackPotential(a.KeyStorage),
		UserAuthentication: domain.AttackPotential(a.UserAuthentication)}
}

// Roots reads the trusted certificates: those in the files of the folder whose names end with .pem or .crt. There must be one, or no folder
// is named.
func (a Attestation) Roots() ([]*x509.Certificate, error) {
	if a.RootsDir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(a.RootsDir)
	if err != nil {
		return nil, errors.New("attestation.roots_dir: cannot be read")
	}
	var roots []*x509.Certificate
	for _, entry := range entries {
		if entry.IsDir() || !slices.Contains([]string{".pem", ".crt"}, filepath.Ext(entry.Name())) {
			continue
		}
		found, err := readCertificates(filepath.Join(a.RootsDir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("attestation.roots_dir: %s: %w", entry.Name(), err)
		}
		roots = append(roots, found...)
	}
	if len(roots) == 0 {
		return nil, errors.New("attestation.roots_dir: has no certificate in a .pem or .crt file")
	}
	return roots, nil
}

// readCertificates reads a file of PEM certificates, and nothing but such.
func readCertificates(path string) (out []*x509.Certificate, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxRootFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.New("cannot be read")
	}
	if len(rest) > maxRootFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxRootFile)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("has something else than certificates")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("has a certificate that cannot be read")
		}
		out = append(out, certificate)
	}
	if len(out) == 0 {
		return nil, errors.New("has no certificate")
	}
	return out, nil
}

// validate names every problem.
func (a Attestation) validate() (problems []error) {
	if _, err := a.Roots(); err != nil {
		problems = append(problems, err)
	}
	for _, believed := range []struct{ name, value string }{
		{"attestation.key_storage", a.KeyStorage}, {"attestation.user_authentication", a.UserAuthentication},
	} {
		if !domain.AttackPotential(believed.value).Valid() {
			problems = append(problems, fmt.Errorf(
				"%s: must be iso_18045_basic, iso_18045_enhanced-basic, iso_18045_moderate, iso_18045_high or empty", believed.name))
		}
	}
	return problems
}
