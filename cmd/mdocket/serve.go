package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/server"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/telemetry"
)

func newStandalone() *cobra.Command {
	o := standalone.Options{}
	var withExamples bool
	cmd := &cobra.Command{
		Use:   "standalone",
		Short: "Run everything on embedded defaults; data is kept between starts",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, closeLog, err := fileLog(o.DataDir)
			if err != nil {
				return err
			}
			defer closeLog()
			o.Log, o.BinDir = log, binDir()
			out := cmd.OutOrStdout()
			o.Progress = func(text string) { fmt.Fprintf(out, "… %s\n", text) }
			s, err := standalone.Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			if withExamples && s.AdminPassword != "" {
				if err := seedExamples(cmd.Context(), s.Issuer); err != nil {
					return errors.Join(err, s.Close())
				}
			}
			printWelcome(out, s, o.DataDir)
			<-cmd.Context().Done()
			fmt.Fprintln(out, "… stopping")
			return s.Close()
		},
	}
	cmd.Flags().StringVar(&o.DataDir, "data", "./data", "folder for everything that is kept")
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:8080", "address of the API; port 0 picks a free one")
	cmd.Flags().StringVar(&o.BaseURL, "base-url", "", "how wallets reach the API (default http:// and the address)")
	cmd.Flags().StringVar(&o.MailboxAddr, "mailbox", "127.0.0.1:8081", "address of the mailbox page")
	cmd.Flags().IntVar(&o.TemporalUI, "temporal-ui", 8082, "port of the Temporal web UI; 0 = none")
	cmd.Flags().StringVar(&o.TemporalAddr, "temporal", "", "address of a Temporal that runs already (default: start one)")
	cmd.Flags().BoolVar(&withExamples, "example", false, "at the first start, add example profiles and people")
	return cmd
}

func printWelcome(out io.Writer, s *standalone.Standalone, dataDir string) {
	fmt.Fprintf(out, "\nmdocket is running\n  API                %s/v1\n  API documentation  %s/docs\n  mailbox            %s\n", s.URL, s.URL, s.MailboxURL)
	if s.TemporalURL != "" {
		fmt.Fprintf(out, "  Temporal UI        %s\n", s.TemporalURL)
	}
	fmt.Fprintf(out, "  log                %s\n", filepath.Join(dataDir, logName))
	if s.AdminPassword != "" {
		fmt.Fprintf(out, "\nfirst start: sign in as %q with the password %s (shown this once)\n", standalone.AdminName, s.AdminPassword)
	}
	fmt.Fprintln(out, "\nstop with Ctrl-C")
}

// seedExamples adds the example profiles and a few people.
func seedExamples(ctx context.Context, is *issuer.Issuer) error {
	caller := domain.Caller{AccountID: "example", Grants: map[domain.Permission]domain.Scope{
		domain.PermPeopleWrite: domain.ScopeAll, domain.PermGroups: domain.ScopeAll, domain.PermProfilesWrite: domain.ScopeAll}}
	for _, p := range example.Profiles() {
		if _, err := is.CreateProfile(ctx, caller, "", p); err != nil {
			return fmt.Errorf("add example profile: %w", err)
		}
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(example.WritePeople(w, 20)) }()
	return is.ImportPeople(ctx, caller, r, issuer.ImportOptions{Format: issuer.ImportCSV, CreateGroups: true}, func(row issuer.ImportRow) error {
		if row.Code != "" {
			return fmt.Errorf("add example person: %s", row.Code)
		}
		return nil
	})
}

const logName = "mdocket.log"

// fileLog logs into the data folder, so that the terminal shows only what a person should read.
func fileLog(dataDir string) (*slog.Logger, func(), error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dataDir, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open log: %w", err)
	}
	log, err := telemetry.NewLogger(f, "json", "info")
	return log, func() { _ = f.Close() }, err
}

// binDir is where `make tools` puts the Temporal CLI: beside this program.
func binDir() string {
	self, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(self)
}

// configured runs fn with the configuration and the parts of a production process.
func configured(cmd *cobra.Command, path string, fn func(ctx context.Context, cfg config.Config, s *server.Server) error) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
	if err != nil {
		return err
	}
	s, err := server.Open(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	return errors.Join(fn(cmd.Context(), cfg, s), s.Close())
}

