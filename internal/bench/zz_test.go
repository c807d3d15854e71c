package bench

import (
	"testing"
	"log/slog"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/gin-gonic/gin"
)

func BenchmarkF(b *testing.B) {
	gin.SetMode(gin.ReleaseMode)
	set, _ := randomIndices()
	o := Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler), Out: io.Discard}
	db, _ := store.Open(b.Context(), "sqlite:"+filepath.Join(o.Dir, "s.db"))
	defer db.Close()
	h, path, err := listServer(b.Context(), o, db, "http://127.0.0.1", set)
	if err != nil { b.Fatal(err) }
	var body []byte
	run := func(h http.Handler) func(b *testing.B) { return func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Accept", statuslist.MediaTypeCWT)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			body = w.Body.Bytes()
			if w.Code != 200 { b.Fatal(w.Code) }
		}
	}}
	b.Run("ours", run(h))
	bare := gin.New()
	bb := body
	bare.GET(path, func(c *gin.Context) { c.Data(http.StatusOK, statuslist.MediaTypeCWT, bb) })
	b.Run("bare", run(bare))
}
