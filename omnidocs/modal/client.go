package modal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	sdk "github.com/modal-labs/modal-client/go"
)

// Options say who calls Modal. The zero value takes the token from MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or from ~/.modal.toml, where
// "modal token new" puts it.
type Options struct {
	// TokenID and TokenSecret are the token.
	TokenID, TokenSecret string
	// Environment is Modal's environment. Empty means the profile's, or the workspace's.
	Environment string
	// MaxThrottleWait is how long a call to Modal waits where Modal asks to wait. Zero means five minutes.
	MaxThrottleWait time.Duration
	// HTTPClient reaches what runs on Modal. Nil means what textextraction.QwenTextAPIConfig takes for nil.
	HTTPClient *http.Client
	// Logger hears what is started and ended, and what sandboxes write. Nil means nobody.
	Logger *slog.Logger
}

// Client calls Modal. It may be used from several goroutines.
type Client struct {
	sdk *sdk.Client
	o   Options
}

// Open returns a client. Nothing is sent yet.
func Open(o Options) (*Client, error) {
	if o.MaxThrottleWait == 0 {
		o.MaxThrottleWait = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := sdk.NewClientWithOptions(&sdk.ClientParams{
		TokenID: o.TokenID, TokenSecret: o.TokenSecret, Environment: o.Environment, MaxThrottleWait: &o.MaxThrottleWait, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("modal: %w", err)
	}
	return &Client{sdk: c, o: o}, nil
}

// Close ends the connections. What was started on Modal goes on: close fleets before.
func (c *Client) Close() error {
	c.sdk.Close()
	return nil
}

// app is the app of a name, made if it is not there and make is set.
func (c *Client) app(ctx context.Context, name string, make bool) (*sdk.App, error) {
	app, err := c.sdk.Apps.FromName(ctx, name, &sdk.AppFromNameParams{CreateIfMissing: make})
	if err != nil {
		return nil, fmt.Errorf("modal: app %s: %w", name, wrapped(err))
	}
	return app, nil
}

// secret is a secret that is there, with keys that it must have.
func (c *Client) secret(ctx context.Context, name string, keys ...string) (*sdk.Secret, error) {
	secret, err := c.sdk.Secrets.FromName(ctx, name, &sdk.SecretFromNameParams{RequiredKeys: keys})
	if err == nil {
		return secret, nil
	}
	if err = wrapped(err); errors.Is(err, ErrNotFound) {
		if len(keys) == 0 {
			keys = []string{"HF_TOKEN"}
		}
		return nil, fmt.Errorf("modal: %w; make it with: modal secret create %s %s=…  (or do without: Secrets: []string{})", err, name, strings.Join(keys, "=… "))
	}
	return nil, fmt.Errorf("modal: secret %s: %w", name, err)
}

// secrets are those of a config.
func (c *Client) secrets(ctx context.Context, cfg Config) ([]*sdk.Secret, error) {
	var all []*sdk.Secret
	for _, name := range cfg.Secrets {
		s, err := c.secret(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// volumes are where containers of a config see which volume.
func (c *Client) volumes(ctx context.Context, cfg Config) (map[string]*sdk.Volume, error) {
	if cfg.NoVolume {
		return map[string]*sdk.Volume{}, nil
	}
	v, err := c.sdk.Volumes.FromName(ctx, cfg.Volume, &sdk.VolumeFromNameParams{CreateIfMissing: true})
	if err != nil {
		return nil, fmt.Errorf("modal: volume %s: %w", cfg.Volume, wrapped(err))
	}
	return map[string]*sdk.Volume{cfg.Mount: v}, nil
}
