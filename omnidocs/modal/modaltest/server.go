package modaltest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The token that the fake lets in.
const (
	TokenID     = "ak-modaltest"
	TokenSecret = "as-modaltest"
)

// Options say how a [Server] is made.
type Options struct {
	// Dir is the folder for sandboxes, volumes and images. Empty means a temporary one, which Close removes.
	Dir string
}

// Server is a Modal on this machine. Its methods may be called from several goroutines.
type Server struct {
	dir       string
	temporary bool
	address   string
	grpc      *grpc.Server
	blobs     *http.Server
	blobsURL  string
	identity  tls.Certificate
	trusted   *x509.CertPool
	client    *http.Client
	served    sync.WaitGroup

	mu        sync.Mutex
	last      int // of the ids
	calls     []string
	failures  map[string][]error
	secrets   map[string]secret
	apps      map[string]bool
	images    map[string]string // by id: the folder with what they add
	tags      map[string]string // names of images, to their ids
	sandboxes map[string]*sandbox
	execs     map[string]*execution
	functions map[string]Function
	results   map[string]*pb.FunctionGetOutputsItem
	data      map[string][]byte // blobs
	created   []*pb.FunctionCreateRequest
	published []*pb.AppPublishRequest
	scaled    []*pb.FunctionUpdateSchedulingParamsRequest
}

// secret is a named one, or one that a client has made for a sandbox.
type secret struct {
	id     string
	values map[string]string
}

// New starts a server. It listens on the loopback interface alone.
func New(o Options) (server *Server, err error) {
	s := &Server{
		dir: o.Dir, failures: map[string][]error{}, secrets: map[string]secret{}, apps: map[string]bool{}, images: map[string]string{},
		tags: map[string]string{}, sandboxes: map[string]*sandbox{}, execs: map[string]*execution{}, functions: map[string]Function{},
		results: map[string]*pb.FunctionGetOutputsItem{}, data: map[string][]byte{},
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "modaltest-"); err != nil {
			return nil, err
		}
		s.temporary = true
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, err
	}
	if s.identity, s.trusted, err = newIdentity(); err != nil {
		return nil, err
	}
	s.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.trusted, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
	}}
	l, err := listen()
	if err != nil {
		return nil, err
	}
	s.address = l.Addr().String()
	bl, err := listen()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.blobsURL = "http://" + bl.Addr().String()
	s.blobs = &http.Server{Handler: http.HandlerFunc(s.serveBlob), ReadHeaderTimeout: time.Minute}
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(100<<20), grpc.MaxSendMsgSize(100<<20),
		// Clients ask every 30 s whether the connection lives, which gRPC's server takes for an attack unless it is told.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true), grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
	)
	pb.RegisterModalClientServer(s.grpc, &control{Server: s})
	pb.RegisterTaskCommandRouterServer(s.grpc, &router{Server: s})
	s.served.Go(func() { _ = s.grpc.Serve(l) }) // its error is that Close was called
	s.served.Go(func() { _ = s.blobs.Serve(bl) })
	return s, nil
}

func listen() (net.Listener, error) {
	return net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // on the loopback interface it waits for nothing
}

// control is the service that Modal's clients call, router the one of a sandbox's machine: both have methods of the same names.
type (
	control struct {
		pb.UnimplementedModalClientServer
		*Server
	}
	router struct {
		pb.UnimplementedTaskCommandRouterServer
		*Server
	}
)

// Close ends what runs and removes a temporary folder.
func (s *Server) Close() error {
	s.grpc.Stop() // so that no more are made
	for _, sb := range s.all() {
		sb.end(pb.GenericResult_GENERIC_STATUS_TERMINATED, 0)
	}
	err := s.blobs.Close()
	s.served.Wait()
	s.client.CloseIdleConnections()
	if s.temporary {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// URL is the address for MODAL_SERVER_URL.
func (s *Server) URL() string { return "http://" + s.address }

// Env is the environment in which Modal's clients call this server and no other: not the account of whoever runs a test.
func (s *Server) Env() map[string]string {
	return map[string]string{
		"MODAL_SERVER_URL": s.URL(), "MODAL_TOKEN_ID": TokenID, "MODAL_TOKEN_SECRET": TokenSecret,
		"MODAL_CONFIG_PATH": filepath.Join(s.dir, "no-such.toml"), "MODAL_PROFILE": "", "MODAL_ENVIRONMENT": "",
		"MODAL_OAUTH_REFRESH_TOKEN": "", "MODAL_OAUTH_CLIENT_ID": "", "MODAL_OAUTH_CLIENT_SECRET": "", "MODAL_OAUTH_JWT_KEY": "",
	}
}

// HTTPClient trusts the certificates of the tunnels.
func (s *Server) HTTPClient() *http.Client { return s.client }

// VolumeDir is the folder that is the volume of a name.
func (s *Server) VolumeDir(name string) string { return filepath.Join(s.dir, "volumes", name) }

// AddSecret makes a named secret.
func (s *Server) AddSecret(name string, values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[name] = secret{id: "st-" + name, values: values}
}

// Fail lets the next calls of a method fail, each with one of the errors, which are those of package status: Fail("SandboxCreate",
// status.Error(codes.ResourceExhausted, "no GPU is free")). Clients repeat calls that failed with Unavailable, Internal and Unknown.
func (s *Server) Fail(method string, errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[method] = append(s.failures[method], errs...)
}

// Calls are the names of the methods that were called, in their order.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// enter lets a call in.
func (s *Server) enter(ctx context.Context, method string) error {
	name := path.Base(method)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
	if queue := s.failures[name]; len(queue) > 0 {
		s.failures[name] = queue[1:]
		return queue[0]
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if path.Dir(method) == "/modal.client.ModalClient" && (first(md, "x-modal-token-id") != TokenID || first(md, "x-modal-token-secret") != TokenSecret) {
		return status.Error(codes.Unauthenticated, "the token is not the one of modaltest")
	}
	return nil
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.enter(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.enter(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, stream)
}

// id makes an id, of the 22 characters that Modal's have. The lock is held.
func (s *Server) id(prefix string) string {
	s.last++
	return fmt.Sprintf("%s-%022d", prefix, s.last)
}

// jwt is a token that says until when it holds, as clients want it.
func jwt() string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Hour).Unix())) + "." + part("modaltest")
}
