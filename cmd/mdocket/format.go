package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/api/operator"
	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
)

// maxInputFile bounds what is read of a person, a picture or a format: more than any of them may have.
const maxInputFile = 8 << 20

func newFormat() *cobra.Command {
	cmd := &cobra.Command{Use: "format", Short: "List, show, check and try out document formats", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.AddCommand(newFormatList(), newFormatShow(), newFormatCheck(), newFormatPreview())
	return cmd
}

// installedFormats are those that a server with the same MDOCKET_FORMATS_DIR has.
func installedFormats() (*format.Registry, error) {
	return format.Load(os.Getenv(config.EnvPrefix + "FORMATS_DIR"))
}

func newFormatList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the shipped formats and those of MDOCKET_FORMATS_DIR",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			formats, err := installedFormats()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, f := range formats.List() {
				fmt.Fprintf(w, "%s\tversion %d\t%s\t%s\n", f.ID, f.Version, f.DocType, f.Display[0].Name)
			}
			return w.Flush()
		},
	}
}

func newFormatShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Print the file of a shipped format, to start one's own from",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, data, err := format.ShippedFile(args[0])
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
}

func newFormatCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "Check format files, together and next to those shipped; every mistake is listed, exit code 1",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("%s takes at least one file", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := format.LoadFiles(args...); err != nil {
				mistakes := strings.Split(err.Error(), "\n")
				for _, mistake := range mistakes {
					fmt.Fprintln(cmd.OutOrStdout(), mistake)
				}
				return fmt.Errorf("the formats have %d mistake(s)", len(mistakes))
			}
			for _, name := range args {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: OK\n", name)
			}
			return nil
		},
	}
}

func newFormatPreview() *cobra.Command {
	var o previewOptions
	cmd := &cobra.Command{
		Use:   "preview FILE|ID",
		Short: "Show what a document of a format would hold for a person, without a server; exit code 1 when it could not be made",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := formatOf(args[0])
			if err != nil {
				return err
			}
			in, err := o.input(time.Now().UTC().Truncate(time.Second))
			if err != nil {
				return err
			}
			preview, err := f.Preview(in)
			if err != nil {
				return err
			}
			if err := o.print(cmd.OutOrStdout(), &preview); err != nil {
				return err
			}
			if n := preview.Faulty(); n > 0 {
				return fmt.Errorf("the document cannot be made: %d data element(s) have problems", n)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.person, "person", "", "JSON file with a person's fields as the API takes them; without it a sample person")
	cmd.Flags().StringVar(&o.portrait, "portrait", "", "picture file of the person")
	cmd.Flags().StringVar(&o.signature, "signature", "", "picture file of the person's signature")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// formatOf gives an installed format by its id, or the one in a file.
func formatOf(name string) (*format.Format, error) {
	formats, err := installedFormats()
	if err != nil {
		return nil, err
	}
	if f, ok := formats.Get(name); ok {
		return f, nil
	}
	data, err := readInput(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read format: %q is neither the id of a format nor a file", name)
	}
	if err != nil {
		return nil, fmt.Errorf("read format: %w", err)
	}
	return format.Parse(name, data)
}

type previewOptions struct {
	person, portrait, signature string // files; empty = not given
	json                        bool
}

// input is the person of the files with the serial number and the dates of a sample document.
func (o *previewOptions) input(now time.Time) (format.Input, error) {
	in := format.SampleInput(now)
	if o.person != "" {
		var err error
		if in.Person, err = readPerson(o.person); err != nil {
			return in, err
		}
		in.Images = map[domain.ImageKind]domain.Image{}
	}
	for kind, path := range map[domain.ImageKind]string{domain.ImagePortrait: o.portrait, domain.ImageSignature: o.signature} {
		if path == "" {
			continue
		}
		data, err := readInput(path)
		if err != nil {
			return in, fmt.Errorf("read %s: %w", kind, err)
		}
		in.Images[kind] = domain.Image{Kind: kind, Bytes: data}
	}
	return in, nil
}

// readPerson reads what the API's person accepts, and takes from it what formats may name.
func readPerson(path string) (domain.Person, error) {
	data, err := readInput(path)
	if err != nil {
		return domain.Person{}, fmt.Errorf("read person: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&operator.PersonFields{}); err != nil {
		return domain.Person{}, fmt.Errorf("read person: %w", err)
	}
	var p struct {
		ExternalID string         `json:"external_id"`
		LogonName  string         `json:"logon_name"`
		GivenName  string         `json:"given_name"`
		FamilyName string         `json:"family_name"`
		Email      string         `json:"email"`
		Mobile     string         `json:"mobile"`
		BirthDate  domain.Date    `json:"birth_date"`
		Group      string         `json:"group"`
		Language   string         `json:"language"`
		Attributes map[string]any `json:"attributes"`
	}
	// The whole file, so that nothing may follow the person.
	if err := json.Unmarshal(data, &p); err != nil {
		return domain.Person{}, fmt.Errorf("read person: %w", err)
	}
	return domain.Person{ExternalID: p.ExternalID, LogonName: p.LogonName, GivenName: p.GivenName, FamilyName: p.FamilyName, Email: p.Email,
		Mobile: p.Mobile, BirthDate: p.BirthDate, Group: p.Group, Language: p.Language, Attributes: p.Attributes}, nil
}

func readInput(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxInputFile+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxInputFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxInputFile)
	}
	return data, nil
}

func (o *previewOptions) print(out io.Writer, p *format.Preview) error {
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(p)
	}
	who := "the built-in sample person"
	if o.person != "" {
		who = o.person
	}
	fmt.Fprintf(out, "%s version %d, docType %s, for %s\n", p.Format, p.Version, p.DocType, who)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	space := ""
	for i := range p.Elements {
		e := &p.Elements[i]
		if e.NameSpace != space {
			space = e.NameSpace
			// Columns are aligned within a name space.
			if err := w.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(out, "\n%s\n", space)
		}
		presence := "optional"
		if e.Mandatory {
			presence = "mandatory"
		}
		values := []string{e.Value}
		switch {
		case len(e.Problems) > 0:
			values = values[:0]
			for _, problem := range e.Problems {
				values = append(values, "PROBLEM: "+problem)
			}
		case e.Value == "":
			values[0] = "(left out)"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", e.Identifier, e.Display["en"], e.Type, presence, values[0])
		for _, more := range values[1:] {
			fmt.Fprintf(w, "\t\t\t\t%s\n", more)
		}
	}
	return w.Flush()
}
