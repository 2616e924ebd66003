package safehttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var loopback = netip.MustParsePrefix("127.0.0.1/32")

// serve starts a server and returns its URL, and a policy that allows it.
func serve(t *testing.T, handler http.HandlerFunc) (string, Policy) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL, Policy{Networks: []netip.Prefix{loopback}, Ports: []int{80, 443, portOf(t, server.URL)}}
}

func portOf(t *testing.T, rawURL string) int {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return port
}

// resolver answers from a table, the first time with the first of the addresses and so on, the last time and after with
// the last.
func resolver(t *testing.T, table map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	var mu sync.Mutex
	asked := map[string]int{}
	answer := func(name string, kind uint16) []byte {
		mu.Lock()
		defer mu.Unlock()
		addresses := table[name]
		if len(addresses) == 0 {
			return nil
		}
		i := min(asked[name], len(addresses)-1)
		addr := netip.MustParseAddr(addresses[i])
		if addr.Is4() != (kind == 1) {
			return nil
		}
		asked[name]++
		return addr.AsSlice()
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(dnsAnswer(buf[:n], answer), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsAnswer answers a question for an address, as RFC 1035 has it.
func dnsAnswer(question []byte, answer func(name string, kind uint16) []byte) []byte {
	const header = 12
	var labels []string
	at := header
	for question[at] != 0 {
		n := int(question[at])
		labels = append(labels, string(question[at+1:at+1+n]))
		at += 1 + n
	}
	at++
	data := answer(strings.Join(labels, "."), binary.BigEndian.Uint16(question[at:]))
	out := append([]byte{}, question[:at+4]...)
	out[2], out[3] = 0x81, 0x80 // an answer, without an error
	copy(out[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	if data == nil {
		return out
	}
	out[7] = 1
	out = append(out, 0xc0, header)                   // the name is the question's
	out = append(out, question[at:at+4]...)           // type and class
	out = append(out, 0, 0, 0, 0, 0, byte(len(data))) // time to live, length
	return append(out, data...)
}

// TestRefused is the table of what a URL must not lead to. All of it is refused before a byte is sent.
func TestRefused(t *testing.T) {
	hit := make(chan string, 100)
	base, policy := serve(t, func(_ http.ResponseWriter, r *http.Request) { hit <- r.Host })
	port := portOf(t, base)
	policy.Networks = nil
	names := map[string][]string{
		"loopback.test": {"127.0.0.1"}, "private.test": {"10.0.0.7"}, "metadata.test": {"169.254.169.254"},
		"loopback6.test": {"::1"}, "mapped.test": {"::ffff:127.0.0.1"},
	}
	policy.Resolver = resolver(t, names)
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "localhost", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
		"2130706433", "0x7f.1", "0177.0.0.1", "127.1", // forms of 127.0.0.1 that some resolvers know
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", // private
		"169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "[fd00:ec2::254]", // metadata
		"100.64.0.1", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001::1]",
		"[fc00::1]", "[fe80::1]", "[fe80::1%25eth0]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[4000::1]",
		"loopback.test", "private.test", "metadata.test", "loopback6.test",
	} {
		t.Run(host, func(t *testing.T) {
			_, err := policy.Get(t.Context(), fmt.Sprintf("http://%s:%d/", host, port))
			require.Error(t, err)
			if host != "0x7f.1" && host != "2130706433" && host != "0177.0.0.1" && host != "127.1" { // no such names, or refused
				require.ErrorIs(t, err, ErrRefused)
			}
		})
	}
	for _, rawURL := range []string{
		"file:///etc/passwd", "ftp://example.com/", "gopher://example.com/", "data:text/plain,x", "javascript:1", "//example.com/", "example.com",
		"", "http://", "http:///path", "http://user:secret@example.com/", "http://user@example.com/", "http://example.com:22/", "http://example.com:6379/",
		"https://example.com:0/", "http://example.com:99999/", "http://exa mple.com/", "http://[::1/", "http://example.com:secret/",
	} {
		t.Run(rawURL, func(t *testing.T) {
			_, err := policy.Get(t.Context(), rawURL)
			require.ErrorIs(t, err, ErrRefused)
			require.NotContains(t, err.Error(), "secret@")
		})
	}
	require.Empty(t, hit, "no request got through")
}

func TestCheckAddress(t *testing.T) {
	for _, public := range []string{"93.184.216.34", "8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "172.32.0.1", "100.128.0.1"} {
		require.NoError(t, checkAddress(netip.MustParseAddr(public), nil), public)
	}
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	require.NoError(t, checkAddress(netip.MustParseAddr("10.1.2.3"), allowed))
	require.NoError(t, checkAddress(netip.MustParseAddr("::ffff:10.1.2.3"), allowed))
	require.ErrorIs(t, checkAddress(netip.MustParseAddr("10.2.2.3"), allowed), ErrRefused)
	require.ErrorIs(t, checkAddress(netip.Addr{}, nil), ErrRefused)
}

// A redirect leads no further than the URL itself may.
func TestRedirects(t *testing.T) {
	var base string
	base, policy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/ok":
			http.Redirect(w, r, "/document", http.StatusFound)
		case "/document":
			_, _ = w.Write([]byte("reached"))
		default:
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		}
	})
	response, err := policy.Get(t.Context(), base+"/ok")
	require.NoError(t, err)
	require.Equal(t, "reached", string(response.Body))
	require.Equal(t, "document", response.FileName)
	require.Equal(t, "/document", response.URL.Path)
	_, err = policy.Get(t.Context(), base+"/loop")
	require.ErrorIs(t, err, ErrRedirects)
	none := policy
	none.MaxRedirects = -1
	_, err = none.Get(t.Context(), base+"/ok")
	require.ErrorIs(t, err, ErrRedirects)

	for _, to := range []string{
		"http://127.0.0.2/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "file:///etc/passwd",
		"http://user:secret@example.com/", "http://example.com:22/", "http://metadata.test/", "gopher://x",
	} {
		t.Run(to, func(t *testing.T) {
			policy := policy
			policy.Resolver = resolver(t, map[string][]string{"metadata.test": {"169.254.169.254"}})
			_, err := policy.Get(t.Context(), base+"/?to="+url.QueryEscape(to))
			require.ErrorIs(t, err, ErrRefused)
		})
	}
}

