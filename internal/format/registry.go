package format

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"
)

//go:embed formats/*.yaml
var shipped embed.FS

// maxFiles bounds the formats of one directory.
const maxFiles = 500

// Registry holds the formats of an installation. It does not change once loaded and is safe for concurrent use.
type Registry struct {
	versions map[string][]*Format // by id, lowest version first
}

// Load reads the shipped formats and those in the files *.yaml of dir; the empty dir means the shipped ones alone. Subdirectories are not
// read. All mistakes of all files are reported at once: *ParseError for what is wrong inside a file and for formats that contradict each
// other (the same version of an id twice, or another docType than in the id's other versions), others for files that cannot be read.
func Load(dir string) (*Registry, error) {
	l := newLoader()
	l.shipped()
	if dir != "" {
		if _, err := os.ReadDir(dir); err != nil {
			return nil, fmt.Errorf("load formats: %w", err)
		}
		paths, err := fs.Glob(os.DirFS(dir), "*.yaml")
		for i := range paths {
			paths[i] = filepath.Join(dir, paths[i])
		}
		l.files(paths, err)
	}
	return l.registry()
}

// LoadFiles is Load with the files at the paths in place of those of a directory.
func LoadFiles(paths ...string) (*Registry, error) {
	l := newLoader()
	l.shipped()
	l.files(paths, nil)
	return l.registry()
}

// ShippedFile gives the file of the latest version of a shipped format, and its name.
func ShippedFile(id string) (name string, data []byte, err error) {
	r, err := Load("")
	if err != nil {
		return "", nil, err
	}
	f, ok := r.Get(id)
	if !ok {
		return "", nil, fmt.Errorf("read format: %q is not shipped", id)
	}
	name = fmt.Sprintf("%s-%d.yaml", f.ID, f.Version)
	if data, err = shipped.ReadFile("formats/" + name); err != nil {
		return "", nil, fmt.Errorf("read format: %w", err)
	}
	return name, data, nil
}

// loader collects formats and everything that is wrong with them.
type loader struct {
	formats  Registry
	origin   map[*Format]string // the file that it is from
	problems []error
}

func newLoader() *loader {
	return &loader{formats: Registry{versions: map[string][]*Format{}}, origin: map[*Format]string{}}
}

func (l *loader) registry() (*Registry, error) {
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	return &l.formats, nil
}

func (l *loader) shipped() {
	paths, err := fs.Glob(shipped, "formats/*.yaml")
	if err != nil {
		l.problems = append(l.problems, err)
	}
	for _, path := range paths {
		l.file(shipped.Open, path, "shipped:"+path)
	}
}

func (l *loader) files(paths []string, err error) {
	if err == nil && len(paths) > maxFiles {
		err = fmt.Errorf("load formats: more than %d files", maxFiles)
	}
	if err != nil {
		l.problems = append(l.problems, err)
		return
	}
	for _, path := range paths {
		l.file(func(path string) (fs.File, error) { return os.Open(path) }, path, path)
	}
}

func (l *loader) file(open func(string) (fs.File, error), path, name string) {
	f, err := read(open, path, name)
	if err == nil {
		err = l.add(f, name)
	}
	if err != nil {
		l.problems = append(l.problems, err)
	}
}

func read(open func(string) (fs.File, error), path, name string) (*Format, error) {
	file, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open format: %w", err)
	}
	// One byte more than Parse accepts, so that it sees when a file is too large.
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read format: %w", err)
	}
	return Parse(name, data)
}

func (l *loader) add(f *Format, name string) error {
	r := &l.formats
	for _, other := range r.versions[f.ID] {
		switch {
		case other.Version == f.Version:
			return contradiction(name, f.versionAt, "version %d of format %s is already in %s", f.Version, f.ID, l.origin[other])
		case other.DocType != f.DocType:
			return contradiction(name, f.docTypeAt, "format %s has another doc_type in %s", f.ID, l.origin[other])
		}
	}
	l.origin[f] = name
	r.versions[f.ID] = append(r.versions[f.ID], f)
	slices.SortFunc(r.versions[f.ID], func(a, b *Format) int { return cmp.Compare(a.Version, b.Version) })
	return nil
}

func contradiction(name string, at token.Position, format string, args ...any) error {
	return &ParseError{Name: name, Problems: []Problem{{Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...)}}}
}

// Get gives the latest version of a format.
func (r *Registry) Get(id string) (*Format, bool) {
	versions := r.versions[id]
	if len(versions) == 0 {
		return nil, false
	}
	return versions[len(versions)-1], true
}

// GetVersion gives one version of a format.
func (r *Registry) GetVersion(id string, version int) (*Format, bool) {
	for _, f := range r.versions[id] {
		if f.Version == version {
			return f, true
		}
	}
	return nil, false
}

// List gives the latest version of every format, in the order of their ids.
func (r *Registry) List() []*Format {
	formats := make([]*Format, 0, len(r.versions))
	for id := range r.versions {
		f, _ := r.Get(id)
		formats = append(formats, f)
	}
	slices.SortFunc(formats, func(a, b *Format) int { return strings.Compare(a.ID, b.ID) })
	return formats
}
