package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/pki"
	"github.com/mdocket/mdocket/internal/wallet"
)

// Files of an attestor.
const (
	attestorRoot = "root.pem"
	attestorCert = "attestor.pem"
	attestorKey  = "attestor.key"
)

// attesting is what flags say of key attestations.
type attesting struct {
	key, cert                      string // files
	keyStorage, userAuthentication string
}

func (a *attesting) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.key, "attestation-key", "", "file with the private key of an attestor (PEM, PKCS #8), for key attestations")
	cmd.Flags().StringVar(&a.cert, "attestation-cert", "", "file with the certificate of that key and those between it and the trusted one")
	cmd.Flags().StringVar(&a.keyStorage, "key-storage", "", "what key attestations state of it, such as iso_18045_moderate")
	cmd.Flags().StringVar(&a.userAuthentication, "user-authentication", "", "likewise")
}

// open opens the wallet with the attestor that the flags name, if they name one.
func (a *attesting) open(dir string) (*wallet.Wallet, error) {
	st, err := wallet.Open(dir)
	if err != nil {
		return nil, err
	}
	attestor, err := a.attestor()
	if err != nil {
		return nil, err
	}
	return wallet.New(wallet.Options{Store: st, Attestor: attestor})
}

// attestor reads what the flags name; nil when they name nothing.
func (a *attesting) attestor() (*wallet.Attestor, error) {
	switch {
	case a.key == "" && a.cert == "" && a.keyStorage == "" && a.userAuthentication == "":
		return nil, nil
	case a.key == "" || a.cert == "":
		return nil, usageError{errors.New("key attestations need --attestation-key and --attestation-cert")}
	}
	out := wallet.Attestor{KeyStorage: a.keyStorage, UserAuthentication: a.userAuthentication}
	text, err := os.ReadFile(a.key)
	if err != nil {
		return nil, fmt.Errorf("read attestation key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("read attestation key: not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("read attestation key: not in PKCS #8")
	}
	var ok bool
	if out.Key, ok = key.(*ecdsa.PrivateKey); !ok {
		return nil, errors.New("read attestation key: not an EC key")
	}
	rest, err := os.ReadFile(a.cert)
	if err != nil {
		return nil, fmt.Errorf("read attestation certificate: %w", err)
	}
	for block, rest = pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("read attestation certificate: not a certificate")
		}
		out.Chain = append(out.Chain, certificate)
	}
	return &out, nil
}

func newWalletAttestor() *cobra.Command {
	return &cobra.Command{
		Use:   "attestor DIR",
		Short: "Make an attestor, to try out issuers that demand key attestations, with the certificate they have to trust",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			made, root, err := wallet.NewAttestor(time.Now())
			if err != nil {
				return err
			}
			der, err := x509.MarshalPKCS8PrivateKey(made.Key)
			if err != nil {
				return fmt.Errorf("write attestation key: %w", err)
			}
			if err := os.Mkdir(args[0], 0o700); err != nil { // one that is there may hold another's key
				return fmt.Errorf("make folder: %w", err)
			}
			for name, content := range map[string][]byte{attestorRoot: pki.EncodeCertificate(root),
				attestorCert: pki.EncodeCertificate(made.Chain[0]), attestorKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
				if err := os.WriteFile(filepath.Join(args[0], name), content, 0o600); err != nil {
					return fmt.Errorf("write attestor: %w", err)
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "put %s into the folder that the issuer names as attestation.roots_dir; the wallet takes\n"+
				"--attestation-key %s --attestation-cert %s\n", filepath.Join(args[0], attestorRoot), filepath.Join(args[0], attestorKey),
				filepath.Join(args[0], attestorCert))
			return nil
		},
	}
}
