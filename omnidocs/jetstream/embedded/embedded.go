// Package embedded runs a NATS server with JetStream within the program: a queue for one machine, and for tests.
//
//	s, err := embedded.Start(embedded.Options{Dir: "queue"})
//	defer s.Close()
//	q, err := jetstream.Dial(ctx, s.URL(), jetstream.Config{})
//
// It is the real server. Only programs that import this package have it in them: workers and submitters do not need it.
package embedded

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Options are the choices of a server. The zero value consists entirely of default values.
type Options struct {
	// Dir is the folder of all that is in the queue. Empty means a new one, which Close removes.
	Dir string
	// Host and Port are where the server listens. Empty and zero mean 127.0.0.1 and a port that is free. The server lets everybody in who gets there: let it be reached by others only where
	// the network is yours, or run nats-server, with TLS and users.
	Host string
	Port int
	// MaxMemory bounds what JetStream takes of memory for streams that are kept there, MaxStore of the disk, in bytes. Zero means the server's defaults: three
	// quarters of the memory, and of what is free on the disk.
	MaxMemory, MaxStore int64
	// Cluster makes it one of several servers that are one.
	Cluster Cluster
	// Wait is how long Start waits for the server to be ready. Zero means 10 seconds.
	Wait time.Duration
}

// Cluster says what cluster a server is of. The zero value is none.
type Cluster struct {
	// Name is that of the cluster, Server that of the server in it.
	Name, Server string
	// Port is where the server listens for the others, Peers are the ports of all of them, on the same host.
	Port  int
	Peers []int
}

// Server is a server that runs.
type Server struct {
	*server.Server
	dir string // to be removed; or empty
}

// Start starts a server, and waits for it. One of a cluster is ready for connections before the cluster has a leader: a queue waits for that.
func Start(opts Options) (*Server, error) {
	s := &Server{}
	if opts.Dir == "" {
		dir, err := os.MkdirTemp("", "omnidocs-queue-")
		if err != nil {
			return nil, fmt.Errorf("embedded: %w", err)
		}
		opts.Dir, s.dir = dir, dir
	}
	if opts.Host == "" {
		opts.Host = "127.0.0.1"
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	if opts.Wait == 0 {
		opts.Wait = 10 * time.Second
	}
	o := &server.Options{
		Host: opts.Host, Port: opts.Port, JetStream: true, StoreDir: opts.Dir, JetStreamMaxMemory: opts.MaxMemory, JetStreamMaxStore: opts.MaxStore,
		NoSigs: true, NoLog: true, ServerName: opts.Cluster.Server,
	}
	if c := opts.Cluster; c.Name != "" {
		o.Cluster = server.ClusterOpts{Name: c.Name, Host: opts.Host, Port: c.Port}
		for _, port := range c.Peers {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort(opts.Host, fmt.Sprint(port))})
		}
	}
	var err error
	if s.Server, err = server.NewServer(o); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: %w", err), s.clean())
	}
	s.Server.Start()
	if !s.ReadyForConnections(opts.Wait) {
		s.Shutdown()
		return nil, errors.Join(fmt.Errorf("embedded: the server was not ready after %v: is port %d free, and %q a folder that can be written?", opts.Wait, opts.Port, opts.Dir), s.clean())
	}
	return s, nil
}

// URL is where clients connect to.
func (s *Server) URL() string { return s.ClientURL() }

// Close ends the server. Clients wait for another one at the same place.
func (s *Server) Close() error {
	s.Shutdown()
	s.WaitForShutdown()
	return s.clean()
}

func (s *Server) clean() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
