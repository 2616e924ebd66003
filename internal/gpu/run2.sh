#!/usr/bin/env bash
# Run 2, at most 9 minutes: how fast are tokens, and what makes them so. Each line is a process, since XLA reads its flags once.
run=2
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
if [[ $DEVICE == *cuda* ]]; then
	graph() { echo "--xla_gpu_enable_command_buffer=$1"; }
else # to try the script without a card: CUDA's flags do nothing there
	graph() { echo ""; }
fi
for shape in $SHAPES; do
	checkpoint "$shape"
	bench "$shape: as it is" 90 "$shape" -batch 1 -runs 3
	with "$(graph +WHILE)" bench "$shape: the loop in a CUDA graph" 60 "$shape" -batch 1 -runs 3
	with "$(graph +WHILE)" bench "$shape: batches" 150 "$shape" -batch "$BATCHES" -runs 2
	DTYPE=int8 bench "$shape: int8" 60 "$shape" -batch 1,32 -runs 2
	bench "$shape: no loop" 60 "$shape" -batch 1 -loop 1 -runs 2
	bench "$shape: 8 tokens a call" 60 "$shape" -batch 1 -loop 8 -runs 2
	with "$(graph "")" bench "$shape: no CUDA graphs" 60 "$shape" -batch 1 -runs 2
done
small=${SHAPES%% *}
if [[ $DEVICE == *cuda* ]]; then
	with "--xla_gpu_enable_triton_gemm=false" bench "$small: cuBLAS alone" 60 "$small" -batch 1,32 -runs 2
	with "--xla_gpu_dot_merger_threshold_mb=0" bench "$small: no merged products" 60 "$small" -batch 1 -runs 2
	with "--xla_gpu_exhaustive_tiling_search=true" bench "$small: every tiling" 120 "$small" -batch 1 -runs 2
fi
