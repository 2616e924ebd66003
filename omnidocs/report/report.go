package report

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
)

const (
	// DefaultMaxPictures is how many pages are shown as pictures.
	DefaultMaxPictures = 200
	// DefaultPictureWidth is how wide they are, in pixels.
	DefaultPictureWidth = 900
	// FileName is the name of the report in its folder.
	FileName = "report.html"
)

// Options are the choices of a report. The zero value consists entirely of default values.
type Options struct {
	// Title is the report's. Empty means "OmniDocs report".
	Title string
	// MaxPictures bounds how many pages are shown as pictures, at about 0.1 MB each: those that failed or are suspicious first, and then the others in their order. Zero means 200, a
	// negative value none.
	MaxPictures int
	// PictureWidth is how wide pictures are at most, in pixels. Zero means 900.
	PictureWidth int
	// Load says how documents are opened again for their pictures. Its page range must be that of the job.
	Load omnidocs.LoadOptions
	// Open opens a document again. Nil means [omnidocs.Open] of the result's SourcePath, with Load.
	Open func(ctx context.Context, id string, result *jobs.DocumentResult) (*omnidocs.Document, error)
	// CostPerHour is what the machine costs in an hour, in Currency, for the cost of the job. Zero leaves it out.
	CostPerHour float64
	// Currency is put before amounts. Empty means "$".
	Currency string
}

var (
	//go:embed report.tmpl
	page string
	//go:embed report.css
	style string
	//go:embed report.js
	script string

	pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
		"percent": func(share float64) float64 { return 100 * share },
	}).Parse(page))
)

// Write writes the report of a job as report.html into a folder, which is made if it is not there, and returns its path. Pictures are rendered one at a time, while the page
// is written. A document that cannot be opened again, or a page that cannot be rendered, is shown without picture. The error is that of ctx, or of the file.
func Write(ctx context.Context, dir string, result *jobs.BatchResult, opts Options) (path string, err error) {
	path = filepath.Join(dir, FileName)
	if err := writeFile(dir, path, func(w io.Writer) error { return Render(ctx, w, result, opts) }); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return path, nil
}

// Render writes the page that [Write] does.
func Render(ctx context.Context, w io.Writer, result *jobs.BatchResult, opts Options) error {
	if opts.Title == "" {
		opts.Title = "OmniDocs report"
	}
	if opts.Currency == "" {
		opts.Currency = "$"
	}
	if opts.MaxPictures == 0 {
		opts.MaxPictures = DefaultMaxPictures
	}
	if opts.PictureWidth <= 0 {
		opts.PictureWidth = DefaultPictureWidth
	}
	if opts.Open == nil {
		opts.Open = func(ctx context.Context, _ string, d *jobs.DocumentResult) (*omnidocs.Document, error) {
			if d.SourcePath == "" {
				return nil, errors.New("the document has no path to open it again")
			}
			return omnidocs.Open(ctx, d.SourcePath, opts.Load)
		}
	}
	v := newView(ctx, result, opts)
	defer v.close()
	if err := pageTemplate.Execute(w, v); err != nil {
		return err
	}
	return ctx.Err()
}

// writeFile writes a file whole or not at all, without holding it in memory.
func writeFile(dir, path string, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+FileName+"-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// policy lets the page run its own script, and load nothing.
func policy() string {
	sum := sha256.Sum256([]byte(script))
	return "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
