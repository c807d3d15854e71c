package domain_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

var update = flag.Bool("update", false, "write docs/lifecycle.md anew")

// docs/lifecycle.md shows the lifecycles as they are in the code. -update writes what lies between its marks.
func TestLifecyclePage(t *testing.T) {
	const path = "../../docs/lifecycle.md"
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	page := string(file)
	for name, drawn := range map[string]string{
		"documents":     drawLifecycle(domain.DocumentLifecycle()),
		"requests":      drawLifecycle(domain.RequestLifecycle()),
		"cancellations": drawLifecycle(domain.CancellationLifecycle()),
	} {
		before, rest, ok := strings.Cut(page, "<!-- "+name+" -->\n")
		require.True(t, ok, "%s has no mark for %s", path, name)
		_, after, ok := strings.Cut(rest, "<!-- end -->\n")
		require.True(t, ok, "%s has no end of %s", path, name)
		page = before + "<!-- " + name + " -->\n" + drawn + "<!-- end -->\n" + after
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(page), 0o600))
	}
	require.Equal(t, page, string(file), "run `go test ./internal/domain -run TestLifecyclePage -update`")
	for _, s := range domain.DocumentStates() {
		require.Contains(t, page, "| `"+string(s)+"` |", "the page says what the state means")
	}
}

// drawLifecycle gives a lifecycle as a diagram and a table.
func drawLifecycle[S ~string](l domain.Lifecycle[S]) string {
	var diagram, table strings.Builder
	diagram.WriteString("```mermaid\nstateDiagram-v2\n")
	table.WriteString("| from | act | to | who | permission | when |\n|---|---|---|---|---|---|\n")
	for _, arrow := range arrowsOf(l) {
		fmt.Fprintf(&diagram, "    %s --> %s: %s\n", arrow.from, arrow.to, strings.Join(arrow.acts, ", "))
	}
	for _, s := range l {
		from, to := coded(s.From), "stays"
		if len(s.From) == 0 {
			from = "–"
		}
		if s.To != "" {
			to = "`" + string(s.To) + "`"
		}
		by := make([]string, len(s.By))
		for i, m := range s.By {
			by[i] = string(m)
		}
		fmt.Fprintf(&table, "| %s | `%s` | %s | %s | %s | %s |\n", from, s.Action, to, strings.Join(by, ", "), coded(s.Needs), s.When)
	}
	return diagram.String() + "```\n\n" + table.String()
}

type arrow struct {
	from, to string
	acts     []string
}

// arrowsOf gives each way from state to state once, with its acts.
func arrowsOf[S ~string](l domain.Lifecycle[S]) []arrow {
	var out []arrow
	for _, s := range l {
		_, act, _ := strings.Cut(s.Action, ".")
		from := []string{"[*]"}
		if len(s.From) > 0 {
			from = strings.Split(strings.Join(texts(s.From), " "), " ")
		}
		for _, f := range from {
			if s.To == "" {
				continue
			}
			i := slices.IndexFunc(out, func(a arrow) bool { return a.from == f && a.to == string(s.To) })
			if i < 0 {
				i, out = len(out), append(out, arrow{from: f, to: string(s.To)})
			}
			if !slices.Contains(out[i].acts, act) {
				out[i].acts = append(out[i].acts, act)
			}
		}
	}
	return out
}

func texts[S ~string](all []S) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = string(s)
	}
	return out
}

func coded[S ~string](all []S) string {
	if len(all) == 0 {
		return ""
	}
	return "`" + strings.Join(texts(all), "`, `") + "`"
}

// Every step can be read: it has movers, and accounts need one of the permissions that exist.
func TestLifecyclesAreWhole(t *testing.T) {
	check(t, domain.DocumentLifecycle(), domain.DocumentStates())
	check(t, domain.RequestLifecycle(), domain.RequestStates())
	check(t, domain.CancellationLifecycle(), domain.CancellationStates())
}

func check[S ~string](t *testing.T, l domain.Lifecycle[S], states []S) {
	t.Helper()
	for _, s := range l {
		require.Regexp(t, `^(document|request|cancellation)\.[a-z]+$`, s.Action)
		require.NotEmpty(t, s.By, s.Action)
		require.Subset(t, states, append(slices.Clone(s.From), slices.DeleteFunc([]S{s.To}, func(to S) bool { return to == "" })...), s.Action)
		for _, p := range s.Needs {
			require.True(t, p.Valid(), "%s of %s", p, s.Action)
		}
		if strings.HasPrefix(s.Action, "request.") && len(s.Needs) == 0 {
			continue
		}
		require.Equal(t, slices.Contains(s.By, domain.ByAccount), len(s.Needs) > 0, "%s: an account needs a permission, and nobody else", s.Action)
	}
	for _, by := range []domain.Mover{domain.ByAccount, domain.ByWallet, domain.BySystem} {
		require.False(t, l.Tells("nonsense", states[0], states[1], by))
	}
}

func TestDocumentActsNeedPermissions(t *testing.T) {
	needs := map[domain.DocumentAct]domain.Permission{
		domain.DocumentDisable: domain.PermDisable, domain.DocumentEnable: domain.PermDisable, domain.DocumentCancel: domain.PermCancel,
		domain.DocumentRequestCancel: domain.PermCancel, domain.DocumentUpdate: domain.PermUpdate,
	}
	for _, act := range domain.DocumentActs() {
		require.Equal(t, needs[act], act.Permission(), "%s", act)
	}
	require.Empty(t, domain.DocumentAct("nonsense").Permission())
}
