package main

import (
	"crypto/sha1" //nolint:gosec // git names files by it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
)

// hub answers as the Hugging Face hub does, with the embedded model as "org/model", so that downloads can go wrong offline.
type hub struct {
	*httptest.Server
	files map[string][]byte

	mu       sync.Mutex
	gated    bool     // it wants a token
	stalls   int      // of so many answers for the weights only a third comes
	requests []string // for the weights: which bytes were asked for
}

const (
	hubModel  = "org/model"
	hubCommit = "0123456789abcdef0123456789abcdef01234567"
	weights   = "model.safetensors"
)

// startHub starts a hub and makes it that of this process, until end is called.
func startHub() (h *hub, end func(), err error) {
	h = &hub{files: map[string][]byte{}}
	entries, err := fs.ReadDir(tiny.FS(), ".")
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if h.files[e.Name()], err = fs.ReadFile(tiny.FS(), e.Name()); err != nil {
			return nil, nil, err
		}
	}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	restore := setenv(map[string]string{"HF_ENDPOINT": h.URL, "HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "", "HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": ""})
	return h, func() {
		restore()
		h.CloseClientConnections()
		h.Close()
	}, nil
}

// setenv sets variables, and returns what sets them back.
func setenv(values map[string]string) (restore func()) {
	before := map[string]string{}
	for name, value := range values {
		if old, ok := os.LookupEnv(name); ok {
			before[name] = old
		}
		_ = os.Setenv(name, value) // the names are well formed
	}
	return func() {
		for name := range values {
			if old, ok := before[name]; ok {
				_ = os.Setenv(name, old)
			} else {
				_ = os.Unsetenv(name)
			}
		}
	}
}

func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	gated := h.gated && r.Header.Get("Authorization") == ""
	h.mu.Unlock()
	name, isFile := strings.CutPrefix(r.URL.Path, "/"+hubModel+"/resolve/"+hubCommit+"/")
	switch {
	case gated:
		http.Error(w, `{"error": "Access to model org/model is restricted."}`, http.StatusUnauthorized)
	case isFile && h.files[name] != nil:
		h.file(w, r, name)
	case strings.HasPrefix(r.URL.Path, "/api/models/"+hubModel+"/revision/"):
		h.describe(w)
	default:
		http.NotFound(w, r)
	}
}

// describe lists the files.
func (h *hub) describe(w http.ResponseWriter) {
	var siblings []map[string]any
	for name, data := range h.files {
		blob := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data)) //nolint:gosec // as above
		e := map[string]any{"rfilename": name, "size": len(data), "blobId": hex.EncodeToString(blob[:])}
		if name == weights {
			sum := sha256.Sum256(data)
			e["lfs"] = map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(data), "pointerSize": 134}
		}
		siblings = append(siblings, e)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": hubModel, "sha": hubCommit, "siblings": siblings}) // the client sees it
}

// file sends a file, or a third of it, and then nothing more.
func (h *hub) file(w http.ResponseWriter, r *http.Request, name string) {
	data, stall := h.files[name], false
	if name == weights {
		h.mu.Lock()
		asked := r.Header.Get("Range")
		if asked == "" {
			asked = "all bytes"
		}
		h.requests = append(h.requests, asked)
		if stall = h.stalls > 0; stall {
			h.stalls--
		}
		h.mu.Unlock()
	}
	if !stall {
		http.ServeContent(w, r, name, time.Time{}, strings.NewReader(string(data)))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	for part := range slices.Chunk(data[:len(data)/3], len(data)/9) { // slowly: progress is told every 100 ms
		_, _ = w.Write(part)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(120 * time.Millisecond)
	}
	<-r.Context().Done()
}
