package qwen

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
)

// embedTokens are the embeddings of tokens, [rows, hidden], which are on the device too.
func (m *Model) embedTokens(ctx context.Context, on compute.Buffer, tokens []int32) (compute.Buffer, error) {
	if !m.hostTower() {
		out, err := m.run(ctx, fmt.Sprintf("embed %d", len(tokens)), m.embedGraph(len(tokens)), []compute.Buffer{on}, groupEmbedding)
		if err != nil {
			return nil, err
		}
		return out[0], nil
	}
	host, err := m.onHost()
	if err != nil {
		return nil, err
	}
	for _, token := range tokens {
		if token < 0 || int(token) >= m.Spec.Text.VocabSize {
			return nil, fmt.Errorf("token %d is outside the model's vocabulary of %d", token, m.Spec.Text.VocabSize)
		}
	}
	hidden := m.Spec.Text.Hidden
	x, flat, err := m.hostBuffer(len(tokens), hidden)
	if err != nil {
		return nil, err
	}
	eachHostRow(len(tokens), hidden, func(i int) { host.embedding.Row(flat[i*hidden:][:hidden], int(tokens[i])) })
	return x, nil
}
