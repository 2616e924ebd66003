package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"iter"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// tab is a page of a browser, driven by its debugger's protocol.
type tab struct {
	t    *testing.T
	conn *websocket.Conn
	id   int
}

// openTab starts Chromium at an address.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (apt-get install chromium)")
	}
	profile, err := os.MkdirTemp("", "omnidocs-chromium-") //nolint:usetesting // the browser's children may write into it when it has ended
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
		"--remote-allow-origins=*", "--window-size=1280,1000", "--user-data-dir="+profile, url)
	stderr, err := c.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		cancel()
		_ = c.Wait() // it was killed
	})
	var host string
	for lines := bufio.NewScanner(stderr); lines.Scan() && host == ""; {
		if m := regexp.MustCompile(`DevTools listening on ws://([^/]+)/`).FindStringSubmatch(lines.Text()); m != nil {
			host = m[1]
		}
	}
	require.NotEmpty(t, host)
	var socket string
	require.Eventually(t, func() bool {
		var tabs []struct {
			Type, URL string
			Socket    string `json:"webSocketDebuggerUrl"`
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/json/list", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		if json.NewDecoder(res.Body).Decode(&tabs) != nil {
			return false
		}
		for _, tab := range tabs {
			if tab.Type == "page" && strings.HasPrefix(tab.URL, url) {
				socket = tab.Socket
			}
		}
		return socket != ""
	}, time.Minute, 50*time.Millisecond)
	conn, err := websocket.Dial(socket, "", "http://127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	conn.MaxPayloadBytes = 64 << 20
	return &tab{t: t, conn: conn}
}

// call calls a method of the protocol. failed is its error, as JSON.
func (b *tab) call(method string, params any) (result json.RawMessage, failed string) {
	b.t.Helper()
	b.id++
	require.NoError(b.t, websocket.JSON.Send(b.conn, map[string]any{"id": b.id, "method": method, "params": params}))
	for {
		var got struct {
			ID     int
			Result json.RawMessage
			Error  json.RawMessage
		}
		require.NoError(b.t, websocket.JSON.Receive(b.conn, &got))
		if got.ID == b.id {
			return got.Result, string(got.Error)
		}
	}
}

// try evaluates JavaScript and returns its value as JSON, or what went wrong.
func (b *tab) try(js string) (value, failed string) {
	b.t.Helper()
	result, failed := b.call("Runtime.evaluate", map[string]any{"expression": js, "returnByValue": true})
	if failed != "" {
		return "", failed
	}
	var got struct {
		Result struct{ Value json.RawMessage }
		Failed json.RawMessage `json:"exceptionDetails"`
	}
	require.NoError(b.t, json.Unmarshal(result, &got))
	return string(got.Result.Value), string(got.Failed)
}

// eval is try for what does not go wrong.
func (b *tab) eval(js string) string {
	b.t.Helper()
	value, failed := b.try(js)
	require.Empty(b.t, failed)
	return value
}

// screenshot leaves a picture in the folder OMNIDOCS_SCREENSHOTS, if that is set.
func (b *tab) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("OMNIDOCS_SCREENSHOTS")
	if dir == "" {
		return
	}
	var got struct{ Data []byte }
	result, failed := b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true})
	require.Empty(b.t, failed)
	require.NoError(b.t, json.Unmarshal(result, &got))
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name), got.Data, 0o600))
}

// A picture and a document that are dropped on the page are read: the text comes, with the elements over the picture.
func TestHomeInChromium(t *testing.T) {
	drawn, err := tiny.DrawPage(tiny.PageOptions{Markdown: "# Order 4711\n\nThe goods will leave our house on Monday.\n\n- 12 brass lamps\n- 3 boxes of paper", Width: 512, Height: 320})
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, drawn.Image))
	var closed atomic.Int64
	url := serve(t, &withElements{}, httpapi.Options{Documents: documents(&closed), Tokens: []string{"secret"}})
	b := openTab(t, url)
	require.Eventually(t, func() bool { // there is nothing to evaluate it in before the page is there
		kind, _ := b.try(`typeof take`)
		return kind == `"function"`
	}, time.Minute, 20*time.Millisecond)

	// Without the token it says what is wrong.
	give := func(name, kind, data string) {
		b.eval(fmt.Sprintf(`take([new File([Uint8Array.from(atob(%q), c => c.charCodeAt(0))], %q, {type: %q})]); 0`, base64.StdEncoding.EncodeToString([]byte(data)), name, kind))
	}
	foot := func(i int) string {
		return b.eval(fmt.Sprintf(`document.querySelectorAll("footer")[%d]?.textContent ?? ""`, i))
	}
	give("page.png", "image/png", file.String())
	require.Eventually(t, func() bool { return strings.Contains(foot(0), "send a token") }, time.Minute, 20*time.Millisecond, foot(0))

	b.eval(`document.getElementById("token").value = "secret"; document.getElementById("pages").replaceChildren()`)
	give("page.png", "image/png", file.String())
	require.Eventually(t, func() bool { return strings.Contains(foot(0), " words") }, time.Minute, 20*time.Millisecond, foot(0))
	require.Contains(t, b.eval(`document.querySelector("pre").textContent`), "Order 4711")
	require.Equal(t, "2", b.eval(`document.querySelectorAll("figure i").length`))
	require.Equal(t, `"heading 0.98"`, b.eval(`document.querySelector("figure i b").textContent`))
	require.Equal(t, `["6.25%","6.25%"]`, b.eval(`(s => [s.left, s.top])(document.querySelector("figure i").style)`))

	give("paper.pdf", "application/pdf", "%PDF 4")
	require.Eventually(t, func() bool { return strings.Contains(foot(1), "3 of 4 pages, done, 1 failed") }, time.Minute, 20*time.Millisecond, foot(1))
	require.Contains(t, b.eval(`document.querySelectorAll("pre")[1].textContent`), "page 2 is damaged")
	b.screenshot("home.png")
}

// withElements is a fake whose results have places.
type withElements struct{ fake }

func (f *withElements) ExtractWith(ctx context.Context, img image.Image, o textextraction.Options) (*textextraction.ExtractResult, error) {
	r := textextraction.NewExtractResult("# Order 4711\n\nThe goods will leave our house on Monday.\n\n- 12 brass lamps\n- 3 boxes of paper\n", o.Format)
	r.ImageWidth, r.ImageHeight = img.Bounds().Dx(), img.Bounds().Dy()
	w, h := r.ImageWidth, r.ImageHeight
	r.Elements = []textextraction.Element{
		{Kind: textextraction.KindHeading, Level: 1, Text: "Order 4711", Box: [4]int{w / 16, h / 16, w / 2, h / 4}, Confidence: 0.98},
		{Kind: textextraction.KindList, Text: "12 brass lamps", Box: [4]int{w / 16, h / 2, 3 * w / 4, 7 * h / 8}},
	}
	r.FinishReason = textextraction.FinishStop
	return r, ctx.Err()
}

func (f *withElements) Stream(ctx context.Context, img image.Image, o textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		r, err := f.ExtractWith(ctx, img, o)
		_ = yield(textextraction.Delta{Text: "# Orde"}, nil) && yield(textextraction.Delta{Offset: 0, Text: r.Content, Result: r}, err)
	}
}
