package modal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"iter"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/omnidocs/modal/modaltest"
	"github.com/omnidocs/omnidocs/textextraction"
)

// How the program of the tests' sandboxes behaves, in the environment.
const (
	workerEnv = "OMNIDOCS_TEST_WORKER" // set: this binary is that program
	holdEnv   = "OMNIDOCS_TEST_HOLD"   // a file: while it is there, pages wait
)

// TestMain runs this binary as the program of a sandbox, too.
func TestMain(m *testing.M) {
	switch mode := os.Getenv(workerEnv); mode {
	case "":
		os.Exit(m.Run())
	case "serve":
		serveWorker()
	case "die":
		fmt.Fprintln(os.Stderr, "RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes")
		os.Exit(1)
	case "deaf":
		fmt.Println("downloading the model: 1%")
		select {}
	case "work", "once", "stubborn":
		if err := work(mode, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// work is a program that looks for its work by itself: it leaves in a folder that it has begun, waits for SIGTERM, and leaves that it has
// ended. In the mode once it does not wait, in the mode stubborn it does not hear.
func work(mode, folder string) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	fmt.Println("working")
	leave := func(what string) error {
		return os.WriteFile(filepath.Join(folder, what+os.Getenv("MODAL_SANDBOX_ID")), nil, 0o600)
	}
	if err := leave("began-"); err != nil || mode == "once" {
		return err
	}
	<-told
	if mode == "stubborn" {
		select {}
	}
	return leave("ended-")
}

// serveWorker answers OpenAI's protocol: the text of a page is the number that its color is.
func serveWorker() {
	addr := os.Args[slices.Index(os.Args, "-addr")+1]
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /busy", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "busy")
	})
	mux.HandleFunc("POST /v1/extract", func(w http.ResponseWriter, r *http.Request) {
		text, err := readPicture(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		data, err := json.Marshal(textextraction.ExtractResult{Content: text, WordCount: 2, ContentLength: len(text)})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(data)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		if token := os.Getenv("OMNIDOCS_TOKEN"); token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "no such token", http.StatusUnauthorized)
			return
		}
		for os.Getenv(holdEnv) != "" {
			if _, err := os.Stat(os.Getenv(holdEnv)); err != nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		text, err := readNumber(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"choices": [{"message": {"content": %q}, "finish_reason": "stop"}]}`, text)
	})
	fmt.Fprintln(os.Stderr, "serving at", addr)
	fmt.Fprintln(os.Stderr, http.ListenAndServe(addr, mux))
	os.Exit(1)
}

func readNumber(r *http.Request) (string, error) {
	var q struct {
		Messages []struct {
			Content []struct {
				ImageURL struct {
					URL string `json:"url"`
				} `json:"image_url"`
			} `json:"content"`
		} `json:"messages"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return "", err
	}
	for _, m := range q.Messages {
		for _, part := range m.Content {
			if _, data, ok := strings.Cut(part.ImageURL.URL, ";base64,"); ok {
				file, err := base64.StdEncoding.DecodeString(data)
				if err != nil {
					return "", err
				}
				return readPicture(bytes.NewReader(file))
			}
		}
	}
	return "", fmt.Errorf("no picture")
}

func readPicture(r io.Reader) (string, error) {
	img, err := png.Decode(r)
	if err != nil {
		return "", err
	}
	red, green, _, _ := img.At(0, 0).RGBA()
	return fmt.Sprintf("page %d", red>>8<<8|green>>8), nil
}

// numberedPages are pictures whose color is their number.
func numberedPages(n int) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for i := range n {
			img := image.NewRGBA(image.Rect(0, 0, 64, 64))
			for p := 0; p < len(img.Pix); p += 4 {
				img.Pix[p], img.Pix[p+1], img.Pix[p+3] = byte(i>>8), byte(i), 255
			}
			img.Set(40, 40, color.White)
			if !yield(img, nil) {
				return
			}
		}
	}
}

// open starts a fake Modal and a client of it.
func open(t *testing.T) (*modaltest.Server, *modal.Client) {
	t.Helper()
	fake, err := modaltest.New(modaltest.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	for name, value := range fake.Env() {
		t.Setenv(name, value)
	}
	fake.AddSecret(modal.DefaultSecret, map[string]string{"HF_TOKEN": "hf_test"})
	client, err := modal.Open(modal.Options{HTTPClient: fake.HTTPClient()})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		require.NoError(t, fake.Close())
	})
	return fake, client
}

// testConfig runs this binary in sandboxes.
func testConfig(t *testing.T, mode string) modal.Config {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return modal.Config{
		Model: textextraction.TinyModel, Program: self, Device: "go", Env: map[string]string{workerEnv: mode},
		Reader: textextraction.QwenTextAPIConfig{ReadBlankPages: true},
	}
}
