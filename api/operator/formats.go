package operator

import (
	"context"
	"net/http"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type formatDisplay struct {
	Locale          string `json:"locale" doc:"Language tag"`
	Name            string `json:"name"`
	Description     string `json:"description,omitempty"`
	BackgroundColor string `json:"background_color,omitempty"`
	TextColor       string `json:"text_color,omitempty"`
}

// DocumentFormat is the latest version of a document format.
type DocumentFormat struct {
	ID              string          `json:"id"`
	Version         int             `json:"version"`
	DocType         string          `json:"doc_type"`
	DigestAlgorithm string          `json:"digest_algorithm"`
	StatusBits      int             `json:"status_bits" doc:"1: valid, or invalid for good; 2: may also be suspended"`
	Display         []formatDisplay `json:"display"`
}

func formatDTO(f *issuer.DocumentFormat) DocumentFormat {
	out := DocumentFormat{ID: f.ID, Version: f.Version, DocType: f.DocType, DigestAlgorithm: string(f.DigestAlgorithm),
		StatusBits: f.StatusBits,
		Display:    []formatDisplay{}}
	for _, d := range f.Display {
		out.Display = append(out.Display, formatDisplay(d))
	}
	return out
}

type formatElement struct {
	NameSpace string            `json:"name_space"`
	Element   string            `json:"element"`
	Mandatory bool              `json:"mandatory"`
	Display   map[string]string `json:"display,omitempty" doc:"Name by language"`
}

type documentFormatWithElements struct {
	DocumentFormat
	Elements []formatElement `json:"elements"`
}

func (o *operator) formats() {
	reads := []domain.Permission{domain.PermProfilesRead}
	add(o, rest.Operation{ID: "list-formats", Method: http.MethodGet, Path: "/v1/formats", Tag: tagProfiles, Needs: reads,
		Summary: "List document formats", Description: "Gives the latest version of every installed document format."}, o.listFormats)
	add(o, rest.Operation{ID: "get-format", Method: http.MethodGet, Path: "/v1/formats/{id}", Tag: tagProfiles, Needs: reads,
		Summary: "Read a document format", Description: "Gives the latest version with its data elements.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.getFormat)
	add(o, rest.Operation{ID: "preview-format", Method: http.MethodPost, Path: "/v1/formats/preview", Tag: tagProfiles, Needs: reads,
		Summary: "Try a document format on a person",
		Description: "Shows every data element that an installed format, or a format file in the body, would give a person, or why it would not. A file " +
			"with mistakes is refused with every mistake by line and column.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.previewFormat)
}

type previewFormatInput struct {
	Body struct {
		FormatID string `json:"format_id,omitempty" maxLength:"64" doc:"An installed format; or give source"`
		Source   string `json:"source,omitempty" maxLength:"262144" doc:"Text of a format file (YAML) that need not be installed"`
		PersonID string `json:"person_id,omitempty" maxLength:"64" doc:"Whose data to use; a made-up person's when left out. Needs people_read too"`
	}
}

type previewedElement struct {
	NameSpace  string            `json:"name_space"`
	Identifier string            `json:"identifier"`
	Display    map[string]string `json:"display" doc:"Name by language"`
	Type       string            `json:"type" doc:"CBOR type"`
	Mandatory  bool              `json:"mandatory"`
	Source     string            `json:"source" doc:"Where the value comes from"`
	Value      string            `json:"value,omitempty" doc:"In CBOR diagnostic notation; absent: the document would be without it"`
	Problems   []string          `json:"problems,omitempty" doc:"Why the document could not be made"`
}

type formatPreview struct {
	Format   string             `json:"format"`
	Version  int                `json:"version"`
	DocType  string             `json:"doc_type"`
	OK       bool               `json:"ok" doc:"The document could be made"`
	Elements []previewedElement `json:"elements"`
}

func (o *operator) previewFormat(ctx context.Context, caller domain.Caller, in *previewFormatInput) (*rest.Reply[formatPreview], error) {
	p, err := o.Issuer.PreviewFormat(ctx, caller, issuer.FormatPreview{FormatID: in.Body.FormatID, Source: in.Body.Source,
		PersonID: in.Body.PersonID})
	if err != nil {
		return nil, err
	}
	out := formatPreview{Format: p.Format, Version: p.Version, DocType: p.DocType, OK: p.OK(), Elements: []previewedElement{}}
	for _, e := range p.Elements {
		out.Elements = append(out.Elements, previewedElement(e))
	}
	return rest.ReplyWith(out), nil
}

func (o *operator) listFormats(_ context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[rest.List[DocumentFormat]], error) {
	all, err := o.Issuer.DocumentFormats(caller)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[DocumentFormat]{Items: rest.ListOf(all, formatDTO)}), nil
}

func (o *operator) getFormat(_ context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[documentFormatWithElements], error) {
	all, err := o.Issuer.DocumentFormats(caller)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if f.ID != in.ID {
			continue
		}
		out := documentFormatWithElements{DocumentFormat: formatDTO(f), Elements: []formatElement{}}
		for _, c := range f.Claims() {
			e := formatElement{NameSpace: c.NameSpace, Element: c.Element, Mandatory: c.Mandatory, Display: map[string]string{}}
			for _, l := range c.Display {
				e.Display[l.Locale] = l.Name
			}
			out.Elements = append(out.Elements, e)
		}
		return rest.ReplyWith(out), nil
	}
	return nil, domain.Errorf(domain.CodeNotFound, "document format not found")
}
