package scenarios_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ids are the rows of the product's requirements.
func ids() []string {
	var out []string
	for letter, n := range map[string]int{"A": 5, "B": 15, "C": 6, "D": 4, "E": 9, "F": 8, "G": 4, "H": 5, "I": 4, "J": 3, "K": 3, "L": 6} {
		for i := range n {
			out = append(out, letter+string(rune('1'+i)))
			if i >= 9 {
				out[len(out)-1] = letter + "1" + string(rune('0'+i-9))
			}
		}
	}
	return out
}

// TestFeatures holds docs/features.md to the code: every requirement has a row, every test and page named exists, every scenario is named.
func TestFeatures(t *testing.T) {
	root := filepath.Dir(binDir())
	text, err := os.ReadFile(filepath.Join(root, "docs", "features.md"))
	require.NoError(t, err)
	page := string(text)
	for _, id := range ids() {
		require.Regexp(t, `(?m)^\| ([A-Z]\d+, )*`+id+`(, [A-Z]\d+)* \|`, page, "row of %s", id)
	}

	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(source), -1) {
			tests[filepath.Base(filepath.Dir(path))+"."+m[1]] = true
		}
		return err
	}))
	for _, m := range regexp.MustCompile("`([a-z]+\\.Test\\w+)`").FindAllStringSubmatch(page, -1) {
		require.True(t, tests[m[1]], "%s is named but does not exist", m[1])
	}
	for test := range tests {
		if strings.HasPrefix(test, "scenarios.") && test != "scenarios.TestMain" && test != "scenarios.TestFeatures" {
			require.Contains(t, page, "`"+test+"`")
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(page, -1) {
		_, err := os.Stat(filepath.Join(root, "docs", m[1]))
		require.NoError(t, err)
	}
}
