package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/internal/wallet"
)

func newDemo() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Do the main job once on a throw-away server: from a request to a verified document in a wallet",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "mdocket-demo-")
			if err != nil {
				return fmt.Errorf("make folder: %w", err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			return demo(cmd.Context(), dir, keep, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the server up at the end, until Ctrl-C")
	return cmd
}

// demo starts a server in dir, runs the demonstration against it over HTTP and stops it.
func demo(ctx context.Context, dir string, keep bool, out io.Writer) (err error) {
	started := time.Now()
	log, closeLog, err := fileLog(dir)
	if err != nil {
		return err
	}
	defer closeLog()
	s, err := standalone.Start(ctx, standalone.Options{DataDir: dir, BinDir: binDir(), Listen: "127.0.0.1:0", MailboxAddr: "127.0.0.1:0", Log: log,
		Progress: func(text string) { fmt.Fprintf(out, "… %s\n", text) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d := &demonstration{out: out, url: s.URL, mailboxURL: s.MailboxURL, dir: dir}
	serial, err := d.run(ctx, s.AdminPassword)
	if err != nil {
		return fmt.Errorf("demo failed at step %d (%s): %w", d.step, d.doing, err)
	}
	fmt.Fprintf(out, "demo ok: document %s in %.1f s\n", serial, time.Since(started).Seconds())
	if keep {
		printWelcome(out, s, dir)
		fmt.Fprintf(out, "administrator: %s, password %s\n", standalone.AdminName, s.AdminPassword)
		<-ctx.Done()
	}
	return nil
}

// demonstration plays operators, approver, holder and verifier from outside.
type demonstration struct {
	out        io.Writer
	url        string
	mailboxURL string
	dir        string
	step       int
	doing      string

	admin, a, b *client.Client
}

type withID struct {
	ID string `json:"id"`
}

// begin names the step that is being done; done prints it with its outcome.
func (d *demonstration) begin(what string) { d.step++; d.doing = what }

func (d *demonstration) done(format string, args ...any) {
	fmt.Fprintf(d.out, "%2d  %s: %s\n", d.step, d.doing, fmt.Sprintf(format, args...))
}

// run gives the serial number of the document.
func (d *demonstration) run(ctx context.Context, adminPassword string) (string, error) {
	if err := d.people(ctx, adminPassword); err != nil {
		return "", err
	}
	personID, err := d.importPeople(ctx)
	if err != nil {
		return "", err
	}
	requestID, err := d.request(ctx, personID)
	if err != nil {
		return "", err
	}
	link, code, err := d.notification(ctx)
	if err != nil {
		return "", err
	}
	doc, err := d.collect(ctx, link, code)
	if err != nil {
		return "", err
	}
	return d.lifecycle(ctx, requestID, doc)
}

// people signs in the administrator and makes two operators who may both request and approve.
func (d *demonstration) people(ctx context.Context, adminPassword string) error {
	d.begin("sign in as administrator")
	var err error
	if d.admin, err = signIn(ctx, d.url, standalone.AdminName, adminPassword); err != nil {
		return err
	}
	d.done("session opened")

	d.begin("create operators A and B")
	var role withID
	err = d.admin.Do(ctx, http.MethodPost, "/v1/roles", map[string]any{"name": "officer", "permissions": []string{"request", "approve",
		"people_read", "people_write", "groups", "profiles_read", "profiles_write", "documents_read", "disable", "cancel"}}, &role)
	if err != nil {
		return err
	}
	for _, op := range []struct {
		name string
		to   **client.Client
	}{{"operator-a", &d.a}, {"operator-b", &d.b}} {
		if *op.to, err = newOperator(ctx, d.admin, op.name, role.ID); err != nil {
			return err
		}
	}
	d.done("both may request and approve")
	return nil
}

// newOperator makes an account with a role for everybody and signs it in.
func newOperator(ctx context.Context, admin *client.Client, name, roleID string) (*client.Client, error) {
	password := rand.Text()
	var account withID
	err := admin.Do(ctx, http.MethodPost, "/v1/accounts", map[string]any{"name": name, "password": password}, &account)
	if err != nil {
		return nil, err
	}
	roles := map[string]any{"roles": []map[string]string{{"role_id": roleID, "scope": "all"}}}
	if err := admin.Do(ctx, http.MethodPut, "/v1/accounts/"+account.ID+"/roles", roles, nil); err != nil {
		return nil, err
	}
	return signIn(ctx, admin.BaseURL, name, password)
}

func signIn(ctx context.Context, url, name, password string) (*client.Client, error) {
	c := client.New(url, "")
	var session struct {
		Token string `json:"token"`
	}
	if err := c.Do(ctx, http.MethodPost, "/v1/sessions", map[string]string{"name": name, "password": password}, &session); err != nil {
		return nil, err
	}
	return c.As(session.Token), nil
}

func (d *demonstration) importPeople(ctx context.Context) (string, error) {
	d.begin("import people from CSV, portraits included")
	var file bytes.Buffer
	const n = 10
	if err := example.WritePeople(&file, n); err != nil {
		return "", err
	}
	answer, err := d.a.Send(ctx, http.MethodPost, "/v1/people/import?create_groups=true", "text/csv", &file)
	if err != nil {
		return "", err
	}
	ids, err := importedIDs(answer)
	if err != nil {
		return "", err
	}
	if len(ids) != n {
		return "", fmt.Errorf("%d of %d people were imported", len(ids), n)
	}
	d.done("%d people", len(ids))
	return ids[0], nil
}

// importedIDs reads the NDJSON answer of an import: one line for each row, then a summary.
func importedIDs(answer []byte) ([]string, error) {
	var ids []string
	lines := bufio.NewScanner(bytes.NewReader(answer))
	for lines.Scan() {
		var row struct {
			PersonID string `json:"person_id"`
			Result   string `json:"result"`
			Code     string `json:"code"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("read import answer: %w", err)
		}
		if row.Code != "" {
			return nil, fmt.Errorf("a row was refused: %s", row.Code)
		}
		if row.PersonID != "" {
			ids = append(ids, row.PersonID)
		}
	}
	return ids, lines.Err()
}

// request makes the profile and the request, is refused as its own approver, and has B approve.
func (d *demonstration) request(ctx context.Context, personID string) (string, error) {
	d.begin("create a credential profile that needs approval")
	var profile withID
	if err := d.a.Do(ctx, http.MethodPost, "/v1/profiles", example.Profiles()[0], &profile); err != nil {
		return "", err
	}
	d.done("mdl, full ISO mDL")

	d.begin("request an mDL as operator A")
	var req struct {
		withID
		State string `json:"state"`
	}
	in := map[string]string{"person_id": personID, "profile_id": profile.ID}
	if err := d.a.Do(ctx, http.MethodPost, "/v1/requests", in, &req, client.IdempotencyKey(rand.Text())); err != nil {
		return "", err
	}
	if err := until(ctx, func() (bool, error) {
		err := d.a.Do(ctx, http.MethodGet, "/v1/requests/"+req.ID, nil, &req)
		return req.State == "awaiting_approval", err
	}); err != nil {
		return "", fmt.Errorf("the request is %s: %w", req.State, err)
	}
	d.done("request %s waits for approval", req.ID)

	d.begin("approve as operator A, who made it")
	approve := "/v1/requests/" + req.ID + "/approve"
	err := d.a.Do(ctx, http.MethodPost, approve, map[string]string{}, nil)
	if client.CodeOf(err) != "self_approval" {
		return "", fmt.Errorf("it should have been refused as self_approval, got %w", orNothing(err))
	}
	d.done("refused, as it must be (self_approval)")

	d.begin("approve as operator B")
	if err := d.b.Do(ctx, http.MethodPost, approve, map[string]string{"reason": "identity checked"}, &req); err != nil {
		return "", err
	}
	d.done("request is %s", req.State)
	return req.ID, nil
}

func orNothing(err error) error {
	if err == nil {
		return errors.New("no refusal")
	}
	return err
}

// notification reads the link from the e-mail and the code from the SMS.
func (d *demonstration) notification(ctx context.Context) (link, code string, err error) {
	d.begin("read the collection link from the e-mail (real SMTP)")
	if link, err = d.find(ctx, mailbox.Email, mailbox.FindLink); err != nil {
		return "", "", err
	}
	d.done("arrived")
	d.begin("read the code from the SMS (real HTTP gateway)")
	if code, err = d.find(ctx, mailbox.SMS, mailbox.FindCode); err != nil {
		return "", "", err
	}
	d.done("arrived, %d digits", len(strings.ReplaceAll(code, " ", "")))
	return link, code, nil
}

// find waits for a message of a kind in which something is found.
func (d *demonstration) find(ctx context.Context, kind mailbox.Kind, look func(text string) string) (string, error) {
	var hit string
	err := until(ctx, func() (bool, error) {
		var all []mailbox.Message
		if err := client.New(d.mailboxURL, "").Do(ctx, http.MethodGet, "/api/messages?kind="+string(kind), nil, &all); err != nil {
			return false, err
		}
		for _, m := range all {
			if hit = look(m.Text); hit != "" {
				return true, nil
			}
		}
		return false, nil
	})
	return hit, err
}

// collected is the document in the wallet.
type collected struct {
	file string
	doc  wallet.Document
}

func (d *demonstration) collect(ctx context.Context, link, code string) (collected, error) {
	d.begin("collect with the reference wallet (OpenID4VCI)")
	w, st, err := openWallet(filepath.Join(d.dir, "wallet"))
	if err != nil {
		return collected{}, err
	}
	got, err := w.Collect(ctx, link, code, wallet.CollectOptions{Keys: 2})
	if err != nil {
		return collected{}, err
	}
	b, _, err := st.Copy(got.Document.ID, 0)
	if err != nil {
		return collected{}, err
	}
	file := filepath.Join(d.dir, "document.cbor")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return collected{}, fmt.Errorf("write document: %w", err)
	}
	d.done("%s, %d copies, %d bytes each", got.Document.DocType, len(got.Document.Copies), len(b))

	d.begin("verify: chain to the IACA, signature, digests, validity, status list")
	result, err := d.verify(ctx, file)
	if err != nil {
		return collected{}, err
	}
	if !result.OK() {
		return collected{}, fmt.Errorf("it does not verify: %v, status %s %s", result.Problems, result.Status, result.StatusBy)
	}
	d.done("all hold; status list index %d says %s", result.Verified.MSO.Status.Index, result.Status)
	return collected{file: file, doc: got.Document}, nil
}

func (d *demonstration) verify(ctx context.Context, file string) (verifier.Result, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return verifier.Result{}, fmt.Errorf("read document: %w", err)
	}
	roots, err := loadRoots(ctx, d.url+"/pki/iaca.pem")
	if err != nil {
		return verifier.Result{}, err
	}
	return verifier.Verify(ctx, b, verifier.Options{Roots: roots, Now: time.Now(), Fetch: verifier.HTTPFetcher(httpClient())})
}

type onlineStatus struct {
	State string `json:"state"`
	Valid bool   `json:"valid"`
}

// lifecycle disables and cancels the document and shows what verifiers are told.
func (d *demonstration) lifecycle(ctx context.Context, requestID string, got collected) (string, error) {
	d.begin("look the document up")
	var req struct {
		State      string `json:"state"`
		DocumentID string `json:"document_id"`
	}
	if err := d.a.Do(ctx, http.MethodGet, "/v1/requests/"+requestID, nil, &req); err != nil {
		return "", err
	}
	var doc struct {
		Serial string `json:"serial"`
		State  string `json:"state"`
	}
	path := "/v1/documents/" + req.DocumentID
	if err := d.a.Do(ctx, http.MethodGet, path, nil, &doc); err != nil {
		return "", err
	}
	d.done("serial number %s is %s", doc.Serial, doc.State)

	for _, act := range []struct{ name, reason, state string }{{"disable", "lost", "disabled"}, {"cancel", "stolen", "canceled"}} {
		d.begin(act.name + " it")
		if err := d.a.Do(ctx, http.MethodPost, path+"/"+act.name, map[string]string{"reason": act.reason}, nil); err != nil {
			return "", err
		}
		var online onlineStatus
		if err := client.New(d.url, "").Do(ctx, http.MethodGet, "/verify/"+doc.Serial, nil, &online); err != nil {
			return "", err
		}
		if online.State != act.state || online.Valid {
			return "", fmt.Errorf("verifiers are told %s", online.State)
		}
		d.done("verifiers online are told %s", online.State)
	}

	d.begin("verify again")
	var result verifier.Result
	err := until(ctx, func() (bool, error) {
		var err error
		result, err = d.verify(ctx, got.file)
		return result.Status == verifier.StatusInvalid, err
	})
	if err != nil {
		return "", fmt.Errorf("the status list says %s: %w", result.Status, err)
	}
	d.done("the status list says %s", result.Status)
	return doc.Serial, nil
}

// until asks again and again, for half a minute at the most.
func until(ctx context.Context, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited too long: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
