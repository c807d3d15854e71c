package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/wallet"
)

func newAudit() *cobra.Command {
	var database string
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Check the audit chain; exit code 1 names the first broken entry",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			check, err := verifyAudit(cmd.Context(), database)
			if err != nil {
				return err
			}
			if !check.Intact {
				return fmt.Errorf("the audit chain is broken at entry %d: %s", check.FirstBroken, check.Problem)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the audit chain is intact: %d entries, head %s\n", check.Entries, check.Head)
			return nil
		},
	}
	verify.Flags().StringVar(&database, "database", os.Getenv(config.EnvPrefix+"DATABASE"), "sqlite:PATH or postgres://… (or MDOCKET_DATABASE)")
	cmd := &cobra.Command{Use: "audit", Short: "Work on the audit", Args: noArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.AddCommand(verify)
	return cmd
}

// verifyAudit checks the chain of a database that is there; SQLite would make one that is not.
func verifyAudit(ctx context.Context, database string) (check issuer.AuditCheck, err error) {
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return check, fmt.Errorf("open database: %w", err)
		}
	}
	db, err := store.Open(ctx, database)
	if err != nil {
		return check, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.CheckSchema(ctx); err != nil {
		return check, err
	}
	return issuer.VerifyChain(ctx, db)
}

func newWallet() *cobra.Command {
	var dir string
	cmd := &cobra.Command{Use: "wallet", Short: "The reference wallet", Args: noArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.PersistentFlags().StringVar(&dir, "dir", "./wallet", "folder of keys and documents")
	cmd.AddCommand(newWalletCollect(&dir), newWalletRefresh(&dir), newWalletList(&dir), newWalletShow(&dir), newWalletExport(&dir),
		newWalletPresent(&dir), newWalletAttestor())
	return cmd
}

func openWallet(dir string) (*wallet.Wallet, *wallet.Store, error) {
	st, err := wallet.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	w, err := wallet.New(wallet.Options{Store: st})
	return w, st, err
}

func newWalletCollect(dir *string) *cobra.Command {
	var code string
	var copies int
	var attest attesting
	cmd := &cobra.Command{
		Use:   "collect LINK",
		Short: "Collect a document: LINK is the link of the e-mail or the content of the QR code",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if copies < 1 || copies > domain.MaxCopiesLimit {
				return usageError{fmt.Errorf("--copies must be 1 to %d", domain.MaxCopiesLimit)}
			}
			w, err := attest.open(*dir)
			if err != nil {
				return err
			}
			got, err := w.Collect(cmd.Context(), args[0], code, wallet.CollectOptions{Keys: copies})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "collected %s as %s, %d copy(ies), valid until %s\n", got.Document.DocType, got.Document.ID,
				len(got.Document.Copies), got.Document.ValidUntil.Format(time.DateOnly))
			return nil
		},
	}
	cmd.Flags().StringVar(&code, "code", "", "authentication code")
	cmd.Flags().IntVar(&copies, "copies", 1, "how many copies, each with its own key")
	attest.flags(cmd)
	return cmd
}

func newWalletList(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the documents in the wallet",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, _, err := openWallet(*dir)
			if err != nil {
				return err
			}
			docs, err := w.List()
			for _, d := range docs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  valid until %s\n", d.ID, d.DocType, d.ValidUntil.Format(time.DateOnly))
			}
			return err
		},
	}
}

func newWalletShow(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show the data elements of a document",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, _, err := openWallet(*dir)
			if err != nil {
				return err
			}
			d, err := w.Show(args[0])
			if err != nil {
				return err
			}
			for _, e := range d.Elements {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s: %s\n", e.NameSpace, e.Identifier, e.Value)
			}
			return nil
		},
	}
}

func newWalletExport(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "export ID FILE",
		Short: "Write the IssuerSigned of a document's first copy to a file",
		Args:  exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			_, st, err := openWallet(*dir)
			if err != nil {
				return err
			}
			b, _, err := st.Copy(args[0], 0)
			if err != nil {
				return err
			}
			if err := os.WriteFile(args[1], b, 0o600); err != nil {
				return fmt.Errorf("write document: %w", err)
			}
			return nil
		},
	}
}

// newWalletPresent makes the answer to a reader whose session transcript is in a file, as it was agreed on by whatever brought them together.
func newWalletPresent(dir *string) *cobra.Command {
	var transcript string
	var elements []string
	cmd := &cobra.Command{
		Use:   "present ID FILE",
		Short: "Write a DeviceResponse (ISO/IEC 18013-5) of a document, signed with its device key",
		Args:  exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			_, st, err := openWallet(*dir)
			if err != nil {
				return err
			}
			session, err := os.ReadFile(transcript)
			if err != nil {
				return fmt.Errorf("read session transcript: %w", err)
			}
			issuerSigned, key, err := st.Copy(args[0], 0)
			if err != nil {
				return err
			}
			p := mdoc.Presentation{IssuerSigned: issuerSigned, DeviceKey: key, SessionTranscript: session}
			for _, e := range elements {
				nameSpace, identifier, ok := strings.Cut(e, "/")
				if !ok {
					return usageError{errors.New("--element is NAMESPACE/IDENTIFIER")}
				}
				if p.Select == nil {
					p.Select = map[string][]string{}
				}
				p.Select[nameSpace] = append(p.Select[nameSpace], identifier)
			}
			response, err := mdoc.BuildDeviceResponse(p)
			if err != nil {
				return err
			}
			if err := os.WriteFile(args[1], response, 0o600); err != nil {
				return fmt.Errorf("write response: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&transcript, "transcript", "", "file with the CBOR-encoded SessionTranscript")
	cmd.Flags().StringSliceVar(&elements, "element", nil, "NAMESPACE/IDENTIFIER to show; repeat; without any, everything")
	return cmd
}
