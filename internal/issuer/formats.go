package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
)

// FormatPreview says which format to try on whom.
type FormatPreview struct {
	FormatID string // an installed format; or
	Source   string // the text of a format file that is not installed
	PersonID string // empty = a made-up person
}

// previewValidity is how long the previewed document is valid; it shows in computed dates only.
const previewValidity = 365 * 24 * time.Hour

// PreviewFormat shows every data element that a format would give a person, or why it would not, before any profile uses it (B11). A format file
// with mistakes is refused with every one of them, by line and column.
func (is *Issuer) PreviewFormat(ctx context.Context, caller domain.Caller, in FormatPreview) (format.Preview, error) {
	if err := caller.Need(domain.PermProfilesRead); err != nil {
		return format.Preview{}, err
	}
	if (in.FormatID == "") == (in.Source == "") {
		return format.Preview{}, invalid("format_id", "or source is needed, not both")
	}
	f, ok := is.Formats.Get(in.FormatID)
	if in.Source != "" {
		var err error
		if f, err = parseFormat(in.Source); err != nil {
			return format.Preview{}, err
		}
	} else if !ok {
		return format.Preview{}, domain.NotFound("document format")
	}
	input := format.SampleInput(is.Now())
	if in.PersonID != "" {
		if err := is.needFor(ctx, caller, domain.PermPeopleRead, "person", in.PersonID); err != nil {
			return format.Preview{}, err
		}
		person, err := is.Store.Person(ctx, in.PersonID)
		if err != nil {
			return format.Preview{}, found(err, "person")
		}
		images, err := is.Store.Images(ctx, in.PersonID)
		if err != nil {
			return format.Preview{}, fmt.Errorf("load images: %w", err)
		}
		now := is.Now().UTC().Truncate(time.Second)
		input = format.Input{Person: person, Images: images, Serial: format.SampleSerial, Signed: now, ValidFrom: now,
			ValidUntil: now.Add(previewValidity)}
	}
	out, err := f.Preview(input)
	if err != nil {
		return out, fmt.Errorf("preview format: %w", err)
	}
	return out, nil
}

// parseFormat reads a format file; its mistakes become field errors.
func parseFormat(source string) (*format.Format, error) {
	f, err := format.Parse("source", []byte(source))
	var broken *format.ParseError
	if !errors.As(err, &broken) {
		return f, err
	}
	var problems domain.Problems
	for _, p := range broken.Problems {
		problems.Add(fmt.Sprintf("source:%d:%d", p.Line, p.Column), "%s", p.Message)
	}
	if broken.More > 0 {
		problems.Add("source", "has %d further mistakes", broken.More)
	}
	return nil, problems.Err(domain.CodeInvalid, "the format file has mistakes")
}
