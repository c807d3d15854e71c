package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/wallet"
)

func newWalletRefresh(dir *string) *cobra.Command {
	var all bool
	var attest attesting
	cmd := &cobra.Command{
		Use:   "refresh [ID | --all]",
		Short: "Ask the issuer for a newer version of a document and collect it; exit code 1 when an issuer refuses",
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 1) == all || len(args) > 1 {
				return usageError{errors.New("mdocket wallet refresh takes the ID of a document, or --all")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := attest.open(*dir)
			if err != nil {
				return err
			}
			if all {
				return refreshAll(cmd.Context(), w, cmd.OutOrStdout())
			}
			return refreshOne(cmd.Context(), w, args[0], cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every document in the wallet")
	attest.flags(cmd)
	return cmd
}

// refreshAll goes on after a document that cannot be refreshed; one without a refresh token is no failure.
func refreshAll(ctx context.Context, w *wallet.Wallet, out io.Writer) error {
	docs, err := w.List()
	if err != nil {
		return err
	}
	failed := 0
	for _, d := range docs {
		switch err := refreshOne(ctx, w, d.ID, out); {
		case errors.Is(err, wallet.ErrNoRefreshToken):
			fmt.Fprintf(out, "%s  %s  cannot be refreshed: %v\n", d.ID, d.DocType, err)
		case err != nil:
			failed++
			fmt.Fprintf(out, "%s  %s  failed: %v\n", d.ID, d.DocType, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d documents were not refreshed", failed, len(docs))
	}
	return nil
}

func refreshOne(ctx context.Context, w *wallet.Wallet, id string, out io.Writer) error {
	got, err := w.Refresh(ctx, id)
	var refused *wallet.ProtocolError
	if errors.As(err, &refused) && refused.Code == oid4vci.InvalidGrant {
		return fmt.Errorf("the issuer does not refresh the document: it is disabled, canceled or expired, or was refreshed elsewhere: %w", err)
	}
	if err != nil {
		return err
	}
	d, news := got.Document, "up to date"
	if got.Updated {
		news = "updated"
	}
	fmt.Fprintf(out, "%s  %s  %s, valid until %s\n", d.ID, d.DocType, news, d.ValidUntil.Format(time.DateOnly))
	return nil
}
