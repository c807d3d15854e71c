package operator

import (
	"context"
	"net/http"

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
	add(o, operation{id: "list-document-copies", method: http.MethodGet, path: "/v1/documents/{id}/copies", tag: tagDocuments,
		needs:   []domain.Permission{domain.PermDocumentsRead},
		summary: "Copies of a document", description: "One for each key of the wallet, with its place in a status list. All are revoked together.",
		problems: []domain.Code{domain.CodeNotFound}}, o.listCopies)
}

func (o *operator) listCopies(ctx context.Context, caller domain.Caller, in *ByID) (*reply[list[documentCopy]], error) {
	all, err := o.Issuer.DocumentCopies(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return replyWith(list[documentCopy]{Items: listOf(all, func(c issuer.CopyView) documentCopy { return documentCopy(c) })}), nil
}
