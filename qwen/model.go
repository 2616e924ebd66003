package qwen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/bpe"
	"github.com/omnidocs/omnidocs/internal/chat"
	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// Traits are the facts about a backend that decide how the graph is written; they change speed, not results.
type Traits = nn.Traits

// Runtime is where a model runs. Package backend makes one from a device.
type Runtime struct {
	// Backend holds the weights and runs the programs. It stays the caller's: Close of a model does not finalize it.
	Backend compute.Backend
	// Devices are the numbers of the backend's devices that the model is on, nil for the first. Over several it is divided: each holds
	// a share of the heads, of the inner widths and of the vocabulary, and the keys and values of its own heads. The sizes of the model
	// must be multiples of their number. HostCache and MatrixElements then count for nothing.
	Devices []compute.DeviceNum
	// Traits say how its graphs are best written.
	Traits Traits
	// ExactShapes is true where graphs need no compilation, so that nothing has to be padded to a common size.
	ExactShapes bool
	// HostCache lets the host write the rows of the key-value cache, which needs buffers shared with the host.
	HostCache bool
	// HostStep lets the host run the layers of a step itself, in place of programs, and the output layer, where HostCache is set, and the
	// host has vector instructions, or, without them, the layer is an ordinary one and small or in int8: for backends that run a graph an
	// operation at a time, or read the weights for a few rows more slowly than memory gives them. Weights in float16 are left to programs.
	HostStep bool
	// HostPrompt lets the host run images through the vision tower and prompts through the text tower itself too, where it has vector
	// instructions. HostStep and HostCache are to be set.
	HostPrompt bool
	// HalfCache keeps the keys and values of the cache in bfloat16 where attention is in that type anyhow (Traits.HalfAttention):
	// half the memory, and, since all of it is read for a token, half the time.
	HalfCache bool
	// LoopTokens is how many tokens a slot [Model.Decode] writes in one call to the device, in a loop of the graph, where the
	// host does not write the cache. 0 and 1 mean one, layer by layer. What a call has begun is not interrupted.
	LoopTokens int
	// MatrixElements, if not 0, bounds the elements of a buffer with a matrix: larger ones are held in several. The pure-Go
	// backend reads small ones three times faster where few rows are multiplied with them. Where the host runs prompts itself it counts for
	// nothing.
	MatrixElements int
	// StripeLimit is the number of patches up to which an image goes through the vision tower as a whole; larger ones go in
	// stripes of at most StripeRows patches. 0 means 2,048 and 512.
	StripeLimit, StripeRows int
	// ImagesTogether is how many small images may go through the vision tower in one call, if no more than StripeLimit patches come of
	// it: see [Model.EncodeTogether]. 0 means one.
	ImagesTogether int
	// Workers is how many stripes are run at once; there are then at least as many. 0 means one. The pure-Go backend, whose
	// element-wise operations know one core each, is faster with one a core.
	Workers int
	// Compile, if set, runs what compiles a program, on the goroutine that it is called on, and says whether the program was there already, so
	// that nothing was compiled.
	Compile func(compile func()) (ready bool)
	// Round, if set, says how much the backend takes for a buffer of so many bytes, where that is more. It is for [Planner] alone.
	Round func(bytes int64) int64
}

// LoadOptions say how the weights are loaded. The zero value is float32.
type LoadOptions struct {
	// DType is the type of matrices and embeddings on the device: Float32 (the zero value), BFloat16, Float16 or Int8, which is
	// made at load, each row with a scale of its own. Activations, norms and the cache are float32 whatever it is.
	DType dtypes.DType
	// Progress, if set, is called after each tensor with the number of weights loaded so far and in all.
	Progress func(done, total int64)
	// Compiled, if set, is called after each compilation of a program, or loading of one that was compiled before, by the goroutine whose
	// page needed it: the page goes on when it returns.
	Compiled func(ProgramStats)
}

