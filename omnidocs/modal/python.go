package modal

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

//go:embed modal_app.py.tmpl
var appTemplate string

// pythonTemplate writes every value by one of the functions that quote it.
var pythonTemplate = template.Must(template.New("modal_app.py").Option("missingkey=error").Funcs(template.FuncMap{
	"str": pythonString, "strs": pythonStrings, "dict": pythonDict, "seconds": seconds, "float": pythonFloat,
}).Parse(appTemplate))

// Python writes the program that deploys d: save it as modal_app.py and run
//
//	modal deploy modal_app.py
//
// with Modal's command line ("pip install modal", 1.6 or later). Its class keeps a model loaded and hands calls to the server of the
// image; its web endpoint is that server itself; its job runs examples/scheduled. All of them have the same GPU, volume, secrets and
// environment. [Client.Worker] and [Endpoint] call them from Go.
//
// Program and JobProgram are named by their absolute paths, from which Modal's command line takes them.
func (d Deployment) Python() ([]byte, error) {
	d = d.withDefaults()
	if err := d.faults().err(); err != nil {
		return nil, err
	}
	gpu, err := d.gpu()
	if err != nil {
		return nil, err
	}
	var files [2]string
	for i, name := range []string{d.Program, d.JobProgram} {
		if files[i], err = local(name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	var out bytes.Buffer
	err = pythonTemplate.Execute(&out, map[string]any{
		"D": d, "GPU": gpu.String(), "Env": d.environment(), "Lines": d.Image.lines(), "Command": d.command(), "Job": d.jobCommand(),
		"Program": files[0], "ProgramPath": programPath, "JobProgram": files[1], "JobPath": jobPath,
		"Retries": max(0, d.Retries.Max), "Token": d.TokenEnv,
	})
	if err != nil {
		return nil, fmt.Errorf("modal: %w", err)
	}
	return out.Bytes(), nil
}

// validText says whether Go's escapes of a string mean the same in Python: those of bytes that are no UTF-8 do not.
func validText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// pythonString is a string as Python reads it: the escapes that Go writes in ASCII are a part of Python's.
func pythonString(s string) string { return strconv.QuoteToASCII(s) }

func pythonStrings(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = pythonString(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// pythonDict has its keys in order, so that the same config is the same program.
func pythonDict(m map[string]string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, pythonString(k)+": "+pythonString(m[k]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

func pythonFloat(f float64) (string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", fmt.Errorf("%v is no number", f)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s, nil
}

// seconds are whole ones.
func seconds(d time.Duration) int { return int(d / time.Second) }
