package qwen

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Hash stands for all that the spec says: two checkpoints with one hash are run by the same programs. It is 64 hexadecimal digits,
// those of the SHA-256 of the spec in JSON, and may change with the version of this library.
func (s Spec) Hash() string {
	text, err := json.Marshal(s)
	if err != nil { // a number that JSON does not have: a spec that no checkpoint can have
		text = fmt.Appendf(nil, "%+v", s)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
