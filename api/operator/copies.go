package operator

import (
	"context"
	"net/http"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type documentCopy struct {
	KeyThumbprint string `json:"key_thumbprint" doc:"Of the wallet's key (RFC 7638, SHA-256)"`
	StatusListURI string `json:"status_list_uri"`
	StatusIndex   uint64 `json:"status_index"`
	Kept          bool   `json:"kept" doc:"The signed bytes are still kept for a wallet that lost the answer"`
}

func (o *operator) copies() {
	add(o, rest.Operation{ID: "list-document-copies", Method: http.MethodGet, Path: "/v1/documents/{id}/copies", Tag: tagDocuments,
		Needs:   []domain.Permission{domain.PermDocumentsRead},
		Summary: "Copies of a document", Description: "One for each key of the wallet, with its place in a status list. All are revoked together.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.listCopies)
}

func (o *operator) listCopies(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[rest.List[documentCopy]], error) {
	all, err := o.Issuer.DocumentCopies(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[documentCopy]{Items: rest.ListOf(all, func(c issuer.CopyView) documentCopy { return documentCopy(c) })}), nil
}
