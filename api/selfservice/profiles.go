package selfservice

import (
	"context"
	"net/http"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// display is what is shown beside a QR code (B14).
type display struct {
	UserID      string `json:"user_id,omitempty"`
	ServerName  string `json:"server_name,omitempty"`
	ProfileName string `json:"profile_name,omitempty"`
}

// refusal is one reason why something cannot be asked for now.
type refusal struct {
	Code    domain.Code       `json:"code" doc:"Stable name of the reason, see docs/errors.md" example:"missing_data"`
	Message string            `json:"message"`
	Errors  []problem.Field   `json:"errors,omitempty" doc:"Every value that is in the way"`
	Details map[string]string `json:"details,omitempty" doc:"Further facts: ids, states, times"`
}

type ownProfile struct {
	ID            string      `json:"id"`
	DisplayName   string      `json:"display_name" doc:"The document as people call it"`
	Allowed       bool        `json:"allowed" doc:"It can be asked for now"`
	Refusals      []refusal   `json:"refusals" doc:"Why not; empty: it can be asked for"`
	NeedsApproval bool        `json:"needs_approval" doc:"Somebody at the issuer decides before it can be collected"`
	ShowQR        bool        `json:"show_qr" doc:"It can be collected by a QR code on screen, not by e-mail only"`
	ValidUntil    domain.Date `json:"valid_until,omitempty" doc:"Last day of validity if it were collected now"`
	Display       display     `json:"display"`
}

func ownProfileForm(p issuer.OwnProfile) ownProfile {
	return ownProfile{ID: p.ID, DisplayName: p.DisplayName, Allowed: len(p.Refusals) == 0, Refusals: rest.ListOf(p.Refusals, refusalForm),
		NeedsApproval: p.NeedsApproval, ShowQR: p.ShowQR, ValidUntil: p.ValidUntil, Display: display(p.Display)}
}

func refusalForm(e *domain.Error) refusal {
	out := refusal{Code: e.Code, Message: e.Message, Details: e.Details}
	for _, f := range e.Fields {
		out.Errors = append(out.Errors, problem.Field(f))
	}
	return out
}

func (s *server) profiles() {
	rest.Add(s.rest, rest.Operation{ID: "list-my-profiles", Method: http.MethodGet, Path: "/v1/me/profiles", Tag: tag, Needs: needs,
		Summary: "What can I get",
		Description: "Lists the profiles that the caller's own person can get, each with everything that is in the way now. Profiles that " +
			"are for other roles are left out.",
		Problems: []domain.Code{domain.CodePersonInactive}}, s.listProfiles)
}

func (s *server) listProfiles(ctx context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[rest.List[ownProfile]], error) {
	all, err := s.Issuer.OwnProfiles(ctx, caller)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[ownProfile]{Items: rest.ListOf(all, ownProfileForm)}), nil
}
