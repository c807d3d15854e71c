package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/telemetry"
)

func TestLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1, "INFO": 3} {
		t.Run(level, func(t *testing.T) {
			var out bytes.Buffer
			logger, err := telemetry.NewLogger(&out, "json", level)
			require.NoError(t, err)
			logger.Debug("a")
			logger.Info("b")
			logger.Warn("c")
			logger.Error("d")
			require.Equal(t, want, strings.Count(out.String(), "\n"))
		})
	}
}

func TestUnknownFormatOrLevelIsRefused(t *testing.T) {
	_, err := telemetry.NewLogger(&bytes.Buffer{}, "xml", "info")
	require.ErrorContains(t, err, `"xml"`)
	_, err = telemetry.NewLogger(&bytes.Buffer{}, "json", "loud")
	require.ErrorContains(t, err, `"loud"`)
}

func TestRecordsCarryTheCorrelationID(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			logger, err := telemetry.NewLogger(&out, format, "info")
			require.NoError(t, err)
			id := telemetry.NewCorrelationID()
			ctx := telemetry.WithCorrelationID(t.Context(), id)

			logger.With("component", "api").InfoContext(ctx, "with")
			logger.InfoContext(t.Context(), "without")

			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			require.Len(t, lines, 2)
			require.Contains(t, lines[0], id)
			require.Contains(t, lines[0], "component")
			require.NotContains(t, lines[1], "correlation_id")
		})
	}
}

func TestCorrelationIDOfAContext(t *testing.T) {
	require.Empty(t, telemetry.CorrelationID(t.Context()))
	ctx := telemetry.WithCorrelationID(t.Context(), "id")
	require.Equal(t, "id", telemetry.CorrelationID(ctx))
	require.NotEqual(t, telemetry.NewCorrelationID(), telemetry.NewCorrelationID())
}

func TestGroupsKeepTheirNames(t *testing.T) {
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, "json", "info")
	require.NoError(t, err)
	logger.WithGroup("http").Info("message", "status", 200)

	var record struct {
		HTTP struct {
			Status int `json:"status"`
		} `json:"http"`
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &record))
	require.Equal(t, 200, record.HTTP.Status)
}

func TestTemporalLogsGoToTheLogger(t *testing.T) {
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, "json", "info")
	require.NoError(t, err)
	telemetry.TemporalLogger(logger.With("component", "temporal")).Warn("task failed", "Attempt", 2)

	var record map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &record))
	require.Equal(t, "task failed", record[slog.MessageKey])
	require.Equal(t, "WARN", record[slog.LevelKey])
	require.Equal(t, "temporal", record["component"])
	require.EqualValues(t, 2, record["Attempt"])
}

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, answer.Code)
	return answer.Body.String()
}

func TestMetrics(t *testing.T) {
	m := telemetry.NewMetrics()
	m.RequestAnswered("/v1/people/{id}", "GET", 200, 3*time.Millisecond)
	m.RequestAnswered("/v1/people/{id}", "GET", 200, 3*time.Second)
	m.RequestAnswered("", "SPOON", 404, time.Millisecond)
	m.RequestEntered("issued")
	m.DocumentIssued("org.iso.18013.5.1.mDL")
	m.NotificationTried("sms", "failed")
	m.Signed(60 * time.Microsecond)

	text := scrape(t, m)

	for _, want := range []string{
		`http_requests_total{method="GET",route="/v1/people/{id}",status="200"} 2`,
		`http_requests_total{method="other",route="none",status="404"} 1`,
		`http_request_duration_seconds_bucket{method="GET",route="/v1/people/{id}",le="0.005"} 1`,
		`http_request_duration_seconds_count{method="GET",route="/v1/people/{id}"} 2`,
		`mdocket_request_transitions_total{state="issued"} 1`,
		`mdocket_documents_issued_total{doctype="org.iso.18013.5.1.mDL"} 1`,
		`mdocket_notifications_total{channel="sms",outcome="failed"} 1`,
		`mdocket_sign_seconds_bucket{le="5e-05"} 0`,
		`mdocket_sign_seconds_bucket{le="0.0001"} 1`,
		`go_goroutines `,
	} {
		require.Contains(t, text, want)
	}
}

func TestMetricsOfTwoProcessesInOneTestAreSeparate(t *testing.T) {
	first, second := telemetry.NewMetrics(), telemetry.NewMetrics()
	first.DocumentIssued("x")
	require.NotContains(t, scrape(t, second), "mdocket_documents_issued_total{")
}

func TestFurtherCollectors(t *testing.T) {
	m := telemetry.NewMetrics()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "mdocket_test", Help: "For this test."})
	require.NoError(t, m.Registerer().Register(gauge))
	gauge.Set(7)
	require.Contains(t, scrape(t, m), "mdocket_test 7")
}
