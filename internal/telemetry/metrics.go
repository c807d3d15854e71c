package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the figures of one process, in a registry of their own. Labels come from small closed sets, never from what a caller sent.
type Metrics struct {
	registry        *prometheus.Registry
	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	transitions     *prometheus.CounterVec
	issued          *prometheus.CounterVec
	notifications   *prometheus.CounterVec
	signing         prometheus.Histogram
}

// NewMetrics returns metrics at zero, together with those of the Go runtime and the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "HTTP requests answered.",
		}, []string{"route", "method", "status"}),
		requestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time to answer an HTTP request.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route", "method"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mdocket_request_transitions_total", Help: "Requests for documents that entered a state.",
		}, []string{"state"}),
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mdocket_documents_issued_total", Help: "Documents issued.",
		}, []string{"doctype"}),
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mdocket_notifications_total", Help: "Attempts to send a notification.",
		}, []string{"channel", "outcome"}),
		signing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mdocket_sign_seconds", Help: "Time of one signature by a document signer's key.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1},
		}),
	}
	m.registry.MustRegister(m.requests, m.requestDuration, m.transitions, m.issued, m.notifications, m.signing,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics in Prometheus' text formats.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Registerer takes further collectors, for example of a connection pool.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// RequestAnswered counts an HTTP request. The route is the router's pattern, never the path; "" stands for a path without a route.
func (m *Metrics) RequestAnswered(route, method string, status int, duration time.Duration) {
	if route == "" {
		route = "none"
	}
	method = knownMethod(method)
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.requestDuration.WithLabelValues(route, method).Observe(duration.Seconds())
}

// RequestEntered counts a request for a document that entered a state.
func (m *Metrics) RequestEntered(state string) { m.transitions.WithLabelValues(state).Inc() }

// DocumentIssued counts a document by its docType.
func (m *Metrics) DocumentIssued(docType string) { m.issued.WithLabelValues(docType).Inc() }

// NotificationTried counts an attempt to send by a channel ("email", "sms") and its outcome ("sent", "failed").
func (m *Metrics) NotificationTried(channel, outcome string) {
	m.notifications.WithLabelValues(channel, outcome).Inc()
}

// Signed records how long one signature took.
func (m *Metrics) Signed(duration time.Duration) { m.signing.Observe(duration.Seconds()) }

// knownMethod keeps methods that a client made up from becoming labels.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
