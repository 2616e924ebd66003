package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// embedTokens are the embeddings of tokens, [rows, hidden].
func (m *Model) embedTokens(ctx context.Context, tokens []int32) (_ compute.Buffer, err error) {
	if m.hostTower() {
		return m.hostEmbed(tokens)
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	if _, err := scratch.keep(m, tokens, len(tokens)); err != nil {
		return nil, err
	}
	out, err := m.run(ctx, fmt.Sprintf("embed %d", len(tokens)), m.embedGraph(len(tokens)), scratch, groupEmbedding)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// hostEmbed is embedTokens as the host does it.
func (m *Model) hostEmbed(tokens []int32) (compute.Buffer, error) {
	for _, token := range tokens {
		if token < 0 || int(token) >= m.Spec.Text.VocabSize {
			return nil, fmt.Errorf("token %d is outside the model's vocabulary of %d", token, m.Spec.Text.VocabSize)
		}
	}
	host, err := m.onHost()
	if err != nil {
		return nil, err
	}
	hidden := m.Spec.Text.Hidden
	x, flat, err := m.hostBuffer(len(tokens), hidden)
	if err != nil {
		return nil, err
	}
	eachHostRow(len(tokens), hidden, func(i int) { host.embedding.Row(flat[i*hidden:][:hidden], int(tokens[i])) })
	return x, nil
}
