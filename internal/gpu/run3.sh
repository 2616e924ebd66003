#!/usr/bin/env bash
# Run 3, at most 9 minutes: pages, and transformers on the same card with the same checkpoint and page.
run=3
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
big=${BIG:-2550x3300} # a Letter page at 300 dpi
for shape in $SHAPES; do
	checkpoint "$shape"
	bench "$shape: pages" 150 "$shape" -batch "$BATCHES" -runs 2
	GOMLX_FUSION=0 bench "$shape: pages without cuDNN's attention" 60 "$shape" -batch 1 -runs 2
	PAGE=$big TOKENS=16 bench "$shape: a large page" 90 "$shape" -batch 1 -runs 1 -programs 12
	step "$shape: transformers" 150 python3 "$here/transformers_bench.py" --model "$WORK/$shape" --size "$PAGE" --batch "${PEER_BATCHES:-1,32}" \
		--new-tokens "$TOKENS" --device "${PEER_DEVICE:-cuda}"
done
tar -C "$OUT" -czf "$OUT/autotune.tar.gz" autotune 2>/dev/null