func configFlag(cmd *cobra.Command, path *string) *cobra.Command {
	cmd.Flags().StringVar(path, "config", "", "configuration file (YAML); the environment (MDOCKET_…) goes over it")
	return cmd
}

func newAPI() *cobra.Command {
	var path string
	return configFlag(&cobra.Command{
		Use:   "api",
		Short: "Run the API",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return configured(cmd, path, func(ctx context.Context, cfg config.Config, s *server.Server) error {
				h, err := s.Handler()
				if err != nil {
					return err
				}
				l, err := net.Listen("tcp", cfg.Listen)
				if err != nil {
					return fmt.Errorf("listen: %w", err)
				}
				g, ctx := errgroup.WithContext(ctx)
				if cfg.MetricsListen != "" {
					metrics, err := net.Listen("tcp", cfg.MetricsListen)
					if err != nil {
						return errors.Join(fmt.Errorf("listen for metrics: %w", err), l.Close())
					}
					g.Go(func() error { return server.Serve(ctx, metrics, s.Monitoring()) })
				}
				s.Log.InfoContext(ctx, "API is listening", "address", l.Addr().String())
				g.Go(func() error { return server.Serve(ctx, l, h) })
				return g.Wait()
			})
		},
	}, &path)
}

func newWorker() *cobra.Command {
	var path string
	return configFlag(&cobra.Command{
		Use:   "worker",
		Short: "Run the workers: workflows, messages, signing",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return configured(cmd, path, func(ctx context.Context, cfg config.Config, s *server.Server) error {
				if cfg.Worker.Listen == "" {
					s.Workers().Run(ctx)
					return nil
				}
				l, err := net.Listen("tcp", cfg.Worker.Listen)
				if err != nil {
					return fmt.Errorf("listen: %w", err)
				}
				g, ctx := errgroup.WithContext(ctx)
				g.Go(func() error { return server.Serve(ctx, l, s.Operations()) })
				g.Go(func() error { s.Workers().Run(ctx); return nil })
				return g.Wait()
			})
		},
	}, &path)
}

func newMigrate() *cobra.Command {
	var database, admin string
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database schema to this program's version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := store.Open(cmd.Context(), database)
			if err != nil {
				return err
			}
			steps, err := db.Migrate(cmd.Context())
			if err = errors.Join(err, db.Close()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the schema is up to date, %d step(s) taken\n", steps)
			return nil
		},
	}
	cmd.Flags().StringVar(&database, "database", os.Getenv(config.EnvPrefix+"DATABASE"), "sqlite:PATH or postgres://… (or MDOCKET_DATABASE)")
	cmd.AddCommand(newMigrateAdmin(&admin))
	return cmd
}

// newMigrateAdmin makes the first administrator of a production database; the password comes from the environment, never from the arguments.
func newMigrateAdmin(path *string) *cobra.Command {
	return configFlag(&cobra.Command{
		Use:   "admin NAME",
		Short: "Make the first administrator; the password is read from MDOCKET_PASSWORD",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password := os.Getenv(config.EnvPrefix + "PASSWORD")
			if password == "" { // nobody could sign in as an administrator without one, and there is no second first one
				return fmt.Errorf("%sPASSWORD is not set: it holds the administrator's password", config.EnvPrefix)
			}
			return configured(cmd, *path, func(ctx context.Context, _ config.Config, s *server.Server) error {
				made, err := s.Issuer.Bootstrap(ctx, args[0], password)
				if err != nil {
					return err
				}
				if !made {
					return errors.New("there are accounts already; administrators add others through the API")
				}
				fmt.Fprintln(cmd.OutOrStdout(), "the administrator can sign in")
				return nil
			})
		},
	}, path)
}

func newSecret() *cobra.Command {
	return &cobra.Command{
		Use:   "secret FILE",
		Short: "Make the secret file that codes, tokens and key encryption are derived from",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := keys.CreateSecret(args[0], rand.Reader); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "written; keep a copy in a safe place: without it no key can be opened")
			return nil
		},
	}
}

func newOpenAPI() *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the OpenAPI document of the API",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := api.Document()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(doc)
			return err
		},
	}
}