// Model is a Qwen-VL checkpoint on a device. It holds no state of any request and may be used from several goroutines.
type Model struct {
	// Spec says what the checkpoint is.
	Spec Spec
	// Processor and Tokenizer are the checkpoint's own.
	Processor *Processor
	Tokenizer *bpe.Tokenizer

	template *chat.Template
	runtime  Runtime
	mesh     *program.Mesh
	local    Spec // what each device of the mesh computes
	dtype    dtypes.DType
	weights  weights
	programs *program.Cache
	noLoop   atomic.Bool // the backend has turned out to build no loops

	onHost     func() (hostWeights, error) // what the host computes with
	logitsRoom sync.Pool                   // of *[]float32, see hostLogits
}

// Load reads a checkpoint folder onto a device: config.json, tokenizer, processor, chat template, and the weights, which are
// held to the configuration both ways ([WeightsError]). The context is obeyed while weights are read.
func Load(ctx context.Context, runtime Runtime, fsys fs.FS, opts LoadOptions) (*Model, error) {
	spec, err := ReadSpec(fsys)
	if err != nil {
		return nil, fmt.Errorf("qwen: load: %w", err)
	}
	return load(ctx, runtime, fsys, spec, opts)
}

// load is Load for a checkpoint whose configuration has been read.
func load(ctx context.Context, runtime Runtime, fsys fs.FS, spec Spec, opts LoadOptions) (*Model, error) {
	m, err := open(runtime, fsys, spec, opts.DType)
	if err != nil {
		return nil, fmt.Errorf("qwen: load: %w", err)
	}
	return m.load(ctx, fsys, opts)
}

