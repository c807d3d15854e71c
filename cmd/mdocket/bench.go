package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/bench"
)

func newBench() *cobra.Command {
	var jsonPath, markdownPath string
	o := bench.Options{}
	cmd := &cobra.Command{
		Use:   "bench [mdoc|issuance|collect|start …]",
		Short: "Measure speed and memory, as ratios against floors of the same run",
		RunE: func(cmd *cobra.Command, only []string) (err error) {
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
	return cmd
}
