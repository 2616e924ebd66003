#!/usr/bin/env bash
# Tries all three runs from end to end without a card: XLA on the CPU, a tiny model, small pages. It needs PJRT_PLUGIN_LIBRARY_PATH
# ($(.ci/plugin)); PYTHON_PATH, if set, is a folder with a python3 that has transformers. Prints the results.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export BIN=$work/bin OUT=$work/out WORK=$work/models DEVICE=xla:cpu SHAPES=tiny DTYPE=float32 TOKENS=12 BATCHES=1,2 PAGE=96x64 BIG=256x320
export PEER_DEVICE=cpu PEER_BATCHES=1,2
[[ -n ${PYTHON_PATH:-} ]] && export PATH=$PYTHON_PATH:$PATH
bash "$here/build.sh"
for run in ${RUNS:-1 2 3}; do bash "$here/run$run.sh"; done
cat "$OUT/results.jsonl"
# Here there is no card to be seen and no torch that sees one.
failed=$(grep -vE '"step":"(machine|torch: copy and product|jax: a product)"' "$OUT/results.jsonl" | grep -E '"status":[1-9]' || true)
[[ -z $failed ]] || { echo "failed:"; echo "$failed"; tail -40 "$OUT/log.txt"; exit 1; }
