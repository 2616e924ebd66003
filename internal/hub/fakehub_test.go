package hub

import (
	"crypto/sha1" //nolint:gosec // git names files by it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	model  = "org/model"
	commit = "0123456789abcdef0123456789abcdef01234567"
)

// fakeHub answers like huggingface.co: the description of a model, its small
// files, and for weights a redirection to another host.
type fakeHub struct {
	files map[string]string
	// sha is the commit that it names. Default: commit.
	sha string
	// token, if set, is wanted for files; status answers every file.
	token  string
	status int
	// drop says how many of a file's answers end after a third of its bytes.
	drop map[string]int
	// stall says how many of a file's answers bring nothing after a third.
	stall map[string]int
	// noRanges ignores Range, noHashes leaves them out as some mirrors do.
	noRanges, noHashes bool
	// damage flips a byte of this many answers of weights.
	damage int

	mu       sync.Mutex
	requests []string
	problems []string
	done     chan struct{}
	cdn      *httptest.Server
}

// start serves the hub and makes it the endpoint of this test.
func (h *fakeHub) start(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	cdn := httptest.NewServer(http.HandlerFunc(h.serveCDN))
	server := httptest.NewServer(http.HandlerFunc(h.serve))
	h.done, h.cdn = done, cdn
	t.Cleanup(func() {
		close(done)
		server.Close()
		cdn.Close()
		require.Empty(t, h.problems)
	})
	t.Setenv("HF_ENDPOINT", server.URL+"/")
}

func (h *fakeHub) log(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
}

// count returns how many requests contain s, and forgets all.
func (h *fakeHub) count(s string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, r := range h.requests {
		if strings.Contains(r, s) {
			n++
		}
	}
	h.requests = nil
	return n
}

func isLarge(name string) bool { return strings.HasSuffix(name, ".safetensors") }

func sha256Of(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func gitHash(s string) string {
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(s), s)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

func (h *fakeHub) serve(w http.ResponseWriter, r *http.Request) {
	h.log(r)
	if revision, ok := strings.CutPrefix(r.URL.Path, "/api/models/"+model+"/revision/"); ok {
		h.describe(w, revision)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/"+model+"/resolve/"+commit+"/")
	if !ok {
		name, ok = strings.CutPrefix(r.URL.Path, "/"+model+"/resolve/main/")
	}
	data, exists := h.files[name]
	switch {
	case h.status != 0:
		http.Error(w, http.StatusText(h.status), h.status)
	case h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token:
		http.Error(w, `{"error":"Access to model org/model is restricted."}`, http.StatusUnauthorized)
	case !ok || !exists:
		w.Header().Set("X-Error-Code", "EntryNotFound")
		http.Error(w, "Entry not found", http.StatusNotFound)
	case isLarge(name):
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("X-Linked-Etag", strconv.Quote(sha256Of(data)))
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
		// Another host name, as with the real one's CDN.
		http.Redirect(w, r, strings.Replace(h.cdn.URL, "127.0.0.1", "localhost", 1)+"/"+name, http.StatusFound)
	default:
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("Etag", strconv.Quote(gitHash(data)))
		h.send(w, r, name, data)
	}
}

func (h *fakeHub) describe(w http.ResponseWriter, revision string) {
	if revision != "main" && revision != commit && revision != "refs/pr/1" {
		http.Error(w, `{"error":"Invalid rev id: `+revision+`"}`, http.StatusNotFound)
		return
	}
	type entry map[string]any
	siblings := []entry{}
	for name, data := range h.files {
		e := entry{"rfilename": name}
		if !h.noHashes {
			e["size"], e["blobId"] = len(data), gitHash(data)
			if isLarge(name) {
				e["lfs"] = entry{"sha256": sha256Of(data), "size": len(data), "pointerSize": 134}
			}
		}
		siblings = append(siblings, e)
	}
	_ = json.NewEncoder(w).Encode(entry{"id": model, "sha": firstOf(h.sha, commit), "gated": "manual", "siblings": siblings}) // the client sees it
}

func (h *fakeHub) serveCDN(w http.ResponseWriter, r *http.Request) {
	h.log(r)
	if r.Header.Get("Authorization") != "" {
		h.mu.Lock()
		h.problems = append(h.problems, "the token was sent to another host")
		h.mu.Unlock()
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	data := h.files[name]
	h.mu.Lock()
	if h.damage > 0 {
		h.damage--
		data = "X" + data[1:]
	}
	h.mu.Unlock()
	h.send(w, r, name, data)
}

// send answers with data or the range of it that is asked for.
func (h *fakeHub) send(w http.ResponseWriter, r *http.Request, name, data string) {
	h.mu.Lock()
	drop, stall := h.drop[name] > 0, h.stall[name] > 0
	if drop {
		h.drop[name]--
	}
	if stall {
		h.stall[name]--
	}
	h.mu.Unlock()
	if h.noRanges {
		r.Header.Del("Range")
	}
	if drop || stall {
		from := 0
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		}
		rest := data[from:]
		w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write([]byte(rest[:(len(rest)+2)/3]))
		_ = http.NewResponseController(w).Flush()
		if stall {
			select {
			case <-h.done:
			case <-r.Context().Done():
			}
		}
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, name, time.Time{}, strings.NewReader(data))
}
