package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/bench"
)

func newBench() *cobra.Command {
	var jsonPath, markdownPath string
	o := bench.Options{}
	cmd := &cobra.Command{
		Use:   "bench [" + strings.Join(bench.Parts(), "|") + " …]",
		Short: "Measure speed and memory, as ratios against floors of the same run",
		Args:  benchArgs,
		RunE: func(cmd *cobra.Command, only []string) (err error) {
			if o.Database != "" && !cmd.Flags().Changed("items") {
				o.Items = 100_000
			}
			if o.Rounds < 1 || o.Each < 1 || o.Items < 1 || o.People < 1000 {
				return usageError{errors.New("--rounds, --each and --items must be at least 1, --people at least 1000")}
			}
			if markdownPath != "" && len(only) > 0 {
				return usageError{errors.New("--markdown writes the whole table: leave the names out")}
			}
			if o.Dir, err = os.MkdirTemp("", "mdocket-bench-"); err != nil {
				return fmt.Errorf("make folder: %w", err)
			}
			defer func() { _ = os.RemoveAll(o.Dir) }()
			if o.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("find own program: %w", err)
			}
			o.BinDir, o.Out, o.Log = binDir(), cmd.OutOrStdout(), slog.New(slog.DiscardHandler)
			rows, err := bench.Run(cmd.Context(), o, only)
			if err != nil {
				return err
			}
			if jsonPath != "" {
				if err := bench.WriteJSON(jsonPath, rows); err != nil {
					return err
				}
			}
			if markdownPath != "" {
				return bench.WriteMarkdown(markdownPath, rows, time.Now())
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&jsonPath, "json", "", "write the figures to this file")
	cmd.Flags().StringVar(&markdownPath, "markdown", "", "write the table into this page")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 5, "rounds of each comparison; the median counts")
	cmd.Flags().IntVar(&o.Each, "each", 160, "issuances in one round")
	cmd.Flags().IntVar(&o.Items, "items", 20_000, "items of the large batch; 100000 with --database")
	cmd.Flags().IntVar(&o.People, "people", 100_000, "people that are imported and searched")
	cmd.Flags().StringVar(&o.Database, "database", "", "an empty database for the batches, as postgres://… (default an SQLite file); the people are "+
		"then measured on both kinds, in databases made beside it")
	return cmd
}

func benchArgs(_ *cobra.Command, args []string) error {
	for _, a := range args {
		if !slices.Contains(bench.Parts(), a) {
			return usageError{fmt.Errorf("there is nothing called %q to measure; there is %s", a, strings.Join(bench.Parts(), ", "))}
		}
	}
	return nil
}
