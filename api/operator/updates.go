package operator

import (
	"context"
	"net/http"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type updateInput struct {
	rest.ByID
	rest.Idempotent
	Body struct {
		Reason    string `json:"reason" enum:"reprovision"`
		Notes     string `json:"notes,omitempty" maxLength:"2000"`
		ProfileID string `json:"profile_id,omitempty" maxLength:"64" doc:"That of the document: an update does not change it"`
	}
}

func (o *operator) updates() {
	add(o, rest.Operation{ID: "update-document", Method: http.MethodPost, Path: "/v1/documents/{id}/update", Tag: tagDocuments,
		Status: http.StatusCreated, Needs: []domain.Permission{domain.PermUpdate},
		Summary: "Update a document",
		Description: "Asks for a newer version of an active document: with the latest version of its profile and format and the latest data of its " +
			"holder. The answer is a request of the kind update. It needs approval where requests of the profile do; then the holder is told by e-mail, " +
			"and the wallet that has the document collects the new version with its refresh token, without a code. The old version is superseded when the " +
			"new one is collected, and stays as it is until then. A document has at most one open update, and none while its cancellation is asked for.",
		Problems: append([]domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused, domain.CodeWrongState, domain.CodeConflict},
			ruleCodes()...)}, o.updateDocument)
}

func (o *operator) updateDocument(ctx context.Context, caller domain.Caller, in *updateInput) (*rest.Created[request], error) {
	r, err := o.Issuer.UpdateDocument(ctx, caller, in.Key, issuer.NewUpdate{DocumentID: in.ID, ProfileID: in.Body.ProfileID, Reason: in.Body.Reason,
		Notes: in.Body.Notes})
	if err != nil {
		return nil, err
	}
	return &rest.Created[request]{Location: "/v1/requests/" + r.ID, Body: requestDTO(r)}, nil
}
