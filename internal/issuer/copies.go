package issuer

import (
	"context"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
)

// CopyView is one mdoc of a document: which wallet key it is bound to, and where verifiers find its status (F1).
type CopyView struct {
	KeyThumbprint string // RFC 7638, SHA-256, base64url
	StatusListURI string
	StatusIndex   uint64
	Kept          bool // the signed bytes are still kept for a wallet that lost the answer
}

// DocumentCopies lists the copies of a document in the order of the wallet's keys.
func (is *Issuer) DocumentCopies(ctx context.Context, caller domain.Caller, id string) ([]CopyView, error) {
	if _, err := is.visibleDocument(ctx, caller, id); err != nil {
		return nil, err
	}
	copies, err := is.Store.Copies(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("load copies: %w", err)
	}
	out := make([]CopyView, len(copies))
	for i, c := range copies {
		out[i] = CopyView{KeyThumbprint: c.KeyThumbprint, StatusListURI: is.StatusListURI(c.ListID), StatusIndex: c.StatusIndex,
			Kept: c.IssuerSigned != nil}
	}
	return out, nil
}
