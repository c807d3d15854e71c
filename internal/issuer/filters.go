package issuer

import (
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
)

// Types of other packages that the acts take and give, under names of this package: callers need no other.
type (
	// PersonFilter narrows a list of people; empty fields do not.
	PersonFilter = store.PersonFilter
	// RequestFilter narrows a list of requests; empty fields do not.
	RequestFilter = store.RequestFilter
	// DocumentFilter narrows a list of documents; empty fields do not.
	DocumentFilter = store.DocumentFilter
	// CancellationFilter narrows a list of cancellations; empty fields do not.
	CancellationFilter = store.CancellationFilter
	// BatchFilter narrows a list of batches; empty fields do not.
	BatchFilter = store.BatchFilter
	// AuditFilter narrows the audit; empty fields do not.
	AuditFilter = store.AuditFilter
	// Report is a table that people read and download.
	Report = store.Report
	// ReportColumn is one column of a report.
	ReportColumn = store.ReportColumn
	// ReportFilter is one way to narrow a report.
	ReportFilter = store.ReportFilter
	// APIKey is one secret of an account, without the secret.
	APIKey = store.APIKey
	// Message is the intent to tell somebody something, without content.
	Message = store.Message
	// MessageAttempt is one try to send a message.
	MessageAttempt = store.MessageAttempt
	// MessageFilter narrows a list of messages; empty fields do not.
	MessageFilter = store.MessageFilter
	// MessageState says whether a message went out.
	MessageState = store.MessageState
	// MessageTemplate is a template file in use.
	MessageTemplate = notify.TemplateFile
	// MessageText is a message as it would be sent.
	MessageText = notify.Rendered
	// DocumentFormat is one version of a document format.
	DocumentFormat = format.Format
	// PreviewedFormat is what a format gives a person.
	PreviewedFormat = format.Preview
)
