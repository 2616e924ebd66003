package qwen

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// The parts of a model that weights are counted by.
const (
	partVision    = "vision"
	partText      = "text"
	partEmbedding = "embedding"
	partHead      = "head"
	partScales    = "scales"
	partUnused    = "unused"
)

// part says which part of the model a declared group belongs to.
func (g group) part() string {
	switch {
	case g.name == groupEmbedding:
		return partEmbedding
	case g.name == groupHead:
		return partHead
	case strings.HasPrefix(g.prefix, "model.visual."):
		return partVision
	default:
		return partText
	}
}

// declaredParts says which part each tensor of the checkpoint belongs to that the configuration asks for.
func declaredParts(s Spec, c *checkpoint.Checkpoint) map[string]string {
	parts := map[string]string{}
	for _, g := range s.groups() {
		for _, p := range g.params {
			for _, src := range p.sources {
				at, _, ok := locate(c, g.prefix, src)
				if !ok {
					continue
				}
				t := at.tensor
				parts[t.Name] = g.part()
				if s.Quantization != nil && isFloat8(t) {
					parts[t.Name+s.Quantization.scaleSuffix()] = partScales
				}
			}
		}
	}
	return parts
}

// guessedPart is the part of a tensor of a model that is not known, by the words that such names are made of.
func guessedPart(name string) string {
	switch {
	case strings.Contains(name, "visual") || strings.Contains(name, "vision"):
		return partVision
	case strings.Contains(name, "embed_tokens"):
		return partEmbedding
	case strings.Contains(name, "lm_head"):
		return partHead
	default:
		return partText
	}
}

// sizes counts the tensors by part, type and file. Where it is not known which there should be, the parts are guessed.
func (in *inspector) sizes(c *checkpoint.Checkpoint, known bool) {
	var declared map[string]string
	if known {
		declared = declaredParts(tie(*in.Spec, c), c)
	}
	parts, dtypes, shards := map[string]PartSize{}, map[string]DTypeSize{}, map[string]ShardSize{}
	packed := 0
	for _, t := range c.Tensors() {
		name := partUnused
		if part, ok := declared[t.Name]; ok {
			name = part
		} else if !known {
			name = guessedPart(t.Name)
		}
		p, d, f := parts[name], dtypes[string(t.DType)], shards[t.File]
		p.Name, d.DType, f.File = name, string(t.DType), t.File
		p.Tensors, d.Tensors, f.Tensors = p.Tensors+1, d.Tensors+1, f.Tensors+1
		p.Bytes, d.Bytes, f.Bytes = p.Bytes+t.Bytes, d.Bytes+t.Bytes, f.Bytes+t.Bytes
		d.Numbers += int64(t.Elements())
		in.Bytes += t.Bytes
		switch {
		case !t.DType.Converts():
			packed++
		case name != partScales:
			p.Parameters += int64(t.Elements())
			if name != partUnused {
				in.Parameters += int64(t.Elements())
			}
		}
		parts[name], dtypes[d.DType], shards[t.File] = p, d, f
	}
	for _, name := range []string{partVision, partText, partEmbedding, partHead, partScales, partUnused} {
		if p, ok := parts[name]; ok {
			in.Parts = append(in.Parts, p)
		}
	}
	in.DTypes = slices.SortedFunc(maps.Values(dtypes), func(a, b DTypeSize) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.DType, b.DType))
	})
	in.Shards = slices.SortedFunc(maps.Values(shards), func(a, b ShardSize) int { return cmp.Compare(a.File, b.File) })
	if packed > 0 {
		in.note("weights", "%d of the tensors are integers, or other numbers that are not read as floats: how many weights they are "+
			"is not counted", packed)
	}
	in.storedType()
}

// storedType notes weights that are mostly of another type than config.json says.
func (in *inspector) storedType() {
	names := map[string]string{"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
	if in.Spec == nil || in.Spec.Quantization != nil || in.Spec.DType == "" || len(in.DTypes) == 0 {
		return
	}
	if name := names[in.DTypes[0].DType]; name != "" && name != in.Spec.DType {
		in.note("weights", "most of them are stored as %s, config.json says %s", name, in.Spec.DType)
	}
}

// head tells where the output matrix comes from, where that is not a tensor of its own.
func (in *inspector) head(c *checkpoint.Checkpoint) {
	t, stored := checkpointKey(c, "lm_head.weight")
	switch {
	case in.Spec.Text.Tied && stored:
		in.note("weights", "%s is stored, and not used: tie_word_embeddings says that the embedding is the output matrix", t.Name)
	case in.Spec.Text.Tied:
		in.note("weights", "the embedding is the output matrix too (tie_word_embeddings)")
	case !stored:
		in.note("weights", "the embedding is taken as the output matrix: lm_head.weight is not there, though tie_word_embeddings is false")
	}
}

// fit lists what does not fit the configuration, a finding for each kind of fault.
func (in *inspector) fit(e *WeightsError) {
	for _, kind := range e.kinds() {
		if len(kind.lines) > 0 {
			in.Findings = append(in.Findings, Finding{
				Kind: Refused, About: "weights", Text: fmt.Sprintf("%d %s", len(kind.lines), kind.what), Items: kind.lines,
			})
		}
	}
}

// isWeightFile says whether a file has weights, in a format of this library or another.
func isWeightFile(name string) bool {
	switch path.Ext(name) {
	case ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".npz", ".h5", ".msgpack", ".onnx":
		return true
	}
	return false
}

// files notes what lies in the folder and is not looked at by Load, and might be thought to be.
func (in *inspector) files(entries []fs.DirEntry) {
	used := map[string]bool{}
	for _, s := range in.Shards {
		used[s.File] = true
	}
	var weights, code, adapters []string
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir() || used[name]:
		case strings.HasPrefix(name, "adapter_"):
			adapters = append(adapters, name)
		case isWeightFile(name):
			weights = append(weights, name)
		case path.Ext(name) == ".py":
			code = append(code, name)
		}
	}
	for _, extra := range []struct {
		names []string
		text  string
	}{
		{weights, "files with weights that are not used"},
		{adapters, "an adapter, which is not applied: merge it into the model's weights first"},
		{code, "code that came with the checkpoint is never run"},
	} {
		if len(extra.names) > 0 {
			in.Findings = append(in.Findings, Finding{Kind: Note, About: "files", Text: extra.text, Items: extra.names})
		}
	}
}
