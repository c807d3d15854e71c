package operator

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

const (
	mediaTypeEvents = "text/event-stream"

	// progressPause is how often a stream of progress looks, heartbeatPause how long it is silent at the most.
	progressPause  = time.Second
	heartbeatPause = 15 * time.Second
	// longestStream ends a stream whose batch goes on; browsers come back by themselves, and show their token again.
	longestStream = 15 * time.Minute
	// streamPatience is how long a stream waits for its caller to read on.
	streamPatience = time.Minute
	// csvRows is how many rows of a download are read at once.
	csvRows = 500
)

// DocumentSearch looks for documents that have every field as given.
type DocumentSearch struct {
	PersonID    string               `json:"person_id,omitempty" maxLength:"64"`
	ProfileID   string               `json:"profile_id,omitempty" maxLength:"64"`
	State       domain.DocumentState `json:"state,omitempty" enum:"active,disabled,canceled,expired,superseded"`
	Serial      string               `json:"serial,omitempty" maxLength:"64"`
	Group       string               `json:"group,omitempty" maxLength:"600" doc:"Path of the holder's group"`
	GroupsBelow bool                 `json:"groups_below,omitempty" doc:"And every group below it"`
}

type newBatch struct {
	Operation      domain.BatchOperation `json:"operation" enum:"request,update,disable,enable,cancel"`
	People         []string              `json:"people,omitempty" maxItems:"10000" doc:"Ids, for request"`
	PersonFilter   *PersonSearch         `json:"person_filter,omitempty" doc:"Instead of ids; an empty one finds everybody"`
	Documents      []string              `json:"documents,omitempty" maxItems:"10000" doc:"Ids, for all other operations"`
	DocumentFilter *DocumentSearch       `json:"document_filter,omitempty" doc:"Instead of ids; an empty one finds every document"`
	ProfileID      string                `json:"profile_id,omitempty" maxLength:"64" doc:"Of the documents to be requested, and needed then; of those to be updated, where all are to be of one"`
	ExpiryDate     domain.Date           `json:"expiry_date,omitempty" maxLength:"10" doc:"Last day of validity of the documents to be requested, as YYYY-MM-DD"`
	Reason         domain.CancelReason   `json:"reason,omitempty" enum:"lost,stolen,damaged,compromised,withdrawn,left,other,reprovision" doc:"Needed to disable, to cancel and, as reprovision, to update"`
	Notes          string                `json:"notes,omitempty" maxLength:"2000"`
}

func (b newBatch) wish() issuer.NewBatch {
	out := issuer.NewBatch{Operation: b.Operation, People: b.People, Documents: b.Documents, ProfileID: b.ProfileID, ExpiryDate: b.ExpiryDate,
		Reason: b.Reason, Notes: b.Notes}
	if f := b.PersonFilter; f != nil {
		want := f.filter()
		out.PersonFilter, out.Group = &want, f.Group
	}
	if f := b.DocumentFilter; f != nil {
		out.DocumentFilter, out.Group = &issuer.DocumentFilter{PersonID: f.PersonID, ProfileID: f.ProfileID, State: f.State, Serial: f.Serial,
			GroupsBelow: f.GroupsBelow}, f.Group
	}
	return out
}

type newBatchInput struct {
	rest.Idempotent
	Body newBatch
}

type previewBatchInput struct {
	Body newBatch
}

type refusedItems struct {
	Code  domain.Code `json:"code"`
	Count int         `json:"count"`
}

type batchPreview struct {
	Operation   domain.BatchOperation `json:"operation" enum:"request,update,disable,enable,cancel"`
	ProfileID   string                `json:"profile_id,omitempty"`
	ProfileName string                `json:"profile_name,omitempty"`
	Total       int                   `json:"total" doc:"Items that the batch would have"`
	Checked     int                   `json:"checked" doc:"So many of them, at most 1000, were held to the rules"`
	Refused     []refusedItems        `json:"refused" doc:"How many of the checked ones would be refused now, by cause"`
}

