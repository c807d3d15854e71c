package operator

import (
	"context"
	"net/http"

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
	add(o, operation{id: "list-formats", method: http.MethodGet, path: "/v1/formats", tag: tagProfiles, needs: reads,
		summary: "List document formats", description: "Gives the latest version of every installed document format."}, o.listFormats)
	add(o, operation{id: "get-format", method: http.MethodGet, path: "/v1/formats/{id}", tag: tagProfiles, needs: reads,
		summary: "Read a document format", description: "Gives the latest version with its data elements.",
		problems: []domain.Code{domain.CodeNotFound}}, o.getFormat)
}

func (o *operator) listFormats(_ context.Context, caller domain.Caller, _ *nothing) (*reply[list[DocumentFormat]], error) {
	all, err := o.Issuer.DocumentFormats(caller)
	if err != nil {
		return nil, err
	}
	return replyWith(list[DocumentFormat]{Items: listOf(all, formatDTO)}), nil
}

func (o *operator) getFormat(_ context.Context, caller domain.Caller, in *ByID) (*reply[documentFormatWithElements], error) {
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
		return replyWith(out), nil
	}
	return nil, domain.Errorf(domain.CodeNotFound, "document format not found")
}
