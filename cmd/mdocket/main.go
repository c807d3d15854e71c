// Command mdocket is the issuing authority's back end for mobile identity documents: server, worker, tools and demonstration in one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run gives the exit code: 0 done, 1 failed, 2 wrong arguments or no answer.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "mdocket: %v\n", err)
	if usage := new(usageError); errors.As(err, usage) {
		fmt.Fprintln(stderr, "mdocket: see `mdocket help`")
		return 2
	}
	if errors.As(err, new(unableError)) {
		return 2
	}
	return 1
}

// usageError marks mistakes in the arguments.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// unableError marks, for commands whose code 1 is an answer, that there is no answer.
type unableError struct{ err error }

func (e unableError) Error() string { return e.err.Error() }
func (e unableError) Unwrap() error { return e.err }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "mdocket",
		Short:         "Issues and manages mobile identity documents (ISO/IEC 18013-5 mdocs)",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newStandalone(), newAPI(), newWorker(), newMigrate(), newSecret(), newWallet(), newVerify(), newAudit(), newOpenAPI(),
		newDemo(), newBench(), newPeople(), newTemplates(), newFormat())
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %q", args[0])}
	}
	return nil
}

func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes %d argument(s), not %d", cmd.CommandPath(), n, len(args))}
		}
		return nil
	}
}