// BatchProgress is how far a batch is.
type BatchProgress struct {
	State      domain.BatchState `json:"state" enum:"received,running,completed" doc:"Completed: every item is completed or failed"`
	Total      int               `json:"total"`
	Pending    int               `json:"pending"`
	InProgress int               `json:"in_progress"`
	Completed  int               `json:"completed"`
	Failed     int               `json:"failed"`
	UpdatedAt  time.Time         `json:"updated_at"`
	EndedAt    *time.Time        `json:"ended_at,omitempty"`
}

func progressDTO(b domain.Batch) BatchProgress {
	return BatchProgress{State: b.State, Total: b.Total, Pending: b.Pending(), InProgress: b.InProgress(), Completed: b.Completed,
		Failed:    b.Failed,
		UpdatedAt: b.UpdatedAt.UTC(), EndedAt: rest.Optional(b.EndedAt)}
}

type batch struct {
	ID         string                `json:"id"`
	Operation  domain.BatchOperation `json:"operation" enum:"request,update,disable,enable,cancel"`
	ProfileID  string                `json:"profile_id,omitempty"`
	ExpiryDate domain.Date           `json:"expiry_date,omitempty"`
	Reason     domain.CancelReason   `json:"reason,omitempty" enum:"lost,stolen,damaged,compromised,withdrawn,left,other,reprovision"`
	Notes      string                `json:"notes,omitempty"`
	CreatedBy  string                `json:"created_by" doc:"Account, with whose rights of the moment each item is carried out"`
	CreatedAt  time.Time             `json:"created_at"`
	BatchProgress
	Item *batchItem `json:"item,omitempty" doc:"The only item of a batch of one"`
}

func batchDTO(b issuer.BatchView) batch {
	out := batch{ID: b.ID, Operation: b.Operation, ProfileID: b.ProfileID, ExpiryDate: b.ExpiryDate, Reason: b.Reason, Notes: b.Notes,
		CreatedBy: b.CreatedBy, CreatedAt: b.CreatedAt.UTC(), BatchProgress: progressDTO(b.Batch)}
	if b.Item != nil {
		item := batchItemDTO(*b.Item)
		out.Item = &item
	}
	return out
}

type batchItem struct {
	N          int                   `json:"n" doc:"Place in the batch, from 1"`
	SubjectID  string                `json:"subject_id" doc:"The person or document as selected"`
	PersonID   string                `json:"person_id,omitempty" doc:"The owner; absent when nothing of that id was found"`
	RequestID  string                `json:"request_id,omitempty" doc:"The request or update that was made; of all other operations, that of the document"`
	DocumentID string                `json:"document_id,omitempty" doc:"The document as selected; of a request, the one that was collected"`
	Serial     string                `json:"serial,omitempty"`
	Platform   domain.Platform       `json:"platform,omitempty" enum:"android,ios,other" doc:"Of the device"`
	State      domain.BatchItemState `json:"state" enum:"pending,in_progress,completed,failed"`
	Code       domain.Code           `json:"code,omitempty" doc:"Why it failed, see docs/errors.md"`
	Message    string                `json:"message,omitempty" doc:"The same in words"`
	UpdatedAt  time.Time             `json:"updated_at"`
}

func batchItemDTO(it domain.BatchItem) batchItem {
	return batchItem{N: it.N, SubjectID: it.SubjectID, PersonID: it.PersonID, RequestID: it.RequestID, DocumentID: it.DocumentID,
		Serial:   it.Serial,
		Platform: it.Platform, State: it.State, Code: it.Code, Message: it.Message, UpdatedAt: it.UpdatedAt.UTC()}
}

type listBatchesInput struct {
	rest.Paging
	Operation domain.BatchOperation `query:"operation" enum:"request,update,disable,enable,cancel"`
	State     domain.BatchState     `query:"state" enum:"received,running,completed"`
	CreatedBy string                `query:"created_by" maxLength:"64" doc:"Account"`
}

