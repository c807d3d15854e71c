package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/notify"
)

func newTemplates() *cobra.Command {
	cmd := &cobra.Command{Use: "templates", Short: "Check, show and export the texts of messages", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.AddCommand(newTemplatesCheck(), newTemplatesShow(), newTemplatesExport())
	return cmd
}

// templatesDir is the operator's folder where none is given.
func templatesDir() string { return os.Getenv(config.EnvPrefix + "TEMPLATES_DIR") }

// loadTemplates reads the shipped templates with the operator's folder over them; without a folder those shipped alone.
func loadTemplates(dir string) (*notify.Templates, error) {
	if dir == "" {
		return notify.LoadTemplates(nil)
	}
	return notify.LoadTemplates(os.DirFS(dir))
}

func newTemplatesCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [DIR]",
		Short: "Check the templates of DIR (or MDOCKET_TEMPLATES_DIR) laid over those shipped; every mistake is listed, exit code 1",
		Args:  atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := templatesDir()
			if len(args) == 1 {
				dir = args[0]
			}
			templates, err := loadTemplates(dir)
			if problems := notify.TemplateProblems(err); len(problems) > 0 {
				for _, problem := range problems {
					fmt.Fprintln(cmd.OutOrStdout(), problem)
				}
				return fmt.Errorf("the templates have %d mistake(s)", len(problems))
			}
			if err != nil {
				return err
			}
			printTemplates(cmd.OutOrStdout(), templates)
			return nil
		},
	}
}

// printTemplates sums up templates without mistakes. A language that has only some kinds is no mistake, but worth knowing of.
func printTemplates(out io.Writer, templates *notify.Templates) {
	operators := 0
	missing := make(map[string][]notify.Kind)
	for _, language := range templates.Languages() {
		missing[language] = notify.Kinds()
	}
	files := templates.Files()
	for _, file := range files {
		if file.Operator {
			operators++
		}
		missing[file.Language] = slices.DeleteFunc(missing[file.Language], func(kind notify.Kind) bool { return kind == file.Kind })
	}
	fmt.Fprintf(out, "OK: %d templates of %d kinds in the languages %s; %d are the operator's, the others as shipped\n", len(files),
		len(notify.Kinds()), strings.Join(templates.Languages(), ", "), operators)
	for _, language := range templates.Languages() {
		if kinds := missing[language]; len(kinds) > 0 {
			fmt.Fprintf(out, "note: %s lacks %s; these come in a more general language or in English\n", language, join(kinds))
		}
	}
}

func newTemplatesShow() *cobra.Command {
	var dir, language string
	var html, all bool
	cmd := &cobra.Command{
		Use:   "show KIND",
		Short: "Show a message as people get it, with sample data",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := notify.Kind(args[0])
			samples := kind.Samples()
			if len(samples) == 0 {
				return usageError{fmt.Errorf("there is no message of the kind %q; the kinds are %s", kind, join(notify.Kinds()))}
			}
			templates, err := loadTemplates(dir)
			if err != nil {
				return err
			}
			if !all {
				samples = samples[:1]
			}
			for i, sample := range samples {
				message, err := templates.Render(language, sample)
				if err != nil {
					return err
				}
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout(), strings.Repeat("-", 80))
				}
				printMessage(cmd.OutOrStdout(), message, html)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&language, "language", "en", "language of the reader; one that has no template gets English, as with real messages")
	cmd.Flags().BoolVar(&html, "html", false, "show the HTML of the e-mail too")
	cmd.Flags().BoolVar(&all, "all", false, "show every variant: optional data absent, every cause")
	cmd.Flags().StringVar(&dir, "dir", templatesDir(), "folder of templates laid over those shipped (or MDOCKET_TEMPLATES_DIR)")
	return cmd
}

func join(kinds []notify.Kind) string {
	names := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

func printMessage(out io.Writer, message notify.Rendered, html bool) {
	fmt.Fprintf(out, "Language: %s\nSubject: %s\n\n%s\n", message.Language, message.Subject, strings.TrimSpace(message.Text))
	if message.SMS != "" {
		fmt.Fprintf(out, "\nSMS: %s\n", message.SMS)
	}
	if html {
		fmt.Fprintf(out, "\n%s\n", strings.TrimSpace(message.HTML))
	}
}

func newTemplatesExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export DIR",
		Short: "Write the shipped templates into DIR for editing; nothing is overwritten",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			written, err := exportTemplates(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %d templates; keep those you change, delete the others, and set templates_dir to the folder\n",
				written)
			return nil
		},
	}
}

// exportTemplates writes all templates or, where one of the files is there already, none.
func exportTemplates(dir string) (int, error) {
	shipped, err := notify.ShippedTemplates()
	if err != nil {
		return 0, err
	}
	var files, existing []string
	err = fs.WalkDir(shipped, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files = append(files, path)
		switch _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(path))); {
		case err == nil:
			existing = append(existing, path)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look for templates: %w", err)
	}
	if len(existing) > 0 {
		slices.Sort(existing)
		return 0, fmt.Errorf("nothing written: there already in %s: %s", dir, strings.Join(existing, ", "))
	}
	if err := os.CopyFS(dir, shipped); err != nil {
		return 0, fmt.Errorf("write templates: %w", err)
	}
	return len(files), nil
}

func atMostOneArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("%s takes one argument at the most, not %d", cmd.CommandPath(), len(args))}
	}
	return nil
}
