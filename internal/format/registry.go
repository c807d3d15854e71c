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
// read. All mistakes of all files are reported at once: *ParseError for what is wrong inside a file, others for files that cannot be read
// and for formats that contradict each other (the same version of an id twice, or another docType than in the id's other versions).
func Load(dir string) (*Registry, error) {
	r := &Registry{versions: map[string][]*Format{}}
	origin := map[*Format]string{}
	var problems []error
	add := func(fsys fs.FS, pattern string, name func(string) string) {
		paths, err := fs.Glob(fsys, pattern)
		if err == nil && len(paths) > maxFiles {
			err = fmt.Errorf("load formats: more than %d files in %s", maxFiles, name("."))
		}
		if err != nil {
			problems = append(problems, err)
			return
		}
		for _, path := range paths {
			f, err := read(fsys, path, name(path))
			if err == nil {
				err = r.add(f, name(path), origin)
			}
			if err != nil {
				problems = append(problems, err)
			}
		}
	}
	add(shipped, "formats/*.yaml", func(path string) string { return "shipped:" + path })
	if dir != "" {
		if _, err := os.ReadDir(dir); err != nil {
			return nil, fmt.Errorf("load formats: %w", err)
		}
		add(os.DirFS(dir), "*.yaml", func(path string) string { return filepath.Join(dir, path) })
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return r, nil
}

func read(fsys fs.FS, path, name string) (*Format, error) {
	file, err := fsys.Open(path)
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

func (r *Registry) add(f *Format, name string, origin map[*Format]string) error {
	for _, other := range r.versions[f.ID] {
		if other.Version == f.Version {
			return fmt.Errorf("%s: version %d of format %s is already in %s", name, f.Version, f.ID, origin[other])
		}
		if other.DocType != f.DocType {
			return fmt.Errorf("%s: format %s has another doc_type in %s", name, f.ID, origin[other])
		}
	}
	origin[f] = name
	r.versions[f.ID] = append(r.versions[f.ID], f)
	slices.SortFunc(r.versions[f.ID], func(a, b *Format) int { return cmp.Compare(a.Version, b.Version) })
	return nil
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