type listBatchItemsInput struct {
	rest.ByID
	After int                   `query:"after" minimum:"0" doc:"The next of the page before; 0 for the first page"`
	Limit int                   `query:"limit" minimum:"1" maximum:"500" default:"50"`
	State domain.BatchItemState `query:"state" enum:"pending,in_progress,completed,failed"`
}

type batchItemsCSVInput struct {
	rest.ByID
	State domain.BatchItemState `query:"state" enum:"pending,in_progress,completed,failed"`
}

type batchItemPage struct {
	Items []batchItem `json:"items"`
	Next  int         `json:"next,omitempty" doc:"Give it as after for the next page; absent on the last page"`
}

func (o *operator) batches() {
	makes := []domain.Permission{domain.PermRequest, domain.PermUpdate, domain.PermDisable, domain.PermCancel}
	reads := append([]domain.Permission{domain.PermReports}, makes...)
	add(o, rest.Operation{ID: "preview-batch", Method: http.MethodPost, Path: "/v1/batches/preview", Tag: tagBatches, Needs: makes,
		Summary: "Preview a batch",
		Description: "Tells how many items a batch would have and, of the first 1000, how many would be refused now. Nothing is created. The " +
			"permission is that of the operation; a filter of people needs `people_read` as well, one of documents `documents_read`, and finds what " +
			"both permissions reach.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.previewBatch)
	add(o, rest.Operation{ID: "create-batch", Method: http.MethodPost, Path: "/v1/batches", Tag: tagBatches, Needs: makes,
		Status:  http.StatusCreated,
		Summary: "Create and start a batch",
		Description: "Carries one operation out on many people or documents: up to 10,000 that are named, or up to 1,000,000 that a filter finds at " +
			"this moment. Each item is held to the rules of the single operation, with the rights that the caller has when its turn comes, and fails " +
			"by itself. Once created a batch runs to its end and cannot be canceled. Requests and updates take their course when all items are done. A batch of one item is the single operation: it is completed " +
			"when the answer comes, and the answer has the item. Where nothing of what is selected exists within the caller's scope, the answer is 404.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused}}, o.createBatch)
	add(o, rest.Operation{ID: "list-batches", Method: http.MethodGet, Path: "/v1/batches", Tag: tagBatches, Needs: reads,
		Summary:     "List batches",
		Description: "The caller's own batches and, with the permission `reports`, those with an item that it reaches, newest first.",
		Problems:    []domain.Code{domain.CodeInvalid}}, o.listBatches)
	add(o, rest.Operation{ID: "get-batch", Method: http.MethodGet, Path: "/v1/batches/{id}", Tag: tagBatches, Needs: reads,
		Summary: "Read a batch", Description: "Gives one batch with its progress.", Problems: []domain.Code{domain.CodeNotFound}}, o.getBatch)
	add(o, rest.Operation{ID: "list-batch-items", Method: http.MethodGet, Path: "/v1/batches/{id}/items", Tag: tagBatches, Needs: reads,
		Summary: "List the items of a batch",
		Description: "In the order of the batch. Items about people who are out of the caller's reach now are left out, so there may be fewer of " +
			"them than the batch counts.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeInvalid}}, o.listBatchItems)
	add(o, rest.Operation{ID: "download-batch-items", Method: http.MethodGet, Path: "/v1/batches/{id}/items.csv", Tag: tagBatches, Needs: reads,
		Responses: map[string]*huma.Response{"200": {Description: "CSV (RFC 4180) in UTF-8; the first line names the columns, which are the " +
			"members of an item", Content: map[string]*huma.MediaType{mediaTypeCSV: {Schema: &huma.Schema{Type: huma.TypeString}}}}},
		Summary:     "Download the items of a batch",
		Description: "What list-batch-items gives, all of it, as CSV. A download that breaks off was cut by an error.",
		Problems:    []domain.Code{domain.CodeNotFound}}, o.batchItemsCSV)
	progress := o.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[BatchProgress](), true, "BatchProgress")
	add(o, rest.Operation{ID: "watch-batch", Method: http.MethodGet, Path: "/v1/batches/{id}/events", Tag: tagBatches, Needs: reads,
		Responses: map[string]*huma.Response{"200": {Description: "Server-sent events, each named progress, with this value as its data",
			Content: map[string]*huma.MediaType{mediaTypeEvents: {Schema: progress}}}},
		Summary: "Watch the progress of a batch",
		Description: "Gives the progress at once and whenever it has changed, at most once a second, until the batch is completed. A stream ends " +
			"after 15 minutes at the latest; call again.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.watchBatch)
}

func (o *operator) previewBatch(ctx context.Context, caller domain.Caller, in *previewBatchInput) (*rest.Reply[batchPreview], error) {
	p, err := o.Issuer.PreviewBatch(ctx, caller, in.Body.wish())
	if err != nil {
		return nil, err
	}
	out := batchPreview{Operation: p.Operation, Total: p.Total, Checked: p.Checked,
		Refused: rest.ListOf(p.Refused, func(r issuer.RefusedItems) refusedItems { return refusedItems(r) })}
	if p.Profile != nil {
		out.ProfileID, out.ProfileName = p.Profile.ID, p.Profile.Name
	}
	return rest.ReplyWith(out), nil
}

func (o *operator) createBatch(ctx context.Context, caller domain.Caller, in *newBatchInput) (*rest.Created[batch], error) {
	b, err := o.Issuer.CreateBatch(ctx, caller, in.Key, in.Body.wish())
	if err != nil {
		return nil, err
	}
	return &rest.Created[batch]{Location: "/v1/batches/" + b.ID, Body: batchDTO(b)}, nil
}

func (o *operator) listBatches(ctx context.Context, caller domain.Caller, in *listBatchesInput) (*rest.Reply[rest.Page[batch]], error) {
	all, err := o.Issuer.Batches(ctx, caller, issuer.BatchFilter{Operation: in.Operation, State: in.State, CreatedBy: in.CreatedBy}, in.After,
		in.Limit)
	if err != nil {
		return nil, err
	}
	dto := func(b domain.Batch) batch { return batchDTO(issuer.BatchView{Batch: b}) }
	return rest.ReplyWith(rest.PageOf(all, in.Limit, dto, func(b domain.Batch) string { return b.ID })), nil
}

func (o *operator) getBatch(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[batch], error) {
	b, err := o.Issuer.Batch(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(batchDTO(b)), nil
}

func (o *operator) listBatchItems(ctx context.Context, caller domain.Caller, in *listBatchItemsInput) (*rest.Reply[batchItemPage], error) {
	all, err := o.Issuer.BatchItems(ctx, caller, in.ID, in.State, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := batchItemPage{Items: rest.ListOf(all, batchItemDTO)}
	if len(all) == in.Limit {
		out.Next = all[len(all)-1].N
	}
	return rest.ReplyWith(out), nil
}

// batchItemsCSV reads the first rows before it answers, so that a refusal still is a problem document.
func (o *operator) batchItemsCSV(ctx context.Context, caller domain.Caller, in *batchItemsCSVInput) (*huma.StreamResponse, error) {
	rows, err := o.Issuer.BatchItems(ctx, caller, in.ID, in.State, 0, csvRows)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		s := newStream(hctx, mediaTypeCSV+"; charset=utf-8")
		s.w.Header().Set("Content-Disposition", `attachment; filename="batch-items.csv"`)
		out := csv.NewWriter(s.w)
		err := out.Write([]string{"n", "subject_id", "person_id", "request_id", "document_id", "serial", "platform", "state", "code", "message",
			"updated_at"})
		for err == nil && len(rows) > 0 {
			for _, it := range rows {
				err = errors.Join(err, out.Write([]string{strconv.Itoa(it.N), it.SubjectID, it.PersonID, it.RequestID, it.DocumentID, it.Serial,
					string(it.Platform), string(it.State), string(it.Code), it.Message, it.UpdatedAt.UTC().Format(time.RFC3339)}))
			}
			out.Flush()
			if err = errors.Join(err, out.Error(), s.flush()); err != nil || len(rows) < csvRows {
				break
			}
			rows, err = o.Issuer.BatchItems(ctx, caller, in.ID, in.State, rows[len(rows)-1].N, csvRows)
		}
		out.Flush()
		if err = errors.Join(err, out.Error()); err != nil {
			s.cut(ctx, o, err)
		}
	}}, nil
}

// watchBatch looks at SQL, so it does not matter which process carries the batch out, or which one answers.
func (o *operator) watchBatch(ctx context.Context, caller domain.Caller, in *rest.ByID) (*huma.StreamResponse, error) {
	b, err := o.Issuer.Batch(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		s := newStream(hctx, mediaTypeEvents)
		s.w.Header().Set("X-Accel-Buffering", "no") // a proxy must pass each event on at once
		tick, end := time.NewTicker(progressPause), time.NewTimer(longestStream)
		defer tick.Stop()
		defer end.Stop()
		stopping := o.stopping.of(ctx)
		told, beat := BatchProgress{}, time.Now()
		for {
			switch now := progressDTO(b.Batch); {
			case now.State != told.State || now.Completed != told.Completed || now.Failed != told.Failed || now.Pending != told.Pending:
				told, beat = now, time.Now()
				err = s.event("progress", now)
			case time.Since(beat) >= heartbeatPause:
				beat = time.Now()
				err = s.comment()
			}
			if err != nil || b.State == domain.BatchCompleted {
				return // whoever went away misses nothing
			}
			select {
			case <-ctx.Done():
				return
			case <-stopping:
				return
			case <-end.C:
				return
			case <-tick.C:
			}
			if b, err = o.Issuer.Batch(ctx, caller, in.ID); err != nil {
				if ctx.Err() == nil {
					s.cut(ctx, o, err)
				}
				return
			}
		}
	}}, nil
}

// stream is an answer that is written bit by bit.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newStream(hctx huma.Context, mediaType string) *stream {
	w := humagin.Unwrap(hctx).Writer
	w.Header().Set("Content-Type", mediaType)
	return &stream{w: w, control: http.NewResponseController(w)}
}

// flush sends what was written and gives the caller another while to read on.
func (s *stream) flush() error {
	for _, do := range []func() error{s.control.Flush, func() error { return s.control.SetWriteDeadline(time.Now().Add(streamPatience)) }} {
		if err := do(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}

// event writes a server-sent event whose data is a JSON value.
func (s *stream) event(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(s.w, "event: "+name+"\ndata: "+string(data)+"\n\n"); err != nil {
		return err
	}
	return s.flush()
}

// comment writes what readers of events ignore, so that nobody between takes the connection for dead.
func (s *stream) comment() error {
	if _, err := io.WriteString(s.w, ":\n\n"); err != nil {
		return err
	}
	return s.flush()
}

// cut logs the error and breaks the connection off: what was written must not be taken for whole.
func (s *stream) cut(ctx context.Context, o *operator, err error) {
	_ = problem.From(ctx, o.Log, err)
	panic(http.ErrAbortHandler) // the way of net/http to do so
}

// stopSignals tells streams that the server which serves them begins to stop: it would wait for them.
type stopSignals struct {
	mu       sync.Mutex
	byServer map[*http.Server]chan struct{}
}

// of gives a channel that is closed when the server of the call begins to stop; without a server it never is.
func (s *stopSignals) of(ctx context.Context) <-chan struct{} {
	server, ok := ctx.Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stopping, ok := s.byServer[server]
	if !ok {
		stopping = make(chan struct{})
		if s.byServer == nil {
			s.byServer = map[*http.Server]chan struct{}{}
		}
		s.byServer[server] = stopping
		server.RegisterOnShutdown(func() { close(stopping) })
	}
	return stopping
}
