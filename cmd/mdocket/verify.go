package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/verifier"
)

// verification is what `mdocket verify` was told.
type verification struct {
	roots      string   // file or URL
	lists      []string // files or URLs
	transcript string   // file
	offline    bool
	asJSON     bool
}

func newVerify() *cobra.Command {
	v := verification{}
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify an IssuerSigned or a DeviceResponse: chain, signature, digests, docType, validity, device, status",
		Long: "Verify an IssuerSigned or a DeviceResponse (ISO/IEC 18013-5, CBOR): chain, signature, digests, docType, validity, the device's " +
			"signature over the session, and the status.\n\nExit code 0: it holds. 1: a check failed, or the status could not be found out. " +
			"2: wrong arguments, or something needed could not be read.",
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd.Context(), args[0], cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&v.roots, "roots", "", "trusted IACA certificates: a PEM file or a URL")
	cmd.Flags().StringArrayVar(&v.lists, "status-list", nil, "status list at hand, CWT or JWT: a file or a URL; repeat; others are fetched")
	cmd.Flags().StringVar(&v.transcript, "transcript", "", "file with the CBOR-encoded SessionTranscript of a DeviceResponse")
	cmd.Flags().BoolVar(&v.offline, "offline", false, "fetch nothing")
	cmd.Flags().BoolVar(&v.asJSON, "json", false, "print what POST /verify answers")
	return cmd
}

func (v verification) run(ctx context.Context, file string, out io.Writer) error {
	o, err := v.options(ctx)
	if err != nil {
		return err
	}
	document, err := os.ReadFile(file)
	if err != nil {
		return unableError{fmt.Errorf("read document: %w", err)}
	}
	results, err := verifier.Present(ctx, document, o)
	if errors.Is(err, verifier.ErrTranscript) {
		return unableError{err}
	}
	if err != nil {
		return err
	}
	report := verifier.NewReport(results)
	if v.asJSON {
		form := json.NewEncoder(out)
		form.SetIndent("", "  ")
		if err := form.Encode(report); err != nil {
			return unableError{fmt.Errorf("write report: %w", err)}
		}
	} else {
		for _, r := range results {
			printResult(out, r)
		}
	}
	if !report.Valid {
		return errors.New("the document does not verify")
	}
	return nil
}

// options reads what the flags name.
func (v verification) options(ctx context.Context) (o verifier.Options, err error) {
	o.Now = time.Now()
	for _, from := range append([]string{v.roots}, v.lists...) {
		if v.offline && isURL(from) {
			return o, usageError{errors.New("--offline takes files, not URLs")}
		}
	}
	if o.Roots, err = loadRoots(ctx, v.roots); err != nil {
		if errors.As(err, new(usageError)) {
			return o, err
		}
		return o, unableError{err}
	}
	fetch := verifier.HTTPFetcher(httpClient())
	if !v.offline {
		o.Fetch = fetch
	}
	for _, from := range v.lists {
		var list []byte
		if isURL(from) {
			list, err = fetch(ctx, from)
		} else {
			list, err = os.ReadFile(from)
		}
		if err != nil {
			return o, unableError{fmt.Errorf("read status list: %w", err)}
		}
		o.Lists = append(o.Lists, list)
	}
	if v.transcript != "" {
		if o.SessionTranscript, err = os.ReadFile(v.transcript); err != nil {
			return o, unableError{fmt.Errorf("read session transcript: %w", err)}
		}
	}
	return o, nil
}

func isURL(from string) bool {
	return strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://")
}

func httpClient() *http.Client { return &http.Client{Timeout: 30 * time.Second} }

// loadRoots reads PEM certificates from a file or a URL.
func loadRoots(ctx context.Context, from string) (*x509.CertPool, error) {
	var text []byte
	var err error
	switch {
	case from == "":
		return nil, usageError{errors.New("--roots is required: a PEM file or a URL of the IACA certificates")}
	case isURL(from):
		text, err = fetch(ctx, from)
	default:
		text, err = os.ReadFile(from)
	}
	if err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("read roots: no PEM certificate found")
	}
	return pool, nil
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := httpClient().Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %d", resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// printResult tells of each check, with every finding in full: who runs the command has the document.
func printResult(out io.Writer, r verifier.Result) {
	if r.Verified != nil {
		v := r.Verified.MSO.Validity
		fmt.Fprintf(out, "docType   %s\nvalid     %s to %s\n", r.Verified.MSO.DocType, v.ValidFrom.UTC().Format(time.RFC3339),
			v.ValidUntil.UTC().Format(time.RFC3339))
	}
	for _, c := range r.Checks {
		switch {
		case c.Check == verifier.CheckStatus:
		case c.Outcome == verifier.OutcomeNotChecked:
			fmt.Fprintf(out, "%-9s not checked: %s\n", c.Check, c.Problem)
		case c.Outcome == verifier.OutcomeOK:
			fmt.Fprintf(out, "%-9s ok\n", c.Check)
		default:
			for _, p := range r.Problems {
				if p.Check == c.Check {
					fmt.Fprintf(out, "failed    %s: %s\n", p.Check, p.Detail)
				}
			}
		}
	}
	fmt.Fprintf(out, "status    %s", r.Status)
	if r.StatusBy != "" {
		fmt.Fprintf(out, " (%s)", r.StatusBy)
	}
	fmt.Fprintln(out)
	if r.OK() {
		fmt.Fprintln(out, "verified")
	}
}