// The name leads to a server that is allowed when it is asked for first, and to the inside when the redirect has it asked
// for again.
func TestRebinding(t *testing.T) {
	var reached []string
	base, policy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		reached = append(reached, r.URL.Path)
		http.Redirect(w, r, "/secret", http.StatusFound)
	})
	policy.Resolver = resolver(t, map[string][]string{"rebind.test": {"127.0.0.1", "127.0.0.2"}})
	_, err := policy.Get(t.Context(), fmt.Sprintf("http://rebind.test:%d/first", portOf(t, base)))
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "127.0.0.2")
	require.Equal(t, []string{"/first"}, reached)
}

func TestLimits(t *testing.T) {
	release := make(chan struct{})
	base, policy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			w.Header().Set("Content-Length", "1001")
			_, _ = w.Write(make([]byte, 1001))
		case "/unsaid":
			for range 100 {
				_, _ = w.Write(make([]byte, 100))
				w.(http.Flusher).Flush()
			}
		case "/bomb":
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			_, _ = z.Write(make([]byte, 100_000))
			_ = z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		case "/fits":
			_, _ = w.Write(make([]byte, 1000))
		case "/html":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		case "/pdf":
			w.Header().Set("Content-Type", "application/pdf")
			w.Header().Set("Content-Disposition", `attachment; filename="..\\up/my report.pdf"`)
		case "/png":
			w.Header().Set("Content-Type", "image/png")
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/slow":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-release
		case "/header":
			fmt.Fprint(w, r.Header.Get("X-Key"))
		}
	})
	defer close(release)
	policy.MaxBytes = 1000
	for _, path := range []string{"/big", "/unsaid", "/bomb"} {
		_, err := policy.Get(t.Context(), base+path)
		require.ErrorIs(t, err, ErrTooLarge, path)
	}
	response, err := policy.Get(t.Context(), base+"/fits")
	require.NoError(t, err)
	require.Len(t, response.Body, 1000)

	policy.Types = []string{"application/pdf", "image/*"}
	_, err = policy.Get(t.Context(), base+"/html")
	require.ErrorIs(t, err, ErrType)
	require.ErrorContains(t, err, "text/html; allowed are application/pdf, image/*")
	response, err = policy.Get(t.Context(), base+"/pdf")
	require.NoError(t, err)
	require.Equal(t, "my report.pdf", response.FileName)
	require.Equal(t, "application/pdf", response.ContentType)
	_, err = policy.Get(t.Context(), base+"/png")
	require.NoError(t, err)

	_, err = policy.Get(t.Context(), base+"/busy")
	var status *StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, http.StatusServiceUnavailable, status.Code)
	require.Equal(t, 7*time.Second, status.RetryAfter)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = policy.Get(ctx, base+"/fits")
	require.ErrorIs(t, err, context.Canceled)
	slow := policy
	slow.Types, slow.Timeout = nil, 50*time.Millisecond
	_, err = slow.Get(t.Context(), base+"/slow")
	require.ErrorIs(t, err, ErrTimeout)

	keyed := policy
	keyed.Types, keyed.Header = nil, http.Header{"X-Key": {"k"}}
	response, err = keyed.Get(t.Context(), base+"/header")
	require.NoError(t, err)
	require.Equal(t, "k", string(response.Body))
}

// What is meant for one host is not told to another.
func TestHeaderStaysWithItsHost(t *testing.T) {
	other, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%v", r.Header) })
	base, policy := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+"/x", http.StatusFound) })
	policy.Ports = append(policy.Ports, portOf(t, other))
	policy.Header = http.Header{"X-Key": {"k"}, "Authorization": {"Bearer k"}}
	response, err := policy.Get(t.Context(), base)
	require.NoError(t, err)
	require.NotContains(t, string(response.Body), "X-Key")
	require.NotContains(t, string(response.Body), "Bearer")
}
