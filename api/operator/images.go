package operator

import (
	"context"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
)

// maxImage is one byte more than the largest image: huma refuses a body of exactly its limit.
const maxImage = 1<<20 + 1

var imageTypes = []string{"image/jpeg", "image/jp2"}

// ImageOf names an image of a person.
type ImageOf struct {
	rest.ByID
	Kind domain.ImageKind `path:"kind" enum:"portrait,signature" doc:"What the image shows"`
}

type putImageInput struct {
	ImageOf
	CapturedAt  time.Time `query:"captured_at" doc:"When the picture was taken"`
	ContentType string    `header:"Content-Type" hidden:"true"`
	RawBody     []byte    `contentType:"image/jpeg"`
}

type imageOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (o *operator) images() {
	binary := func() map[string]*huma.MediaType {
		content := map[string]*huma.MediaType{}
		for _, t := range imageTypes {
			content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		}
		return content
	}
	add(o, rest.Operation{ID: "put-image", Method: http.MethodPut, Path: "/v1/people/{id}/images/{kind}", Tag: tagPeople,
		Needs: []domain.Permission{domain.PermPeopleWrite}, MaxBody: maxImage, Status: http.StatusNoContent,
		RequestBody: &huma.RequestBody{Required: true, Description: "The picture, at most 1 MiB", Content: binary()},
		Summary:     "Store an image",
		Description: "Stores or replaces the portrait or the signature image. The body must be a JPEG or JPEG 2000 picture of 8 to 2048 pixels a side.",
		Problems:    []domain.Code{domain.CodeNotFound, domain.CodeImageInvalid}}, o.putImage)
	add(o, rest.Operation{ID: "get-image", Method: http.MethodGet, Path: "/v1/people/{id}/images/{kind}", Tag: tagPeople,
		Needs:     []domain.Permission{domain.PermPeopleRead},
		Responses: map[string]*huma.Response{"200": {Description: "The picture as it came", Content: binary()}},
		Summary:   "Read an image", Description: "Gives the picture as it came.",
		Problems: []domain.Code{domain.CodeInvalid, domain.CodeNotFound}}, o.getImage)
}

func (o *operator) putImage(ctx context.Context, caller domain.Caller, in *putImageInput) (*rest.Nothing, error) {
	if t, _, err := mime.ParseMediaType(in.ContentType); err != nil || (t != imageTypes[0] && t != imageTypes[1]) {
		return nil, problem.New(ctx, problem.CodeUnsupportedMediaType, "the body must be image/jpeg or image/jp2")
	}
	// The bytes are huma's, and good only until this call returns; the act keeps a copy in the database.
	return nil, o.Issuer.PutImage(ctx, caller, domain.Image{PersonID: in.ID, Kind: in.Kind, Bytes: in.RawBody, CapturedAt: in.CapturedAt})
}

func (o *operator) getImage(ctx context.Context, caller domain.Caller, in *ImageOf) (*imageOutput, error) {
	im, err := o.Issuer.Image(ctx, caller, in.ID, in.Kind)
	if err != nil {
		return nil, err
	}
	return &imageOutput{ContentType: im.MediaType, Body: im.Bytes}, nil
}
