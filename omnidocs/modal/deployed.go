package modal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	sdk "github.com/modal-labs/modal-client/go"

	"github.com/omnidocs/omnidocs/textextraction"
)

// Endpoint is the web endpoint of a deployment, whose address "modal deploy" prints.
type Endpoint struct {
	// URL is the address, "https://WORKSPACE--omnidocs-deployment-server.modal.run" for example.
	URL string
	// ProxyKey and ProxySecret are a proxy token of the workspace, which Modal asks for unless the deployment is Public.
	ProxyKey, ProxySecret string
	// Token is what the server itself asks for, if one of the deployment's secrets has OMNIDOCS_TOKEN.
	Token string
}

// Config is how the endpoint is read with: textextraction.NewQwenTextExtractor takes it. Set further fields as you like.
func (e Endpoint) Config(model string) textextraction.QwenTextAPIConfig {
	headers := map[string]string{}
	if e.ProxyKey != "" {
		headers["Modal-Key"], headers["Modal-Secret"] = e.ProxyKey, e.ProxySecret
	}
	return textextraction.QwenTextAPIConfig{
		Model: model, APIBase: trimSlash(e.URL) + "/v1", APIKey: e.Token, ExtraHeaders: headers,
		Timeout: seconds(DefaultTimeout), MaxRetries: 5, // a container may have to start
	}
}

func trimSlash(s string) string {
	for len(s) > 0 && s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return s
}

// Worker is an extractor that reads with the class of a deployed app: each page is a call of a Modal function, which Modal queues,
// tries again, and starts containers for. cfg has what is asked of the model; its Model must be that of the deployment, and what says
// where the model is, is filled in. A page's Timeout counts from when the call is queued: leave room for a container to start.
//
// Modal keeps the calls of a canceled context: the containers that have them end them.
func (c *Client) Worker(ctx context.Context, app string, cfg textextraction.QwenTextAPIConfig) (*textextraction.QwenTextExtractor, error) {
	if app == "" {
		app = DefaultApp
	}
	method, err := c.method(ctx, app, "request")
	if err != nil {
		return nil, err
	}
	if cfg.Model == "" {
		cfg.Model = DefaultModel
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = seconds(DefaultTimeout + DefaultStartupTimeout)
	}
	if cfg.MaxRetries == 0 {
		cfg.MaxRetries = -1 // Modal tries again
	}
	cfg.APIBase = "http://" + WorkerClass + "." + app + ".invalid/v1" // which nobody looks up
	cfg.HTTPClient = &http.Client{Transport: caller{method}}
	return textextraction.NewQwenTextExtractor(ctx, cfg)
}

// Extract has the class of a deployed app read one picture, by the function of the guide's first example: the bytes of a PNG or JPEG in,
// the result out.
func (c *Client) Extract(ctx context.Context, app string, picture []byte, format textextraction.Format) (*textextraction.ExtractResult, error) {
	if app == "" {
		app = DefaultApp
	}
	method, err := c.method(ctx, app, "extract")
	if err != nil {
		return nil, err
	}
	answer, err := method.Remote(ctx, nil, map[string]any{"image_bytes": picture, "output_format": format.String()})
	if err != nil {
		return nil, fmt.Errorf("modal: %s.extract: %w", WorkerClass, wrapped(err))
	}
	return resultOf(answer)
}

func (c *Client) method(ctx context.Context, app, name string) (*sdk.Function, error) {
	class, err := c.sdk.Cls.FromName(ctx, app, WorkerClass, nil)
	if err != nil {
		if err = wrapped(err); errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("modal: app %s has no class %s: deploy what Deployment.Python writes, with: modal deploy modal_app.py: %w", app, WorkerClass, err)
		}
		return nil, fmt.Errorf("modal: class %s of app %s: %w", WorkerClass, app, err)
	}
	instance, err := class.Instance(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("modal: class %s of app %s: %w", WorkerClass, app, err)
	}
	method, err := instance.Method(name)
	if err != nil {
		return nil, fmt.Errorf("modal: class %s of app %s: %w: deploy it again", WorkerClass, app, wrapped(err))
	}
	return method, nil
}

// caller takes HTTP requests to the server in the container of a function.
type caller struct{ method *sdk.Function }

// RoundTrip calls the function.
func (t caller) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		defer r.Body.Close()
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	headers := map[string]string{}
	for _, name := range []string{"Content-Type", "Accept"} {
		if v := r.Header.Get(name); v != "" {
			headers[name] = v
		}
	}
	answer, err := t.method.Remote(r.Context(), nil, map[string]any{
		"method": r.Method, "path": r.URL.RequestURI(), "headers": headers, "body": body,
	})
	if err != nil {
		return nil, fmt.Errorf("modal: %s.request: %w", WorkerClass, wrapped(err))
	}
	fields, ok := answer.(map[any]any)
	if !ok {
		return nil, fmt.Errorf("modal: %s.request has returned a %T, not a dict: is it what Deployment.Python writes?", WorkerClass, answer)
	}
	status, isNumber := fields["status"].(uint64)
	content, isBytes := fields["body"].([]byte)
	if !isNumber || !isBytes || status < 100 || status > 999 {
		return nil, fmt.Errorf("modal: %s.request has returned no status or no body", WorkerClass)
	}
	kind, _ := fields["content_type"].(string)
	return &http.Response{
		Status: strconv.FormatUint(status, 10) + " " + http.StatusText(int(status)), StatusCode: int(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(content)), ContentLength: int64(len(content)), Request: r,
	}, nil
}

// resultOf makes a result of the dict that the class returns, which CBOR gives keys of any type.
func resultOf(answer any) (*textextraction.ExtractResult, error) {
	data, err := json.Marshal(withStringKeys(answer))
	if err != nil {
		return nil, fmt.Errorf("modal: %s.extract: %w", WorkerClass, err)
	}
	var r textextraction.ExtractResult
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("modal: %s.extract has returned what is no result: %w", WorkerClass, err)
	}
	return &r, nil
}

func withStringKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[fmt.Sprint(key)] = withStringKeys(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, value := range v {
			list[i] = withStringKeys(value)
		}
		return list
	}
	return v
}

// Scale changes how a deployed class scales until it is deployed again: least and most are the containers kept ready and allowed at
// most, window is how long one without work is kept.
func (c *Client) Scale(ctx context.Context, app string, least, most int, window time.Duration) error {
	if app == "" {
		app = DefaultApp
	}
	var f faults
	f.check(least >= 0 && most >= max(1, least), "Scale", fmt.Sprintf("%d to %d", least, most), "want 0 or more, to no less than that, and not 0")
	f.check(window >= 2*time.Second && window%time.Second == 0, "the window", window, "want whole seconds, two or more")
	if err := f.err(); err != nil {
		return err
	}
	method, err := c.method(ctx, app, "request")
	if err != nil {
		return err
	}
	low, high := uint32(least), uint32(most)
	if _, err := method.UpdateAutoscaler(ctx, &sdk.FunctionUpdateAutoscalerParams{MinContainers: &low, MaxContainers: &high, ScaledownWindow: &window}); err != nil {
		return fmt.Errorf("modal: scale %s: %w", app, wrapped(err))
	}
	return nil
}
