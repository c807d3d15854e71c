package scenarios_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/wallet"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shut(); err != nil {
		fmt.Fprintln(os.Stderr, "scenarios:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// The one server of all scenarios; it starts with the first that asks for it.
var (
	house    *standalone.Standalone
	houseDir string
	opening  sync.Once
	errHouse error
)

func open() (*standalone.Standalone, error) {
	opening.Do(func() {
		if houseDir, errHouse = os.MkdirTemp("", "mdocket-scenarios-"); errHouse != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		house, errHouse = standalone.Start(ctx, standalone.Options{DataDir: filepath.Join(houseDir, "data"), BinDir: binDir(),
			Listen: "127.0.0.1:0", MailboxAddr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Configure: configure})
	})
	return house, errHouse
}

// devices answers for the mobile device management: over TLS, with a certificate of its own.
var devices *httptest.Server

// mdmToken is what the device management wants to see.
const mdmToken = "scenario-mdm-token"

// attestor is whose key attestations the server trusts, for user authentication up to moderate.
var attestor wallet.Attestor

// configure adds what the embedded settings lack: a device management and an attestor.
func configure(cfg *config.Config) {
	devices = httptest.NewTLSServer(http.HandlerFunc(answerDevice))
	ca := filepath.Join(houseDir, "mdm-ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: devices.Certificate().Raw})
	if errHouse = os.WriteFile(ca, cert, 0o600); errHouse != nil {
		return
	}
	cfg.MDM = map[string]config.MDM{"devices": {BaseURL: devices.URL, Path: "/devices/{id}", BearerToken: mdmToken, CAFile: ca}}
	var root *x509.Certificate
	if attestor, root, errHouse = wallet.NewAttestor(time.Now()); errHouse != nil {
		return
	}
	cfg.Attestation = config.Attestation{RootsDir: filepath.Join(houseDir, "attestation"), KeyStorage: string(domain.PotentialHigh),
		UserAuthentication: string(domain.PotentialModerate)}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	errHouse = errors.Join(os.Mkdir(cfg.Attestation.RootsDir, 0o700),
		os.WriteFile(filepath.Join(cfg.Attestation.RootsDir, "root.pem"), cert, 0o600))
}

// answerDevice knows the devices whose id starts with known, and says of them what comes after.
func answerDevice(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/devices/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+mdmToken:
		w.WriteHeader(http.StatusUnauthorized)
	case strings.HasPrefix(id, "down"):
		w.WriteHeader(http.StatusServiceUnavailable)
	case strings.HasPrefix(id, "known"):
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"compliant": %t, "os": {"name": "android"}}`, strings.Contains(id, "compliant"))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func shut() error {
	if house == nil {
		return nil
	}
	err := errors.Join(house.Close(), os.RemoveAll(houseDir))
	devices.Close()
	return err
}

// binDir is where the build puts the Temporal CLI.
func binDir() string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return filepath.Join(dir, "bin")
		}
		dir = filepath.Dir(dir)
	}
	return ""
}
