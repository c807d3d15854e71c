package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/client"
)

func newPeople() *cobra.Command {
	cmd := &cobra.Command{Use: "people", Short: "Work on people", Args: noArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.AddCommand(newPeopleImport())
	return cmd
}

// importOptions are the flags of `mdocket people import`.
type importOptions struct {
	server, keyFile, format, results string
	createGroups                     bool
}

func newPeopleImport() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Send a file of people (CSV, JSON list or NDJSON) to a server; exit code 1 when rows were refused",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mediaType, err := o.check(args[0])
			if err != nil {
				return usageError{err}
			}
			secret, err := os.ReadFile(o.keyFile)
			if err != nil {
				return fmt.Errorf("read API key: %w", err)
			}
			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("open file: %w", err)
			}
			defer func() { _ = file.Close() }()
			info, err := file.Stat()
			if err != nil {
				return fmt.Errorf("open file: %w", err)
			}
			show := importShow{out: cmd.OutOrStdout(), progress: cmd.ErrOrStderr(), size: info.Size()}
			return o.send(cmd.Context(), strings.TrimSpace(string(secret)), mediaType, file, &show)
		},
	}
	cmd.Flags().StringVar(&o.server, "server", "", "address of the server, such as https://issuer.example")
	cmd.Flags().StringVar(&o.keyFile, "api-key-file", "", "file with the API key of an account that may import people")
	cmd.Flags().StringVar(&o.format, "format", "", "csv, json or ndjson; left out: as the name of the file ends")
	cmd.Flags().StringVar(&o.results, "results", "refused", "which rows are printed: refused or all")
	cmd.Flags().BoolVar(&o.createGroups, "create-groups", false, "make groups that are not there")
	return cmd
}

var importMediaTypes = map[string]string{"csv": "text/csv", "json": "application/json", "ndjson": "application/x-ndjson"}

// check gives the media type of the file.
func (o importOptions) check(file string) (string, error) {
	if o.results != "refused" && o.results != "all" {
		return "", errors.New("--results must be refused or all")
	}
	if u, err := url.Parse(o.server); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", errors.New("--server must be the address of a server, such as https://issuer.example")
	}
	if o.keyFile == "" {
		return "", errors.New("--api-key-file is needed")
	}
	format := o.format
	if format == "" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(file)), ".")
	}
	mediaType, ok := importMediaTypes[format]
	if !ok {
		return "", errors.New("--format must be csv, json or ndjson")
	}
	return mediaType, nil
}

// send streams the file and reads the answer at the same time. There is no time limit: the server gives one to whoever stops.
func (o importOptions) send(ctx context.Context, secret, mediaType string, file io.Reader, show *importShow) error {
	query := url.Values{"results": {o.results}}
	if o.createGroups {
		query.Set("create_groups", "true")
	}
	target := strings.TrimRight(o.server, "/") + "/v1/people/import?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, io.NopCloser(file))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := (&http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}).Do(req)
	if err != nil {
		return fmt.Errorf("send file: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return refusalOf(resp)
	}
	return show.lines(resp.Body)
}

// refusalOf reads the problem document of an answer.
func refusalOf(resp *http.Response) error {
	const most = 1 << 20
	p := &client.Problem{}
	form, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil || json.Unmarshal(form, p) != nil || p.Code == "" {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	p.Status = resp.StatusCode
	return p
}

// importShow prints an answer: rows and summary to out, progress beside it.
type importShow struct {
	out      io.Writer
	progress io.Writer
	size     int64 // of the file
	told     bool  // a line of progress stands there
}

type importAnswerLine struct {
	Line     int    `json:"line"`
	Result   string `json:"result"`
	PersonID string `json:"person_id"`
	Code     string `json:"code"`
	Problems []struct {
		Field   string `json:"field"`
		Problem string `json:"problem"`
	} `json:"problems"`
	Progress *struct {
		Rows  int   `json:"rows"`
		Bytes int64 `json:"bytes"`
	} `json:"progress"`
	Summary *struct {
		Created int `json:"created"`
		Updated int `json:"updated"`
		Refused int `json:"refused"`
	} `json:"summary"`
	Problem *client.Problem `json:"problem"`
}

// lines reads the answer to its end. Refused rows are an error, and so is an answer that ends without a summary.
func (s *importShow) lines(answer io.Reader) error {
	in := json.NewDecoder(bufio.NewReader(answer))
	for {
		var l importAnswerLine
		err := in.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			s.endProgress()
			return errors.New("the answer broke off: rows not printed may be in or not; import the file again")
		case err != nil:
			s.endProgress()
			return fmt.Errorf("read answer: %w", err)
		case l.Progress != nil:
			s.tell(l.Progress.Rows, l.Progress.Bytes)
		case l.Problem != nil:
			s.endProgress()
			return fmt.Errorf("the import stopped, rows before are in: %w", l.Problem)
		case l.Summary != nil:
			s.endProgress()
			fmt.Fprintf(s.out, "%d created, %d updated, %d refused\n", l.Summary.Created, l.Summary.Updated, l.Summary.Refused)
			if l.Summary.Refused > 0 {
				return fmt.Errorf("%d rows were refused", l.Summary.Refused)
			}
			return nil
		default:
			s.endProgress()
			s.row(l)
		}
	}
}

func (s *importShow) row(l importAnswerLine) {
	fmt.Fprintf(s.out, "line %d %s", l.Line, l.Result)
	if l.PersonID != "" {
		fmt.Fprintf(s.out, " %s", l.PersonID)
	}
	for i, p := range l.Problems {
		fmt.Fprintf(s.out, "%s %s %s", []string{":", ";"}[min(i, 1)], p.Field, p.Problem)
	}
	fmt.Fprintln(s.out)
}

// tell writes progress over itself.
func (s *importShow) tell(rows int, read int64) {
	share := ""
	if s.size > 0 {
		share = fmt.Sprintf(", %d %% of the file", read*100/s.size)
	}
	fmt.Fprintf(s.progress, "\r%d rows%s ", rows, share)
	s.told = true
}

// endProgress lets what follows begin on a line of its own.
func (s *importShow) endProgress() {
	if s.told {
		fmt.Fprintln(s.progress)
	}
	s.told = false
}
