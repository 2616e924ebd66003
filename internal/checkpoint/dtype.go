package checkpoint

// DType is the element type of a stored tensor, spelled as in the file.
type DType string

// Element types that can be converted while they are read.
const (
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	// F8E4M3 and F8E5M2 are torch's float8_e4m3fn and float8_e5m2, the numbers of quantized weights.
	F8E4M3 DType = "F8_E4M3"
	F8E5M2 DType = "F8_E5M2"
	// F8E8M0 is torch's float8_e8m0fnu, powers of two, a type of scales.
	F8E8M0 DType = "F8_E8M0"
)

// Converts says whether the elements are converted while they are read: those of the types above are.
func (d DType) Converts() bool {
	_, eight := widen8[d]
	return eight || d == F32 || d == F16 || d == BF16
}

// dtypeBits lists every element type of the format with its width in bits
// (safetensors 0.6, enum Dtype). Tensors of types that are not converted are
// listed and can be read as bytes.
var dtypeBits = map[DType]uint64{
	"F4":      4,
	"F6_E2M3": 6,
	"F6_E3M2": 6,
	"BOOL":    8,
	"U8":      8,
	"I8":      8,
	F8E5M2:    8,
	F8E4M3:    8,
	F8E8M0:    8,
	"I16":     16,
	"U16":     16,
	F16:       16,
	BF16:      16,
	"I32":     32,
	"U32":     32,
	F32:       32,
	"I64":     64,
	"U64":     64,
	"F64":     64,
	"C64":     64,
}

// Bits returns the width of one element in bits, 0 for a type that the format
// does not know. Only the types F4, F6_E2M3 and F6_E3M2 are no whole bytes.
func (d DType) Bits() int { return int(dtypeBits[d]) }
