package modaltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// newIdentity makes a certificate for the loopback interface, and what trusts it.
func newIdentity() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "modaltest"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(made)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, nil
}

// tunnel leads from an address with TLS to a port of a sandbox.
type tunnel struct {
	port     uint32 // within the sandbox
	listener net.Listener
	server   *http.Server
	broken   atomic.Bool
	token    string // asked for, unless empty
}

// openTunnel opens one to an address of the loopback interface.
func (s *Server) openTunnel(port uint32, to, token string) (*tunnel, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	t := &tunnel{port: port, listener: l, token: token}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
	proxy.FlushInterval = -1 // streams
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		http.Error(w, "nothing listens there", http.StatusBadGateway)
	}
	t.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case t.broken.Load():
				http.Error(w, "the tunnel is broken", http.StatusBadGateway)
			case t.token != "" && strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") != t.token:
				http.Error(w, "no such connect token", http.StatusUnauthorized)
			default:
				proxy.ServeHTTP(w, r)
			}
		}),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{s.identity}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute, ErrorLog: proxy.ErrorLog,
	}
	s.served.Go(func() { _ = t.server.ServeTLS(l, "", "") }) // its error is that it was closed
	return t, nil
}

func (t *tunnel) url() string { return "https://" + t.listener.Addr().String() }

func (t *tunnel) address() (host string, port uint32) {
	at, ok := t.listener.Addr().(*net.TCPAddr)
	if !ok {
		return "", 0
	}
	return at.IP.String(), uint32(at.Port)
}

// close ends it, and what goes through it.
func (t *tunnel) close() { _ = t.server.Close() } // it listened only

// serveBlob takes and gives what is too large for a call.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/")
	switch r.Method {
	case http.MethodPut:
		data, err := io.ReadAll(io.LimitReader(r.Body, 1<<30))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.data[id] = data
		s.mu.Unlock()
	case http.MethodGet:
		s.mu.Lock()
		data, ok := s.data[id]
		s.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data) // to whoever still reads
	default:
		http.Error(w, errors.ErrUnsupported.Error(), http.StatusMethodNotAllowed)
	}
}
