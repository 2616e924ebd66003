package textextraction

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Fingerprint says, in a line of JSON, everything that the text of a page depends on besides the page: the model and its revision, the type of its weights, the
// preset, and what opts come to with this extractor. The device is not part of it: the last digits of its numbers, and with them now and then a
// token, may differ. A model in a folder has no revision; the names, sizes and times of its files stand for it.
//
// It is for those who keep results, to tell whether one can be used again.
func (x *QwenTextExtractor) Fingerprint(ctx context.Context, opts Options) (string, error) {
	opts, err := x.settings.resolve(opts)
	if err != nil {
		return "", err
	}
	info := x.engine.Info()
	revision, err := folderRevision(ctx, info.Model)
	if err != nil {
		return "", fmt.Errorf("textextraction: fingerprint: %w", err)
	}
	if revision == "" {
		revision = info.Revision
	}
	line, err := json.Marshal(struct {
		Model            string     `json:"model"`
		Revision         string     `json:"revision,omitzero"`
		DType            string     `json:"dtype,omitzero"`
		Preset           *Preset    `json:"preset,omitempty"`
		Format           Format     `json:"format"`
		Prompt           string     `json:"prompt"`
		SystemPrompt     string     `json:"system_prompt,omitzero"`
		MaxNewTokens     int        `json:"max_new_tokens"`
		MinPixels        int        `json:"min_pixels,omitzero"`
		MaxPixels        int        `json:"max_pixels,omitzero"`
		Sampling         Sampling   `json:"sampling"`
		MaxContinuations int        `json:"max_continuations,omitzero"`
		Repetition       Repetition `json:"repetition,omitzero"`

		ReadBlankPages    bool `json:"read_blank_pages,omitzero"`
		DetectOrientation bool `json:"detect_orientation,omitzero"`
	}{
		info.Model, revision, info.DType, x.settings.preset, opts.Format, opts.Prompt, opts.SystemPrompt,
		opts.MaxNewTokens, opts.MinPixels, opts.MaxPixels, opts.Sampling, opts.MaxContinuations, opts.Repetition,
		opts.ReadBlankPages, opts.DetectOrientation,
	})
	return string(line), err
}

// folderRevision stands for the content of a checkpoint's folder; it is "" if model is none.
func folderRevision(ctx context.Context, model string) (string, error) {
	if info, err := os.Stat(model); err != nil || !info.IsDir() {
		return "", nil //nolint:nilerr // a name on the hub, or that of the embedded model
	}
	sum := sha256.New()
	err := filepath.WalkDir(model, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		info, err := os.Stat(path) // of what a link leads to
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return "", err
	}
	return "folder-" + hex.EncodeToString(sum.Sum(nil)), nil
}