// load reads the weights of a model that has all the rest.
func (m *Model) load(ctx context.Context, fsys fs.FS, opts LoadOptions) (*Model, error) {
	file, err := checkpoint.Open(fsys)
	if err != nil {
		return nil, fmt.Errorf("qwen: load: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	m.Spec = tie(m.Spec, file)
	m.local.Text.Tied = m.Spec.Text.Tied
	if err := checkWeights(m.Spec, file); err != nil {
		return nil, fmt.Errorf("qwen: load: %w", err)
	}
	l := loader{mesh: m.mesh, file: weightFile{file, m.Spec.Quantization}, dtype: m.dtype, limit: m.matrixElements()}
	if m.weights, err = l.load(ctx, m.Spec.groups(), opts.Progress); err != nil {
		return nil, fmt.Errorf("qwen: load: %w", err)
	}
	m.onHost = sync.OnceValues(m.viewWeights)
	m.programs = program.NewCacheOn(m.mesh)
	m.programs.Observe(opts.Compiled)
	m.programs.Through(m.runtime.Compile)
	return m, nil
}

// open reads all of a checkpoint but the weights.
func open(runtime Runtime, fsys fs.FS, spec Spec, dtype dtypes.DType) (*Model, error) {
	m := &Model{Spec: spec, runtime: runtime, mesh: program.NewMesh(runtime.Backend, runtime.Devices...), dtype: dtype}
	if m.dtype == dtypes.InvalidDType {
		m.dtype = dtypes.Float32
	}
	if !slices.Contains([]dtypes.DType{dtypes.Float32, dtypes.BFloat16, dtypes.Float16, dtypes.Int8}, m.dtype) {
		return nil, fmt.Errorf("dtype %s: %w (supported: Float32, BFloat16, Float16, Int8)", m.dtype, ErrUnsupported)
	}
	if m.dtype != dtypes.BFloat16 && m.dtype != dtypes.Int8 {
		m.runtime.Traits.HalfAttention = false
	}
	var err error
	if m.Processor, err = LoadProcessor(fsys); err != nil {
		return nil, err
	}
	if err := m.checkProcessor(); err != nil {
		return nil, err
	}
	tokens, err := fs.ReadFile(fsys, "tokenizer.json")
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	if m.Tokenizer, err = bpe.Load(tokens); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	if err := m.checkTokens(); err != nil {
		return nil, err
	}
	if m.template, err = chat.FromFS(fsys); err != nil {
		return nil, err
	}
	if m.local, err = m.Spec.share(m.mesh.Size()); err != nil {
		return nil, err
	}
	if m.mesh.Size() > 1 {
		m.runtime.HostCache, m.runtime.MatrixElements = false, 0
	}
	return m, nil
}

// checkProcessor sees that the processor cuts patches as the vision tower takes them, and that the tokens are there.
func (m *Model) checkProcessor() error {
	v, p := m.Spec.Vision, m.Processor
	if p.PatchSize() != v.PatchSize || p.MergeSize() != v.MergeSize || p.TemporalPatchSize() != v.TemporalPatchSize {
		return fmt.Errorf("preprocessor_config.json has patch_size %d, merge_size %d, temporal_patch_size %d, config.json has %d, %d, %d",
			p.PatchSize(), p.MergeSize(), p.TemporalPatchSize(), v.PatchSize, v.MergeSize, v.TemporalPatchSize)
	}
	return nil
}

// endOfTurn ends an answer in Qwen's chat format. It counts where a checkpoint names no eos_token_id.
const endOfTurn = "<|im_end|>"

// checkTokens sees that the tokens of the configuration exist.
func (m *Model) checkTokens() error {
	if _, ok := m.Tokenizer.Token(m.Spec.ImageToken); !ok {
		return fmt.Errorf("tokenizer.json has no token %d, which config.json names as image_token_id", m.Spec.ImageToken)
	}
	if len(m.Spec.EOS) > 0 {
		return nil
	}
	id, ok := m.Tokenizer.ID(endOfTurn)
	if !ok {
		return fmt.Errorf("no eos_token_id in config.json or generation_config.json, and no %s in tokenizer.json", endOfTurn)
	}
	m.Spec.EOS = []int32{id}
	return nil
}

// Close frees the weights and the compiled programs. No call may be under way, and none may follow.
func (m *Model) Close() error {
	m.programs.Close()
	return m.weights.finalize()
}

// run compiles the program of that name on its first use and runs it on the inputs followed by the weights of the groups.
func (m *Model) run(ctx context.Context, name string, build func(b *program.Builder) []*graph.Node, inputs []compute.Buffer, groups ...string) ([]compute.Buffer, error) {
	p, err := m.programs.Get(name, build)
	if err != nil {
		return nil, err
	}
	all := append([]compute.Buffer{}, inputs...)
	for _, g := range groups {
		all = append(all, m.weights[g]...)
	}
	return p.Run(ctx, all)
}

// upload copies numbers to the device, or, the same, to each of several.
func (m *Model) upload(flat any, dims ...int) (compute.Buffer, error) {
	return m.mesh.Upload(flat, shapes.Make(dtypes.FromGoType(reflect.TypeOf(flat).Elem()), dims...))
}

// zeros makes a buffer of zeros, on the device itself.
func (m *Model) zeros(ctx context.Context, shape shapes.Shape) (compute.Buffer, error) {
	out, err := m.run(ctx, "zeros "+shape.String(), func(b *program.Builder) []*graph.Node {
		return []*graph.Node{graph.Zeros(b.G, shape)}
	}, nil)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// buffers are device buffers that live for the length of a call.
type buffers []compute.Buffer

// keep uploads numbers that are freed with the rest.
func (b *buffers) keep(m *Model, flat any, dims ...int) (compute.Buffer, error) {
	buffer, err := m.upload(flat, dims...)
	if err != nil {
		return nil, err
	}
	*b = append(*b, buffer)
	return buffer, nil
}

func (b buffers) free() error {
	var errs []error
	for _, buffer := range b {
		if buffer != nil {
			errs = append(errs, buffer.Finalize())
		}
	}
	return errors.Join(errs...)
}
