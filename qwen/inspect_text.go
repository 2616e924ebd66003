package qwen

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// fieldsOf calls f for each field of a struct that is not zero, by its name in snake case.
func fieldsOf(spec any, f func(name string, value any)) {
	v := reflect.ValueOf(spec)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			f(snake(v.Type().Field(i).Name), v.Field(i).Interface())
		}
	}
}

// fieldMap has the fields of a struct that are not zero, by their names in snake case, structs in it too.
func fieldMap(spec any) map[string]any {
	m := map[string]any{}
	fieldsOf(spec, func(name string, value any) {
		if reflect.TypeOf(value).Kind() == reflect.Struct {
			value = fieldMap(value)
		}
		m[name] = value
	})
	return m
}

// snake writes VocabSize as vocab_size, KVHeads as kv_heads, MRopeSection as mrope_section, MoE as moe.
func snake(name string) string {
	letters := []rune(strings.ReplaceAll(name, "MoE", "Moe"))
	var b strings.Builder
	for i, r := range letters {
		if i > 1 && unicode.IsUpper(r) && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// shown is a value of a Spec for people.
func shown(value any) string {
	switch v := value.(type) {
	case bool:
		return ""
	case []bool:
		n := 0
		for _, on := range v {
			if on {
				n++
			}
		}
		return fmt.Sprintf(" in %d of %d", n, len(v))
	}
	if reflect.TypeOf(value).Kind() == reflect.Struct {
		return " (" + described(value) + ")"
	}
	return fmt.Sprintf(" %v", value)
}

// described is a Spec on a line.
func described(spec any) string {
	var fields []string
	fieldsOf(spec, func(name string, value any) { fields = append(fields, name+shown(value)) })
	return strings.Join(fields, ", ")
}

// quantizationName is a format in a few words: its method, and what shares a scale.
func quantizationName(q *QuantizedWeights) string {
	var blocks []string
	for _, b := range q.Blocks {
		switch b {
		case [2]int{}:
			blocks = append(blocks, "a scale for a matrix")
		case [2]int{1, 0}:
			blocks = append(blocks, "a scale for a row")
		default:
			blocks = append(blocks, fmt.Sprintf("a scale for %d×%d", b[0], b[1]))
		}
	}
	return fmt.Sprintf("FP8 (%s; %s)", q.Method, strings.Join(blocks, ", "))
}

// count writes a number of parameters as people say it.
func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f billion", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f million", float64(n)/1e6)
	default:
		return fmt.Sprint(n)
	}
}

// size writes a number of bytes in decimal units.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// String is the inspection for people, a line for each thing.
func (i *Inspection) String() string {
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", key, fmt.Sprintf(format, args...))
	}
	verdict := "can be loaded"
	if !i.Loadable {
		verdict = "cannot be loaded, see below"
	}
	line("model", "%s: %s", firstNonEmpty(i.ModelType, "unknown"), verdict)
	if len(i.Architectures) > 0 {
		line("class", "%s", strings.Join(i.Architectures, ", "))
	}
	if i.Spec != nil {
		line("text", "%s", described(i.Spec.Text))
		line("vision", "%s", described(i.Spec.Vision))
	}
	if i.Quantization != nil {
		line("stored as", "%s", quantizationName(i.Quantization))
	}
	if len(i.Shards) > 0 {
		line("parameters", "%s, %s", count(i.Parameters), i.parts())
		line("files", "%d, %s", len(i.Shards), size(i.Bytes))
		for _, d := range i.DTypes {
			line("", "%s %s in %d tensors", d.DType, size(d.Bytes), d.Tensors)
		}
	}
	if len(i.Tokens) > 0 {
		var tokens []string
		for _, t := range i.Tokens {
			tokens = append(tokens, strings.TrimSpace(fmt.Sprintf("%s %d %s", t.Role, t.ID, t.Text)))
		}
		line("tokens", "%s", strings.Join(tokens, ", "))
	}
	if p := i.Processor; p != nil {
		area := p.PatchSize * p.PatchSize * p.MergeSize * p.MergeSize
		line("pages", "%d to %d pixels, %d to %d visual tokens of %d×%d; documents %d to %d tokens", p.MinPixels, p.MaxPixels, p.MinPixels/area,
			p.MaxPixels/area, p.PatchSize*p.MergeSize, p.PatchSize*p.MergeSize, p.DocumentMinPixels/area, p.DocumentMaxPixels/area)
	}
	if i.Template != nil && i.Template.Renders {
		line("prompt", "%q", i.Template.Prompt)
	}
	if len(i.GenerationConfig) > 0 {
		var keys []string
		for key, value := range i.GenerationConfig {
			keys = append(keys, fmt.Sprintf("%s %v", key, value))
		}
		slices.Sort(keys)
		line("generation", "%s", strings.Join(keys, ", "))
	}
	for _, f := range i.Findings {
		line(f.Kind, "%s: %s%s", f.About, f.Text, someOf(f.Items))
	}
	return b.String()
}

// parts says how the parameters divide.
func (i *Inspection) parts() string {
	var parts []string
	for _, p := range i.Parts {
		if p.Name == partScales {
			parts = append(parts, fmt.Sprintf("scales %s", size(p.Bytes)))
			continue
		}
		parts = append(parts, p.Name+" "+count(p.Parameters))
	}
	return strings.Join(parts, ", ")
}

// someOf lists the first items of a finding.
func someOf(items []string) string {
	const most = 5
	switch n := len(items); {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf(": %s and %d more", strings.Join(items[:most], ", "), n-most)
	default:
		return ": " + strings.Join(items, ", ")
	}
}

// WriteTo writes what String returns.
func (i *Inspection) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, i.String())
	return int64(n), err
}
