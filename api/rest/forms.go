package rest

import (
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mdocket/mdocket/internal/domain"
)

// Permission is a domain.Permission that lists its values in the OpenAPI document.
type Permission domain.Permission

// Schema implements huma.SchemaProvider.
func (Permission) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, p := range domain.Permissions() {
		s.Enum = append(s.Enum, string(p))
	}
	s.PrecomputeMessages()
	return s
}

// ByID is the id in a path.
type ByID struct {
	ID string `path:"id" maxLength:"64" doc:"Id of the thing"`
}

// Idempotent is the header field of creating calls (C2).
type Idempotent struct {
	Key string `header:"Idempotency-Key" maxLength:"255" pattern:"^[!-~]+$" doc:"Chosen by the client, new for each new thing. A call that is repeated with the same key and content gives the thing the first one made."`
}

// Paging asks for one keyset page, newest first.
type Paging struct {
	After string `query:"after" maxLength:"64" doc:"The next of the page before; empty for the first page"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items on the page"`
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Give it as after for the next page; absent on the last page"`
}

// PageOf makes a page of what a list gave; a full page may have a next one.
func PageOf[D, T any](all []D, limit int, form func(D) T, id func(D) string) Page[T] {
	p := Page[T]{Items: ListOf(all, form)}
	if len(all) == limit && limit > 0 {
		p.Next = id(all[len(all)-1])
	}
	return p
}

// List is a list that comes whole.
type List[T any] struct {
	Items []T `json:"items"`
}

// ListOf translates a list; it is never null.
func ListOf[D, T any](all []D, form func(D) T) []T {
	out := make([]T, len(all))
	for i, d := range all {
		out[i] = form(d)
	}
	return out
}

// Reply is a response with a body and nothing else.
type Reply[T any] struct {
	Body T
}

// ReplyWith makes a Reply.
func ReplyWith[T any](body T) *Reply[T] { return &Reply[T]{Body: body} }

// Created is the response of a creating call.
type Created[T any] struct {
	Location string `header:"Location" doc:"Path of the new thing"`
	Body     T
}

// Nothing is the input or output of an operation that has none.
type Nothing struct{}

// Optional gives nil for no time.
func Optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
