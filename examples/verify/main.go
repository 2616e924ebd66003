// Command verify runs reference cases on a device and tells, stage by stage, where the library departs from the reference and by how
// much. It ends with status 1 if it does.
//
//	go run ./examples/verify -model DIR -cases DIR -device xla:cpu
//
// -cases is a case, or a folder of cases, made by qwen/testdata/make_case.py from any checkpoint with Hugging Face transformers.
// Without -model, each case is run with the checkpoint in its own folder.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"text/tabwriter"

	"github.com/gomlx/compute/dtypes"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

type flags struct {
	model, cases, device, dtype string
	json                        bool
}

// result is what came of one case: a report, or why there is none.
type result struct {
	qwen.Report
	Device  string `json:"device"`
	DType   string `json:"dtype"`
	OK      bool   `json:"ok"`
	Skipped string `json:"skipped,omitempty"`
}

// errDeparts is the end of a run in which a case departs from its reference.
var errDeparts = errors.New("departs from the reference")

func main() {
	var f flags
	flag.StringVar(&f.model, "model", "", "folder of a checkpoint (default: the one in the case's own folder)")
	flag.StringVar(&f.cases, "cases", "", "folder of a case, or of cases")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, …; empty chooses the best there is")
	flag.StringVar(&f.dtype, "dtype", "float32", "type of the weights: float32, bfloat16, float16 or int8")
	flag.BoolVar(&f.json, "json", false, "print one JSON object a case instead of a table")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	if f.cases == "" {
		return errors.New("-cases is needed: the folder of a case made by qwen/testdata/make_case.py, or of cases")
	}
	dtype, ok := map[string]dtypes.DType{"float32": dtypes.Float32, "bfloat16": dtypes.BFloat16, "float16": dtypes.Float16, "int8": dtypes.Int8}[f.dtype]
	if !ok {
		return fmt.Errorf("-dtype %q: want float32, bfloat16, float16 or int8", f.dtype)
	}
	root := os.DirFS(f.cases)
	names, err := qwen.FindCases(root)
	if err != nil {
		return fmt.Errorf("-cases %s: %w", f.cases, err)
	}
	device, err := backend.Open(ctx, f.device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	load := func(fsys fs.FS) (*qwen.Model, error) {
		return qwen.Load(ctx, device.Runtime(), fsys, qwen.LoadOptions{DType: dtype})
	}
	var model *qwen.Model
	if f.model != "" {
		if model, err = load(os.DirFS(f.model)); err != nil {
			return fmt.Errorf("-model %s: %w", f.model, err)
		}
		defer func() { err = errors.Join(err, model.Close()) }()
	}
	departed, compared := 0, 0
	for _, name := range names {
		dir, err := fs.Sub(root, name)
		if err != nil {
			return err
		}
		r, err := verify(ctx, dir, path.Base(filepath.ToSlash(filepath.Join(f.cases, name))), model, load)
		if err != nil {
			return err
		}
		r.Device, r.DType = device.Name(), f.dtype
		if err := show(out, r, f.json); err != nil {
			return err
		}
		if r.Skipped == "" {
			compared++
			if !r.OK {
				departed++
			}
		}
	}
	if compared == 0 {
		return errors.New("no case was compared: this version does not run any of their checkpoints")
	}
	if departed > 0 {
		return fmt.Errorf("%d of %d cases: %w", departed, compared, errDeparts)
	}
	return nil
}

// verify runs one case, with a model or with the checkpoint in its folder.
func verify(ctx context.Context, dir fs.FS, name string, model *qwen.Model, load func(fs.FS) (*qwen.Model, error)) (_ result, err error) {
	if model == nil {
		model, err = load(dir)
		if errors.Is(err, qwen.ErrUnsupported) {
			return result{Report: qwen.Report{Case: name}, Skipped: err.Error()}, nil
		}
		if err != nil {
			return result{}, fmt.Errorf("case %s: %w (the checkpoint of a case without one is named with -model)", name, err)
		}
		defer func() { err = errors.Join(err, model.Close()) }()
	}
	c, err := qwen.ReadCase(ctx, dir, name)
	if err != nil {
		return result{}, err
	}
	reports, err := qwen.Verify(ctx, model, []qwen.Case{c}, qwen.VerifyOptions{})
	if err != nil {
		return result{}, err
	}
	return result{Report: reports[0], OK: reports[0].OK()}, nil
}

func show(out io.Writer, r result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	if r.Skipped != "" {
		_, err := fmt.Fprintf(out, "%s: skipped: %s\n\n", r.Case, r.Skipped)
		return err
	}
	verdict := "equals the reference, " + r.Producer
	if first := r.First(); first != nil {
		verdict = fmt.Sprintf("departs from the reference, %s, at %s", r.Producer, first.Name)
	}
	fmt.Fprintf(out, "%s, on %s in %s: %s\n", r.Case, r.Device, r.DType, verdict)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  stage\t\tvalues\tbeyond\tlargest difference\tallowed\tmean\tallowed\t")
	for _, s := range r.Stages {
		verdict := "ok"
		if !s.OK {
			verdict = "DEPARTS"
		}
		fmt.Fprintf(w, "  %s\t%s\t%d\t%d\t%.2g\t%.2g\t%.2g\t%.2g\t%s\n", s.Name, verdict, s.Values, s.Beyond, s.Max, s.Tolerance.Max,
			s.Mean, s.Tolerance.Mean, s.Detail)
	}
	fmt.Fprintln(w)
	return w.Flush()
}
