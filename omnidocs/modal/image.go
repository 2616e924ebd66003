package modal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	sdk "github.com/modal-labs/modal-client/go"
)

// Image is the file system of a container.
type Image struct {
	// Registry is an image of a registry, "nvidia/cuda:12.4.0-devel-ubuntu22.04" for example. Its entry point is not run.
	Registry string
	// RegistrySecret is the name of Modal's secret with REGISTRY_USERNAME and REGISTRY_PASSWORD. Empty means that the image is public.
	RegistrySecret string
	// Commands are lines of a Dockerfile that come after: RUN, ENV, COPY --from=IMAGE. Modal builds them once and keeps the result.
	Commands []string
	// Python is the version that Modal adds for deployed functions, "3.12" for example. Empty means that the image has a Python of its
	// own. Sandboxes need none.
	Python string
}

// CUDAImage is what examples/serve needs on an NVIDIA GPU: XLA's plugin and NVIDIA's libraries from JAX's and NVIDIA's wheels, as in
// examples/container/Dockerfile.cuda.
func CUDAImage() Image {
	return Image{
		Registry: "python:3.12-slim-bookworm",
		Commands: []string{
			`RUN pip install --no-cache-dir --target /usr/local/lib/omnidocs "jax-cuda13-pjrt==0.11.2" "nvidia-cuda-nvcc<13.1" "nvidia-nvvm<13.1" ` +
				`nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cusolver ` +
				`nvidia-cusparse nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 ` +
				`&& chmod +x /usr/local/lib/omnidocs/nvidia/cu13/bin/ptxas`,
			`ENV PJRT_PLUGIN_LIBRARY_PATH=/usr/local/lib/omnidocs/jax_plugins/xla_cuda13`,
		},
	}
}

// CPUImage is what examples/serve needs without a GPU, in pure Go: the certificates of the hub.
func CPUImage() Image { return Image{Registry: "python:3.12-slim-bookworm"} }

// fault says what is wrong with an image.
func (i Image) fault() error {
	for _, c := range i.Commands {
		word, rest, _ := strings.Cut(strings.TrimSpace(c), " ")
		switch up := strings.ToUpper(word); {
		case up == "COPY" && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(rest)), "--from="), up == "ADD":
			return fmt.Errorf("Image.Commands has %q: there is no folder to copy from; build the image elsewhere, or COPY --from=IMAGE", c)
		case up == "FROM":
			return fmt.Errorf("Image.Commands has %q: it is Registry that says what the image begins with", c)
		case strings.Contains(c, "\x00"):
			return fmt.Errorf("Image.Commands has %q: a zero byte", c)
		}
	}
	return nil
}

// lines are the commands with the entry point taken away: else it would be run in place of what is asked for.
func (i Image) lines() []string { return append([]string{"ENTRYPOINT []"}, i.Commands...) }

// How long an upload may take, and the time after which its sandbox ends by itself.
const uploadTimeout = 20 * time.Minute

// image is the container's file system, built if it is not there yet, with the program at the path given.
func (c *Client) image(ctx context.Context, app *sdk.App, cfg Config, at string) (*sdk.Image, error) {
	var params *sdk.ImageFromRegistryParams
	if name := cfg.Image.RegistrySecret; name != "" {
		secret, err := c.secret(ctx, name, "REGISTRY_USERNAME", "REGISTRY_PASSWORD")
		if err != nil {
			return nil, err
		}
		params = &sdk.ImageFromRegistryParams{Secret: secret}
	}
	image := c.sdk.Images.FromRegistry(cfg.Image.Registry, params).DockerfileCommands(cfg.Image.lines(), nil)
	if cfg.Program == "" {
		built, err := image.Build(ctx, app, nil)
		if err != nil {
			return nil, fmt.Errorf("modal: image %s: %w", cfg.Image.Registry, wrapped(err))
		}
		return built, nil
	}
	name, err := programImage(cfg, at)
	if err != nil {
		return nil, err
	}
	found, err := c.sdk.Images.FromName(ctx, name, nil)
	var missing sdk.NotFoundError
	switch {
	case err == nil:
		return found, nil
	case !errors.As(err, &missing):
		return nil, fmt.Errorf("modal: image %s: %w", name, wrapped(err))
	}
	if image, err = image.Build(ctx, app, nil); err != nil {
		return nil, fmt.Errorf("modal: image %s: %w", cfg.Image.Registry, wrapped(err))
	}
	if image, err = c.upload(ctx, app, image, cfg, at, name); err != nil {
		return nil, fmt.Errorf("modal: upload %s: %w", cfg.Program, wrapped(err))
	}
	return image, nil
}

// programImage is the name of the image with a program in it: another program or another base has another name.
func programImage(cfg Config, at string) (string, error) {
	f, err := os.Open(cfg.Program)
	if err != nil {
		return "", fmt.Errorf("%w: Program: %w", ErrConfig, err)
	}
	defer f.Close()
	hash := sha256.New()
	fmt.Fprintf(hash, "%q\n", append([]string{cfg.Image.Registry, at}, cfg.Image.lines()...))
	if _, err := io.Copy(hash, f); err != nil {
		return "", fmt.Errorf("%w: Program: %w", ErrConfig, err)
	}
	return "omnidocs-" + path.Base(at) + ":" + hex.EncodeToString(hash.Sum(nil))[:32], nil
}

// upload puts the program into an image, by way of a sandbox without a GPU, and gives the image a name.
func (c *Client) upload(ctx context.Context, app *sdk.App, base *sdk.Image, cfg Config, at, name string) (_ *sdk.Image, err error) {
	ctx, stop := context.WithTimeout(ctx, uploadTimeout)
	defer stop()
	c.o.Logger.InfoContext(ctx, "uploading a program", "file", cfg.Program, "image", name)
	sb, err := c.sdk.Sandboxes.Create(ctx, app, base, &sdk.SandboxCreateParams{
		Timeout: uploadTimeout, Tags: tagsOf(cfg), Regions: cfg.Regions,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer stop()
		if _, endErr := sb.Terminate(last, nil); endErr != nil {
			err = errors.Join(err, fmt.Errorf("the sandbox %s could not be ended, and ends by itself in %s: %w", sb.SandboxID, uploadTimeout, endErr))
		}
		err = errors.Join(err, sb.Detach())
	}()
	if err := sb.Filesystem.CopyFromLocal(ctx, cfg.Program, at, nil); err != nil {
		return nil, err
	}
	process, err := sb.Exec(ctx, []string{"chmod", "0755", at}, &sdk.SandboxExecParams{Stdout: sdk.Ignore})
	if err != nil {
		return nil, err
	}
	code, err := process.Wait(ctx, nil)
	if err != nil {
		return nil, err
	}
	if code != 0 {
		said, _ := io.ReadAll(process.Stderr) // what there is of it
		return nil, fmt.Errorf("chmod in the image ended with code %d: %s", code, strings.TrimSpace(string(said)))
	}
	if err := process.Stderr.Close(); err != nil {
		return nil, err
	}
	image, err := sb.SnapshotFilesystem(ctx, &sdk.SandboxSnapshotFilesystemParams{Timeout: uploadTimeout / 2, TTL: sdk.NoExpiryTTL})
	if err != nil {
		return nil, err
	}
	return image, image.Publish(ctx, name, nil)
}
